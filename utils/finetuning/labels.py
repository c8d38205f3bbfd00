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
    """The settings with LABEL and THRESHOLD as they are used; classes of every trial (subjects, trials), -1 for one
    that was not seen; and the classes' names. A rating that is cut in two but looks like classes is warned about.
    """
    label, threshold = unicodedata.normalize("NFC", settings.LABEL), settings.THRESHOLD
    labels, class_names = data.labels(label, threshold)
    if label not in data.info["classes"]:
        threshold = one_if_alike(thresholds_of(data.info, label, threshold))
    if ranks.rank() == 0:
        if label in data.info["ratings"] and label not in data.info["classes"]:
            _warn_of_classes(data, label, threshold)
        if len(np.unique(labels[data.seen])) == 1 and labels.shape[1] > 1:  # a single trial is refused
            cut = None if threshold is None else f"the threshold is {threshold_in_words(threshold)}"
            only = f"every trial is {class_names[labels.max()]!r}, so nothing can be learned"
            warn(f"--label {label}: {only}; {cut or 'choose another label'}")
    if settings.PERMUTE_LABELS:
        labels = permuted_labels(labels, settings.SEED)
    return settings.replace(LABEL=label, THRESHOLD=threshold), labels, class_names


def _warn_of_classes(data, label, threshold):
    """Warn of a rating with few distinct values: -1, 0 and 1 may be three classes, and not a scale."""
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
