"""Rows of events, from events.tsv or a file's own annotations: in seconds, and where trials begin and end."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.amplifiers.sidecars import only_beside
from data_prep.amplifiers.trial_plan import MIN_SECONDS, TOLERANCE, plain_id
from data_prep.amplifiers.trials_table import is_missing, read_rows
from data_prep.amplifiers.triggers import is_break, number_of, plain
from data_prep.folder.ratings import read_number
from data_prep.signals.channels import shorten
from utils.base.errors import InputError

ANNOTATION = "trial_type"  # the column that a file's own annotations are read into; value: their number
ANNOTATION_WORDS = ("marker", "annotation", "description", "trigger")
AGREE = 0.9  # of the onsets that lie at a marker of the file, so that they are meant in this unit


@dataclass(eq=False)
class Run:
    """A recording and the rows of its events."""

    subject: str
    recording: object
    where: str  # of the rows, for messages
    header: list
    rows: list  # of dicts, with ``at``: seconds, and ``row``: where it stands
    from_file: bool  # annotations of the file itself
    beh: Path | None
    trials: list = field(default_factory=list)  # of rows
    factor: float = 1.0  # from the unit of onsets to seconds


def read_run(path, subject, recording, doubts):
    """A recording with the rows of its events.tsv, or else with its own annotations and triggers."""
    events, beh = (only_beside(path, suffix, ".tsv") for suffix in ("events", "beh"))
    recording.files += filter(None, (events, beh))
    if events:
        header, numbered = read_rows(events)
        if "onset" not in header:
            raise InputError(events, "has no column onset", f"it has {shorten(header)}")
        rows = [{**row, "row": f"{events.name}, row {number}"} for number, row in numbered]
    else:
        header, rows = ["onset", "duration", ANNOTATION, "value"], list(marker_rows(recording))
    run = Run(subject, recording, str(events or f"{path.name} (its annotations)"), header, rows, not events, beh)
    run.factor = find_unit(run, doubts) if events else 1.0
    for row in rows:
        onset = read_number(row["onset"])
        row["at"] = None if onset is None else onset * run.factor
    rows.sort(key=lambda row: -1 if row["at"] is None else row["at"])
    return run


def marker_rows(recording):
    """Rows of a file's own markers, but for triggers that an annotation of the same number repeats."""
    annotated = {(number_of(name), at) for name, at in recording.durations if number_of(name) is not None}
    for name, at in recording.markers:
        number, length = number_of(name), recording.durations.get((name, at), "")
        if length != "" or (number, at) not in annotated:
            where = f"{recording.path.name}, marker {name!r} at {at:.4g} s"
            value = "" if number is None else str(number)
            yield {"onset": str(at), "duration": str(length), ANNOTATION: name, "value": value, "row": where}


def find_unit(run, doubts):
    """From the unit of a table's onsets to seconds: tested against the markers and the length of the file."""
    recording = run.recording
    rate = max((channel.rate for channel in recording.channels if channel.physio is None), default=1.0)
    onsets = np.array([at for at in (read_number(row["onset"]) for row in run.rows) if at is not None])
    times = np.array([at for name, at in recording.markers if not is_break(name)])
    units = {"seconds": 1.0, f"samples at {rate:g} Hz": 1 / rate, "milliseconds": 1e-3}
    if not len(onsets):
        return 1.0
    agrees = {}  # share of the onsets at a marker; -1 where the recording is too short for them
    for unit, factor in units.items():
        apart = np.abs(times[:, None] - onsets * factor).min(axis=0, initial=np.inf)
        fits = onsets.max() * factor <= recording.seconds + 1
        agrees[unit] = float((apart <= max(2 / rate, 0.01)).mean()) if fits else -1.0
    best = max(units, key=lambda unit: (agrees[unit], unit == "seconds"))
    if agrees[best] < 0:
        doubts.add(f"onsets go to {onsets.max():.6g}, the recording ends at {recording.seconds:.6g} s", run.subject)
        return 1.0
    if agrees["seconds"] < 0 or agrees["seconds"] < agrees[best] >= AGREE:
        share = "all" if agrees[best] == 1 else f"over {agrees[best] // 0.1 * 10:.0f} %"
        shown = f"{share} agree with the markers in the file" if len(times) else "no marker to compare with"
        doubts.add(f"onsets are not in seconds; taken as {best} ({shown})", run.subject)
        return units[best]
    if len(times) >= 3 and agrees["seconds"] == 0:
        doubts.add("no onset of events.tsv lies at a marker of the file: are they of this recording?", run.subject)
    samples = [(read_number(row["onset"]), read_number(row.get("sample", ""))) for row in run.rows]
    off = [abs(onset * rate - sample) for onset, sample in samples if None not in (onset, sample)]
    if off and np.median(off) > 2:
        doubts.add(f"the columns onset and sample of events.tsv do not agree at {rate:g} Hz", run.subject)
    return 1.0


