"""What people bring, as arrays or in .npz files: keys, names, numbers and signals, in any type or refused in one line.

`write_prepared` and the reader of .npz files check with the same functions. Numbers are accepted in any type (float16,
integers, masked without a mask, numbers as objects, 1 x 1 arrays of MATLAB).
"""

import difflib
import math
import numbers
import unicodedata
from collections.abc import Mapping

import numpy as np

from data_prep.signals.channels import shorten
from utils.base.errors import InputError

SIGNALS = ("eeg", "pps")
PERSON = ("id", *SIGNALS, "eeg_baseline", "pps_baseline", "ratings", "stimuli", "groups")
NAME_CHARACTERS = 200
RATE_TOLERANCE = 1e-7  # of a rate in float32, or one that is 1 / a difference of times
OTHER_UNIT = 300  # times the other's largest values: EEG and its rest are in two units
LARGEST = 1e12  # of a signal; its square must fit into float32
KINDS = {"c": "complex numbers", "U": "text", "S": "text", "M": "dates", "m": "times", "V": "records"}  # of NumPy


def check_keys(found, known, where):
    """Refuse keys that are not among ``known``, with a suggestion."""
    for key in found:
        if key not in known:
            same_words = [name for name in known if sorted(name.split("_")) == sorted(str(key).split("_"))]
            near = same_words or difflib.get_close_matches(str(key), known, n=1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise InputError(f"{where} has {str(key)[:60]!r}, which is not known; {meant}there are {', '.join(known)}")


def one_value(value):
    """The value of an array of one element, such as MATLAB's [[128]]; anything else as it is."""
    while isinstance(value, np.ndarray | list | tuple) and np.size(value) == 1:
        value = value.item() if isinstance(value, np.ndarray) else value[0]
    return value.item() if isinstance(value, np.generic) else value


def check_text(value, what):
    """A name: one line of printable text, stripped; whole numbers and MATLAB's 1 x 1 cells are accepted."""
    value = one_value(value)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and abs(value) < 1e300 and value == int(value):
        value = str(int(value))
    if not isinstance(value, str):
        raise InputError(f"{what} must be a text, not {_short(value)}")
    value = unicodedata.normalize("NFC", value.lstrip("\ufeff").strip())
    if not value:
        raise InputError(f"{what} is empty; give it a name")
    if len(value) > NAME_CHARACTERS:
        raise InputError(f"{what} has {len(value)} characters, {value[:20]!r}...; at most {NAME_CHARACTERS} are taken")
    if len(value.splitlines()) > 1 or any(unicodedata.category(character) == "Cs" for character in value):
        raise InputError(f"{what} is {value[:60]!a}, which is not a line of text; rename it")
    return value


def check_names(values, what, n_trials=None, once=True):
    """Names as a list of texts, from a list, a tuple, an array or a column of a table; ``once``: all are distinct."""
    if isinstance(values, str | bytes | set | frozenset | dict) or not hasattr(values, "__iter__"):
        raise InputError(f"{what} must be a list of names, not {_short(values)}")
    values = values.ravel() if isinstance(values, np.ndarray) else values
    names = [check_text(value, f"{what}, number {number},") for number, value in enumerate(values, 1)]
    if once and (twice := [name for name in names if names.count(name) > 1]):
        raise InputError(f"{what} names {twice[0]!r} twice; every name may come once")
    if n_trials not in (None, len(names)):
        raise InputError(f"{what} has {len(names)} names for {n_trials} trials; one each is needed")
    return names


def check_number(value, what):
    """A finite number as a Python int or float, from any numeric type."""
    value = one_value(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputError(f"{what} must be a number, not {_short(value)}")
    if abs(value) >= 1e9 or not math.isfinite(value):
        raise InputError(f"{what} must be a finite number below 1e9, not {_short(value)}")
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def check_rate(value, what="sampling_rate"):
    """A sampling rate in Hz as a positive int: ``256``, ``256.0``, ``np.int64(256)`` or MATLAB's ``[[256]]``."""
    rate = check_number(value, what)
    whole = round(rate)
    if rate <= 0:
        raise InputError(f"{what} must be greater than 0 Hz, not {rate:g}")
    if whole < 1 or abs(rate - whole) > RATE_TOLERANCE * rate:
        remedy = f"resample the signals to {max(1, whole)} Hz (write_prepared does so with sampling_rates)"
        raise InputError(f"{what} must be whole, not {rate:.10g} Hz: {remedy}")
    return whole


def _short(value):
    text = " ".join(repr(value).split())
    return f"{text[:40]}..." if len(text) > 43 else text


def check_numbers(array, where, name):
    """An array of finite numbers, in its own type (whose precision distinguishes rounding from signal)."""
    if np.ma.is_masked(array):
        raise InputError(f"{where} has masked {name} values; repair them or leave them out")
    try:
        array = np.asarray(array)
    except (ValueError, TypeError, RuntimeError) as error:
        ragged = "its trials differ in length" if "inhomogeneous" in str(error) else str(error)[:100]
        raise InputError(f"{where}: {name} is not an array of numbers ({ragged}); all trials need one length") from None
    if array.dtype == object and array.size:
        others = sorted({type(value).__name__ for value in array.flat if not isinstance(value, numbers.Real)})
        if others:
            raise InputError(f"{where}: {name} holds objects ({others[0]}), not numbers; all trials need one length")
        array = array.astype(np.float64)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{where}: {name} holds {KINDS.get(array.dtype.kind, array.dtype)}, not real numbers")
    if not array.size:
        raise InputError(f"{where}: {name} is empty (shape {array.shape})")
    finite = np.isfinite(array)
    if not finite.all():
        place = ", ".join(map(str, np.argwhere(~finite)[0][:-1]))
        where += f" has NaN or infinite {name} values" + (f", the first at [{place}]" if place else "")
        remedy = 'missing="keep" takes a trial without ratings as not seen' if name == "ratings" else "repair them"
        raise InputError(f"{where}; {remedy}, or leave the person out")
    if array.dtype.kind == "b" or array.dtype.itemsize > 8 or not array.dtype.isnative:
        array = array.astype(np.float64 if array.dtype.kind != "f" or array.dtype.itemsize > 8 else array.dtype.type)
    return array


def check_values(person, channels, where):
    """A person with signals and rest as arrays of numbers; empty ones of what was not recorded are left out.

    ``channels``: names by modality. Signals may be dicts by channel.
    """
    checked = {key: value for key, value in person.items() if key.removesuffix("_baseline") not in SIGNALS}
    for key in (key for key in person if key not in checked):
        array, names = person[key], channels[key.removesuffix("_baseline")]
        if isinstance(array, Mapping) and (names or array):
            axes = "(trials, samples)"
            checked[key] = {name: _check_signal(part, where, f"{key} {name}", axes) for name, part in array.items()}
        elif names or not _is_empty(array):
            checked[key] = _check_signal(array, where, key, "(trials, channels, samples)")
    return checked


def _is_empty(array):
    """Whether it holds no channel, as what was not recorded may be written."""
    return not array if isinstance(array, Mapping) else getattr(array, "size", 1) == 0 and array.ndim == 3


def _check_signal(array, where, name, axes):
    array = check_numbers(array, where, name)
    if array.ndim != axes.count(",") + 1:
        raise InputError(f"{where}: {name}", f"has shape {array.shape}, not {axes}")
    most = max(abs(float(array.max())), abs(float(array.min())))
    if most > LARGEST:
        raise InputError(where, f"has {name} values up to {most:.3g}, which no signal has", "look at its unit")
    return array


def check_shapes(person, channels, rate, where):
    """Check a person's signals and rest (trials, channels, samples) against the names and each other."""
    recorded = [name for name in SIGNALS if name in person]
    if not recorded:
        raise InputError(where, "has neither eeg nor pps")
    n_trials, _, n_samples = person[recorded[0]].shape
    for name in SIGNALS:
        if channels[name] and name not in recorded:
            raise InputError(where, f"has no {name}, but {name}_channels names {shorten(channels[name])}")
        if name not in recorded and f"{name}_baseline" in person:
            raise InputError(where, f"has {name}_baseline without {name}")
    for name in recorded:
        array, rest, wanted = person[name], person.get(f"{name}_baseline"), (n_trials, len(channels[name]), n_samples)
        if array.shape != wanted:
            what = f"has shape {array.shape}, not {wanted}: (trials, channels, samples) as {name}_channels"
            what += " says" if name == recorded[0] else f" and {recorded[0]} say"
            is_length = array.shape[:2] == wanted[:2]
            remedy = f"cut all to one length at {rate} Hz, or give sampling_rates" if is_length else ""
            raise InputError(f"{where}: {name}", what, remedy)
        if rest is not None and (rest.shape[:2] != wanted[:2] or rest.shape[2] < rate):
            wanted = f"{wanted[:2]} like {name} and at least 1 s ({rate} samples)"
            raise InputError(f"{where}: {name}_baseline", f"has shape {rest.shape}, not {wanted}")
    if n_samples < rate:
        raise InputError(where, f"has trials of {n_samples} samples, which is less than 1 s at {rate} Hz")
    if "eeg_baseline" in person:
        _check_unit(person["eeg"], person["eeg_baseline"], where)


def _check_unit(eeg, rest, where):
    """Refuse a rest (trials, channels, samples) that is in another unit than the EEG it is subtracted from."""
    largest = [np.maximum(part.max(axis=(0, 2)), -part.min(axis=(0, 2)).astype(np.float64)) for part in (eeg, rest)]
    varies = np.minimum(*largest) > 0
    times = float(np.median(largest[1][varies] / largest[0][varies])) if varies.any() else 1.0
    if max(times, 1 / times) > OTHER_UNIT:
        raise InputError(f"{where}: eeg_baseline is {times:.2g} times as large as eeg; give both in one unit")


def check_ratings(values, names, n_trials, where):
    """Ratings as float64 (trials, ratings); a row of numbers is accepted for a single rating."""
    values, shape = check_numbers(values, where, "ratings").astype(np.float64), (n_trials, len(names))
    if len(names) == 1 and values.shape in ((n_trials,), (1, n_trials)):
        values = values.reshape(shape)
    if values.shape != shape:
        what = f"has ratings of shape {values.shape}, not {shape}: one row per trial, in it {shorten(names)}"
        raise InputError(f"{where} {what}")
    return values


def n_trials_of(person):
    """Number of trials of checked signals."""
    return len(next(person[name] for name in SIGNALS if name in person))


def signals(person):
    """Trial and rest of every trial by modality, each (channels, samples); None for the rest where there is none."""
    empty = next(person[name] for name in SIGNALS if name in person)[:, :0]  # of what was not recorded
    rests = {name: person.get(f"{name}_baseline") for name in SIGNALS}
    for index in range(len(empty)):
        yield {
            name: (person.get(name, empty)[index], None if rest is None else rest[index])
            for name, rest in rests.items()
        }


def rest_of(person, rate):
    """Seconds of rest of a person's arrays by modality; None for one without rest, no entry for one without signals."""
    rests = {name: person.get(f"{name}_baseline") for name in SIGNALS if name in person}
    return {name: None if rest is None else rest.shape[-1] // rate for name, rest in rests.items()}
