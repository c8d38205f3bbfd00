"""Recordings of any supported kind, prepared as the data of a model."""

import zipfile

import numpy as np

from data_prep.amplifiers.trials_table import is_recording
from data_prep.folder.arrays import (
    PERSON,
    SIGNALS,
    check_keys,
    check_names,
    check_number,
    check_rate,
    check_shapes,
    check_text,
    check_values,
    n_trials_of,
    one_value,
    rest_of,
    signals,
)
from data_prep.folder.preparation import TEXTS, record, rest_by_modality
from data_prep.folder.prepared import MARK, open_prepared
from data_prep.formats import deap, dreamer, matlab
from data_prep.signals.channels import shorten
from data_prep.signals.transforms import prepare_trial
from utils.base.errors import InputError
from utils.base.progress import Progress, warn

NEEDED = "eeg, sampling_rate and eeg_channels, and for some models pps and pps_channels"
PREPARE_RECORDINGS = "prepare it first: data_prep/prepare_recordings.py --no-rated (docs/recordings.md)"
MOST_DEFLATED = 1100  # times; zip files do not become smaller than that
NPZ = (*PERSON, "sampling_rate", "eeg_channels", "pps_channels", "baseline_seconds", *TEXTS)


def open_input(path, wanted):
    """Recordings of any supported kind; raw files are prepared as ``wanted``, the record of the model's data, says.

    Returns their record; an iterator of (name, trials), a trial being a dict by modality of blocks (seconds, channels,
    rate) for a prepared folder, else of (signal, rest); for raw files a function of trial and channels to blocks.
    """
    where, readers = f"--input {path}", {".dat": _deap, ".mat": _matlab, ".npz": _npz}
    if path.is_dir():
        refuse_raw_folder(path, readers)
        data = open_prepared(path, rated=False)
        seen = dict(zip(data.subjects, data.seen, strict=True))
        return record(data) | {"stimuli": data.info["stimuli"], "seen": seen}, _folder(data), None
    if not path.is_file():
        raise InputError(where, "does not exist", "give a prepared folder, a .dat, a .mat or an .npz file")
    if is_recording(path):
        raise InputError(where, "is a recording", PREPARE_RECORDINGS)
    if path.suffix.lower() not in readers:
        raise InputError(where, "is none of: prepared folder, .dat, .mat, .npz")
    recorded, people = readers[path.suffix.lower()](path, wanted["preparation"])
    how = recorded["preparation"]

    def prepare(trial, positions):
        picked = {}
        for name, places in positions.items():
            signal, rest = trial[name]
            is_kept = rest is not None and rest_by_modality(how, name) is not None
            picked[name] = signal[places], rest[places] if is_kept else None
        try:
            return prepare_trial(picked, recorded["sampling_rate"], how)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None

    return recorded, people, prepare


def refuse_raw_folder(path, extensions):
    """Refuse a folder that is not a prepared one, with a hint."""
    if (path / "dataset.json").exists() or (path / "eeg.npy").exists():
        return
    files = sorted(file for pattern in ("*", "*/*") for file in path.glob(pattern) if file.is_file())
    if single := [file for file in files if file.suffix.lower() in extensions]:
        example = f"give one {single[0].suffix} file, such as {single[0].relative_to(path)}"
        remedy = f"{example}, or prepare the folder (data_prep/README.md)"
    elif any(map(is_recording, files)):
        remedy = PREPARE_RECORDINGS
    else:
        remedy = "give one, or a .dat, a .mat or an .npz file"
    raise InputError(f"--input {path}", "is not a prepared folder", remedy)


def _folder(data):
    for number, subject in enumerate(Progress(data.subjects, desc="predicting", unit="subject")):
        seen = np.flatnonzero(data.seen[number])
        yield subject, ({name: np.asarray(getattr(data, name)[number, trial]) for name in SIGNALS} for trial in seen)


def _raw_record(how, card, rest, before, seconds):
    """Record of raw recordings (of a data set's card) once they are prepared; ``rest``: seconds by modality."""
    same = {key: how.get(key, default) for key, default in (("eeg", "channels"), ("pps", "trial"), ("segment", None))}
    is_removed = {name: "baseline_seconds" not in how or rest_by_modality(how, name) is not None for name in SIGNALS}
    rest = {name: rest.get(name) if is_removed[name] else None for name in SIGNALS}
    channels = {name: card[f"{name}_channels"] for name in SIGNALS}
    made = {"sampling_rate": card["sampling_rate"], "channels": channels}
    made["preparation"] = same | {"baseline_seconds": rest} | before
    return made if seconds is None else made | {"seconds": min(seconds, _segment_seconds(how) or seconds)}


def _segment_seconds(how):
    """Seconds of the part of each trial that is kept, 0 for all of it."""
    return int(how["segment"].split()[1]) if how.get("segment") else 0


