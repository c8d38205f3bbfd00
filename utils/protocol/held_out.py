"""What each fold holds out, by protocol and split: subjects, and rows of 1 s and 5 s windows."""

import random

import numpy as np

from utils.base.devices import derive_seed
from utils.base.errors import InputError
from utils.protocol.windows import RESOLUTIONS, WINDOW_SECONDS, seconds_of_windows

DEFAULT_FOLDS = 10
TRIAL_PARTS = 4  # subject+trial: each fold holds out one of so many parts of the trials
AUTHORS_SEED, AUTHORS_FOLDS = 42, 10


def _part(subjects, rows_5s, seconds, rows_1s=None):
    """One part of a fold for the manifest; the 1 s rows are those inside the 5 s rows unless they are given."""
    rows_5s = np.sort(np.asarray(rows_5s).ravel())
    rows_1s = seconds_of_windows(rows_5s, seconds) if rows_1s is None else np.sort(rows_1s)
    rows = {"1s": rows_1s.ravel().tolist(), "5s": rows_5s.tolist()}
    return {"subjects": [int(subject) for subject in sorted(subjects)], "rows": rows}


def _groups(rng, n, n_folds, what):
    """Indices 0..n-1 in ``n_folds`` groups of nearly equal size, drawn by ``rng``."""
    if n < 2:
        raise InputError(f"this split holds out {what}, and the data have only {n}; at least 2 are needed")
    if n_folds > n:
        raise InputError(f"--n-folds {n_folds} is more than the {n} {what} to hold out; use fewer folds")
    return np.array_split(rng.permutation(n), n_folds)


def _units_of(trials, groups):
    """The unit of every trial that is held out together, and what they are called: its group, or the trial itself."""
    return (np.arange(trials), "trials") if groups is None else (groups, "groups of stimuli")


def window_folds(rng, n_subjects, trials, seconds, split, n_folds, groups=None):
    """Subject-dependent: trials (with ``groups``, all of a group) or single windows are held out, for all subjects."""
    per_trial = seconds // WINDOW_SECONDS
    units, what = _units_of(trials, groups)
    units = np.repeat(units, per_trial) if split == "trial" else np.arange(trials * per_trial)  # (rows,)
    n, people = len(np.unique(units)), range(n_subjects)
    folds = []
    for held_out in _groups(rng, n, n_folds or min(DEFAULT_FOLDS, n), what if split == "trial" else "windows"):
        test = np.isin(units, held_out)
        rows = [np.flatnonzero(part) for part in (~test, test)]
        folds.append({name: _part(people, part, seconds) for name, part in zip(("train", "test"), rows, strict=True)})
    return folds


def subject_folds(rng, seen, seconds, split, n_folds, groups=None):
    """Cross-subject: one subject or some are held out; with subject+trial, and tested on held-out trials only.

    Each of these parts of the trials in turn; where nobody of those people, or nobody else, saw any of it (``seen``,
    subjects x trials), the next one.
    """
    n_subjects, trials = seen.shape
    if n_subjects < 2:
        raise InputError("--protocol cross-subject needs at least 2 subjects")
    one_each = n_folds in (None, n_subjects)
    people = np.arange(n_subjects)[:, None] if one_each else _groups(rng, n_subjects, n_folds, "subjects")
    per_trial = seconds // WINDOW_SECONDS
    by_trial = np.arange(trials * per_trial).reshape(trials, -1)
    if split == "subject":
        trial_parts = [(by_trial, by_trial)]  # training rows, test rows
    else:
        units, what = _units_of(trials, groups)
        n = len(np.unique(units))
        tested = [np.isin(units, part) for part in _groups(rng, n, min(TRIAL_PARTS, n), what)]
        trial_parts = [(by_trial[~part], by_trial[part]) for part in tested]
    folds = []
    for index, some in enumerate(people):
        others = np.setdiff1d(np.arange(n_subjects), some)
        for turn in range(index, index + len(trial_parts)):
            train, test = trial_parts[turn % len(trial_parts)]
            trained, tested = (seen[who][:, part[:, 0] // per_trial] for who, part in ((others, train), (some, test)))
            if trained.any() and tested.any():
                break
        else:
            raise InputError(
                f"--split {split}: fold {index} would train or test on nothing, as people saw too few trials"
            )
        folds.append({"train": _part(others, train, seconds), "test": _part(some, test, seconds)})
    return folds


def authors_folds(n_subjects, trials, seconds, n_folds):
    """The authors' index shuffles, 1 s and 5 s rows apart: test windows get into the training rows of 1 s."""
    if n_folds not in (None, AUTHORS_FOLDS):
        raise InputError(f"--n-folds {n_folds}: the authors' split has {AUTHORS_FOLDS} folds")
    shuffled = {}
    for resolution, length in RESOLUTIONS.items():
        rows = list(range(trials * (seconds // length)))
        if len(rows) < AUTHORS_FOLDS:
            raise InputError(f"--split authors needs at least {AUTHORS_FOLDS} windows of {resolution}, not {len(rows)}")
        random.Random(AUTHORS_SEED).shuffle(rows)
        shuffled[resolution] = rows
    folds = []
    for index in range(AUTHORS_FOLDS):
        parts = {"train": {}, "test": {}}
        for resolution, rows in shuffled.items():
            n = round(len(rows) / AUTHORS_FOLDS)
            start, stop = index * n, len(rows) if index == AUTHORS_FOLDS - 1 else (index + 1) * n
            parts["test"][resolution], parts["train"][resolution] = rows[start:stop], rows[:start] + rows[stop:]
        folds.append({name: _part(range(n_subjects), p["5s"], seconds, np.array(p["1s"])) for name, p in parts.items()})
    return folds


def set_aside(settings, split, fold, rows, per_trial, groups=None):
    """Training rows to train on, and those set aside for KEEP = "best": whole trials or groups, or single windows."""
    if settings.KEEP == "last":
        return rows, rows[:0]
    units = rows if split in ("window", "authors") else rows // per_trial
    if groups is not None and units is not rows:
        units = groups[units]
    distinct = np.unique(units)
    n = max(1, round(settings.VALIDATION_FRACTION * len(distinct)))
    if len(distinct) < 2:
        raise InputError(f"--keep best sets training trials (or groups of them) aside, but fold {fold} has only one")
    rng = np.random.default_rng(derive_seed(settings.SEED, fold, "validation"))
    held_out = np.isin(units, rng.permutation(distinct)[:n])
    return rows[~held_out], rows[held_out]
