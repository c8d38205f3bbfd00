"""What recordings seem to hold: trials, found by events, annotations and ratings, and every doubt about them."""

import math
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

from data_prep.amplifiers import bids
from data_prep.amplifiers.events import ANNOTATION, alike, find_ends, read_run, read_values
from data_prep.amplifiers.recordings import Sayings, open_recording
from data_prep.amplifiers.trial_plan import TOLERANCE
from data_prep.amplifiers.trials_table import COLUMNS, GROUP, Trial, is_missing, read_rows
from data_prep.folder.ratings import read_number
from data_prep.signals.channels import shorten
from utils.base.errors import InputError
from utils.base.progress import Progress

EVENT_COLUMNS = (  # of events.tsv that are no ratings
    "onset duration trial_type stim_file value sample response_time hed channel event_type trial_number".split()
)
ASKED = ("TRIAL", "UNTIL", "STIMULUS", "RATINGS", "GROUP", "LAST", "RATED", "FILES")


@dataclass
class Proposal:
    """What was understood: trials, recordings by path; what was found, in plain lines; and what is in doubt."""

    trials: list
    recordings: dict
    found: list
    doubts: list
    warnings: list = field(default_factory=list)


def propose(settings):
    """The `Proposal` for what settings name (a task of a BIDS data set, or files), as propose_trials.py has them."""
    asked = SimpleNamespace(**{name.lower(): getattr(settings, name, None) for name in ASKED})
    if asked.ratings and not asked.rated:
        raise InputError("--ratings and --no-rated: give one of them")
    paths, doubts = bids.find_files(settings, asked.files), Sayings()
    recordings = {path: open_recording(path) for path in Progress(paths, desc="opening", unit="file")}
    runs = [read_run(path, bids.subject_of(path, paths), recordings[path], doubts) for path in paths]
    n = sum(not run.from_file for run in runs)
    found = [f"events.tsv of {n} of {len(runs)} recordings" + ("; annotations of the others" if n < len(runs) else "")]
    names, runs = find_rating_columns(runs, asked, doubts)
    begin = read_values(asked.trial, runs, "--trial", doubts)
    ends = read_values(asked.until, runs, "--until", doubts)
    for run in runs:
        run.trials = [row for row in run.rows if begins(row, run, names, asked, begin)]
        for row in run.trials:
            if row["at"] is None:
                raise InputError(f"{row['row']}: the onset must be seconds, not {row['onset']!r}")
    if not any(run.trials for run in runs):
        refuse_none(runs, names, asked)
    for run in runs:
        if not run.trials:
            doubts.add("no row is a trial: left out", run.recording.path.name)
    find_ends(runs, ends, doubts)
    bids.join_behaviour(runs, [asked.stimulus, asked.group, *names], doubts)
    trials = to_trials(runs, names, asked, doubts)
    if not trials:
        raise InputError(f"no trial is left: {'; '.join(doubts.lines())}")
    doubt_counts(trials, names, doubts)
    proposal = Proposal(trials, recordings, found + summary(trials, names), doubts.lines())
    if settings.BIDS_DIR is None:
        proposal.found.append("a file's name is its person: correct the column subject where one has several files")
    else:
        read = [physio.path for recording in recordings.values() for physio in recording.physio]
        subjects = {trial.subject for trial in trials}
        proposal.warnings += bids.find_left_out(settings.BIDS_DIR, settings.TASK, subjects, paths, read)
    return proposal


def find_rating_columns(runs, asked, doubts):
    """Names of the ratings (asked for, or all columns that have no other meaning), and the runs that have them."""
    columns = {run: {*run.header, *(read_rows(run.beh)[0] if run.beh else ())} for run in runs}
    names = [name.lower() for name in asked.ratings]
    if clash := [name for name in names if name in COLUMNS]:
        raise InputError(f"--ratings {shorten(clash)}", "is a column of trials.csv itself", "rename it in events.tsv")
    flags = {asked.stimulus: "--stimulus", asked.group: "--group"}
    if not all(run.from_file and not run.beh for run in runs):  # else ratings are nowhere: to be filled in
        flags |= dict.fromkeys(names, "--ratings")
    for name, flag in flags.items():
        having = [run for run in runs if not name or name.lower() in columns[run]]
        if not having:
            there = shorten(sorted(columns[runs[0]] - {"onset", "duration"}), 90)
            raise InputError(f"{flag} {name}: no such column in {runs[0].where}; there are {there}")
        for run in runs:
            if run not in having:
                doubts.add(f"no column {name} in events.tsv or beh.tsv: left out", run.subject)
        runs = having
    if names or not asked.rated:
        return names, runs
    taken = [(text or "").split("=")[0].lower() for text in (asked.stimulus, asked.group, asked.trial, asked.until)]
    for run in runs:
        others = [name for name in run.header if name not in (*EVENT_COLUMNS, *COLUMNS, GROUP, *taken)]
        names = names or others
        if set(others) != set(names):
            what = f"has the ratings {shorten(others)}, others have {shorten(names)}"
            raise InputError(run.where, what, "--ratings names them")
    return names, runs