def _matlab(path, how):
    """A .mat file of DEAP or DREAMER, by its variables."""
    _, names = matlab.load(path, ())
    if dreamer.VARIABLE in names:
        return _dreamer(path, how)
    if set(deap.VARIABLES) <= set(names):
        return _deap(path, how)
    known = "neither DREAMER, as DREAMER.mat, nor data and labels, as DEAP's s01.mat"
    raise InputError(f"--input {path} has the variables {shorten(names) or 'nothing'}: {known}")


def _deap(path, how):
    """DEAP's .dat or .mat. If no rest was subtracted from the model's data, it is cut off only."""
    data, *_ = deap.read_file(path)
    where, rest, remarks = f"--input {path}", deap.BASELINE_SECONDS, []
    without = "baseline_seconds" in how and rest_by_modality(how, "eeg") is None
    remedy = "" if without else "the rest was removed from the model's data: give the files of 63 s"
    deap.refuse_other_length(where, data, remedy, "give them as .npz")
    length = data.shape[2] / deap.RATE
    if deap.is_unusual(data):
        rest = 0 if without else rest
        if not path.with_name(MARK).exists():  # simulated trials have it, regardless of their length
            remarks = [f"{where} has trials of {length:g} s, not DEAP's 63 s: {rest} s were taken for the rest"]
    made = _raw_record(how, deap.CARD, dict.fromkeys(SIGNALS, rest or None), deap.BEFORE, int(length - rest))
    return made | {"remarks": remarks}, iter([(path.stem, deap.signals(data, rest))])


def _dreamer(path, how):
    """DREAMER.mat, whose clips differ in length."""
    people, seconds = dreamer.read_file(path), _segment_seconds(how)
    rests = dict.fromkeys(SIGNALS, dreamer.BASELINE_SECONDS)

    def everybody():
        for number, person in enumerate(Progress(people, desc="predicting", unit="subject"), 1):
            subject, shortest = f"s{number:02d}", min(dreamer.clip_seconds(clip) for clip in person.clips)
            if shortest < seconds:
                warn(f"--input {path}: a clip of {subject} lasts {shortest} s, those of the model's data {seconds} s")
            yield subject, map(dreamer.signals, person.clips)

    return _raw_record(how, dreamer.CARD, rests, dreamer.BEFORE, None), everybody()


def _npz(path, how):
    """An .npz file: arrays as for `write_prepared`, and what was done to them."""
    where, arrays = f"--input {path}", read_npz(path, NPZ)
    rate = check_rate(arrays["sampling_rate"], f"{where}: sampling_rate")
    channels = {}
    for name in SIGNALS:
        channels[name] = check_names(arrays.pop(f"{name}_channels", np.zeros(0, str)), f"{where}: {name}_channels")
    person = check_values({key: arrays[key] for key in arrays.keys() & set(PERSON)}, channels, where)
    check_shapes(person, channels, rate, where)
    for key in arrays.keys() & {"stimuli", "groups"}:
        check_names(arrays[key], f"{where}: {key}", n_trials_of(person), once=False)
    subject = check_text(arrays["id"], f"{where}: id") if "id" in arrays else path.stem
    rests = rest_of(person, rate)
    if "baseline_seconds" in arrays:  # of a rest that was removed already
        rests = dict.fromkeys(rests, check_number(arrays["baseline_seconds"], f"{where}: baseline_seconds") or None)
    before = {key: _text(arrays[key], f"{where}: {key}") for key in TEXTS if key in arrays}
    seconds = next(person[name].shape[2] for name in SIGNALS if name in person) // rate
    card = {"sampling_rate": rate, "eeg_channels": channels["eeg"], "pps_channels": channels["pps"]}
    return _raw_record(how, card, rests, before, seconds), iter([(subject, signals(person))])


def read_npz(path, known):
    """Arrays of an .npz file by name (one of ``known``), without pickles and sizes that no zip file can hold."""
    where, remedy = f"--input {path}", f"save arrays with numpy.savez ({NEEDED})"
    try:
        with zipfile.ZipFile(path) as file:
            if any(member.file_size > MOST_DEFLATED * (member.compress_size + 1) for member in file.infolist()):
                raise ValueError("a size that cannot be")
        with np.load(path, allow_pickle=False) as file:
            check_keys(file.files, known, where)
            arrays = dict(file)
    except (InputError, PermissionError):
        raise
    except Exception as error:  # a damaged zip file raises nearly anything
        cause = "it holds Python objects, not numbers" if "Object arrays" in str(error) else "it is damaged or no .npz"
        if isinstance(error, MemoryError):
            cause = "it declares more than this machine's memory holds"
        raise InputError(where, f"cannot be read: {cause}", remedy) from None
    lacking = "sampling_rate" if "sampling_rate" not in arrays else "eeg (or pps)"
    if "sampling_rate" not in arrays or not set(SIGNALS) & set(arrays):
        raise InputError(where, f"has no {lacking}", f"it needs the arrays {NEEDED}")
    return arrays


def _text(array, what):
    """A text of an .npz; None if it is empty or ``none``."""
    value = one_value(array)
    nothing = isinstance(value, str) and value.strip().lower() in ("", "none")
    return None if nothing else check_text(value, what)[:100]
