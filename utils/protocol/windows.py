"""Windows of 1 s and of 5 s, as (subject, trial, row): row = trial * windows per trial + window.

A trial that its person did not see (``seen`` is False; `data_prep.Prepared`) has no windows.
"""

import numpy as np

WINDOW_SECONDS = 5
RESOLUTIONS = {"1s": 1, "5s": WINDOW_SECONDS}  # seconds per window


def first_seconds(rows, n_seconds, seconds):
    """Where windows of so many seconds begin: trial * seconds + second."""
    per_trial = seconds // n_seconds
    return rows // per_trial * seconds + rows % per_trial * n_seconds


def seconds_of_windows(rows, seconds):
    """1 s rows of the five seconds of each 5 s row; shape (len(rows), 5)."""
    return first_seconds(np.asarray(rows), WINDOW_SECONDS, seconds)[:, None] + np.arange(WINDOW_SECONDS)


def windows_of(subjects, rows, rows_per_trial, seen=None):
    """The windows (n, 3) of these subjects at these rows, without trials that ``seen`` (subjects, trials) lacks."""
    subject, row = np.meshgrid(subjects, rows, indexing="ij")
    windows = np.stack([subject.ravel(), row.ravel() // rows_per_trial, row.ravel()], axis=1)
    return windows if seen is None else windows[seen[windows[:, 0], windows[:, 1]]]


def seconds_of(windows, seconds):
    """The 1 s windows (5n, 3) inside 5 s windows (n, 3)."""
    rows = seconds_of_windows(windows[:, 2], seconds)
    return np.column_stack([np.repeat(windows[:, :2], WINDOW_SECONDS, axis=0), rows.ravel()])


def labelled(windows, fraction, seed):
    """Those training windows whose labels are used: all windows of a fraction of the trials.

    Trials of people are drawn one by one in an order that depends on ``seed`` alone, so that a larger fraction holds a
    smaller one; at least two are kept.
    """
    if fraction == 1:
        return windows
    pairs, inverse = np.unique(windows[:, :2], axis=0, return_inverse=True)
    order = np.random.default_rng([seed, 5]).permutation(len(pairs))
    kept = np.isin(inverse.ravel(), order[: max(2, round(fraction * len(pairs)))])
    return windows[kept]


def fold_windows(fold, per_trial, seen, settings):
    """A fold's training windows (n, 3) whose labels are used (LABEL_FRACTION, SEED), and its test windows."""
    train, test = (windows_of(part.subjects, part.rows["5s"], per_trial, seen) for part in (fold.train, fold.test))
    return labelled(train, settings.LABEL_FRACTION, settings.SEED), test


def new_stimuli(fold, per_trial, window="5s"):
    """Trials with so many windows each that are tested, and not in training."""
    return np.setdiff1d(*(part.rows[window] // per_trial for part in (fold.test, fold.train)))


def training_seconds(fold, shape):
    """Which seconds lie in the training 5 s windows of a fold; ``shape`` (subjects, trials, seconds), bool array."""
    n_subjects, n_trials, seconds = shape
    per_trial = seconds // WINDOW_SECONDS
    windows = np.zeros((n_trials, per_trial), bool)
    windows.flat[fold.train.rows["5s"]] = True
    mask = np.zeros(shape, bool)
    mask[fold.train.subjects, :, : per_trial * WINDOW_SECONDS] = windows.repeat(WINDOW_SECONDS, axis=1)
    return mask


def seconds_to_fit(training, seen):
    """Seconds (subjects, trials, seconds) that a person is standardised with: of training, or if there are none, all.

    A test person across subjects has no training seconds (transductive: the audit says so).
    """
    there = np.broadcast_to(seen[..., None], training.shape)
    fit = training & there
    return np.where(fit.any(axis=(1, 2), keepdims=True), fit, there)
