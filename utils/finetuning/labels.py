"""The labels of a task: classes of every trial, as the settings ask for them."""

import unicodedata

import numpy as np

from data_prep.folder.scales import one_if_alike, threshold_in_words, thresholds_of
from data_prep.signals.channels import shorten
from utils.base import ranks
from utils.base.progress import warn
from utils.protocol.permutation import permuted_labels

FEW, EACH = 4, 3  # so few values, each so often on average, look like the numbers of classes
MOST_CLASSES = 10  # likewise 0, 1, 2, ... up to so many


def read_labels(settings, data):
    """Settings with LABEL and THRESHOLD; classes of every trial (subjects, trials), -1 for one not seen; their names.

    A rating that is cut in two but looks like classes is warned about.
    """
    settings = settings.replace(LABEL=unicodedata.normalize("NFC", settings.LABEL))
    labels, class_names = data.labels(settings.LABEL, settings.THRESHOLD)
    if settings.LABEL not in data.info["classes"]:
        threshold = one_if_alike(thresholds_of(data.info, settings.LABEL, settings.THRESHOLD))
        settings = settings.replace(THRESHOLD=threshold)
        if settings.LABEL in data.info["ratings"] and ranks.rank() == 0:
            _warn_of_classes(data, settings.LABEL, settings.THRESHOLD)
    cut, one = settings.THRESHOLD, len(np.unique(labels[data.seen])) == 1
    if one and labels.shape[1] > 1 and ranks.rank() == 0:  # a single trial is refused
        warn(
            f"--label {settings.LABEL}: every trial is {class_names[labels.max()]!r}, so nothing can be learned; "
            + (f"the threshold is {threshold_in_words(cut)}" if cut is not None else "choose another label")
        )
    if settings.PERMUTE_LABELS:
        labels = permuted_labels(labels, settings.SEED)
    return settings, labels, class_names


def _warn_of_classes(data, label, threshold):
    """Say it if a rating has few distinct values: -1, 0 and 1 may be three classes, and not a scale."""
    values = data.ratings[data.seen][:, data.info["ratings"].index(label)]
    distinct = np.unique(values)
    few = 2 < len(distinct) <= FEW and values.size >= EACH * len(distinct)
    numbered = 2 < len(distinct) <= MOST_CLASSES and np.array_equal(distinct, np.arange(len(distinct)))
    if few or numbered:
        parts = np.split(distinct, [(distinct < threshold).sum()])
        low, high = (shorten([f"{value:g}" for value in part]) for part in parts)
        warn(
            f"--label {label} has {len(distinct)} values and is cut in two at {threshold:g}: {low or 'none'} low, "
            f"{high or 'none'} high; if they are classes, write the data again with classes (data_prep/README.md)"
        )
