"""Trials of a BIDS data set, found with MNE-BIDS: the same that a table of trials says, and what stands beside the EEG.

BIDS: Pernet et al., "EEG-BIDS, an extension to the brain imaging data structure for electroencephalography",
Scientific Data 6, 2019. MNE-BIDS: Appelhoff et al., Journal of Open Source Software 4(44), 2019.
"""

import json
from pathlib import Path

from data_prep.amplifiers.recordings import Physio, Sidecar
from data_prep.amplifiers.trials_table import (
    FORMATS,
    MISSING,
    Trial,
    find_ratings,
    is_missing,
    read_duration,
    read_rows,
)
from data_prep.folder.ratings import read_number
from data_prep.signals.channels import shorten
from utils.base.errors import InputError
from utils.base.progress import warn

try:
    import mne_bids
except ImportError:  # said by recordings.need_mne()
    mne_bids = None

EVENT_COLUMNS = (  # of events.tsv that are no ratings
    "onset duration trial_type stim_file value sample response_time hed channel event_type trial_number".split()
)
TYPES = {  # BIDS's words for channels to MNE's
    "heog": "eog",
    "veog": "eog",
    "temp": "temperature",
    "trig": "stim",
    "ref": "ground",
    "audio": "misc",
    "hr": "misc",
}


def read_bids(root, task, rating_names=(), sessions=(), rated=True):
    """Trials of a task, and what stands beside each of its recordings.

    Parameters
    ----------
    root : path
        Of the data set.
    task : str
    rating_names : list of str
        Columns of events.tsv that are ratings; empty: all that BIDS has no other meaning for.
    sessions : list of str
        To read; empty: all.
    rated : bool
        False: no column is a rating.

    Returns
    -------
    trials : list of Trial
        Rows of events.tsv that have a rating; not ``rated``: that last, and have a ``stim_file`` if that column is
        there. The stimulus is ``stim_file``, or where there is none, ``trial_type``.
    sidecars : dict of pathlib.Path to Sidecar
        By recording.

    Raises
    ------
    InputError
        If the data set has no such task, or a table lacks what is needed.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"--bids-dir {root} is not a folder")
    paths = find_runs(root, task, sessions)
    trials, sidecars, names = [], {}, list(rating_names)
    for path in paths:
        events = path.find_matching_sidecar(suffix="events", extension=".tsv", on_error="ignore")
        if events is None:
            raise InputError(f"{path.fpath} has no *_events.tsv beside it; every run needs one")
        header, rows = read_rows(events)
        missing = [name for name in ("onset", "duration") if name not in header]
        stimulus = [name for name in ("stim_file", "trial_type") if name in header]
        if missing or not stimulus:
            raise InputError(f"{events} has no column {', '.join(missing) or 'trial_type, and no stim_file'}")
        found = find_ratings(events, header, EVENT_COLUMNS, rating_names) if rated else []
        names = names or found
        if set(found) != set(names):
            raise InputError(
                f"{events} has the ratings {shorten(found)}, others have {shorten(names)}; --ratings names them"
            )
        trials += [
            to_trial(f"{Path(events).name}, row {number}", row, path, stimulus, names)
            for number, row in rows
            if (not all(is_missing(row[name]) for name in names) if rated else lasts(row, stimulus[0]))
        ]
        sidecars[path.fpath] = read_sidecar(path)
        sidecars[path.fpath].files.append(Path(events))
    if not trials:
        what = f"has a rating in {shorten(names)}" if rated else "has a stimulus and lasts more than 0 s"
        raise InputError(f"no row of the *_events.tsv of task {task} {what}")
    check_participants(root, task, {trial.subject for trial in trials})
    warn_of_left_physio(task, sidecars)
    return trials, sidecars


def find_runs(root, task, sessions):
    """Recordings of a task, as paths of MNE-BIDS, in the order of their names."""
    everything = mne_bids.find_matching_paths(root, datatypes="eeg", suffixes="eeg", ignore_json=True)
    everything = [path for path in everything if path.extension in FORMATS and is_raw(path, root)]
    tasks, there = sorted({path.task for path in everything}), sorted({str(path.session) for path in everything})
    paths = [path for path in everything if path.task == task]
    if not paths:
        raise InputError(f"{root} has no EEG of --task {task}; its tasks are {shorten(tasks) or 'none'}")
    if sessions:
        unknown = [name for name in sessions if name not in there]
        if unknown:
            raise InputError(f"--sessions {shorten(unknown)}: {root} has {shorten(there)}")
        paths = [path for path in paths if path.session in sessions]
    paths, runs = sorted(paths, key=lambda path: str(path.fpath)), {}
    for path in paths:
        other = runs.setdefault(path.fpath.with_suffix(""), path)
        if other is not path:
            raise InputError(f"{path.fpath} and {other.fpath.name} are one run in two formats; keep one of them")
    return paths


def is_raw(path, root):
    """Whether a recording is the data set's own, and none of ``derivatives`` or ``sourcedata``."""
    return path.fpath.relative_to(root).parts[0].startswith("sub-")


