"""Markers of a recording: its annotations, and the values of its trigger channels."""

import re

import numpy as np

from data_prep.signals.channels import shorten
from utils.base.errors import InputError

TRIGGER = re.compile(  # channels, without blanks
    r"sti\d*|stim.*|status|trig.*|marker.*|events?|din\d*|ttl.*|digi.*|evt.*|mkr.*", re.IGNORECASE
)
CUTS = ("boundary", "new segment")  # annotations of EEGLAB and BrainVision where a recording was paused or cut
BREAKS = ("edge", "bad_acq_skip", *CUTS)  # and MNE's, at which its filters are restarted
SUMS = ("STI101", "STI 014")  # channels of an amplifier that has one for every bit, too
WHOLE = 0.1  # a trigger's value is a whole number, but for an amplifier's resolution
MOST_CHANGES = 10  # in a second; a counter has more
SETTLE = 0.003  # s that a trigger's bits may take until all have changed
PORT = 0xFFFF  # of a status channel's bits, those of the parallel port


def annotations(raw):
    """(name, seconds from the first sample, duration in s) of the annotations of MNE's object."""
    parts = zip(raw.annotations.description, raw.annotations.onset, raw.annotations.duration, strict=True)
    return [(str(name), float(onset - raw.first_time), float(length)) for name, onset, length in parts]


def find_markers(raw, triggers):
    """Markers (name, seconds from the first sample) of MNE's object: annotations, and values of its trigger channels.

    ``triggers``: values and rate in Hz of each of these channels. Returns markers, the durations in s of annotations,
    names whose numbering is in doubt and why, and notes.
    """
    rate, notes, doubtful, word = raw.info["sfreq"], [], {}, "trigger"
    annotated = [(name, round(at * rate) / rate, length) for name, at, length in annotations(raw)]
    durations = {(name, at): length for name, at, length in annotated if 0 <= at <= raw.n_times / rate}
    markers = [(name, at) for name, at, _ in annotated if (name, at) in durations]
    for name in [name for name in triggers if name in SUMS] or triggers:
        values, said = from_rest(name, triggers[name][0])
        changes, unsettled, short = read_values(values, triggers[name][1])
        notes += said
        if unsettled:
            what = "a sample between two others, as the bits of a trigger do not change at once"
            notes.append(f"{unsettled} values of {name} last {SETTLE * 1e3:g} ms or {what}; they are no triggers")
        markers += [(f"{word} {value}", at) for value, at in changes]
        for value, at in short:
            doubtful[f"{word} {value}"] = f"lasts one sample at {at:.6g} s, and others of {name} last longer"
        word = name if changes else word  # of a second channel of triggers
    return sorted(markers, key=lambda marker: marker[1]), durations, doubtful, notes


def from_rest(name, values):
    """A trigger channel's values without the bits that are set at rest, and notes."""
    whole = np.round(np.nan_to_num(values)).astype(np.int64)
    if np.abs(values - whole).max(initial=0) > WHOLE:
        return values, [f"{name} has values that are no whole numbers: no triggers are read from it"]
    whole &= PORT if whole.min(initial=0) < 0 or whole.max(initial=0) > PORT else -1
    rest = whole[0] if len(whole) and whole[0] == whole[-1] and (whole == whole[0]).mean() > 0.5 else 0
    if rest == 0 or np.ptp(whole) == 0:
        return whole, []
    if rest % 256 == 0 and (whole & rest == rest).all():  # upper bits that are always set, such as 65280
        return whole ^ rest, [f"{name} is {rest} at rest: its lower bits are the triggers"]
    if set(np.unique(whole)) == {0, rest}:
        return whole ^ rest, [f"{name} is {rest} at rest: trigger {rest} is where it falls to 0"]
    return np.where(whole == rest, 0, whole), [f"{name} is {rest} at rest: no trigger"]


def read_values(values, rate):
    """(value, seconds) of a trigger channel's changes; how many were unsettled bits; and those of one sample."""
    whole = np.asarray(values)
    changes = np.flatnonzero(np.diff(whole)) + 1
    many = len(changes) > MOST_CHANGES * len(values) / rate + 10
    if not len(changes) or many or not np.array_equal(whole, whole.astype(np.int64)):
        return [], 0, []
    lengths = np.diff(np.append(changes, len(whole)))
    before, now = whole[changes - 1], whole[changes]
    after = np.append(now[1:], 0)
    brief = lengths <= max(1, round(SETTLE * rate))
    unsettled = brief & (before != after) & (now != 0)
    real = (now != 0) & ~unsettled
    usual = np.median(lengths[real]) if real.any() else 0
    short = real & (lengths == 1) & (usual > 3)
    pairs = [(int(value), float(at / rate)) for value, at in zip(now, changes, strict=True)]
    taken, short = ([pair for pair, has in zip(pairs, mask, strict=True) if has] for mask in (real, short))
    return taken, int(unsettled.sum()), short


def is_break(name):
    """Whether a marker says that the recording was paused or cut."""
    return name.lower().startswith(BREAKS)


def plain(name):
    """A marker's name without blanks and capitals."""
    return "".join(name.lower().split())


def number_of(name):
    """The number in a marker's name such as ``trigger 32`` or ``Stimulus/S  2``, or None."""
    numbers = re.findall(r"\d+", name)
    return int(numbers[0]) if len(numbers) == 1 and len(numbers[0]) < 10 else None


def marker_seconds(recording, marker, where):
    """Seconds of a marker: its name if it comes once, ``name#2`` for the second; no marker and doubt are refused."""
    times = {}
    for name, at in recording.markers:
        times.setdefault(plain(name), []).append(at)
    name, number = marker, ""
    if plain(marker) not in times:
        name, _, number = marker.rpartition("#")
    if plain(name) not in times or (name != marker and not number.isdecimal()):
        there = shorten([repr(name) for name in dict.fromkeys(name for name, _ in recording.markers)]) or "none"
        raise InputError(f"{where}: no marker {marker!r} in {recording.path.name}", remedy=f"there are {there}")
    if doubt := {plain(other): why for other, why in recording.doubtful.items()}.get(plain(name)):
        what = f"{where}: {name!r} in {recording.path.name} {doubt}: is that a trigger?"
        raise InputError(what, remedy="write the onset in seconds")
    seconds = times[plain(name)]
    if (not number and len(seconds) > 1) or not 1 <= int(number or 1) <= len(seconds):
        remedy = "" if number else f"write {name}#1 for the first, and so on"
        raise InputError(f"{where}: marker {name!r} comes {len(seconds)} times in {recording.path.name}", remedy=remedy)
    return seconds[int(number or 1) - 1]
