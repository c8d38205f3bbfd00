"""Recordings of whatever kind that a model meets, prepared as the model's own data were."""

import numpy as np

from data_prep import deap, dreamer, matlab
from data_prep.channels import shorten, text_of
from data_prep.preparation import TEXTS, record, rest_by_modality
from data_prep.prepared import open_prepared
from data_prep.transforms import prepare
from data_prep.writer import rest_of, signals
from utils.errors import InputError
from utils.progress import Progress, warn

NEEDED = "eeg, sampling_rate and eeg_channels, and for some models pps and pps_channels"


def open_input(path, wanted):
    """Recordings of whatever kind, one person after the other.

    Parameters
    ----------
    path : pathlib.Path
        Prepared folder, DEAP's .dat or .mat, DREAMER.mat, or .npz.
    wanted : dict
        Record of the model's data (`data_prep.preparation.of_model`). Raw recordings are prepared as it says.

    Returns
    -------
    record : dict
        Of these recordings, as they will be prepared.
    people : iterator of (str, iterator)
        Of every person the name and the trials: dictionaries by modality, for a prepared folder of 1 s blocks
        (seconds, channels, rate), else of (signal, rest).
    prepare_trial : callable or None
        For raw recordings: from a trial and the positions of the channels to 1 s blocks.

    Raises
    ------
    InputError
        If there is no such file, it cannot be read, or lacks what this preparation needs.
    """
    if path.is_dir():
        data = open_prepared(path)
        return record(data), _folder(data), None
    if not path.is_file():
        raise InputError(f"--input {path} does not exist; give a prepared folder, a .dat, a .mat or an .npz file")
    readers = {".dat": _deap, ".mat": _matlab, ".npz": _npz}
    if path.suffix.lower() not in readers:
        raise InputError(f"--input {path} is none of: prepared folder, .dat, .mat, .npz")
    made, people = readers[path.suffix.lower()](path, wanted["preparation"])

    def prepare_trial(trial, positions):
        blocks = {}
        for name, picked in positions.items():
            signal, rest = trial[name]
            kept = None if rest is None or rest_by_modality(made["preparation"], name) is None else rest[picked]
            how = made["preparation"]
            try:
                prepared = prepare(signal[picked], kept, made["sampling_rate"], how[name], how["segment"])
            except InputError as error:
                raise InputError(f"--input {path}: {error}") from None
            blocks[name] = prepared.swapaxes(0, 1).astype(np.float32)
        return blocks

    return made, people, prepare_trial


def _folder(data):
    for number, subject in enumerate(Progress(data.subjects, desc="predicting", unit="subject")):
        trials = zip(data.eeg[number], data.pps[number], strict=True)
        yield subject, ({"eeg": np.asarray(eeg), "pps": np.asarray(pps)} for eeg, pps in trials)


def _raw_record(how, rate, channels, rest, before, seconds):
    """Record of raw recordings once they are prepared as the model's data; ``rest``: seconds that there are."""
    own = {"eeg": "channels", "pps": "trial", "segment": None} | how
    removed = {}
    for name in ("eeg", "pps"):
        asked = "baseline_seconds" not in how or rest_by_modality(how, name) is not None
        removed[name] = rest.get(name) if asked else None
    made = {key: own[key] for key in ("eeg", "pps", "segment")} | {"baseline_seconds": removed} | before
    if seconds is not None and made["segment"] is not None:
        seconds = min(seconds, int(made["segment"].split()[1]))
    made_of = {"sampling_rate": rate, "channels": channels, "preparation": made}
    return made_of if seconds is None else made_of | {"seconds": seconds}


def _matlab(path, how):
    """A .mat file, whose variables tell whose it is."""
    names = matlab.variable_names(path)
    if dreamer.VARIABLE in names:
        return _dreamer(path, how)
    if set(deap.VARIABLES) <= set(names):
        return _deap(path, how)
    known = "neither DREAMER, as DREAMER.mat, nor data and labels, as DEAP's s01.mat"
    raise InputError(f"--input {path} has the variables {shorten(names) or 'nothing'}: {known}")


