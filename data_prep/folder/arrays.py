"""Arrays that people bring: numbers without gaps, one rate, as many trials and samples as each other, known names.

`write_prepared` and the reader of .npz files check with the same functions, so what trains a model and what meets it
are held to the same. Numbers are accepted in any type (float16, integers, masked without a mask, numbers as
objects, 1 x 1 arrays of MATLAB); everything else is refused in one line that names it.
"""

import difflib
import math
import numbers
import unicodedata

import numpy as np

from data_prep.signals.channels import shorten
from utils.base.errors import InputError

SIGNALS = ("eeg", "pps")
PERSON = ("id", "eeg", "pps", "eeg_baseline", "pps_baseline", "ratings", "stimuli", "groups")
OTHER_UNIT = 300  # times the other's largest values: EEG and its rest are in two units
LARGEST = 1e12  # of a signal; its square must fit into float32
NAME_CHARACTERS = 200
RATE_TOLERANCE = 1e-7  # of a rate in float32, or one that is 1 / a difference of times


def check_keys(found, known, where):
    """Refuse keys that are not among ``known``, with a suggestion."""
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.6) or [
                name for name in known if sorted(name.split("_")) == sorted(str(key).split("_"))
            ]
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
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value) and value == int(value):
        value = str(int(value))
    if not isinstance(value, str):
        raise InputError(f"{what} must be a text, not {_short(value)}")
    value = unicodedata.normalize("NFC", value.lstrip("\ufeff").strip())
    if not value:
        raise InputError(f"{what} is empty; give it a name")
    if len(value) > NAME_CHARACTERS:
        raise InputError(f"{what} has {len(value)} characters, {value[:20]!r}...; at most {NAME_CHARACTERS} are taken")
    if len(value.splitlines()) > 1 or any(unicodedata.category(character) == "Cs" for character in value):
        raise InputError(f"{what} is {value[:60]!a}, which is no line of text; rename it")
    return value


def check_names(values, what, n_trials=None, once=True):
    """Names as a list of texts, from a list, a tuple, an array or a column of a table; ``once``: all are distinct."""
    if isinstance(values, str | bytes | set | frozenset | dict) or not hasattr(values, "__iter__"):
        raise InputError(f"{what} must be a list of names, not {_short(values)}")
    values = values.ravel() if isinstance(values, np.ndarray) else list(values)
    names = [check_text(value, f"{what}, number {number},") for number, value in enumerate(values, 1)]
    twice = [name for name in names if names.count(name) > 1] if once else []
    if twice:
        raise InputError(f"{what} names {twice[0]!r} twice; every name may come once")
    if n_trials not in (None, len(names)):
        raise InputError(f"{what} has {len(names)} names for {n_trials} trials; one each is needed")
    return names


