"""Arrays that people bring: numbers without gaps, one rate, as many trials and samples as each other.

`write_prepared` and the reader of .npz files check with the same functions, so what trains a model and what meets it
are held to the same. Numbers are accepted in any type (float16, integers, masked without a mask, numbers as
objects, 1 x 1 arrays of MATLAB); everything else is refused in one line that names it.
"""

import numbers

import numpy as np

from data_prep.signals.channels import shorten
from utils.base.errors import InputError

SIGNALS = ("eeg", "pps")
PERSON = ("id", "eeg", "pps", "eeg_baseline", "pps_baseline", "ratings", "stimuli", "groups")
OTHER_UNIT = 300  # times the other's largest values: EEG and its rest are in two units
LARGEST = 1e12  # of a signal; its square must fit into float32


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


def signals(person):
    """Trial and rest of every trial by modality, each (channels, samples); None for the rest where there is none."""
    there = next(person[name] for name in SIGNALS if name in person)  # (trials, channels, samples)
    for index in range(len(there)):
        trial = {}
        for name in SIGNALS:
            recorded, rest = person.get(name, there[:, :0]), person.get(f"{name}_baseline")
            trial[name] = recorded[index], None if rest is None else rest[index]
        yield trial


def rest_of(person, rate):
    """Seconds of rest of a person's arrays by modality; None for one without rest, no entry for one without signals."""
    rest = {}
    for name in SIGNALS:
        if np.size(person.get(name, ())):
            baseline = person.get(f"{name}_baseline")
            rest[name] = None if baseline is None else np.shape(baseline)[-1] // rate
    return rest
