"""Stimuli by name: trial t is the same one for everybody; and in incomplete designs, who saw which."""

import re
from collections.abc import Mapping

import numpy as np

from data_prep.folder.arrays import PERSON, SIGNALS
from data_prep.signals.channels import shorten
from utils.base.errors import InputError

GROUPS = (
    "if so, name the film of each as its group: groups=[...] of write_prepared, or a column group in trials.csv "
    "(otherwise all is well)"
)
PART = re.compile(r"(.*[^\W\d].*?)([\s_.:/#-]+|[\s_.:/#-]*(part|pt)[\s_.:/#-]*)\d+", re.IGNORECASE)


def look_like_parts(names):
    """Stimuli such as film_1, film_2 in words: two or more that differ in the number at their end; or an empty text."""
    stems = {}
    for name in names:
        if match := PART.fullmatch(name):
            stems.setdefault(match[1].casefold(), []).append(name)
    return shorten([name for some in stems.values() if len(some) > 1 for name in sorted(some, key=natural)])


def adjoining(trials):
    """Names of a person's stimuli that begin where another one of the same file ends, from (name, file, onset, end)."""
    ends = {(file, round(end, 2)): name for name, file, _, end in trials}
    pairs = [(ends[file, round(onset, 2)], name) for name, file, onset, _ in trials if (file, round(onset, 2)) in ends]
    return sorted({name for pair in pairs for name in pair}, key=natural)


def natural(name):
    """Sorts film2 before film10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in re.split(r"(\d+)", name)], name


def numbers(n):
    """Names of so many stimuli without names."""
    return [str(number) for number in range(1, n + 1)]


def groups_of(noted, names):
    """The group of every stimulus in the order of ``names``; ``noted``: who names which stimuli and their groups."""
    known = {}
    for where, of_stimuli, groups in noted:
        of_stimuli = of_stimuli or numbers(len(groups))
        if len(of_stimuli) != len(groups):
            what = f"has {len(groups)} groups for {len(of_stimuli)} stimuli"
            raise InputError(where, what, "one each is needed")
        for name, group in zip(of_stimuli, groups, strict=True):
            if known.setdefault(name, group) != group:
                what = f"has {name} in the group {group!r}, elsewhere in {known[name]!r}"
                raise InputError(where, what, "a stimulus belongs to one group")
    if ungrouped := [name for name in names or known if name not in known]:
        remedy = "give one for every stimulus, in the order of the data set's stimuli"
        raise InputError(f"groups has none for {shorten(ungrouped)}", remedy=remedy)
    return [known[name] for name in names or known]


def positions(where, names, wanted, whose):
    """Places of the wanted stimuli among a person's, which must be the same; ``where``, ``whose``: for messages."""
    remedy = 'missing="keep" keeps such trials as not there, missing="drop" leaves the stimulus out for all'
    if unseen := [name for name in wanted if name not in names]:
        raise InputError(where, f"has not seen {shorten(unseen)}, which {whose} has", remedy)
    if others := [name for name in names if name not in wanted]:
        raise InputError(where, f"has seen {shorten(others)}, which {whose} has not", remedy)
    return [names.index(name) for name in wanted]


def seen_by_any(people, wanted=None):
    """What people have seen, in the order of ``wanted`` or of the names; what is not wanted is refused."""
    everything = sorted({name for names in people.values() for name in names}, key=natural)
    if wanted and (others := [name for name in everything if name not in wanted]):
        what = "was seen and is not among the data set's stimuli"
        raise InputError(shorten(others), what, "add it, or leave it out")
    return wanted or everything


def common(people, wanted=None, least=2):
    """What all people (their stimuli by name) have seen, in the order of ``wanted`` or of the names; at least so many.

    What is dropped is printed.
    """
    everything = sorted({name for names in people.values() for name in names} | set(wanted or ()), key=natural)
    for name in everything:
        unseen = [who for who, names in people.items() if name not in names]
        if wanted and name not in wanted:
            print(f"{name} is dropped for all: not among the data set's stimuli")
        elif unseen:
            print(f"{name} is dropped for all: not seen by {shorten(unseen)}")
    kept = [name for name in wanted or everything if all(name in names for names in people.values())]
    if len(kept) < least:
        what = f"stimuli were seen by all {len(people)} people; at least {least} are needed"
        raise InputError(f"{len(kept)} {what}: leave out who saw few")
    return kept


def seen_of(info):
    """Who saw which stimulus, bool (subjects, trials), as ``not_seen`` of ``dataset.json`` says."""
    unseen = info.get("not_seen", {})
    return np.array([[name not in unseen.get(who, ()) for name in info["stimuli"]] for who in info["subjects"]])


def in_words(info):
    """How many trials an incomplete design lacks, in words."""
    seen = seen_of(info)
    people, n = shorten(list(info["not_seen"])), seen.sum(axis=0)
    words = f"incomplete: {(~seen).sum()} of {seen.size} trials are not there ({people}); each stimulus was seen by"
    return f"{words} {n.min()} to {n.max()} of {len(seen)} people"


def only_seen(person):
    """A person without the trials whose ratings are all NaN, and which trials these leave, bool (trials,).

    None where nothing is left out; what is not as it must be stays for `check_person` to refuse.
    """
    try:
        ratings, where = np.asarray(person["ratings"], np.float64), f"subject {person['id']}"
        rated = ~np.isnan(ratings.reshape(len(ratings), -1))
    except (KeyError, TypeError, ValueError):
        return person, None
    seen = rated.all(axis=1)
    if seen.all():
        return person, None
    if (partly := np.flatnonzero(rated.any(axis=1) & ~seen)).size:
        what = "lacks some of its ratings: a trial has all of them, or none where the person did not see the stimulus"
        raise InputError(f"{where}, trial {partly[0] + 1}", what, "leave out that trial or that rating")
    if not seen.any():
        raise InputError(where, "saw no stimulus", "leave the person out")

    def cut(key, value):
        if isinstance(value, Mapping):
            return {name: cut(key, array) for name, array in value.items()}
        try:
            if key not in PERSON[1:] or np.shape(value)[:1] != seen.shape:
                return value
        except ValueError:  # trials of unequal length
            return value
        if key in SIGNALS and np.any(np.nan_to_num(np.asarray(value)[~seen])):
            raise InputError(where, "has signals in a trial without ratings", "leave the trial out, or rate it")
        return np.asarray(value)[seen]

    return {key: cut(key, value) for key, value in person.items()}, seen
