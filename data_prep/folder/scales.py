"""Where ratings are cut into low and high, for all alike or for each by name, and whether classes are one-sided."""

import numpy as np

from data_prep.signals.channels import shorten
from utils.base.errors import InputError

QUADRANTS = "four"  # the label that arousal and valence make together
ONE_SIDED = 0.75  # more of one class: accuracy says little


def of_rating(value, name):
    """The range or threshold of a rating: that of all, or its own."""
    return value.get(name) if isinstance(value, dict) else value


def thresholds_of(info, label, given=None):
    """Threshold by name of the ratings that make a label: ``given`` (for all or by name), or else that of ``info``."""
    if unknown := [name for name in given if name not in info["ratings"]] if isinstance(given, dict) else []:
        raise InputError(f"--threshold: {shorten(unknown)} is not one of the ratings ({shorten(info['ratings'])})")
    cuts = {}
    for name in ["arousal", "valence"] if label == QUADRANTS else [label]:
        cut = of_rating(given, name)
        cuts[name] = of_rating(info["threshold"], name) if cut is None else cut
        if cuts[name] is None:
            raise InputError(f"--label {label}: {info['name']} has no threshold for {name}; give --threshold")
    return cuts


def one_if_alike(cuts):
    """The threshold of all, or the dictionary where they differ."""
    return next(iter(cuts.values())) if len(set(cuts.values())) == 1 else cuts


def threshold_in_words(value):
    """A threshold, or several by rating (a dict or its items), as text."""
    several = isinstance(value, dict | tuple)
    return ", ".join(f"{name} {cut:g}" for name, cut in dict(value).items()) if several else f"{value:g}"


def one_sided(classes, names, what):
    """In words, if more than ``ONE_SIDED`` of these classes (n,) are one; else None. ``what``: such as "trials"."""
    counts = np.bincount(classes, minlength=len(names)) / max(1, len(classes))
    if counts.max() <= ONE_SIDED:
        return None
    return (
        f"{counts.max():.0%} of the {what} are {names[counts.argmax()]!r}: always saying so is right as often, so "
        "accuracy says little; read the balanced accuracy"
    )


def one_sided_ratings(info, rated):
    """`one_sided` for every rating of a data set, from the ratings (trials, ratings) of each person; NaN: not seen."""
    rated = np.concatenate(rated)
    rated = rated[~np.isnan(rated).any(axis=1)]
    for values, name in zip(rated.T, info["ratings"], strict=True):
        names, classes = info["classes"].get(name), values
        if names is None:
            cut = of_rating(info["threshold"], name)
            names, classes = [f"low {name} (below {cut:g})", f"high {name} ({cut:g} or more)"], values >= cut
        if line := one_sided(classes.astype(int), names, "trials"):
            yield line
