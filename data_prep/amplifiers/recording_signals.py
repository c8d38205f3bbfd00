"""The trials of a recording: chosen channels, filtered and repaired as a whole, then cut and brought to one rate."""

import contextlib
import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from data_prep.amplifiers.recordings import mne, read_channels, through_mne
from data_prep.amplifiers.sidecars import read_physio
from data_prep.amplifiers.triggers import CUTS, annotations, is_break
from data_prep.folder.arrays import signals
from data_prep.folder.quality import LOUD, Quality
from data_prep.signals.channel_kinds import clean, key, pick
from data_prep.signals.channels import shorten
from data_prep.signals.resampling import resample
from data_prep.signals.transforms import prepare_trials
from utils.base.errors import InputError
from utils.base.files import atomic
from utils.base.progress import warn

USUAL_EEG = (0.05, 5000)  # uV; between them lies the standard deviation of anybody's EEG
MOST_BAD = 0.25  # of the electrodes; more cannot be told from the others
ENOUGH = 50_000  # samples that tell an electrode's amplitude
IN_MICROVOLTS = ("eeg", "eog", "ecg", "emg")
AS_RECORDED = "Values are those of the files, before filters, reference and resampling"  # of `Look`, in quality.html
MONTAGE = "colin27_1005"  # MNE's places of 343 electrodes (before MNE 1.13: standard_1005)


@dataclass(frozen=True)
class Steps:
    """What is done to a recording."""

    high_pass: float | None  # Hz, of the EEG
    low_pass: float | None
    notch: float | None  # Hz, and its multiples
    reference: str  # average | file
    bad_channels: str  # interpolate | refuse | keep
    sampling_rate: int  # Hz, of the result
    seconds: int  # of every trial
    rest_seconds: int  # before it


class Look(NamedTuple):
    """Signals as they were recorded, for `Quality.look`; all at one rate in Hz."""

    channels: list
    rate: float
    trials: list  # of (channels, samples)
    unit: str = ""
    loud: dict | None = None  # name -> times the other electrodes' amplitude


def read_trials(recording, onsets, eeg, pps, steps):
    """Trials of a recording that begin at these onsets (s): arrays by name at one rate, and how the signals looked.

    Arrays are (trials, channels, samples): ``eeg`` in uV, ``pps``, and with rest ``eeg_baseline``, ``pps_baseline``.
    """
    groups = [read_eeg(recording, eeg, steps, onsets)] if eeg else []
    groups += read_pps(recording, pps, steps, onsets)
    parts = {"": (0, steps.seconds)}  # suffix of the array: seconds before the onset, and how many are taken
    parts |= {"_baseline": (steps.rest_seconds, steps.rest_seconds)} if steps.rest_seconds else {}
    arrays = {}
    for suffix, (before, seconds) in parts.items():
        blocks = [np.zeros((len(onsets), 0, seconds * steps.sampling_rate))]  # without EEG, or without PPS
        for look, (signal, rate, start) in groups:
            try:
                starts = [onset - before - start for onset in onsets]
                blocks.append(np.stack([resample(signal, rate, steps.sampling_rate, seconds, at) for at in starts]))
            except InputError as error:
                what = "EEG" if look.channels is eeg else look.channels[0]
                raise InputError(f"{recording.path.name}, {what}: {error}") from None
        n_eeg = 1 + bool(eeg)
        arrays["eeg" + suffix] = blocks[n_eeg - 1]
        arrays["pps" + suffix] = np.concatenate([blocks[0], *blocks[n_eeg:]], axis=1)
    return arrays, [look for look, _ in groups]