def check_number(value, what):
    """A finite number as a Python int or float, from any numeric type."""
    value = one_value(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputError(f"{what} must be a number, not {_short(value)}")
    if not math.isfinite(value) or abs(value) >= 1e9:
        raise InputError(f"{what} must be a finite number below 1e9, not {value}")
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


def check_numbers(array, where, name):
    """An array of finite numbers, in its own type (whose precision distinguishes rounding from signal)."""
    if np.ma.is_masked(array):
        raise InputError(f"{where} has masked {name} values; repair them or leave them out")
    try:
        array = np.asarray(array)
    except (ValueError, TypeError, RuntimeError) as error:
        ragged = "its trials differ in length" if "inhomogeneous" in str(error) else str(error)[:100]
        raise InputError(f"{where}: {name} is no array of numbers ({ragged}); all trials need one length") from None
    if array.dtype == object and array.size:
        others = sorted({type(value).__name__ for value in array.flat if not isinstance(value, numbers.Real)})
        if others:
            raise InputError(f"{where}: {name} holds objects ({others[0]}), not numbers; all trials need one length")
        array = array.astype(np.float64)
    if array.dtype.kind not in "biuf":
        kinds = {"c": "complex numbers", "U": "text", "S": "text", "M": "dates", "m": "times", "V": "records"}
        raise InputError(f"{where}: {name} holds {kinds.get(array.dtype.kind, array.dtype)}, not real numbers")
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


def check_signal(array, where, name):
    """`check_numbers`, without numbers that are too large for a signal."""
    array = check_numbers(array, where, name)
    most = max(abs(float(array.max())), abs(float(array.min())))
    if most > LARGEST:
        raise InputError(f"{where} has {name} values up to {most:.3g}, which no signal has; look at its unit")
    return array


def check_signals(person, channels, rate, where):
    """A person's signals and rest (trials, channels, samples), checked against the names and each other.

    ``channels``: names by modality, none for one that was not recorded; ``where`` begins each message. Returns the same
    as arrays, without empty ones.
    """
    checked = {key: value for key, value in person.items() if key.removesuffix("_baseline") not in SIGNALS}
    for name in SIGNALS:
        n, array, rest = len(channels[name]), person.get(name), person.get(f"{name}_baseline")
        if array is None or (n == 0 and not np.size(array) and np.ndim(array) == 3):
            if n:
                raise InputError(f"{where} has no {name}, but {name}_channels names {shorten(channels[name])}")
            if rest is not None and np.size(rest):
                raise InputError(f"{where} has {name}_baseline without {name}")
            continue
        array = checked[name] = check_signal(array, where, name)
        if array.ndim != 3 or array.shape[1] != n:
            wanted = f"(trials, {n}, samples) as {name}_channels says"
            wanted = wanted if array.ndim == 3 else "(trials, channels, samples)"
            raise InputError(f"{where}: {name} has shape {array.shape}, not {wanted}")
        if rest is None:
            continue
        rest = checked[f"{name}_baseline"] = check_signal(rest, where, f"{name}_baseline")
        if rest.ndim != 3 or rest.shape[:2] != array.shape[:2] or rest.shape[2] < rate:
            wanted = f"{array.shape[:2]} like {name} and at least 1 s ({rate} samples)"
            raise InputError(f"{where}: {name}_baseline has shape {rest.shape}, not {wanted}")
        if name == "eeg":
            _check_unit(array, rest, where)
    shapes = [checked[name].shape for name in SIGNALS if name in checked]
    if not shapes:
        raise InputError(f"{where} has neither eeg nor pps")
    (trials, _, samples), (others, _, other_samples) = shapes[0], shapes[-1]
    if trials != others:
        raise InputError(f"{where}: pps has another number of trials than eeg ({others}, not {trials})")
    if samples != other_samples:
        what = f"eeg has {samples} samples a trial and pps {other_samples}"
        raise InputError(f"{where}: {what}; at one rate ({rate} Hz) they are as long: cut them, or give sampling_rates")
    if samples < rate:
        raise InputError(f"{where} has trials of {samples} samples, which is less than 1 s at {rate} Hz")
    return checked


def _check_unit(eeg, rest, where):
    """Refuse a rest (trials, channels, samples) that is in another unit than the EEG it is subtracted from."""
    edges = [(part.min(axis=(0, 2)), part.max(axis=(0, 2))) for part in (eeg, rest)]
    largest = [np.abs(np.array(pair, np.float64)).max(axis=0) for pair in edges]
    there = np.minimum(*largest) > 0
    times = float(np.median(largest[1][there] / largest[0][there])) if there.any() else 1.0
    if max(times, 1 / times) > OTHER_UNIT:
        raise InputError(f"{where}: eeg_baseline is {times:.2g} times as large as eeg; give both in one unit")


def n_trials_of(person):
    """Number of trials of checked signals."""
    return len(next(person[name] for name in SIGNALS if name in person))


def check_ratings(values, names, n_trials, where):
    """Ratings as float64 (trials, ratings); a row of numbers is accepted for a single rating."""
    values, shape = check_numbers(values, where, "ratings").astype(np.float64), (n_trials, len(names))
    if len(names) == 1 and values.shape in ((n_trials,), (1, n_trials)):
        values = values.reshape(shape)
    if values.shape != shape:
        what = f"has ratings of shape {values.shape}, not {shape}: one row per trial, in it {shorten(names)}"
        raise InputError(f"{where} {what}")
    return values


def _short(value):
    text = " ".join(repr(value).split())
    return f"{text[:40]}..." if len(text) > 43 else text
