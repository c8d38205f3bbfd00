"""channels.csv: what each channel of some recordings is; a person changes `kind`, and nothing else decides."""

import re
from collections import Counter

from data_prep.amplifiers.trials_table import read_rows
from data_prep.signals.channel_kinds import PERIPHERAL, UNKNOWN, clean, has, key
from data_prep.signals.channels import shorten
from utils.base.errors import InputError

COLUMNS = ("name", "kind", "unit", "rate", "files", "why")
NO = "no"  # the kind of what is not taken
NUMBERED = re.compile(r"([a-h]|e|eeg|ch|chan|channel|el|electrode|)[ _-]*0*(\d{1,3})", re.IGNORECASE)
FEW = 4  # numbered channels that are no cap
WHY = {
    "stim": "a trigger, by its name or type",
    "ground": "a reference, ground or ear",
    "clock": "a clock",
    UNKNOWN: "called EEG, but no electrode of the 10-5 system",
}


def propose_channels(recordings, still=()):
    """Rows of channels.csv, and what is in doubt.

    ``still``: names that do not change in any of the recordings.
    """
    everything = [channel for recording in recordings for channel in recording.channels]
    rows, doubts, lacking, differ = [], [], {}, []
    for name in dict.fromkeys(channel.name for channel in everything):
        own = [channel for channel in everything if channel.name == name]
        same = [recording for recording in recordings if has(recording.channels, name)]
        kinds = Counter(channel.kind for channel in own)
        guess = kinds.most_common(1)[0][0]
        kind, why = (guess, "by its name or type") if guess in ("eeg", *PERIPHERAL) else (NO, WHY.get(guess, guess))
        differ += [f"{name} is {' and '.join(kinds)}"] if len(kinds) > 1 else []
        if guess == UNKNOWN and is_numbered(name, [channel.name for channel in everything if channel.kind == UNKNOWN]):
            kind, why = "eeg", "numbered, and called EEG"
            doubts.append(name)
        if kind != NO and name in still:
            kind, why = NO, f"{kind}, but does not change in any file: the reference?"
        elif kind != NO and len(same) < len(recordings):
            kind, why = NO, f"{kind}, but in {len(same)} of {len(recordings)} files only"
            lacking.setdefault(why, []).append(name)
        units = dict.fromkeys(unit_of(recording, name) for recording in recordings if has_name(recording, name))
        rates = dict.fromkeys(f"{channel.rate:g}" for channel in own)
        row = (name, kind, "|".join(units), "|".join(rates), str(len(own)), why)
        rows.append(dict(zip(COLUMNS, row, strict=True)))
    said = [f"{shorten(names)}: {why}; left out" for why, names in lacking.items()]
    said += [f"{shorten(differ)} in different files: the kind of most is taken"] if differ else []
    if doubts:
        said.append(f"{shorten(doubts)} ({len(doubts)}) are numbered and taken as EEG: are all of them electrodes?")
    left = [row["name"] for row in rows if row["why"] == WHY[UNKNOWN]]
    said += [f"{shorten(left)}: {WHY[UNKNOWN]}; not taken"] if left else []
    return rows, said


def has_name(recording, name):
    """Whether a recording has a channel of exactly this name."""
    return any(channel.name == name for channel in recording.channels)


def unit_of(recording, name):
    """A channel's unit, as its factor says it."""
    channel = next(channel for channel in recording.channels if channel.name == name)
    if channel.kind in ("eeg", "eog", "ecg", "emg", UNKNOWN):
        return "uV"
    return "uS" if channel.kind == "gsr" else ""


def is_numbered(name, names):
    """Whether this is one of a cap's numbered channels."""
    match = NUMBERED.fullmatch(name)
    family = [other for other in map(NUMBERED.fullmatch, names) if match and other and other[1] == match[1]]
    return len({int(other[2]) for other in family}) >= FEW


def choose_channels(path, people):
    """Names of the EEG and PPS channels that a channels.csv takes; all files must have them, and none others.

    ``people``: channels of every file, by a name for messages.
    """
    header, rows = read_rows(path)
    if "name" not in header or "kind" not in header:
        raise InputError(f"{path} has no column name, or no kind; data_prep/propose_trials.py writes it")
    kinds = {}
    for number, row in rows:
        kind = row["kind"].lower()
        if kind not in ("eeg", NO, *PERIPHERAL):
            raise InputError(f"{path}, row {number}: kind is {row['kind']!r}, not eeg, {', '.join(PERIPHERAL)} or no")
        if kinds.setdefault(key(row["name"]), kind) != kind:
            raise InputError(f"{path}, row {number}: {row['name']} is {kind} here and {kinds[key(row['name'])]} above")
    for who, channels in people.items():
        unknown = [channel.name for channel in channels if key(channel.name) not in kinds]
        if unknown:
            raise InputError(
                f"{path} does not name {shorten(unknown)} of {who}; add a row, kind no if it is not wanted"
            )
        lacking = [row["name"] for _, row in rows if row["kind"].lower() != NO and not has(channels, row["name"])]
        if lacking:
            raise InputError(
                f"{who} has no {shorten(lacking)}, which {path} takes; write no as its kind, or leave the file out"
            )
    first = next(iter(people.values()))
    names = [clean(channel.name) for channel in first]
    eeg = [name for name in names if kinds[key(name)] == "eeg"]
    pps = [name for name in names if kinds[key(name)] in PERIPHERAL]
    for name in [*eeg, *pps]:
        if sum(key(other) == key(name) for other in names) > 1:
            raise InputError(f"{path} takes {name}, which a file has more than once; write no as its kind")
    if not eeg and not pps:
        raise InputError(f"{path} takes no channel: write eeg or another kind where it says no")
    return eeg, pps