def lasts(row, stimulus):
    """Whether an event that nobody rated is a trial."""
    return row[stimulus] not in MISSING and not is_missing(row["duration"]) and read_number(row["duration"]) != 0


def to_trial(where, row, path, stimulus_columns, names):
    """A row of events.tsv as a trial."""
    stimulus = next((row[name] for name in stimulus_columns if row[name] not in MISSING), None)
    if stimulus is None:
        raise InputError(f"{where} has a rating, but no {' or '.join(stimulus_columns)}; fill it in, or empty both")
    onset = read_number(row["onset"])
    if onset is None:
        raise InputError(f"{where}: the onset must be seconds, not {row['onset']!r}")
    for name in names:
        if is_missing(row[name]):
            other = next(other for other in names if not is_missing(row[other]))
            raise InputError(
                f"{where}: {name} is {row[name] or 'empty'}, and {other} is {row[other][:30]}; a trial needs all of "
                "its ratings, and other rows none (--ratings names the columns that are ratings)"
            )
    return Trial(
        where=where,
        subject=path.subject,
        file=path.fpath,
        stimulus=stimulus,
        onset=onset,
        duration=None if read_number(row["duration"]) == 0 else read_duration(row["duration"], where),  # it only begins
        ratings={name: row[name] for name in names},
    )


def read_sidecar(path):
    """What channels.tsv and the physiological recordings of a run say."""
    sidecar = Sidecar(physio=[read_physio_header(file) for file in find_physio(path)])
    sidecar.files += [file for physio in sidecar.physio for file in (physio.path, physio.header)]
    channels = path.find_matching_sidecar(suffix="channels", extension=".tsv", on_error="ignore")
    if channels is None:
        return sidecar
    sidecar.files.append(Path(channels))
    header, rows = read_rows(channels)
    if "name" not in header or "type" not in header:
        raise InputError(f"{channels} has no column name, or no type")
    for _, row in rows:
        declared = row["type"].lower()
        sidecar.types[row["name"]] = TYPES.get(declared, declared)
        if row.get("units", "") not in MISSING:
            sidecar.units[row["name"]] = row["units"]
        if row.get("status", "").lower() == "bad":
            sidecar.bads.append(row["name"])
    return sidecar


def find_physio(path):
    """Physiological recordings of a run: the same name up to ``_physio``, with or without ``_recording-...``."""
    stem = path.fpath.name.rsplit("_eeg", 1)[0]
    folders = [path.fpath.parent, path.fpath.parent.with_name("beh")]
    found = [file for folder in folders for file in sorted(folder.glob(f"{stem}_*physio.tsv*"))]
    packed = [file for file in found if file.name.endswith(".tsv.gz")]
    return packed + [
        file for file in found if file.suffix == ".tsv" and file.with_name(file.name + ".gz") not in packed
    ]


def warn_of_left_physio(task, sidecars):
    """Warn of physiological recordings of the task beside its runs that belong to none of them by name."""
    read = {physio.path.name.removesuffix(".gz") for sidecar in sidecars.values() for physio in sidecar.physio}
    folders = dict.fromkeys(path.parent for path in sidecars)
    found = [file for folder in folders for file in sorted(folder.glob(f"*_task-{task}_*physio.tsv*"))]
    left = [file.name for file in found if file.name.removesuffix(".gz") not in read]
    if left:
        warn(f"not read, as no run of EEG has the same name: {shorten(left, 120)}; BIDS wants all but the end alike")


def read_physio_header(file):
    """Columns, rate and start of a physiological recording, from its JSON: beside it, or further up for many."""
    stem = file.name.removesuffix(".gz").removesuffix(".tsv")
    found = file.with_name(f"{stem}.json")
    if not found.exists():
        found = mne_bids.get_bids_path_from_fname(file).find_matching_sidecar(extension=".json", on_error="ignore")
    if found is None:
        raise InputError(f"{file} has no {stem}.json beside it; it says SamplingFrequency, StartTime and Columns")
    try:
        header = json.loads(Path(found).read_text(encoding="utf-8-sig"))
        columns = [str(name) for name in header["Columns"]]
        units = {name: header[name].get("Units") for name in columns if isinstance(header.get(name), dict)}
        rate, start = float(header["SamplingFrequency"]), float(header["StartTime"])
        return Physio(file, columns, rate, start, units, Path(found))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{found} does not say SamplingFrequency, StartTime and Columns as BIDS asks ({error})"
        ) from None


def check_participants(root, task, subjects):
    """Warn of people in participants.tsv without a trial: they may have been forgotten."""
    path = root / "participants.tsv"
    if not path.exists():
        return
    header, rows = read_rows(path)
    if "participant_id" not in header:
        raise InputError(f"{path} has no column participant_id")
    absent = [row["participant_id"] for _, row in rows if row["participant_id"].removeprefix("sub-") not in subjects]
    if absent:
        warn(f"{path.name} names {shorten(absent)}, who have no trial of task {task}; the others are prepared")
