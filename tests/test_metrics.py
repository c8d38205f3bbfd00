"""Scores against scikit-learn, intervals over independent units."""

import numpy as np
import pytest
from sklearn import metrics as sk

from utils.results import metrics


@pytest.mark.parametrize("n_classes", [2, 4])
def test_scores_equal_scikit_learn(n_classes):
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, n_classes, (2, 200))
    scores = metrics.scores_from_confusion(metrics.confusion(truth, predicted, n_classes))
    assert scores["accuracy"] == pytest.approx(sk.accuracy_score(truth, predicted))
    average = "binary" if n_classes == 2 else "weighted"
    assert scores["f1"] == pytest.approx(sk.f1_score(truth, predicted, average=average))
    assert scores["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(truth, predicted))


def test_a_class_that_is_absent():
    scores = metrics.scores_from_confusion(metrics.confusion(np.zeros(5, int), np.array([0, 0, 0, 0, 1]), 2))
    assert scores == {"accuracy": 0.8, "f1": 0.0, "balanced_accuracy": 0.8}


def test_trials_are_judged_by_their_mean_probability():
    subject, trial = np.array([0, 0, 0, 1]), np.array([3, 3, 3, 3])
    probability = np.array([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9], [0.8, 0.2]])
    result = metrics.per_trial(subject, trial, np.array([1, 1, 1, 0]), probability)
    assert result.predicted.tolist() == [1, 0]  # two of three windows say 0, their mean says 1
    assert result.truth.tolist() == [1, 0]
    assert result.subject.tolist() == [0, 1]


def test_interval_resamples_units_not_windows():
    """Windows of a unit agree perfectly: the interval must be as wide as with one window per unit."""
    rng = np.random.default_rng(1)
    hit = rng.random(30) < 0.7
    unit = np.repeat(np.arange(30), 50)
    truth, predicted = np.ones(1500, int), np.repeat(hit, 50).astype(int)
    low, high = metrics.bootstrap_interval(unit, truth, predicted, 2)["accuracy"]
    few = metrics.bootstrap_interval(np.arange(30), np.ones(30, int), hit.astype(int), 2)["accuracy"]
    assert [low, high] == pytest.approx(few, abs=1e-9)
    assert high - low > 0.25
    assert low < hit.mean() < high


def test_interval_of_one_unit_is_none():
    assert metrics.bootstrap_interval(np.zeros(4, int), np.ones(4, int), np.ones(4, int), 2)["accuracy"] is None


def test_interval_covers():
    """Coverage of the 95 % interval for 40 fair coins, over 200 repetitions."""
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        low, high = metrics.bootstrap_interval(np.arange(40), np.ones(40, int), rng.integers(0, 2, 40), 2)["accuracy"]
        covered += low <= 0.5 <= high
    assert 0.88 <= covered / 200 <= 0.99


@pytest.mark.parametrize("units", [4, 5, 8, 12])
@pytest.mark.parametrize(("mean", "spread"), [(0.65, 0.2), (0.9, 0.1)])
def test_interval_of_few_units_covers(units, mean, spread):
    """How often the 95 % interval holds the truth, of units whose own accuracy varies, in all three scores."""
    rng = np.random.default_rng(units)
    size = mean * (1 - mean) / spread**2 - 1

    def draw(n):
        truth, own = rng.integers(0, 2, (n, 12)), rng.beta(mean * size, (1 - mean) * size, n)
        right = rng.random((n, 12)) < own[:, None]
        return np.repeat(np.arange(n), 12), truth.ravel(), np.where(right, truth, 1 - truth).ravel()

    truth = metrics.scores(*draw(100_000)[1:], 2)
    covered = dict.fromkeys(metrics.SCORES, 0)
    for _ in range(400):
        for name, ends in metrics.interval(*draw(units), 2).items():
            covered[name] += ends is None or ends[0] <= truth[name] <= ends[1]
    assert all(0.91 <= count / 400 <= 0.995 for count in covered.values()), covered


def test_interval_of_units_that_are_all_alike_is_none():
    unit, truth = np.repeat(np.arange(6), 4), np.tile([0, 1, 0, 1], 6)
    assert metrics.interval(unit, truth, truth, 2)["accuracy"] is None
