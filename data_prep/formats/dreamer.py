"""DREAMER's raw format: what its one file holds, and how it becomes 1 s blocks.

Authors   Katsigiannis, Ramzan
Source    "DREAMER: A Database for Emotion Recognition through EEG and ECG Signals from Wireless Low-cost Off-the-Shelf
          Devices", IEEE Journal of Biomedical and Health Informatics 22(1), 2018
Link      https://zenodo.org/records/546113 (on request)
People    23, each with 18 film clips of 65 to 393 s; scores from 1 to 5
Signals   EEG of 14 channels at 128 Hz (uV), ECG of 2 channels at 256 Hz; 61 s of rest before each clip
File      DREAMER.mat, one MATLAB structure: Data (1, 23) of Age, Gender, EEG, ECG {stimuli, baseline (18, 1) cells of
          (samples, channels)}, ScoreValence, ScoreArousal, ScoreDominance (18, 1); rates, electrodes, numbers
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from data_prep.folder.writer import Recorded
from data_prep.formats import matlab
from data_prep.signals.channels import distinct, plain, shorten
from utils.base.errors import InputError
from utils.base.progress import Progress, warn

EEG_RATE = 128  # Hz
ECG_RATE = 256  # Hz
BASELINE_SECONDS = 61
EEG_CHANNELS = "AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4".split()
PPS_CHANNELS = ["ECG1", "ECG2"]
RATINGS = ["valence", "arousal", "dominance"]
RATING_RANGE = (1, 5)
CARD = {
    "name": "DREAMER",
    "sampling_rate": EEG_RATE,
    "eeg_channels": EEG_CHANNELS,
    "pps_channels": PPS_CHANNELS,
    "ratings": RATINGS,
    "rating_range": RATING_RANGE,
    "threshold": 3,
}
LONGER = 1.2  # times; EEG and ECG of a clip that differ more have not the rates that they should have
SIGNALS = {"EEG": (EEG_RATE, EEG_CHANNELS), "ECG": (ECG_RATE, PPS_CHANNELS)}
KINDS = ("stimuli", "baseline")
VARIABLE = "DREAMER"
BEFORE = {"filters": None, "reference": "M1", "resampling": "ECG 256 to 128 Hz"}  # by the headset; by `signals`
REMEDY = "use the file as it was published"


@dataclass
class Person:
    """Of each clip ``{"EEG": (stimulus, baseline), "ECG": ...}``, each (samples, channels), and the ratings."""

    clips: list
    ratings: np.ndarray  # (clips, 3)


def read_file(path):
    """The subjects of DREAMER.mat, checked: a list of `Person`, EEG in the order of `EEG_CHANNELS`."""
    path = Path(path)
    if not path.is_file():
        remedy = "give DREAMER.mat; data_prep/make_synthetic.py --format dreamer simulates one"
        raise InputError(f"--raw-file {path}", "is not a file", remedy)
    variables, names = matlab.load(path, [VARIABLE])
    if VARIABLE not in variables:
        raise InputError(path, f"has {shorten(names) or 'nothing'}, but no variable {VARIABLE}", REMEDY)
    fields = variables[VARIABLE]
    if not isinstance(fields, dict):
        raise InputError(f"{path}:", f"its variable {VARIABLE} is not one structure", REMEDY)
    people = fields.get("Data")
    if isinstance(people, dict) and {type(values) for values in people.values()} == {list}:  # of version 7.3
        people = [dict(zip(people, values, strict=True)) for values in zip(*people.values(), strict=False)]
    if people is None:
        raise InputError(f"{path}:", f"its structure {VARIABLE} has {shorten(fields)}, but no Data", REMEDY)
    if not isinstance(people, list):
        raise InputError(f"{path}:", f"{VARIABLE}.Data is {_show(people)}, not cells, one per subject", REMEDY)
    if len(people) < 2:
        raise InputError(path, f"has {len(people)} subjects; at least 2 are needed")
    order = _electrode_order(path, fields.get("EEG_Electrodes"))
    for index, value in enumerate(people):
        people[index] = _person(f"{path}, subject {index + 1}", value, order)  # in place, to free what was read
    n_clips = len(people[0].clips)
    for index, person in enumerate(people):
        if len(person.clips) != n_clips:
            what = f"has {len(person.clips)} clips, not {n_clips} as the first"
            raise InputError(f"{path}, subject {index + 1}", what, REMEDY)
    expected = {"EEG_SamplingRate": EEG_RATE, "ECG_SamplingRate": ECG_RATE}
    expected |= {"noOfSubjects": len(people), "noOfVideoSequences": n_clips}
    for name, number in expected.items():
        value = fields.get(name)
        if not matlab.is_real(value) or value.size != 1 or value.item() != number:
            raise InputError(path, f"has {name} = {_show(value)}, not {number}", REMEDY)
    rests = [len(clip["EEG"][1]) / EEG_RATE for person in people for clip in person.clips]
    least, most = min(rests), max(rests)
    if max(most - BASELINE_SECONDS, BASELINE_SECONDS - least) > 1:
        seconds = f"{least:.3g} s" if least == most else f"{least:.3g} to {most:.3g} s"
        warn(f"{path} has {seconds} of rest before its clips, not DREAMER's {BASELINE_SECONDS} s")
    return people


def clip_seconds(clip):
    """Whole seconds that all signals of a clip have."""
    return min(len(clip[name][0]) // rate for name, (rate, _) in SIGNALS.items())


def signals(clip):
    """Clip and rest by modality, each (channels, samples), equally long; the ECG is resampled to the EEG's rate."""
    halved = [resample_poly(np.asarray(part, np.float64).T, 1, 2, axis=1, padtype="line") for part in clip["ECG"]]
    parts = {"eeg": [np.asarray(part).T for part in clip["EEG"]], "pps": halved}
    return {name: (part[:, : clip_seconds(clip) * EEG_RATE], rest) for name, (part, rest) in parts.items()}