def _deap(path, how):
    """DEAP's .dat or .mat. Where a model's data kept no rest, it is cut off and not subtracted."""
    data, *_ = deap.read_file(path)
    without = "baseline_seconds" in how and rest_by_modality(how, "eeg") is None
    length = data.shape[2] / deap.RATE
    if length == deap.TRIAL_SECONDS and not without:
        raise InputError(
            f"--input {path} has trials of {deap.TRIAL_SECONDS} s, as DEAP's are without the rest before them, and the "
            "rest was removed from the model's data; give the files of 63 s"
        )
    rest, remarks = deap.BASELINE_SECONDS, []
    if deap.is_unusual(data):
        rest = 0 if without else rest
        remarks.append(f"--input {path} has trials of {length:g} s, not DEAP's 63 s: {rest} s were taken for the rest")
    channels = {"eeg": deap.EEG_CHANNELS, "pps": deap.PPS_CHANNELS}
    rests = dict.fromkeys(channels, rest or None)
    made = _raw_record(how, deap.RATE, channels, rests, deap.BEFORE, int(length - rest))
    return made | {"remarks": remarks}, iter([(path.stem, deap.signals(data, rest))])


def _dreamer(path, how):
    """DREAMER.mat, whose clips differ in length."""
    people = dreamer.read_file(path)
    channels = {"eeg": dreamer.EEG_CHANNELS, "pps": dreamer.PPS_CHANNELS}
    rests = dict.fromkeys(channels, dreamer.BASELINE_SECONDS)
    made = _raw_record(how, dreamer.EEG_RATE, channels, rests, dreamer.BEFORE, None)
    seconds = 0 if made["preparation"]["segment"] is None else int(made["preparation"]["segment"].split()[1])

    def everybody():
        for number, person in enumerate(Progress(people, desc="predicting", unit="subject"), 1):
            shortest = min(dreamer.clip_seconds(clip) for clip in person.clips)
            if shortest < seconds:
                warn(
                    f"--input {path}: a clip of s{number:02d} lasts {shortest} s, those of the model's data {seconds} s"
                )
            yield f"s{number:02d}", map(dreamer.signals, person.clips)

    return made, everybody()


def _npz(path, how):
    """An .npz file: arrays as for `write_prepared`, and what its user says of them."""
    arrays = _load(path)
    try:
        rate = float(arrays["sampling_rate"])
        if not (1 <= rate < 1e6 and rate == int(rate)):
            raise InputError(f"--input {path}: sampling_rate is {rate:g}, not a whole number of Hz; resample first")
        rate = int(rate)
        person, channels = {"id": path.stem}, {}
        for name in ("eeg", "pps"):
            channels[name] = [text_of(n) for n in np.atleast_1d(arrays.get(f"{name}_channels", [])).tolist()]
            person |= {key: arrays[key] for key in (name, f"{name}_baseline") if key in arrays}
            if name in person and (person[name].ndim != 3 or person[name].shape[1] != len(channels[name])):
                raise InputError(
                    f"--input {path}: {name} has shape {person[name].shape}, not (trials, {len(channels[name])}, "
                    f"samples) as {name}_channels says"
                )
            for key in person.keys() & {name, f"{name}_baseline"}:
                if not np.isfinite(person[key]).all():
                    raise InputError(f"--input {path}: {key} has NaN or infinite values")
        trials = list(signals(person, rate))
        rests = rest_of(person, rate)
        if "baseline_seconds" in arrays:  # of a rest that somebody has removed already
            rests = dict.fromkeys(rests, float(arrays["baseline_seconds"]) or None)
        before = {key: _text(arrays[key]) for key in TEXTS if key in arrays}
        made = _raw_record(how, rate, channels, rests, before, person["eeg"].shape[2] // rate)
    except (KeyError, ValueError, TypeError, OSError, EOFError) as error:
        raise InputError(f"--input {path} cannot be read ({error}); it needs the arrays {NEEDED}") from None
    return made, iter([(path.stem, iter(trials))])


def _load(path):
    """All arrays of an .npz file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (MemoryError, PermissionError):
        raise
    except Exception as error:  # zipfile and zlib raise nearly anything for a damaged file
        raise InputError(f"--input {path} cannot be read ({error}); it needs the arrays {NEEDED}") from None


def _text(array):
    """What was done, from an .npz; an empty text or ``none`` is nothing."""
    text = text_of(array.item())[:100]
    return None if text.lower() in ("", "none") else text
