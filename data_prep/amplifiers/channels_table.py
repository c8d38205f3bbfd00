"""channels.csv: what each channel of some recordings is; a person changes `kind`, and nothing else decides."""

import re
from collections import Counter

from data_prep.amplifiers.trials_table import read_rows
from data_prep.signals import channel_kinds
from data_prep.signals.channel_kinds import PERIPHERAL, UNKNOWN, clean, has, key
from data_prep.signals.channels import shorten
from utils.base.errors import InputError
from utils.base.progress import warn

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
    by_name, rows, doubts = {}, [], {}
    for channel in (channel for recording in recordings for channel in recording.channels):
        by_name.setdefault(channel.name, []).append(channel)
    matches = [NUMBERED.fullmatch(name) for name, own in by_name.items() if own[0].kind == UNKNOWN]
    caps = Counter(match[1] for match in matches if match)  # numbered channels by what is before the number
    for name, own in by_name.items():
        files, numbered = sum(has(recording.channels, name) for recording in recordings), NUMBERED.fullmatch(name)
        kinds = Counter(channel.kind for channel in own)
        kind = kinds.most_common(1)[0][0]
        is_signal = kind in ("eeg", *PERIPHERAL)
        why, doubt = "by its name or type" if is_signal else WHY.get(kind, kind), None
        if len(kinds) > 1:
            doubts.setdefault(f"{' and '.join(kinds)} in different files: the kind of most is taken", []).append(name)
        if kind == UNKNOWN and numbered and caps[numbered[1]] >= FEW:
            kind, why, is_signal = "eeg", "numbered, and called EEG", True
            doubt = "numbered and taken as EEG: are all of them electrodes?"
        elif kind == UNKNOWN:
            doubt = f"{why}; not taken"
        if is_signal and name in still:
            why, is_signal = f"{kind}, but does not change in any file: the reference?", False
        elif is_signal and files < len(recordings):
            why, is_signal = f"{kind}, but in {files} of {len(recordings)} files only", False
            doubts.setdefault(f"{why}; left out", []).append(name)
        if doubt:
            doubts.setdefault(doubt, []).append(name)
        units = "|".join(dict.fromkeys(UNITS.get(channel.kind, "") for channel in own))
        rates = "|".join(dict.fromkeys(f"{channel.rate:g}" for channel in own))
        cells = (name, kind if is_signal else NO, units, rates, str(len(own)), why)
        rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows, [f"{shorten(names)}: {doubt}" for doubt, names in doubts.items()]


def choose_channels(settings, people):
    """Names of the EEG and PPS channels, which all files have; ``people``: channels by file."""
    if settings.CHANNELS is not None:
        flags, names = [settings.CHANNELS] * 2, by_table(settings.CHANNELS, people)
        remedy = "write no as its kind in channels.csv"
    else:
        if settings.EEG_CHANNELS in ([], COMMON):
            channel_kinds.refuse_unknown(people)
        flags, remedy = ("--eeg-channels", "--pps-channels"), "choose others with {}"
        wanted = (settings.EEG_CHANNELS, ("eeg",)), (settings.PPS_CHANNELS, PERIPHERAL)
        names = [by_flag(flag, *each, people) for flag, each in zip(flags, wanted, strict=True)]
    for flag, own in zip(flags, names, strict=True):
        if len(set(map(key, own))) < len(own):
            raise InputError(f"{flag}: {shorten(own)} names a channel twice")
        lacking = {who: [name for name in own if not has(channels, name)] for who, channels in people.items()}
        lacking = {who: missing for who, missing in lacking.items() if missing}
        for who, missing in lacking.items():
            others = f" and {len(lacking) - 1} more files lack some" if len(lacking) > 1 else ""
            what = f"has no {shorten(missing, 60)}{others}; it has {shorten([channel.name for channel in people[who]])}"
            raise InputError(who, what, f"{remedy.format(flag)}, or leave the file out")
    eeg, pps = names
    first, channels = next(iter(people.items()))
    if both := [name for name in pps if key(name) in set(map(key, eeg))]:
        raise InputError(f"{shorten(both)} is in --eeg-channels and in --pps-channels; choose one")
    if not eeg and not pps:
        there = shorten([f"{channel.name} ({channel.kind})" for channel in channels])
        raise InputError(f"no EEG and no peripheral channel is chosen, nothing would be left; {first} has {there}")
    channel_kinds.say_rates(people, [*eeg, *pps], settings.SAMPLING_RATE)
    taken = set(map(key, (*eeg, *pps)))
    if left := [f"{c.name} ({c.kind})" for c in channels if key(c.name) not in taken and c.kind != "stim"]:
        print(f"left out: {shorten(left, 150)}")
    return eeg, pps


