"""Scores of predictions: pooled over all test windows, never averaged over batches."""

from typing import NamedTuple

import numpy as np
from scipy import stats
from sklearn import metrics as sk

SCORES = ("accuracy", "f1", "balanced_accuracy")
FEWEST_UNITS = 4  # an interval from fewer says nothing
MARGIN = 0.1  # of a unit, that keeps the logit of 0 and 1 finite
ALIKE = 1e-9  # standard error of what does not vary


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
    keys, start, owner = np.unique(np.stack([subject, trial]), axis=1, return_index=True, return_inverse=True)
    sums = np.zeros((len(start), probability.shape[1]))
    np.add.at(sums, owner.ravel(), probability)
    return TrialPredictions(*keys, truth[start], sums.argmax(axis=1))


def interval(unit, truth, predicted, n_classes):
    """95 % intervals of the scores over the independent units (n,: trials or subjects), with all windows of each.

    Student's t with the jackknife's standard error (leaving out one unit at a time), on the logit scale: for 4 to 30
    units it holds the truth in 91 to 98 % of simulations, where percentiles of a bootstrap hold it in 80 % with 4.
    They are of the networks as they were trained: the units of several seeds do not belong into one call, for those of
    one seed share its networks (`utils.results.comparison`). None with fewer than ``FEWEST_UNITS``, or if no
    unit makes a difference.
    """
    units, owner = np.unique(unit, return_inverse=True)
    n = len(units)
    if n < FEWEST_UNITS:
        return dict.fromkeys(SCORES)
    confusion = np.zeros((n, n_classes, n_classes))
    np.add.at(confusion, (owner, truth, predicted), 1)
    together = scores_from_confusion(confusion.sum(axis=0))
    without = scores_from_confusion(confusion.sum(axis=0) - confusion)  # each unit in turn
    intervals = {}
    for name in SCORES:
        centre, others = (np.log((n * x + MARGIN) / (n * (1 - x) + MARGIN)) for x in (together[name], without[name]))
        error = np.sqrt((n - 1) ** 2 / n * np.var(others, ddof=1))
        ends = centre + stats.t.ppf([0.025, 0.975], n - 1) * error
        intervals[name] = (1 / (1 + np.exp(-ends))).tolist() if error > ALIKE else None
    return intervals


bootstrap_interval = interval  # its former name, when it was one
