"""Recordings by a pattern of names or of a BIDS task: which there are, who has none, and ratings of beh.tsv."""

import glob
import re
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from data_prep.amplifiers.sidecars import entities
from data_prep.amplifiers.trials_table import FORMATS, is_recording, read_rows
from data_prep.folder.ratings import read_number
from data_prep.folder.stimuli import natural
from data_prep.signals.channels import shorten
from utils.base.errors import InputError


def find_files(settings, pattern):
    """The recordings that settings name, or a pattern of names."""
    if (settings.BIDS_DIR is None) == (pattern is None):
        raise InputError('--bids-dir with --task, or --files "DIR/*.bdf": give one of them')
    if pattern is None:
        if not settings.TASK:
            raise InputError("--bids-dir needs --task, the name of the task whose runs to read")
        return find_runs(settings.BIDS_DIR, settings.TASK, settings.SESSIONS)
    folders, name = glob.glob(str(Path(pattern).parent)), Path(pattern).name.casefold()
    files = [file for folder in folders for file in Path(folder).glob("[!.]*") if is_recording(file)]
    paths = [file for file in files if fnmatch(file.name.casefold(), name)]  # p1.edf and P2.EDF
    if not paths:
        raise InputError(f"--files {pattern}: no such recording; write the pattern in quotes")
    return sorted(paths, key=lambda file: natural(str(file)))


def find_runs(root, task, sessions=()):
    """Recordings of a task, whatever its capitals, in the order of their names; copies in ``derivatives`` are none."""
    if not root.is_dir():
        raise InputError(f"--bids-dir {root} is not a folder")
    files = [file for folder in people_of(root) for file in folder.rglob("*") if is_recording(file)]
    files = sorted(files, key=lambda file: natural(str(file)))  # run-2 before run-10
    of = {file: named for file in files for named, suffix in [entities(file)] if suffix == "eeg"}
    paths = [file for file in of if of[file].get("task") == str(task).casefold()]
    if not paths:
        tasks = sorted({file.name.split("_task-")[1].split("_")[0] for file in of if "_task-" in file.name})
        raise InputError(f"{root} has no EEG of --task {task}; its tasks are {shorten(tasks) or 'none'}")
    if sessions:
        wanted, there = {name.casefold() for name in sessions}, {named.get("ses", "None") for named in of.values()}
        if wanted - there:
            raise InputError(f"--sessions {shorten(sorted(wanted - there))}: {root} has {shorten(sorted(there))}")
        paths = [file for file in paths if of[file].get("ses") in wanted]
    runs = {}
    for path in paths:
        other = runs.setdefault(str(path.with_suffix("")).casefold(), path)
        if other is not path:
            raise InputError(f"{path} and {other.name} are one run in two formats; keep one of them")
    return paths


def people_of(root):
    """The folders of a data set's people, and links to such that lead nowhere."""
    return [folder for folder in sorted(root.iterdir()) if folder.name.casefold().startswith("sub-")]


def subject_of(path, paths):
    """Whose a recording is, in its own capitals: as BIDS names it, or its name, or its folder's if others have it."""
    if path.name.casefold().startswith("sub-"):
        return path.stem.split("_")[0][len("sub-") :]
    alike = [other for other in paths if other.name == path.name]
    if len(alike) == 1:
        return path.stem
    for level, folder in enumerate(
        path.parents[:-1]
    ):  # p1/eeg.bdf and p2/eeg.bdf, or p1/rec/eeg.bdf and p2/rec/eeg.bdf
        names = [other.parents[level].name for other in alike if len(other.parents) > level]
        if len(set(names)) == len(alike):
            return folder.name
    what = f"has the name of {len(alike) - 1} other files, and no folder's name tells whose each is"
    raise InputError(path, what, "give a person's files a folder of their own, or --files of one session")


def find_left_out(root, task, subjects, paths, read):
    """Notes on people of a data set without a trial, and on physiology of the task that belongs to no run."""
    notes, table = [], root / "participants.tsv"
    absent = [folder.name for folder in people_of(root) if folder.name[len("sub-") :] not in subjects]
    if absent:
        notes.append(f"{shorten(absent)} has no recording of task {task} with a trial ({' '.join(FORMATS)} are read)")
    header, rows = read_rows(table) if table.exists() else (["participant_id"], [])
    if "participant_id" not in header:
        raise InputError(f"{table} has no column participant_id")
    named = [row["participant_id"] for _, row in rows]
    named = [name for name in named if name.removeprefix("sub-") not in subjects and name not in absent]
    if named:
        notes.append(f"{table.name} names {shorten(named)}, who have no trial of task {task}; the others are prepared")
    read = {file.name.removesuffix(".gz") for file in read}
    folders = dict.fromkeys(folder for path in paths for folder in (path.parent, path.parent.parent / "beh"))
    physio = [file for folder in folders for file in sorted(folder.glob("*physio.tsv*"))]
    physio = [file.name for file in physio if entities(file)[0].get("task") == str(task).casefold()]
    if left := [name for name in physio if name.removesuffix(".gz") not in read]:
        why = "BIDS wants all but the end alike"
        notes.append(f"not read, as no run of EEG has the same name: {shorten(left, 120)}; {why}")
    return notes


def join_behaviour(runs, wanted, doubts):
    """Give trials the cells of beh.tsv, row by row; where counts do not agree, leave the trials out."""
    wanted = {name.lower() for name in wanted if name}
    for beh in dict.fromkeys(run.beh for run in runs if run.beh):
        (header, rows), of = read_rows(beh), [run for run in runs if run.beh == beh]
        if not any(name in header and name not in run.header for run in of for name in wanted):
            continue
        trials = [(run, row) for run in of for row in run.trials]
        if len(trials) != len(rows):
            counts = f"{len(trials)} trials in events, {len(rows)} rows in {beh.name.split('_')[-1]}"
            doubts.add(f"{counts}: left out", of[0].subject)
            for run in of:
                run.trials = []
            continue
        rows = in_order_of_trials(of[0], trials, [row for _, row in rows], doubts)
        for (run, row), cells in zip(trials, rows, strict=True):
            row.update({name: cell for name, cell in cells.items() if name in wanted and name not in run.header})


def in_order_of_trials(run, trials, rows, doubts):
    """Rows of beh.tsv in the order of the trials: by a name that both have, else as they stand."""
    for column in [name for name in run.header if name not in ("onset", "duration", "sample")]:
        cells = [row[column].casefold() for _, row in trials]
        for name in rows[0] if rows else ():
            names = [re.sub(r"\.\w{2,4}$", "", row[name]).casefold() for row in rows]
            if len(set(names)) < 2 or (column != name and any(read_number(n) is not None for n in names)):
                continue
            words = [rf"(?<![a-z0-9]){re.escape(n)}(?![a-z0-9])" if n else "(?!)" for n in names]
            says = np.array([[bool(re.search(word, cell)) for word in words] for cell in cells])  # (trials, rows)
            share = np.mean(np.diagonal(says))
            if 0.5 < share < 1:
                doubts.add(f"{column} and {name} of beh.tsv disagree in some rows: another order?", run.subject)
            elif share < 1 and (says.sum(axis=0) == 1).all() and (says.sum(axis=1) == 1).all():
                doubts.add(f"beh.tsv is in another order than the trials: joined by {column} and {name}", run.subject)
                return [rows[place] for place in says.argmax(axis=1)]
            elif share < 1 and says.any(axis=0).all() and says.any(axis=1).all():
                doubts.add(f"{column} and {name} of beh.tsv hold the same names in another order", run.subject)
    return rows
