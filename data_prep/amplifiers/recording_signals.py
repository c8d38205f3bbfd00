"""The trials of a recording: chosen channels, filtered and repaired as a whole, then cut and brought to one rate."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data_prep.amplifiers.recordings import BREAKS, CUTS, mne, read_raw, through_mne
from data_prep.amplifiers.sidecars import read_physio
from data_prep.folder.quality import LOUD
from data_prep.signals.channel_kinds import clean, key, pick
from data_prep.signals.channels import shorten
from data_prep.signals.resampling import resample
from utils.base.errors import InputError
from utils.base.progress import warn

USUAL_EEG = (0.05, 5000)  # uV; between them lies the standard deviation of anybody's EEG
MOST_BAD = 0.25  # of the electrodes; more cannot be told from the others
ENOUGH = 50_000  # samples that tell an electrode's amplitude
IN_MICROVOLTS = ("eeg", "eog", "ecg", "emg")
AS_RECORDED = "Values are those of the files, before filters, reference and resampling"  # of `Look`, in quality.html
PARTS = ("onset", "duration", "description")  # of MNE's annotations
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
    looks, parts = [look for look, _ in groups], [signal for _, signal in groups]
    rests = [("", 0, steps.seconds), ("_baseline", steps.rest_seconds, steps.rest_seconds)]
    arrays = {}
    for suffix, before, seconds in rests if steps.rest_seconds else rests[:1]:
        found = []
        for (names, *_), (signal, rate, first) in zip(looks, parts, strict=True):
            try:
                trials = [resample(signal, rate, steps.sampling_rate, seconds, t - before - first) for t in onsets]
            except InputError as error:
                what = "EEG" if names is eeg else names[0]
                raise InputError(f"{recording.path.name}, {what}: {error}") from None
            found.append(np.stack(trials))
        empty = np.zeros((len(onsets), 0, seconds * steps.sampling_rate))
        arrays["eeg" + suffix] = found[0] if eeg else empty
        arrays["pps" + suffix] = np.concatenate(found[bool(eeg) :], axis=1) if pps else empty
    return arrays, looks


def read_eeg(recording, names, steps, onsets):
    """The look at the EEG as it was recorded, and (signal, rate, 0) after all steps."""
    chosen = [pick(recording.channels, name, recording.path) for name in names]
    rates = sorted({channel.rate for channel in chosen})
    if len(rates) > 1:
        what = f"its EEG has rates of {rates[0]:g} and {rates[-1]:g} Hz"
        raise InputError(f"{recording.path}: {what}; choose with --eeg-channels")
    check_filters(recording, steps, rates[0])
    with through_mne(recording.path, recording.notes):
        raw = read_channels(recording, chosen)
        signal = raw.get_data()
        signal *= np.array([[channel.factor] for channel in chosen])
        refuse_gaps(recording, names, signal)
        if steps.reference == "average":
            warn_of_constant(recording, names, signal)
        windows = _windows(signal, rates[0], 0, steps, onsets)
        info = mne.create_info([clean(channel.name) for channel in chosen], rates[0], "eeg")
        signal *= 1e-6  # MNE's unit
        improved = mne.io.RawArray(signal, info, copy=None)
        improved.set_annotations(edges(recording, raw))
        if steps.high_pass or steps.low_pass:
            improved.filter(steps.high_pass, steps.low_pass, picks="all")
        if steps.notch:
            lines = np.arange(steps.notch, min(rates[0] / 2, (steps.low_pass or rates[0]) + steps.notch), steps.notch)
            improved.notch_filter(lines, picks="all")
        repair(recording, improved, chosen, steps)
        signal = improved.get_data()
    signal *= 1e6
    loud = find_loud(names, signal)
    part = " and enters the average reference" if steps.reference == "average" else ""
    for name, times in loud.items():
        what = f"{recording.path.name}: {name} has {times:.0f} times the amplitude of the other EEG channels{part}"
        warn(f"{what}; look at it in quality.html; if it is broken, leave it out (--eeg-channels), or this file")
    if steps.reference == "average":
        signal -= signal.mean(axis=0)
    deviation = float(np.median(signal.std(axis=1)))
    if not USUAL_EEG[0] <= deviation <= USUAL_EEG[1]:
        warn(
            f"{recording.path.name}: EEG of {deviation:.2g} uV; is its unit right? standardised, it makes no difference"
        )
    return Look(names, rates[0], windows, "uV", loud), (signal, rates[0], 0.0)


def edges(recording, raw):
    """Annotations at which MNE's filters are restarted, from the first sample on: a jump must not ring there."""
    cuts = {seconds for name, seconds in recording.markers if name.lower().startswith(CUTS) and seconds > 0}
    made = mne.Annotations(sorted(cuts), 0, "edge")
    for onset, length, name in zip(*(getattr(raw.annotations, what) for what in PARTS), strict=True):
        if name.lower().startswith(BREAKS) and not name.lower().startswith(CUTS):
            made.append(onset - raw.first_time, length, name)
    return made


def warn_of_constant(recording, names, signal):
    """Warn of electrodes that record nothing: by the average reference they become minus the mean of the others."""
    still = [name for name, row in zip(names, signal, strict=True) if row.min() == row.max()]
    if still:
        what = "is constant, and the average reference turns it into minus the mean of the others"
        remedy = "unless it was the reference, leave it out (--eeg-channels), or this file"
        warn(f"{recording.path.name}: {shorten(still)} {what}; {remedy}")


