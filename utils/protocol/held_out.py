"""What each fold holds out: a function for every split (``FOLDS``), and what is set aside for validation.

A function takes the data, a random generator and the number of folds (None: its default), and returns folds as the
manifest stores them, each ``{"train": part, "test": part}`` (`_part`).
"""

import functools
import random

import numpy as np

from utils.base.devices import derive_seed
from utils.base.errors import InputError
from utils.protocol.windows import RESOLUTIONS, WINDOW_SECONDS, seconds_of_windows

DEFAULT_FOLDS = 10
TRIAL_PARTS = 4  # subject+trial: each fold holds out one of so many parts of the trials
AUTHORS_SEED, AUTHORS_FOLDS = 42, 10


def row_folds(data, rng, n_folds, whole_trials):
    """Subject-dependent: whole trials (or groups of them) or single windows are held out, for all subjects."""
    n_subjects, trials, seconds = data.eeg.shape[:3]
    per_trial = seconds // WINDOW_SECONDS
    units, what = np.arange(trials * per_trial), "windows"
    if whole_trials:
        units, what = _units_of_trials(data)
        units = units.repeat(per_trial)  # (rows,)
    n, folds = len(np.unique(units)), []
    for held_out in _groups(rng, n, n_folds or min(DEFAULT_FOLDS, n), what):
        test = np.isin(units, held_out)
        rows = {"train": np.flatnonzero(~test), "test": np.flatnonzero(test)}
        folds.append({name: _part(range(n_subjects), part, seconds) for name, part in rows.items()})
    return folds


def subject_folds(data, rng, n_folds, new_trials):
    """Cross-subject: one subject or some are held out; with ``new_trials``, and tested on held-out trials only.

    Each of these parts of the trials in turn; where none of those people, or of the others, saw any of it, the next.
    """
    n_subjects, trials, seconds = data.eeg.shape[:3]
    if n_subjects < 2:
        raise InputError("--protocol cross-subject", "needs at least 2 subjects")
    one_each = n_folds in (None, n_subjects)
    people = np.arange(n_subjects)[:, None] if one_each else _groups(rng, n_subjects, n_folds, "subjects")
    parts = [(np.full(trials, True), np.full(trials, True))]  # training trials, test trials
    if new_trials:
        units, what = _units_of_trials(data)
        n = len(np.unique(units))
        tested = [np.isin(units, part) for part in _groups(rng, n, min(TRIAL_PARTS, n), what)]
        parts = [(~test, test) for test in tested]
    folds, per_trial = [], seconds // WINDOW_SECONDS
    for index, tested in enumerate(people):
        trained = np.setdiff1d(np.arange(n_subjects), tested)
        for turn in range(index, index + len(parts)):
            train, test = parts[turn % len(parts)]
            if data.seen[trained][:, train].any() and data.seen[tested][:, test].any():
                break
        else:
            raise InputError("--split", f"leaves fold {index} nothing to train or test on: people saw too few trials")
        train, test = (np.flatnonzero(chosen.repeat(per_trial)) for chosen in (train, test))  # 5 s rows
        folds.append({"train": _part(trained, train, seconds), "test": _part(tested, test, seconds)})
    return folds


def authors_folds(data, rng, n_folds):
    """The authors' index shuffles, 1 s and 5 s rows apart: test windows get into the training rows of 1 s."""
    if n_folds not in (None, AUTHORS_FOLDS):
        raise InputError(f"--n-folds {n_folds}: the authors' split has {AUTHORS_FOLDS} folds")
    n_subjects, trials, seconds = data.eeg.shape[:3]
    folds = [{"train": {}, "test": {}} for _ in range(AUTHORS_FOLDS)]
    for resolution, length in RESOLUTIONS.items():
        rows = list(range(trials * (seconds // length)))
        if len(rows) < AUTHORS_FOLDS:
            what = f"needs at least {AUTHORS_FOLDS} windows of {resolution}, not {len(rows)}"
            raise InputError("--split authors", what)
        random.Random(AUTHORS_SEED).shuffle(rows)
        n = round(len(rows) / AUTHORS_FOLDS)
        for index, fold in enumerate(folds):
            start, stop = (
                index * n,
                (index + 1) * n if index < AUTHORS_FOLDS - 1 else len(rows),
            )  # the last has the rest
            fold["test"][resolution], fold["train"][resolution] = rows[start:stop], rows[:start] + rows[stop:]
    everyone = range(n_subjects)
    return [{name: _part(everyone, p["5s"], seconds, p["1s"]) for name, p in fold.items()} for fold in folds]


FOLDS = {  # by split, the names in `utils.base.rules.SPLITS`
    "trial": functools.partial(row_folds, whole_trials=True),
    "window": functools.partial(row_folds, whole_trials=False),
    "authors": authors_folds,
    "subject": functools.partial(subject_folds, new_trials=False),
    "subject+trial": functools.partial(subject_folds, new_trials=True),
}
OF_SINGLE_WINDOWS = ("window", "authors")  # all others hold out whole trials


def _part(subjects, rows_5s, seconds, rows_1s=None):
    """One part of a fold for the manifest; the 1 s rows are those inside the 5 s rows unless they are given."""
    rows_1s = seconds_of_windows(rows_5s, seconds) if rows_1s is None else rows_1s
    rows = {"1s": np.sort(np.ravel(rows_1s)).tolist(), "5s": np.sort(rows_5s).tolist()}
    return {"subjects": np.sort(subjects).tolist(), "rows": rows}


def _groups(rng, n, n_folds, what):
    """Indices 0..n-1 in ``n_folds`` groups of nearly equal size, drawn by ``rng``."""
    if n < 2:
        raise InputError("--split", f"holds out {what}, and the data have only {n}", "at least 2 are needed")
    if n_folds > n:
        raise InputError(f"--n-folds {n_folds}", f"is more than the {n} {what} to hold out", "use fewer folds")
    return np.array_split(rng.permutation(n), n_folds)


def _units_of_trials(data):
    """What is held out together (trials,), and what it is called: a group of trials, or each trial by itself."""
    return (np.arange(data.eeg.shape[1]), "trials") if data.groups is None else (data.groups, "groups of stimuli")


def set_aside(settings, split, fold, rows, per_trial, groups=None):
    """Training rows to train on, and those set aside for KEEP = "best": whole trials or groups, or single windows."""
    if settings.KEEP == "last":
        return rows, rows[:0]
    units = rows
    if split not in OF_SINGLE_WINDOWS:
        units = rows // per_trial if groups is None else groups[rows // per_trial]
    distinct = np.unique(units)
    n = max(1, round(settings.VALIDATION_FRACTION * len(distinct)))
    if len(distinct) < 2:
        raise InputError(f"--keep best sets training trials (or groups of them) aside, but fold {fold} has only one")
    rng = np.random.default_rng(derive_seed(settings.SEED, fold, "validation"))
    held_out = np.isin(units, rng.permutation(distinct)[:n])
    return rows[~held_out], rows[held_out]