def read_eeg(recording, names, steps, onsets):
    """The look at the EEG as it was recorded, and (signal, rate, 0) after all steps."""
    where = recording.path.name
    chosen = [pick(recording.channels, name, recording.path) for name in names]
    rate, *others = sorted({channel.rate for channel in chosen})
    if others:
        what = f"{recording.path}: its EEG has rates of {rate:g} and {others[-1]:g} Hz"
        raise InputError(what, remedy="choose with --eeg-channels")
    for flag, edge in (("--low-pass", steps.low_pass or 0), ("--notch", steps.notch or 0)):
        if edge >= rate / 2:
            raise InputError(f"{where} was recorded at {rate:g} Hz: {flag} must be less than {rate / 2:g}, or none")
    n_said = len(recording.notes)
    with through_mne(recording.path, recording.notes):
        raw = read_channels(recording.path, recording.channels, chosen)
        signal = raw.get_data()
        signal *= np.array([[channel.factor] for channel in chosen])
        refuse_gaps(recording, names, signal)
        still = [name for name, row in zip(names, signal, strict=True) if row.min() == row.max()]
        if still and steps.reference == "average":
            what = "is constant, and the average reference turns it into minus the mean of the others"
            remedy = "unless it was the reference, leave it out (--eeg-channels), or this file"
            warn(f"{where}: {shorten(still)} {what}; {remedy}")
        windows = _windows(signal, rate, 0, steps, onsets)
        info = mne.create_info([clean(channel.name) for channel in chosen], rate, "eeg")
        signal *= 1e-6  # MNE's unit
        improved = mne.io.RawArray(signal, info, copy=None)
        improved.set_annotations(edges(raw))
        if steps.high_pass or steps.low_pass:
            improved.filter(steps.high_pass, steps.low_pass, picks="all")
        if steps.notch:
            lines = np.arange(steps.notch, min(rate / 2, (steps.low_pass or rate) + steps.notch), steps.notch)
            improved.notch_filter(lines, picks="all")
        repair(recording, improved, steps)
        signal = improved.get_data()
    for note in recording.notes[n_said:]:
        warn(f"{where}: {note}")
    signal *= 1e6
    loud = find_loud(names, signal)
    part = " and enters the average reference" if steps.reference == "average" else ""
    for name, times in loud.items():
        what = f"{where}: {name} has {times:.0f} times the amplitude of the other EEG channels{part}"
        warn(f"{what}; look at it in quality.html; if it is broken, leave it out (--eeg-channels), or this file")
    if steps.reference == "average":
        signal -= signal.mean(axis=0)
    deviation = float(np.median(signal.std(axis=1)))
    if not USUAL_EEG[0] <= deviation <= USUAL_EEG[1]:
        warn(f"{where}: EEG of {deviation:.2g} uV; is its unit right? standardised, it makes no difference")
    return Look(names, rate, windows, "uV", loud), (signal, rate, 0.0)


def edges(raw):
    """Annotations at which MNE's filters are restarted, from the first sample on: a jump must not ring there."""
    breaks = [marker for marker in annotations(raw) if is_break(marker[0])]
    restarts = mne.Annotations([], [], [])
    for name, at, length in breaks:
        if not name.lower().startswith(CUTS):
            restarts.append(at, length, name)
        elif at > 0:
            restarts.append(at, 0, "edge")
    return restarts