def begins(row, run, names, asked, begin):
    """Whether a trial begins with this row."""
    if begin:
        column, values = begin[run]
        return any(alike(row[column], value) for value in values)
    if asked.rated:
        return not all(is_missing(row.get(name, "")) for name in names)
    if run.from_file:
        return True
    stimulus = next((name for name in ("stim_file", ANNOTATION) if name in run.header), None)
    return bool(stimulus) and not is_missing(row[stimulus]) and read_number(row.get("duration", "")) not in (None, 0)


def refuse_none(runs, names, asked):
    """Say what there is, where nothing is a trial."""
    run = max(runs, key=lambda run: len(run.rows))
    columns = [name for name in run.header if name in (ANNOTATION, "value", "event_type", "label")][:2]
    shown = []
    for column in columns:
        counts = Counter(row[column] for row in run.rows if not is_missing(row[column]))
        shown.append(f"{column}: {shorten([f'{value} ({n})' for value, n in counts.most_common(12)], 110)}")
    there = "; ".join(shown) or "nothing"
    if asked.trial:
        raise InputError(f"--trial {asked.trial}: no row of any recording; {run.where} has {there}")
    what = f"has no {f'rating in {shorten(names)}' if names else 'rating' if asked.rated else 'stimulus that lasts'}"
    remedy = "say what begins a trial (propose_trials.py --trial COLUMN=VALUE), or --no-rated"
    raise InputError(f"{run.where} {what}: {remedy}; it has {there}")


def to_trials(runs, names, asked, doubts):
    """Rows of the table of trials."""
    columns, unnamed = find_stimulus(runs, names, asked, doubts)
    trials = []
    if asked.rated and not names:
        remedy = "name them with --ratings, add columns to trials.csv, or prepare with --no-rated"
        doubts.add(f"no column is a rating: {remedy}", "ratings")
    elif names and not any(name in row for run in runs for row in run.trials for name in names):
        doubts.add(f"nothing says {shorten(names)}: fill in these columns", "ratings")
    for run, row in ((each, row) for each in runs for row in each.trials):
        name = stimulus_of(row, columns)
        if not name and not asked.stimulus:
            raise InputError(f"{row['row']} has a rating, but no {' or '.join(columns)}; fill it in, or empty both")
        lacking = [rating for rating in names if is_missing(row.get(rating, ""))]
        if name and lacking and not asked.ratings and len(lacking) < len(names):
            other = next(rating for rating in names if rating not in lacking)
            what = f"{lacking[0]} is {row.get(lacking[0]) or 'empty'}, and {other} is {row[other][:30]}"
            remedy = "a trial needs all of its ratings (--ratings names the columns)"
            raise InputError(f"{row['row']}: {what}", remedy=remedy)
        onset, length, end = row["at"], row["length"], run.recording.seconds
        if not name or (lacking and any(rating in row for rating in names)):
            doubts.add(f"trials without {lacking[0] if name else asked.stimulus} are left out", run.subject)
            continue
        if asked.last and (length is None or length + TOLERANCE < asked.last):
            doubts.add(f"trials shorter than --last {asked.last:g} s, or without an end, are left out", run.subject)
            continue
        if asked.last:
            onset, length = onset + max(0.0, length - asked.last), asked.last
        if onset < 0 or onset + (length or 0) > end + TOLERANCE:
            doubts.add(f"trials lie beyond the recording, which ends at {end:.6g} s", run.subject)
        number = read_number(name)
        name = f"{number:g}" if number is not None and number == int(number) else name
        ratings = {rating: row.get(rating, "") for rating in names}
        group = row.get(asked.group.lower(), "") if asked.group else ""
        name = "" if name in unnamed else name
        trials.append(Trial(row["row"], run.subject, run.recording.path, name, onset, length, ratings, group))
    times = Counter((trial.subject, trial.stimulus) for trial in trials)
    for (who, name), n in times.items():
        if n > 1 and asked.stimulus:  # a column was chosen for it: which of them is meant?
            doubts.add(f"{asked.stimulus} is {name!r} in {n} trials: left out", who)
    return [trial for trial in trials if times[trial.subject, trial.stimulus] == 1 or not asked.stimulus]


def stimulus_of(row, columns):
    """The name of a row's stimulus: the first of the columns that says one, or an empty text."""
    return next((row[column] for column in columns if not is_missing(row.get(column, ""))), "")


