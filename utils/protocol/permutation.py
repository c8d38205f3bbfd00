"""Permutation tests: how often labels that mean nothing score as well."""

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler


def permuted_labels(labels, seed, number=0):
    """Labels (subjects, trials) with each person's shuffled over the trials; ``number`` is that of the permutation.

    A negative label is none, and stays where it is.
    """
    rng = np.random.default_rng([seed, 6, number])
    if (labels >= 0).all():
        return rng.permuted(labels, axis=1)
    moved = labels.copy()
    for person in moved:
        person[person >= 0] = rng.permutation(person[person >= 0])
    return moved


def permuted_stimuli(labels, seed, number, groups=None):
    """Labels (subjects, trials), all people's moved from stimulus to stimulus in the same way; for the test.

    People's ratings of a stimulus agree, and so do its marks in their signals: they are not independent. Moved
    together, labels agree across people as before and mean nothing all the same; shuffled person by person, a model
    that only recognises stimuli beats the permutations. A negative label is missing and stays: who did not see the
    stimulus that a label would come from takes that of the next one on the way that they saw. With ``groups``
    (trials,) whole groups change places, as the parts of a film are not independent either.
    """
    rng = np.random.default_rng([seed, 7, number])
    if groups is None:
        order = rng.permutation(labels.shape[1])
    else:  # the groups' labels one after the other, in another order of the groups
        members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
        order = np.empty(labels.shape[1], int)
        order[np.concatenate(members)] = np.concatenate([members[i] for i in rng.permutation(len(members))])
    moved = labels.copy()
    for person in moved:
        there, source = person >= 0, order
        while not there[source[there]].all():
            source = np.where(there[source], source, order[source])
        person[there] = person[source[there]]
    return moved


def p_value(score, null):
    """Share of permutations that score at least as well, the observed order counted as one (Phipson & Smyth 2010)."""
    null = np.asarray(null)
    return float((1 + (null >= score - 1e-12).sum()) / (1 + len(null)))


def result(method, score_name, score, null):
    """The test's entry in ``metrics.json``: the score with the labels as they are, and ``null`` with permuted ones."""
    return {
        "method": method,
        "score_name": score_name,
        "n": len(null),
        "score": float(score),
        "null_mean": float(np.mean(null)),
        "null_std": float(np.std(null)),
        "p_value": p_value(score, null),
    }


def trial_means(windows, features):
    """Keys (n_trials, 2: subject, trial) and mean features (n_trials, width) of windows (n, 3)."""
    keys, owner, count = np.unique(windows[:, :2], axis=0, return_inverse=True, return_counts=True)
    sums = np.zeros((len(keys), features.shape[1]))
    np.add.at(sums, owner.ravel(), features)
    return keys, sums / count[:, None]


def probe_accuracy(train, test, labels, n_classes):
    """Accuracies (n_labellings,) of a ridge classifier on `trial_means`, for labels (n_labellings, subjects, trials).

    The map from training labels to predictions is linear, so a thousand labellings cost little more than one.
    """
    (train_keys, x), (test_keys, x_test) = train, test
    scaler = StandardScaler().fit(x)
    targets = np.eye(n_classes)[labels[:, train_keys[:, 0], train_keys[:, 1]]]  # (K, n_train, classes)
    model = Ridge(alpha=x.shape[1])  # features are standardised: the penalty grows with their number
    model.fit(scaler.transform(x), np.moveaxis(targets, 0, 1).reshape(len(x), -1))
    scores = model.predict(scaler.transform(x_test)).reshape(len(x_test), len(labels), n_classes)
    truth = labels[:, test_keys[:, 0], test_keys[:, 1]].T  # (n_test, K)
    return (scores.argmax(axis=2) == truth).mean(axis=0)
