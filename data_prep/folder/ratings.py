"""Ratings as a table has them, numbers or names of classes, and whether they lie on the scale that was said."""

import math

from data_prep.folder.descriptions import MOST_CLASSES
from data_prep.folder.scales import of_rating
from data_prep.signals.channels import shorten
from utils.base.errors import InputError, command
from utils.base.progress import warn

SCALE = ("RATING_MIN", "RATING_MAX", "THRESHOLD")
MANY = 20  # so many ratings tell something of the scale that they were given on


def parse_ratings(trials):
    """Ratings of trials: names, classes by name (sorted) of those that are words, and values of every trial.

    The value of a rating that is a word is its index among the classes.
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
            what = f"{name} is {cells[wrong[0]]!r}, not a number as elsewhere in that column"
            raise InputError(f"{trials[wrong[0]].where}: {what}")
        columns.append(numbers)
    return names, classes, [[column[row] for column in columns] for row in range(len(trials))]


def refuse_spellings(trials, name):
    """Refuse ``Sad`` together with ``sad``: they would be two classes."""
    seen = {}
    for trial in trials:
        found = trial.ratings[name]
        other = seen.setdefault("".join(found.casefold().split()), found)
        if other != found:
            raise InputError(f"{trial.where}: {name} is {found!r}, elsewhere {other!r}; write one class in one way")


def scale_of(settings, name):
    """Lowest and highest possible value and threshold of a rating, as the settings give them for all or by name."""
    low, high, threshold = (of_rating(getattr(settings, key), name) for key in SCALE)
    for flag, value in (("--rating-min", low), ("--rating-max", high)):
        if value is None:
            raise InputError(f"{flag} has none for {name}: give one number for all, or one for each rating")
    if low >= high:
        raise InputError(f"--rating-min {low:g} must be less than --rating-max {high:g}")
    threshold = (low + high) / 2 if threshold is None else threshold
    if not low <= threshold <= high:
        raise InputError(
            f"--threshold {threshold:g} lies outside the scale of {low:g} to {high:g} (--rating-min, --rating-max)"
        )
    return low, high, threshold


def scales_of(settings, names, classes):
    """``rating_range`` and ``threshold`` of the data set's description, by rating where the settings are."""
    given = {key: getattr(settings, key) for key in SCALE}
    numbers = [name for name in names if name not in classes]
    for key, value in given.items():
        if wrong := [name for name in value if name not in numbers] if isinstance(value, dict) else []:
            flag = "--" + key.lower().replace("_", "-")
            raise InputError(f"{flag}: {wrong[0]} is not one of the numeric ratings ({shorten(numbers)})")
    if not numbers:
        return {}
    scales = {name: scale_of(settings, name) for name in numbers}
    if not any(isinstance(value, dict) for value in given.values()):
        low, high, threshold = scales[numbers[0]]
        return {"rating_range": [low, high], "threshold": threshold}
    ranges = {name: [low, high] for name, (low, high, _) in scales.items()}
    return {"rating_range": ranges, "threshold": {name: scale[2] for name, scale in scales.items()}}


def check_scale(settings, trials, names, classes, ratings):
    """Refuse numbers off the scale and impossible classes, before hours of work; print what is taken as a rating."""
    scales = {name: scale_of(settings, name) for name in names if name not in classes}
    columns = dict(zip(names, zip(*ratings, strict=True), strict=True))
    off = {}
    for name, (low, high, _) in scales.items():
        off[name] = [row for row, value in enumerate(columns[name]) if not low <= value <= high]
    wrong = [name for name, rows in off.items() if rows]
    wrong += [name for name, values in classes.items() if not 2 <= len(values) <= MOST_CLASSES]
    if wrong:
        name, others = wrong[0], ",".join(name for name in names if name not in wrong)
        remedy = f"; if it is not a rating: {command(['--ratings', others])}" if 0 < len(others) < 80 else ""
        if name in classes:
            what = f"{len(classes[name])} classes ({shorten(classes[name])}), not 2 to {MOST_CLASSES}"
            raise InputError(f"{trials[0].where}: {name} has {what}{remedy}")
        row, (low, high, _) = off[name][0], scales[name]
        raise InputError(
            f"{trials[row].where}: {name} is {columns[name][row]:g}, off the scale of {low:g} to {high:g}; correct it, "
            f"or set --rating-min and --rating-max{remedy}"
        )
    alike = {}  # ratings by their scale
    for name, scale in scales.items():
        alike.setdefault(scale, []).append(name)
    parts = [f"{shorten(some)} ({low:g} to {high:g}, high from {cut:g} on)" for (low, high, cut), some in alike.items()]
    parts += [f"{name} ({len(values)} classes: {shorten(values, 40)})" for name, values in classes.items()]
    if parts:
        print(f"ratings: {'; '.join(parts)}" + ("" if settings.RATINGS else "; --ratings chooses among the columns"))
    for name, (low, high, _) in scales.items():
        least, most = min(columns[name]), max(columns[name])
        if len(trials) >= MANY and not least < (low + high) / 2 < most:
            where = f"lie from {least:g} to {most:g}, in one half of {low:g} to {high:g}"
            warn(f"all ratings of {name} {where}; is that its scale? --rating-min and --rating-max set it")


def read_number(text):
    """The number that a cell holds, or None."""
    try:
        number = math.nan if "_" in text else float(text)  # 1_2 is a name, although Python reads it as 12
    except ValueError:
        return None
    return number if math.isfinite(number) else None