def find_stimulus(runs, names, asked, doubts):
    """Columns that name the stimulus, in the order in which they are looked into; and names that say nothing."""
    if asked.stimulus:
        return [asked.stimulus.lower()], set()
    columns = [name for name in ("stim_file", ANNOTATION) if any(name in run.header for run in runs)]
    if not columns:
        raise InputError(runs[0].where, "has no column trial_type, and no stim_file", "--stimulus names another")
    people = {}
    for run in runs:
        people.setdefault(run.subject, []).extend(run.trials)
    repeated = {}  # names of several trials, by person
    for who, own in people.items():
        times = Counter(stimulus_of(row, columns) for row in own)
        repeated |= {who: [name for name, n in times.items() if n > 1]} if max(times.values(), default=0) > 1 else {}
    if not repeated:
        return columns, set()
    for column in [c for c in runs[0].header if c not in (*columns, *names, "onset", "duration", "sample")]:
        cells = [[row.get(column, "") for row in own] for own in people.values() if own]
        values, unique = set().union(*cells), all(len(set(own)) == len(own) for own in cells)
        few = len(values) <= 1.5 * max(map(len, cells)) and not any(map(is_missing, values))
        if unique and few and not numbers_trials(cells):
            who, (name, *_) = next(iter(repeated.items()))
            doubts.add(f"{columns[0]} names two trials {name!r}; {column} tells them apart and is taken", who)
            return [column], set()
    unnamed = {name for names in repeated.values() for name in names}
    shown = f"{columns[0]} {shorten(map(repr, unnamed))}"
    doubts.add(f"{shown} names several trials of one person: fill in the column stimulus", "stimulus")
    return columns, unnamed


def numbers_trials(people, any_order=False):
    """Whether cells, in time for each person, go 1, 2, 3 for everybody; ``any_order``: or 5 or more, each once."""
    numbers = [[read_number(cell) for cell in own] for own in people]
    if len(numbers) < 2 or any(None in own or len(own) < 3 for own in numbers):
        return False
    if any_order and min(map(len, numbers)) >= 5:
        numbers = map(sorted, numbers)
    return all(own == list(range(int(own[0]), int(own[0]) + len(own))) for own in numbers)


def doubt_counts(trials, names, doubts):
    """Doubt stimuli and ratings that only number the trials, and ratings that may stand for a missing one."""
    people = {}
    for trial in sorted(trials, key=lambda trial: (str(trial.file), trial.onset)):
        people.setdefault(trial.subject, []).append(trial)
    if numbers_trials([[trial.stimulus for trial in own] for own in people.values()]):
        text = "goes 1, 2, 3 in time for everybody: did all see the films in one order, or does it number trials?"
        doubts.add(text, "stimulus")
    for name in names:
        if numbers_trials([[trial.ratings[name] for trial in own] for own in people.values()], any_order=True):
            doubts.add("goes 1, 2, 3 for everybody, each number once: is that a rating?", name)
        numbers = sorted({read_number(trial.ratings[name]) for trial in trials} - {None})
        for odd, others in ((numbers[0], numbers[1:]), (numbers[-1], numbers[:-1])) if len(numbers) > 3 else ():
            gap, span = min(abs(odd - other) for other in others), others[-1] - others[0]
            if gap > 3 * span or odd < 0 <= others[0]:
                doubts.add(f"{odd:g} is far from all others: does it stand for a missing rating?", name)


def summary(trials, names):
    """What was found, in plain lines."""
    each, films = Counter(trial.subject for trial in trials), {trial.stimulus for trial in trials}
    lengths = [trial.duration for trial in trials if trial.duration]
    lines = [f"{len(trials)} trials of {len(each)} people, {min(each.values())} to {max(each.values())} each"]
    few_s, many_s = min(lengths, default=0), max(lengths, default=0)
    lines.append(f"they last {few_s:.4g} to {many_s:.4g} s" if lengths else "nothing says how long they last")
    if missing_flags(trials):
        lines.append(f"not everybody saw all of {len(films)} stimuli: --missing keep, or drop")
    for name in names:
        numbers = [read_number(trial.ratings[name]) for trial in trials]
        lines += [] if None in numbers else [f"{name} goes from {min(numbers):.4g} to {max(numbers):.4g}"]
    scale = " ".join(scale_flags(trials))
    return lines + ([f"give the scale of the ratings: {scale}"] if scale else [])


def scale_flags(trials):
    """Flags for the scale of the ratings, where it is not 1 to 9."""
    numbers = {read_number(text) for trial in trials for text in trial.ratings.values()} - {None}
    if len(numbers) < 2 or (min(numbers) >= 1 and 5 < max(numbers) <= 9):
        return []
    return ["--rating-min", f"{math.floor(min(numbers)):g}", "--rating-max", f"{math.ceil(max(numbers)):g}"]


def missing_flags(trials):
    """Flags for what somebody did not see."""
    each = Counter(trial.subject for trial in trials)
    return ["--missing", "keep"] if min(each.values()) < len({trial.stimulus for trial in trials}) else []
