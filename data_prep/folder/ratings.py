"""Ratings as a table has them, numbers or names of classes, and whether they lie on the scale that was said."""

import math

from data_prep.folder.descriptions import MOST_CLASSES
from data_prep.signals.channels import shorten
from utils.base.errors import InputError, command
from utils.base.progress import warn

MANY = 20  # so many ratings tell something of the scale that they were given on


def parse_ratings(trials):
    """Numbers of all ratings, and the names of classes.

    Parameters
    ----------
    trials : list of Trial
        With the same ratings each.

    Returns
    -------
    names : list of str
    classes : dict of str to list of str
        Of every rating whose cells hold names: these, sorted; the rating is the index among them.
    values : list of list of float
        Of every trial, in the order of ``names``.

    Raises
    ------
    InputError
        If a rating has numbers and names, or one class is written in two ways.
    """
    names, classes, columns = list(trials[0].ratings), {}, []
    for name in names:
        cells = [trial.ratings[name] for trial in trials]
        numbers = [read_number(cell) for cell in cells]
        wrong = [i for i, number in enumerate(numbers) if number is None]
        if len(wrong) == len(cells):
            classes[name] = sorted(set(cells))
            refuse_spellings(trials, name)
            numbers = [float(classes[name].index(cell)) for cell in cells]
        elif wrong:
            raise InputError(
                f"{trials[wrong[0]].where}: {name} is {cells[wrong[0]]!r}, no number as elsewhere in that column"
            )
        columns.append(numbers)
    return names, classes, [[column[row] for column in columns] for row in range(len(trials))]


def refuse_spellings(trials, name):
    """Refuse ``Sad`` beside ``sad``: they would be two classes."""
    seen = {}
    for trial in trials:
        found = trial.ratings[name]
        other = seen.setdefault("".join(found.casefold().split()), found)
        if other != found:
            raise InputError(f"{trial.where}: {name} is {found!r}, elsewhere {other!r}; write one class in one way")


def check_scale(settings, trials, names, classes, ratings):
    """Refuse numbers off the scale and classes that are none, before hours of work; say what is taken as a rating."""
    low, high = settings.RATING_MIN, settings.RATING_MAX
    numbers = [name for name in names if name not in classes]
    columns = dict(zip(names, zip(*ratings, strict=True), strict=True))
    wrong = [name for name in numbers if not all(low <= value <= high for value in columns[name])]
    wrong += [name for name, values in classes.items() if not 2 <= len(values) <= MOST_CLASSES]
    if wrong:
        name, others = wrong[0], ",".join(name for name in names if name not in wrong)
        remedy = f"; if it is no rating: {command(['--ratings', others])}" if 0 < len(others) < 80 else ""
        if name in classes:
            n = len(classes[name])
            raise InputError(
                f"{trials[0].where}: {name} has {n} classes ({shorten(classes[name])}), not 2 to {MOST_CLASSES}{remedy}"
            )
        trial, value = next((t, v) for t, v in zip(trials, columns[name], strict=True) if not low <= v <= high)
        raise InputError(
            f"{trial.where}: {name} is {value:g}, off the scale of {low:g} to {high:g}; correct it, or set "
            f"--rating-min and --rating-max{remedy}"
        )
    parts = [f"{shorten(numbers)} ({low:g} to {high:g}, high from {settings.THRESHOLD:g} on)"] if numbers else []
    parts += [f"{name} ({len(values)} classes: {shorten(values, 40)})" for name, values in classes.items()]
    if parts:
        print(f"ratings: {'; '.join(parts)}" + ("" if settings.RATINGS else "; --ratings chooses among the columns"))
    for name in numbers:
        given = min(columns[name]), max(columns[name])
        if len(trials) >= MANY and not given[0] < (low + high) / 2 < given[1]:
            warn(
                f"all ratings of {name} lie from {given[0]:g} to {given[1]:g}, in one half of {low:g} to {high:g}; is "
                "that its scale? --rating-min and --rating-max say it"
            )


def read_number(text):
    """The number that a cell holds, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    if "_" in text:  # a name such as 1_2, which Python reads as 12
        return None
    return number if math.isfinite(number) else None
