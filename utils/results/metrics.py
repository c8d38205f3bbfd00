"""Scores of predictions: pooled over all test windows, never averaged over batches."""

from typing import NamedTuple

import numpy as np
from scipy import stats
from sklearn import metrics as sk

SCORES = ("accuracy", "f1", "balanced_accuracy")
N_BOOTSTRAP = 2000
FEWEST_UNITS = 4  # an interval from fewer says nothing


def confusion(truth, predicted, n_classes):
    """Counts (n_classes, n_classes) of true classes (rows) and predicted ones (columns)."""
    return sk.confusion_matrix(truth, predicted, labels=range(n_classes))


def scores_from_confusion(confusion):
    """Accuracy, F1 and balanced accuracy of confusion counts (..., classes, classes), rows the truth.

    With two classes F1 is that of class 1 (high), else weighted by class size. A class without true windows is left out
    of the balanced accuracy; F1 of a class that is neither true nor predicted is 0.
    """
    confusion = np.asarray(confusion, dtype=float)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    true, predicted = confusion.sum(-1), confusion.sum(-2)
    f1 = 2 * hits / np.maximum(true + predicted, 1)
    recall, present = hits / np.maximum(true, 1), true > 0
    total = np.maximum(true.sum(-1), 1)
    scores = {
        "accuracy": hits.sum(-1) / total,
        "f1": f1[..., 1] if confusion.shape[-1] == 2 else (f1 * true).sum(-1) / total,
        "balanced_accuracy": (recall * present).sum(-1) / np.maximum(present.sum(-1), 1),
    }
    return {name: float(value) if value.ndim == 0 else value for name, value in scores.items()}


def scores(truth, predicted, n_classes):
    """The scores of `scores_from_confusion`, from true and predicted classes (n,)."""
    return scores_from_confusion(confusion(truth, predicted, n_classes))


class TrialPredictions(NamedTuple):
    """One prediction per trial of a subject; all arrays int, shape (n_trials,)."""

    subject: np.ndarray
    trial: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray


def per_trial(subject, trial, truth, probability):
    """One prediction per trial: the mean of its windows' probabilities (n, classes)."""
    keys, first, owner = np.unique(np.stack([subject, trial]), axis=1, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), probability.shape[1]))
    np.add.at(sums, owner.ravel(), probability)
    return TrialPredictions(*keys, truth[first], sums.argmax(axis=1))


def bootstrap_interval(unit, truth, predicted, n_classes, seed=0):
    """95 % percentile intervals of the scores, resampling independent units (trials or subjects) with all their
    windows.

    They are about the networks as trained: units of several seeds do not belong in one call. None with fewer than
    ``FEWEST_UNITS``.
    """
    units, owner = np.unique(unit, return_inverse=True)
    if len(units) < FEWEST_UNITS:
        return dict.fromkeys(SCORES)
    confusion = np.zeros((len(units), n_classes, n_classes))
    np.add.at(confusion, (owner, truth, predicted), 1)
    intervals = {}
    for name in SCORES:
        result = stats.bootstrap(
            (np.arange(len(units)),),
            lambda sample, axis, name=name: scores_from_confusion(confusion[sample].sum(axis=-3))[name],
            n_resamples=N_BOOTSTRAP,
            method="percentile",
            vectorized=True,
            batch=100,
            rng=np.random.default_rng(seed),
        )
        intervals[name] = [float(result.confidence_interval.low), float(result.confidence_interval.high)]
    return intervals