def find_loud(names, signal):
    """Electrodes of more than LOUD times the median amplitude (median, absolute) of all, and how many times."""
    some = signal[:, :: max(1, signal.shape[1] // ENOUGH)]
    level = np.median(np.abs(some - np.median(some, axis=1, keepdims=True)), axis=1)
    usual = np.median(level)
    return {name: float(own / usual) for name, own in zip(names, level, strict=True) if own > LOUD * usual > 0}


def read_pps(recording, names, steps, onsets):
    """Of every peripheral channel the look at it, and (signal, rate, start): each has a rate and a start of its own."""
    chosen = [pick(recording.channels, name, recording.path) for name in names]
    bad = [channel.name for channel in chosen if key(channel.name) in map(key, recording.bads)]
    if bad and steps.bad_channels != "keep":
        what = f"{recording.path}: {shorten(bad)} is marked bad and cannot be interpolated"
        raise InputError(what, remedy="choose other --pps-channels, or --bad-channels keep")
    together, groups = {}, []
    for channel in chosen:
        together.setdefault((channel.physio, channel.rate), []).append(channel)
    for (physio, rate), channels in together.items():  # every file once
        if physio is None:
            with through_mne(recording.path, recording.notes):
                start, signals = 0.0, read_channels(recording.path, recording.channels, channels).get_data()
        else:
            file = recording.physio[physio]
            start, signals = file.start, read_physio(file, [channel.name for channel in channels])
        for channel, signal in zip(channels, signals[:, None], strict=True):
            signal = signal * channel.factor
            windows = _windows(signal, rate, start, steps, onsets)
            for window in windows:
                refuse_gaps(recording, [channel.name], window)
            look = Look([channel.name], rate, windows, "uV" if channel.kind in IN_MICROVOLTS else "")
            groups.append((look, (bridge(signal), rate, start)))
    return sorted(groups, key=lambda group: [channel.name for channel in chosen].index(group[0].channels[0]))


def bridge(signal):
    """A signal (1, samples) with lines over gaps that lie between trials: what is beside them must not see a jump."""
    there = np.isfinite(signal[0])
    if there.all() or not there.any():
        return np.nan_to_num(signal)
    return np.interp(np.arange(signal.shape[1]), np.flatnonzero(there), signal[0, there])[None]


def refuse_gaps(recording, names, signal):
    """Refuse what is not a number; a filter would spread it."""
    gaps = [name for name, row in zip(names, signal, strict=True) if not np.isfinite(row).all()]
    if gaps:
        raise InputError(f"{recording.path.name} has gaps (NaN) in {shorten(gaps)}; repair it or leave it out")


def repair(recording, raw, steps):
    """Interpolate the bad channels of an MNE object in place, or refuse them."""
    bads = {key(name) for name in recording.bads}
    bad = [name for name in raw.ch_names if key(name) in bads]
    if not bad or steps.bad_channels == "keep":
        return
    montage = mne.channels.make_standard_montage(MONTAGE)
    places = {key(name): place for name, place in montage.get_positions()["ch_pos"].items()}
    unknown = [name for name in raw.ch_names if key(name) not in places]
    where, remedy = (
        f"{recording.path}: {shorten(bad, 60)} is marked bad",
        "--bad-channels keep, or other --eeg-channels",
    )
    if steps.bad_channels == "refuse":
        raise InputError(where, remedy="--bad-channels interpolate, or --eeg-channels without it")
    if len(bad) > MOST_BAD * len(raw.ch_names):
        what = f"{where}: {len(bad)} of {len(raw.ch_names)} EEG channels are too many to interpolate"
        raise InputError(what, remedy=remedy)
    if unknown:
        what = f"{where} and cannot be interpolated: {shorten(unknown)} has no place in the 10-5 system"
        raise InputError(what, remedy=remedy)
    positions = {name: places[key(name)] for name in raw.ch_names}
    raw.set_montage(mne.channels.make_dig_montage(positions, coord_frame="head"))
    raw.info["bads"] = bad
    raw.interpolate_bads(reset_bads=True)
    print(f"{recording.path.name}: interpolated {', '.join(bad)}")


def _windows(signal, rate, start, steps, onsets):
    """What the trials take of a signal (channels, samples), rest and all, at its own rate."""
    ranges = [(t - steps.rest_seconds - start, t + steps.seconds - start) for t in onsets]
    return [signal[:, max(0, round(first * rate)) : round(last * rate)].astype(np.float32) for first, last in ranges]


def prepare(subject, trials, recordings, eeg, pps, steps, preparation):
    """Arrays of a person's trials by modality, and rows of quality.html as JSON."""
    person, looks, quality = {"id": subject}, {}, Quality()
    for path in dict.fromkeys(trial.file for trial in trials):
        places = [place for place, trial in enumerate(trials) if trial.file == path]
        onsets = [trials[place].onset for place in places]
        arrays, looks_of_file = read_trials(recordings[path], onsets, eeg, pps, steps)
        for name, array in arrays.items():
            person.setdefault(name, np.zeros((len(trials), *array.shape[1:])))[places] = array
        for look in looks_of_file:
            looks.setdefault((tuple(look.channels), look.rate, look.unit), []).append(look)
    for (names, rate, unit), of_all in looks.items():
        loud = {name: times for look in of_all for name, times in (look.loud or {}).items()}
        quality.look(subject, names, rate, [trial for look in of_all for trial in look.trials], unit=unit, louder=loud)
    blocks = prepare_trials(signals(person), steps.sampling_rate, preparation, f"subject {subject}")
    rows = [asdict(row) for row in quality.people[subject]]
    return {"eeg": blocks[0], "pps": blocks[1], "quality": np.array(json.dumps(rows))}


def kept(folder, key, make, *arguments):
    """Arrays by name that a folder keeps under this key (for JSON), or those that are made, then kept."""
    text = json.dumps(key, sort_keys=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
    damage = (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile)  # or no such file
    with contextlib.suppress(*damage), np.load(path, allow_pickle=False) as file:
        return dict(file)
    arrays = make(*arguments)
    with atomic(path) as file:
        np.savez(file, **arrays)
    return arrays
