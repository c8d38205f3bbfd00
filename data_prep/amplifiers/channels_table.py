"""channels.csv: what each channel of some recordings is; a person changes `kind`, and nothing else decides."""

import re
from collections import Counter

from data_prep.amplifiers.trials_table import read_rows
from data_prep.signals.channel_kinds import (
    PERIPHERAL,
    UNKNOWN,
    clean,
    file_names,
    has,
    key,
    refuse_unknown,
    say_rates,
)
from data_prep.signals.channels import shorten
from utils.base.errors import InputError

COLUMNS = ("name", "kind", "unit", "rate", "files", "why")
COMMON = ["common"]  # in the place of names: those that everybody has
NO = "no"  # the kind of what is not taken
NUMBERED = re.compile(r"([a-h]|e|eeg|ch|chan|channel|el|electrode|)[ _-]*0*(\d{1,3})", re.IGNORECASE)
UNITS = dict.fromkeys(("eeg", "eog", "ecg", "emg", UNKNOWN), "uV") | {"gsr": "uS"}  # that are kept
FEW = 4  # numbered channels that are no cap
WHY = {
    "stim": "a trigger, by its name or type",
    "ground": "a reference, ground or ear",
    "clock": "a clock",
    UNKNOWN: "called EEG, but no electrode of the 10-5 system",
}


def propose_channels(recordings, still=()):
    """Rows of channels.csv, and what is in doubt; ``still``: names that do not change in any of the recordings."""
    everything, rows, doubts, lacking, differ = {}, [], [], {}, []
    for channel in (channel for recording in recordings for channel in recording.channels):
        everything.setdefault(channel.name, []).append(channel)
    matches = [NUMBERED.fullmatch(name) for name, own in everything.items() if own[0].kind == UNKNOWN]
    caps = Counter(match[1] for match in matches if match)  # numbered channels by what is before the number
    for name, own in everything.items():
        files = sum(has(recording.channels, name) for recording in recordings)
        kinds, numbered = Counter(channel.kind for channel in own), NUMBERED.fullmatch(name)
        guess = kinds.most_common(1)[0][0]
        kind, why = (guess, "by its name or type") if guess in ("eeg", *PERIPHERAL) else (NO, WHY.get(guess, guess))
        differ += [f"{name} is {' and '.join(kinds)}"] if len(kinds) > 1 else []
        if guess == UNKNOWN and numbered and caps[numbered[1]] >= FEW:
            kind, why = "eeg", "numbered, and called EEG"
            doubts.append(name)
        if kind != NO and name in still:
            kind, why = NO, f"{kind}, but does not change in any file: the reference?"
        elif kind != NO and files < len(recordings):
            kind, why = NO, f"{kind}, but in {files} of {len(recordings)} files only"
            lacking.setdefault(why, []).append(name)
        units = "|".join(dict.fromkeys(UNITS.get(channel.kind, "") for channel in own))
        rates = "|".join(dict.fromkeys(f"{channel.rate:g}" for channel in own))
        rows.append(dict(zip(COLUMNS, (name, kind, units, rates, str(len(own)), why), strict=True)))
    said = [f"{shorten(names)}: {why}; left out" for why, names in lacking.items()]
    said += [f"{shorten(differ)} in different files: the kind of most is taken"] if differ else []
    if doubts:
        said.append(f"{shorten(doubts)} ({len(doubts)}) are numbered and taken as EEG: are all of them electrodes?")
    left = [row["name"] for row in rows if row["why"] == WHY[UNKNOWN]]
    said += [f"{shorten(left)}: {WHY[UNKNOWN]}; not taken"] if left else []
    return rows, said