def people(writer, path, seconds, drop):
    """A `Recorded` for each person of the file; clips of less than ``seconds`` are refused, or dropped for all."""
    everybody = read_file(path)
    lengths = np.array([[clip_seconds(clip) for clip in person.clips] for person in everybody])
    kept = np.flatnonzero((lengths.min(axis=0) >= seconds) | (not drop))
    if drop and len(kept) < 2:
        raise InputError(f"--segment-seconds {seconds}:", f"{path} has {len(kept)} such clips")
    for index in np.setdiff1d(np.arange(lengths.shape[1]), kept):
        print(f"clip {index + 1} is dropped for all subjects: the shortest lasts {lengths[:, index].min()} s")
    if drop:
        writer.info["stimuli"] = [str(index + 1) for index in kept]
    for number, person in enumerate(Progress(everybody, desc="preparing", unit="subject")):
        where, clips = f"{path}, subject {number + 1}", [person.clips[index] for index in kept]
        short = [index for index in kept if lengths[number, index] < seconds]
        if short:
            what = f"lasts {lengths[number, short[0]]} s, less than {seconds} s"
            remedy = "use --short-trials drop or a smaller --segment-seconds"
            raise InputError(f"{where}, clip {short[0] + 1}", what, remedy)
        looks = []
        for name, (rate, channels) in SIGNALS.items():
            looks.append((channels, rate, [np.concatenate(clip[name][::-1]).T for clip in clips]))  # rest, then film
        yield Recorded(f"s{number + 1:02d}", where, map(signals, clips), person.ratings[kept], looks)


def _electrode_order(path, names):
    """Where the file has each of `EEG_CHANNELS`; its names are cells, or the rows of a matrix of characters."""
    if isinstance(names, str):
        names = names.replace(",", " ").split()
    electrodes = [str(name).strip() for name in names] if isinstance(names, list) else []
    places = distinct(electrodes, "eeg", f"{path}, EEG_Electrodes,")
    order = [places.get(plain(name, "eeg")) for name in EEG_CHANNELS]
    if len(electrodes) != len(EEG_CHANNELS) or None in order:
        shown = shorten(electrodes) if electrodes else _show(names)
        raise InputError(path, f"has EEG_Electrodes = {shown}, not {', '.join(EEG_CHANNELS)}", REMEDY)
    if order != sorted(order):
        warn(f"{path} has its electrodes in the order {', '.join(electrodes)}; its columns are taken by these names")
    return order