def by_flag(flag, wanted, kinds, people):
    """Names of channels: those that are wanted, by name or kind; `COMMON`: that all files have; [] all."""
    if wanted is None:
        return []
    first = next(iter(people.values()))
    if wanted and wanted != COMMON:
        of_kind = {name: [c.name for c in first if c.kind.rstrip("?") == name.lower()] for name in wanted}
        return [clean(n) for name in wanted for n in ([name] if has(first, name) else of_kind[name] or [name])]
    shown, names, lacking = channel_kinds.file_names(people), {}, {}
    by_file = {who: {key(c.name): clean(c.name) for c in own if c.kind in kinds} for who, own in people.items()}
    for own in by_file.values():
        names |= {k: name for k, name in own.items() if k not in names}
    for k, name in names.items():
        files = tuple(shown[who] for who, own in by_file.items() if k not in own)
        lacking.setdefault(files, []).append(name)
    common = lacking.pop((), [])
    parts = [f"{shorten(names)} (not in {shorten(files)})" for files, names in lacking.items()]
    what = "; ".join(parts[:3]) + ("; and more" if parts[3:] else "")
    if parts and not wanted:
        raise InputError(f"not all files have {what}", remedy=f"{flag} common, or names that all have")
    if parts and not common:
        some = "; ".join(f"{shown[who]} has {shorten(own.values(), 50)}" for who, own in list(by_file.items())[:2])
        raise InputError(f"{flag} common: no channel is everybody's: {some}; leave a file out, or {flag} none")
    if parts:
        print(f"{flag} common leaves out: {what}")
    return common


def by_table(path, people):
    """Names of the EEG and PPS channels that a channels.csv takes; it must name every channel of all files."""
    header, rows = read_rows(path)
    if "name" not in header or "kind" not in header:
        raise InputError(path, "has no column name, or no kind", "data_prep/propose_trials.py writes it")
    kinds, names = {}, {}
    for number, row in rows:
        where, name, kind = f"{path}, row {number}:", row["name"], row["kind"].lower()
        if kind not in ("eeg", NO, *PERIPHERAL):
            raise InputError(where, f"kind is {row['kind']!r}, not eeg, {', '.join(PERIPHERAL)} or no")
        if kinds.setdefault(key(name), kind) != kind:
            raise InputError(where, f"{name} is {kind} here and {kinds[key(name)]} above")
        names[key(name)] = name
    for who, channels in people.items():
        if unknown := [channel.name for channel in channels if key(channel.name) not in kinds]:
            raise InputError(path, f"does not name {shorten(unknown)} of {who}", "add a row, kind no if not wanted")
        for place, channel in enumerate(channels):
            kind = kinds[key(channel.name)]
            if kind not in (NO, channel.kind):
                channels[place], said = channel.called(kind)
                if said:
                    warn(f"{who}: {channel.name} {said}")
    in_order = {key(channel.name): channel.name for channel in next(iter(people.values()))}
    in_order |= {k: name for k, name in names.items() if k not in in_order}
    return [[clean(name) for k, name in in_order.items() if kinds[k] in of] for of in (("eeg",), PERIPHERAL)]