def read_values(text, runs, flag, doubts):
    """What a flag says of each run, (column, values): from COLUMN=VALUE|VALUE, COLUMN, or a table subject,value."""
    if text is None:
        return {}
    if Path(text).is_file():
        header, rows = read_rows(text)
        if not {"subject", "value"} <= set(header):
            raise InputError(f"{flag} {text}", "has no column subject, or no value (and column, if not annotations)")
        ids = [(plain_id(row["subject"].removeprefix("sub-")), row) for _, row in rows if not is_missing(row["value"])]
        own = {run: [row for name, row in ids if name == plain_id(run.subject)] for run in runs}
        if lacking := dict.fromkeys(run.subject for run in runs if not own[run]):
            raise InputError(f"{flag} {text} has no row for {shorten(list(lacking))}")
        values = {run: [value for row in own[run] for value in row["value"].split("|")] for run in runs}
        columns = {run: own[run][0].get("column") for run in runs}
    else:
        column, _, value = text.partition("=")
        if flag == "--trial" and not value:
            raise InputError(f"--trial {text}: write COLUMN=VALUE, or a table with the columns subject, value")
        values, columns = dict.fromkeys(runs, value.split("|") if value else []), dict.fromkeys(runs, column)
    for run in runs:
        values[run] = [value for value in values[run] if not is_missing(value.strip())]
        default = ANNOTATION if None in map(read_number, values[run]) else "value"
        column = (columns[run] or default).strip().lower()
        column = columns[run] = ANNOTATION if run.from_file and column in ANNOTATION_WORDS else column
        if column not in run.header:
            raise InputError(f"{flag} {column}: no such column in {run.where}; there are {shorten(run.header, 90)}")
        for value in values[run]:
            names = {plain(row[column]): row[column] for row in run.rows if alike(row[column], value)}
            if len(names) > 1:  # such as a stimulus 2 and a response 2
                shown = shorten(map(repr, names.values()))
                doubts.add(f"{flag} {value} means {shown}: write the whole name", run.subject)
    return {run: (columns[run], values[run]) for run in runs}


def alike(cell, wanted):
    """Whether a cell holds this value: the same text, number, or a marker of this number."""
    number, other = read_number(cell.strip()), read_number(wanted.strip())
    if plain(cell) == plain(wanted):
        return True
    return other is not None and (number_of(cell) if number is None else number) == other


def find_ends(runs, ends, doubts):
    """Give every trial its ``length`` in seconds, or None; ``ends``: what ends one, by run."""
    every = Counter(row.get("duration", "") for run in runs for row in run.rows if not run.from_file)
    most, n = every.most_common(1)[0] if every else ("", 0)
    own = [row.get("duration", "") for run in runs for row in run.trials]
    kinds = {row.get(ANNOTATION, "") for run in runs for row in run.rows}
    same = set(own) == {most} and n > max(0.9 * every.total(), len(own)) and len(kinds) > 2  # others have it, too
    same = same and (read_number(most) or 0) > 0
    for run in runs:
        following = [*(row["at"] for row in run.trials[1:]), run.recording.seconds][: len(run.trials)]
        lengths = [read_length(row, run) for row in run.trials]
        pairs = zip(run.trials[:-1], lengths, following, strict=False)
        overlap = any(length and row["at"] + length > end + TOLERANCE for row, length, end in pairs)
        untrue = f"duration {most} in every row" if same else "durations reach into the next trial" if overlap else None
        if ends:
            lengths = [until(row, end, run, *ends[run]) for row, end in zip(run.trials, following, strict=True)]
            if n := lengths.count(None):
                doubts.add(f"{n} of {len(lengths)} trials have no --until before the next", run.subject)
        elif untrue or None in lengths:
            value, guessed = guess_ends(run, following)
            if guessed:
                how = f"taken from each trial's beginning to {value!r} (--until says another)"
            else:
                how = "left empty; give --until, or --seconds to prepare_recordings.py"
            if guessed or untrue:
                doubts.add(f"{untrue or 'no durations'}: {how}", run.subject)
            lengths = guessed or ([None] * len(lengths) if untrue else lengths)
        for row, length in zip(run.trials, lengths, strict=True):
            row["length"] = length


def read_length(row, run):
    """A row's own duration in seconds, or None."""
    length = read_number(row.get("duration", ""))
    if length is not None and length < 0:
        raise InputError(f"{row['row']}: the trial ends before it begins: its duration is {length:g}")
    return length * run.factor if length else None


def until(row, following, run, column, values):
    """Seconds from a trial's beginning to the row that ends it, or to the time that its own cell says; or None."""
    end = read_number(row.get(column, ""))
    if not values and end is not None and column not in ("value", ANNOTATION):
        if end * run.factor <= row["at"]:
            raise InputError(f"{row['row']}: the trial ends before it begins: {column} {end:g}, onset {row['onset']}")
        return end * run.factor - row["at"]
    for other in run.rows:
        if other["at"] is None or not row["at"] < other["at"] <= following + TOLERANCE:
            continue
        if any(alike(other[column], value) for value in values) if values else not is_missing(other[column]):
            return other["at"] - row["at"]
    return None


def guess_ends(run, following):
    """What comes after the beginning of every trial and before the next, soonest: its name, and seconds to it."""
    column = next((name for name in (ANNOTATION, "value") if name in run.header), None)
    if column is None or len(run.trials) < 2:
        return None, None
    after = []  # for every trial: value -> seconds to it
    for row, end in zip(run.trials, following, strict=True):
        after.append({})
        for other in run.rows:
            if other["at"] is not None and row["at"] + MIN_SECONDS <= other["at"] < end:
                after[-1].setdefault(other[column], other["at"] - row["at"])
    shared = [value for value in after[0] if not is_missing(value) and all(value in own for own in after)]
    if not shared:
        return None, None
    value = min(shared, key=lambda value: np.median([own[value] for own in after]))
    return value, [own[value] for own in after]
