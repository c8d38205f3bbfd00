"""What test data shared with training data, counted and in words."""

import numpy as np

TRANSDUCTIVE = "test people's signals were standardised with their own, unlabelled"
SHARED = {  # what it means if training has seen it
    "window": "{:.0%} of the test windows themselves were seen in training: a worthless number",
    "trial": "a leak: test windows come from trials seen in training: this number measures recall of the trial, not "
    "emotion",
    "subject": "test subjects were seen in training: this number says nothing about new people",
    "stimulus": "test stimuli were seen in training, by other people or the same: this number says nothing about new "
    "stimuli",
    "group": "a leak: other parts of the test films (groups of stimuli) were seen in training: this number says "
    "nothing about new films",
}


def count(test, seen, groups=None):
    """Fractions of the test windows whose window, trial, ... are among those that training has ``seen``, both (n, 3).

    ``trial`` is this subject's, ``stimulus`` that trial of any subject, ``group`` any part of the same film (``groups``
    of trials). ``seen`` are the windows that were really used; it is empty for weights that were never trained.
    """
    keys = {"window": [0, 2], "trial": [0, 1], "subject": [0], "stimulus": [1]}
    size = 1 + max(int(test.max()), int(seen.max()) if len(seen) else 0)
    fractions = {}
    for name, columns in keys.items():
        codes = [sum(part[:, column] * size**i for i, column in enumerate(columns)) for part in (test, seen)]
        fractions[name] = float(np.isin(*codes).mean())
    if groups is not None:
        fractions["group"] = float(np.isin(groups[test[:, 1]], groups[seen[:, 1]]).mean())
    return fractions


def in_words(audit):
    """Sentences for a person who has to judge the number, from the audit of classifier and encoders."""
    seen = {key: max(part.get(key, 0) for part in audit.values() if part) for key in SHARED}
    if seen["group"] <= seen["stimulus"]:  # the stimuli themselves, no other parts of their films
        seen["group"] = 0
    lines = [words.format(seen[key]) for key, words in SHARED.items() if seen[key] > 0]
    return lines or ["training and test data share no window, trial, subject or stimulus"]
