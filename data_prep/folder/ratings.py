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
        words = [row for row, number in enumerate(numbers) if number is None]
        if len(words) == len(cells):
            classes[name] = sorted(set(cells))
            spellings = {}
            for trial, word in zip(trials, cells, strict=True):  # Sad and sad would be two classes
                other = spellings.setdefault("".join(word.casefold().split()), word)
                if other != word:
                    remedy = "write one class in one way"
                    raise InputError(f"{trial.where}: {name} is {word!r}, elsewhere {other!r}; {remedy}")
            numbers = [float(classes[name].index(cell)) for cell in cells]
        elif words:
            what = f"{name} is {cells[words[0]]!r}, not a number as elsewhere in that column"
            raise InputError(f"{trials[words[0]].where}: {what}")
        columns.append(numbers)
    return names, classes, [[column[row] for column in columns] for row in range(len(trials))]


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
        what = f"lies outside the scale of {low:g} to {high:g} (--rating-min, --rating-max)"
        raise InputError(f"--threshold {threshold:g}", what)
    return low, high, threshold


def scales_of(settings, scales):
    """``rating_range`` and ``threshold`` of the data set's description, by rating where the settings are."""
    if not scales:
        return {}
    ranges = {name: [low, high] for name, (low, high, _) in scales.items()}
    thresholds = {name: threshold for name, (*_, threshold) in scales.items()}
    if not any(isinstance(getattr(settings, key), dict) for key in SCALE):
        ranges, thresholds = (next(iter(values.values())) for values in (ranges, thresholds))
    return {"rating_range": ranges, "threshold": thresholds}


def check_scale(settings, trials, names, classes, ratings):
    """Scales of the numeric ratings, as `scale_of`; refuses numbers off the scale and impossible classes, before hours
    of work, and prints what is taken as a rating.
    """
    numeric = [name for name in names if name not in classes]
    for key in SCALE:
        given = getattr(settings, key)
        if unknown := [name for name in given if name not in numeric] if isinstance(given, dict) else []:
            flag = "--" + key.lower().replace("_", "-")
            raise InputError(f"{flag}: {unknown[0]} is not one of the numeric ratings ({shorten(numeric)})")
    scales = {name: scale_of(settings, name) for name in numeric}
    columns = dict(zip(names, zip(*ratings, strict=True), strict=True))
    faults = {}  # first row of what is off its scale
    for name, (low, high, _) in scales.items():
        if off := [row for row, value in enumerate(columns[name]) if not low <= value <= high]:
            faults[name] = off[0]
    faults |= {name: 0 for name, words in classes.items() if not 2 <= len(words) <= MOST_CLASSES}
    if faults:
        (name, row), others = next(iter(faults.items())), ",".join(name for name in names if name not in faults)
        remedy = f"if it is not a rating: {command(['--ratings', others])}" if 0 < len(others) < 80 else ""
        where, shown = trials[row].where, shorten(classes.get(name, []))
        if name in classes:
            what = f"{name} has {len(classes[name])} classes ({shown}), not 2 to {MOST_CLASSES}"
            raise InputError(f"{where}: {what}", remedy=remedy)
        low, high, _ = scales[name]
        off_scale = f"{name} is {columns[name][row]:g}, off the scale of {low:g} to {high:g}"
        raise InputError(f"{where}: {off_scale}; correct it, or set --rating-min and --rating-max", remedy=remedy)
    alike = {}  # ratings by their scale
    for name, scale in scales.items():
        alike.setdefault(scale, []).append(name)
    parts = [f"{shorten(some)} ({low:g} to {high:g}, high from {cut:g} on)" for (low, high, cut), some in alike.items()]
    parts += [f"{name} ({len(words)} classes: {shorten(words, 40)})" for name, words in classes.items()]
    if parts:
        print(f"ratings: {'; '.join(parts)}" + ("" if settings.RATINGS else "; --ratings chooses among the columns"))
    for name, (low, high, _) in scales.items():
        least, most = min(columns[name]), max(columns[name])
        if len(trials) >= MANY and not least < (low + high) / 2 < most:
            span = f"lie from {least:g} to {most:g}, in one half of {low:g} to {high:g}"
            warn(f"all ratings of {name} {span}; is that its scale? --rating-min and --rating-max set it")
    return scales


def read_number(text):
    """The number that a cell holds, or None."""
    try:
        number = math.nan if "_" in text else float(text)  # 1_2 is a name, although Python reads it as 12
    except ValueError:
        return None
    return number if math.isfinite(number) else None