def find_loud(names, signal):
    """Electrodes of more than LOUD times the median amplitude (median, absolute) of all, and how many times."""
    some = signal[:, :: max(1, signal.shape[1] // ENOUGH)]
    level = np.median(np.abs(some - np.median(some, axis=1, keepdims=True)), axis=1)
    usual = np.median(level)
    return {name: float(own / usual) for name, own in zip(names, level, strict=True) if own > LOUD * usual > 0}


def read_channels(recording, chosen):
    """MNE's raw object with these channels, in this order; of an EDF file at their own rate."""
    names = [channel.name for channel in chosen]
    rates = {channel.rate for channel in recording.channels if channel.physio is None}
    at_own_rate = {"include": names, "exclude_after_unique": True} if len(rates) > 1 else {}
    raw = read_raw(recording.path, **at_own_rate)
    return raw.pick([raw.ch_names.index(name) for name in names])  # also orders them; a name may be that of a type


def read_pps(recording, names, steps, onsets):
    """Of every peripheral channel the look at it, and (signal, rate, start): each has a rate and a start of its own."""
    chosen = [pick(recording.channels, name, recording.path) for name in names]
    bad = [channel.name for channel in chosen if key(channel.name) in map(key, recording.bads)]
    if bad and steps.bad_channels != "keep":
        what = f"{shorten(bad)} is marked bad and cannot be interpolated"
        raise InputError(f"{recording.path}: {what}; choose other --pps-channels, or --bad-channels keep")
    read = {}
    for physio, rate in dict.fromkeys((channel.physio, channel.rate) for channel in chosen):  # every file once
        together = [channel for channel in chosen if (channel.physio, channel.rate) == (physio, rate)]
        if physio is None:
            with through_mne(recording.path, recording.notes):
                read |= zip(together, read_channels(recording, together).get_data(), strict=True)
        else:
            table = read_physio(recording.physio[physio], [channel.name for channel in together])
            read |= zip(together, table, strict=True)
    found = []
    for channel in chosen:
        signal = read[channel][None] * channel.factor
        start = 0.0 if channel.physio is None else recording.physio[channel.physio].start
        windows = _windows(signal, channel.rate, start, steps, onsets)
        for window in windows:
            refuse_gaps(recording, [channel.name], window)
        look = Look([channel.name], channel.rate, windows, "uV" if channel.kind in IN_MICROVOLTS else "")
        found.append((look, (bridge(signal), channel.rate, start)))
    return found


def bridge(signal):
    """A signal (1, samples) with lines over gaps that lie between trials: what is beside them must not see a jump."""
    there = np.isfinite(signal[0])
    if there.all() or not there.any():
        return np.nan_to_num(signal)
    return np.interp(np.arange(signal.shape[1]), np.flatnonzero(there), signal[0, there])[None]


def check_filters(recording, steps, rate):
    """Refuse what a filter cannot do at this rate."""
    for flag, edge in (("--low-pass", steps.low_pass or 0), ("--notch", steps.notch or 0)):
        if edge >= rate / 2:
            what = f"was recorded at {rate:g} Hz: {flag} must be less than {rate / 2:g}, or none"
            raise InputError(f"{recording.path.name} {what}")


def refuse_gaps(recording, names, signal):
    """Refuse what is not a number; a filter would spread it."""
    gaps = [name for name, row in zip(names, signal, strict=True) if not np.isfinite(row).all()]
    if gaps:
        raise InputError(f"{recording.path.name} has gaps (NaN) in {shorten(gaps)}; repair it or leave it out")


def repair(recording, raw, chosen, steps):
    """Interpolate the bad channels of an MNE object in place, or refuse them."""
    bads = {key(name) for name in recording.bads}
    bad = [clean(channel.name) for channel in chosen if key(channel.name) in bads]
    if not bad or steps.bad_channels == "keep":
        return
    where, remedy = (
        f"{recording.path}: {shorten(bad, 60)} is marked bad",
        "--bad-channels keep, or other --eeg-channels",
    )
    if steps.bad_channels == "refuse":
        raise InputError(f"{where}; --bad-channels interpolate, or --eeg-channels without it")
    if len(bad) > MOST_BAD * len(chosen):
        raise InputError(f"{where}: {len(bad)} of {len(chosen)} EEG channels are too many to interpolate; {remedy}")
    montage = mne.channels.make_standard_montage(MONTAGE)
    places = {key(name): place for name, place in montage.get_positions()["ch_pos"].items()}
    if unknown := [name for name in raw.ch_names if key(name) not in places]:
        what = f"cannot be interpolated: {shorten(unknown)} has no place in the 10-5 system"
        raise InputError(f"{where} and {what}; {remedy}")
    positions = {name: places[key(name)] for name in raw.ch_names}
    raw.set_montage(mne.channels.make_dig_montage(positions, coord_frame="head"))
    raw.info["bads"] = bad
    raw.interpolate_bads(reset_bads=True)
    print(f"{recording.path.name}: interpolated {', '.join(bad)}")


def _windows(signal, rate, start, steps, onsets):
    """What the trials take of a signal (channels, samples), rest and all, at its own rate."""
    ranges = [(t - steps.rest_seconds - start, t + steps.seconds - start) for t in onsets]
    return [signal[:, max(0, round(first * rate)) : round(last * rate)].astype(np.float32) for first, last in ranges]
