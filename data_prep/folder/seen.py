"""Incomplete designs: who saw which stimulus, in ``dataset.json`` and in the arrays that people bring."""

from collections.abc import Mapping

import numpy as np

from data_prep.folder.arrays import PERSON, SIGNALS
from data_prep.signals.channels import shorten
from utils.base.errors import InputError


def seen_of(info):
    """Who saw which stimulus, bool (subjects, trials), as ``not_seen`` of ``dataset.json`` says."""
    seen = np.ones((len(info["subjects"]), info["trials"]), bool)
    for subject, names in info.get("not_seen", {}).items():
        seen[info["subjects"].index(subject), [info["stimuli"].index(name) for name in names]] = False
    return seen


def in_words(info):
    """How many trials an incomplete design lacks, in words."""
    seen = seen_of(info)
    people, n = shorten(list(info["not_seen"])), seen.sum(axis=0)
    words = f"incomplete: {(~seen).sum()} of {seen.size} trials are not there ({people}); each stimulus was seen by"
    return f"{words} {n.min()} to {n.max()} of {len(seen)} people"


def trials_with_ratings(ratings, where):
    """Which trials have ratings (trials, ratings), bool; all of a trial are there or, where it was not seen, none."""
    there = ~np.isnan(ratings)
    partly = np.flatnonzero(there.any(axis=1) & ~there.all(axis=1))
    if len(partly):
        what = "a trial has all of them, or none where the person did not see the stimulus"
        remedy = "leave out that trial or that rating"
        raise InputError(f"{where}, trial {partly[0] + 1} lacks some of its ratings: {what}; {remedy}")
    return there.all(axis=1)


def only_seen(person):
    """A person without the trials whose ratings are all NaN, and which trials these leave, bool (trials,).

    None where nothing is left out; what is not as it must be stays for `check_person` to refuse.
    """
    try:
        ratings, where = np.asarray(person["ratings"], np.float64), f"subject {person['id']}"
        seen = trials_with_ratings(ratings.reshape(len(ratings), -1), where)
    except (KeyError, TypeError, ValueError):
        return person, None
    if seen.all():
        return person, None

    def cut(key, value):
        if isinstance(value, Mapping):
            return {name: cut(key, array) for name, array in value.items()}
        if key not in PERSON[1:] or np.shape(value)[:1] != seen.shape:
            return value
        if key in SIGNALS:
            refuse_signals(where, np.nan_to_num(np.asarray(value)[~seen]))
        return np.asarray(value)[seen]

    return {key: cut(key, value) for key, value in person.items()}, seen


def refuse_signals(where, unrated):
    """Refuse signals other than 0 in trials that have no ratings."""
    if np.any(unrated):
        raise InputError(f"{where} has signals in a trial without ratings; leave the trial out, or rate it")


def fill(where, arrays, seen, rated):
    """Arrays (trials, ...) of all stimuli, 0 or NaN (ratings) where one was not seen, and which were seen."""
    arrays = [*arrays[:2], np.asarray(arrays[2], np.float64)]
    if seen is None:
        seen = trials_with_ratings(arrays[2], where) if rated else np.ones(len(arrays[2]), bool)
        for part in arrays[:2]:
            refuse_signals(where, part[~seen])
    else:
        for index, (part, nothing) in enumerate(zip(arrays, (0, 0, np.nan), strict=True)):
            arrays[index] = np.full((len(seen), *part.shape[1:]), nothing, part.dtype)
            arrays[index][seen] = part
    if not np.any(seen):
        raise InputError(f"{where} saw no stimulus; leave the person out")
    return *arrays, np.asarray(seen, bool)