def choose_channels(settings, people):
    """Names of the EEG and PPS channels, which all files have; ``people``: channels by file."""
    shown = file_names(people)
    if settings.CHANNELS is not None:
        sources, names = [str(settings.CHANNELS)] * 2, by_table(settings.CHANNELS, people)
    else:
        if settings.EEG_CHANNELS in ([], COMMON):
            refuse_unknown(people)
        sources, kinds = ("--eeg-channels", "--pps-channels"), (("eeg",), PERIPHERAL)
        wanted = (settings.EEG_CHANNELS, settings.PPS_CHANNELS)
        names = [by_flag(*those, people, shown) for those in zip(wanted, kinds, sources, strict=True)]
    for source, own in zip(sources, names, strict=True):
        if len(set(map(key, own))) < len(own):
            raise InputError(f"{source}: {shorten(own)} names a channel twice")
        lacking = {who: [name for name in own if not has(channels, name)] for who, channels in people.items()}
        lacking = {who: missing for who, missing in lacking.items() if missing}
        for who, missing in lacking.items():
            more = f" and {len(lacking) - 1} more files lack some" if len(lacking) > 1 else ""
            there = f"it has {shorten([channel.name for channel in people[who]])}"
            remedy = f"choose others with {source}" if "--" in source else "write no as its kind in channels.csv"
            raise InputError(f"{who} has no {shorten(missing, 60)}{more}; {there}; {remedy}, or leave the file out")
    eeg, pps = names
    first, channels = next(iter(people.items()))
    if both := [name for name in pps if key(name) in set(map(key, eeg))]:
        raise InputError(f"{shorten(both)} is in --eeg-channels and in --pps-channels; choose one")
    if not eeg and not pps:
        there = shorten([f"{channel.name} ({channel.kind})" for channel in channels])
        raise InputError(f"no EEG and no peripheral channel is chosen, nothing would be left; {first} has {there}")
    say_rates(people, [*eeg, *pps], settings.SAMPLING_RATE)
    taken = set(map(key, (*eeg, *pps)))
    if left := [f"{c.name} ({c.kind})" for c in channels if key(c.name) not in taken and c.kind != "stim"]:
        print(f"left out: {shorten(left, 150)}")
    return eeg, pps


def by_flag(wanted, kinds, flag, people, shown):
    """Names of channels: those that are wanted (or of a kind that is), or without names all of these kinds.

    Nothing wanted: all files must have the same; `COMMON`: those that all files have; None: none.
    """
    if wanted is None:
        return []
    first = next(iter(people.values()))
    if wanted and wanted != COMMON:
        of = {name: [c.name for c in first if c.kind.rstrip("?") == name.lower()] for name in wanted}
        return [clean(each) for name in wanted for each in ([name] if has(first, name) or not of[name] else of[name])]
    by_file = {who: {key(c.name): clean(c.name) for c in own if c.kind in kinds} for who, own in people.items()}
    lacking = {}
    for plain_name, name in {k: name for names in by_file.values() for k, name in names.items()}.items():
        if files := tuple(shown[who] for who, names in by_file.items() if plain_name not in names):
            lacking.setdefault(files, []).append(name)
    parts = [f"{shorten(names)} (not in {shorten(files)})" for files, names in lacking.items()]
    said = "; ".join(parts[:3]) + ("; and more" if parts[3:] else "")
    if parts and not wanted:
        raise InputError(f"not all files have {said}; {flag} common, or names that all have")
    missing = {name for names in lacking.values() for name in names}
    chosen = [name for name in next(iter(by_file.values())).values() if name not in missing]
    if parts and not chosen:
        there = "; ".join(f"{shown[who]} has {shorten(names.values(), 50)}" for who, names in list(by_file.items())[:2])
        raise InputError(f"{flag} common: no channel is everybody's: {there}; leave a file out, or {flag} none")
    if parts:
        print(f"{flag} common leaves out: {said}")
    return chosen


def by_table(path, people):
    """Names of the EEG and PPS channels that a channels.csv takes; it must name every channel of all files."""
    header, rows = read_rows(path)
    if "name" not in header or "kind" not in header:
        raise InputError(f"{path} has no column name, or no kind; data_prep/propose_trials.py writes it")
    kinds, names = {}, {}
    for number, row in rows:
        kind = row["kind"].lower()
        if kind not in ("eeg", NO, *PERIPHERAL):
            raise InputError(f"{path}, row {number}: kind is {row['kind']!r}, not eeg, {', '.join(PERIPHERAL)} or no")
        if kinds.setdefault(key(row["name"]), kind) != kind:
            raise InputError(f"{path}, row {number}: {row['name']} is {kind} here and {kinds[key(row['name'])]} above")
        names[key(row["name"])] = row["name"]
    for who, channels in people.items():
        if unknown := [channel.name for channel in channels if key(channel.name) not in kinds]:
            raise InputError(f"{path} does not name {shorten(unknown)} of {who}; add a row, kind no if not wanted")
    first = [channel.name for channel in next(iter(people.values()))]
    first += [name for k, name in names.items() if not any(key(other) == k for other in first)]
    return [[clean(n) for n in first if kinds[key(n)] in of] for of in (("eeg",), PERIPHERAL)]