def _show(value):
    """A value in a message."""
    if isinstance(value, np.ndarray) and value.size != 1:
        return f"{'an array' if matlab.is_real(value) else 'an array that is not real numbers,'} of shape {value.shape}"
    if isinstance(value, dict | list):
        return f"a structure of {shorten(value)}" if isinstance(value, dict) else f"{len(value)} cells"
    return "nothing" if value is None else " ".join(str(value.item() if hasattr(value, "item") else value).split())[:60]


def _clips(where, value, rate, channels):
    """Arrays (samples, channels) of all clips, from cells or, where all have one length, one array of them."""
    n = len(channels)
    if matlab.is_real(value) and value.ndim == 3 and value.shape[2] == n and value.shape[1] >= rate:
        value = [np.asfortranarray(clip) for clip in value]
    if not isinstance(value, list):
        wanted = f"cells of (samples, {n}) or an array (clips, samples, {n})"
        raise InputError(where, f"is {_show(value)}, not {wanted}", REMEDY)
    for clip, array in enumerate(value, start=1):
        here = f"{where} of clip {clip}"
        if not matlab.is_real(array) or array.ndim != 2 or array.shape[1] != n:
            raise InputError(here, f"is {_show(array)}, not (samples, {n})", REMEDY)
        if len(array) < rate:
            raise InputError(here, "is shorter than 1 s", REMEDY)
        if not np.isfinite(array).all():
            raise InputError(here, "has NaN or infinite values", "repair it")
    return value


def _person(where, value, order):
    """One subject of the file, checked; ``where`` begins the message."""
    if not isinstance(value, dict):
        raise InputError(where, f"is {_show(value)}, not a structure", REMEDY)
    parts = {}
    for name, kind in itertools.product(SIGNALS, KINDS):
        part = value.get(name)
        if not isinstance(part, dict) or kind not in part:
            raise InputError(where, f"has no {name}.{kind}", REMEDY)
        parts[name, kind] = _clips(f"{where}, {name}.{kind}", part[kind], *SIGNALS[name])
    n_clips = len(parts["EEG", "stimuli"])
    if not n_clips or any(len(clips) != n_clips for clips in parts.values()):
        counts = ", ".join(f"{len(clips)} {name}.{kind}" for (name, kind), clips in parts.items())
        raise InputError(where, f"has different numbers of clips ({counts})", REMEDY)
    for kind, clip in itertools.product(KINDS, range(n_clips)):
        eeg, ecg = (len(parts[name, kind][clip]) / rate for name, (rate, _) in SIGNALS.items())
        if max(eeg, ecg) > 1 + LONGER * min(eeg, ecg):
            what = f"{kind} of clip {clip + 1} lasts {eeg:.0f} s by the EEG and {ecg:.0f} s by the ECG"
            raise InputError(f"{where}:", f"{what}: one has another rate than the file says", REMEDY)
        if order != sorted(order):
            parts["EEG", kind][clip] = np.asfortranarray(parts["EEG", kind][clip][:, order])
    ratings, (low, high) = [], RATING_RANGE
    for name in (f"Score{name.capitalize()}" for name in RATINGS):
        scores = value.get(name)
        if not matlab.is_real(scores) or scores.size != n_clips:
            raise InputError(where, f"has no {name} for each of its {n_clips} clips", REMEDY)
        if not ((scores >= low) & (scores <= high)).all():
            raise InputError(where, f"has scores outside {low} to {high}", REMEDY)
        ratings.append(scores.ravel())
    clips = [{name: tuple(parts[name, kind][clip] for kind in KINDS) for name in SIGNALS} for clip in range(n_clips)]
    return Person(clips, np.stack(ratings, axis=1))
