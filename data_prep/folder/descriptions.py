"""The description of a data set, checked before anything is written: what is written can be opened."""

from data_prep.folder.arrays import check_keys, check_names, check_number, check_rate, check_text
from data_prep.folder.scales import QUADRANTS, of_rating
from data_prep.signals.channels import distinct, shorten
from utils.base.errors import InputError

MOST_CLASSES = 100
KEYS = (
    *("name", "sampling_rate", "eeg_channels", "pps_channels", "ratings", "rating_range", "threshold", "classes"),
    *("stimuli", "groups"),
)


def describe(where, rated=True, **description):
    """The entries of ``dataset.json`` that describe a data set (as for `PreparedWriter`), checked, in plain types."""
    check_keys(description, KEYS, where)
    given = {key: value for key, value in description.items() if value is not None}
    for key in ("name", "sampling_rate", "ratings"):
        if key not in given:
            raise InputError(f"{where} needs {key}")
    info = {
        "name": check_text(given["name"], "name"),
        "sampling_rate": check_rate(given["sampling_rate"]),
        "eeg_channels": check_names(given.get("eeg_channels", []), "eeg_channels"),
        "pps_channels": check_names(given.get("pps_channels", []), "pps_channels"),
        "ratings": check_names(given["ratings"], "ratings"),
    }
    for name in ("eeg", "pps"):
        distinct(info[f"{name}_channels"], name, "the data set")
    if not info["eeg_channels"] and not info["pps_channels"]:
        raise InputError("eeg_channels and pps_channels are empty; name the channels of at least one of them")
    if rated and not info["ratings"]:
        raise InputError("ratings is empty; name at least one")
    _check_rating_names(info["ratings"])
    info["classes"] = _classes(given.get("classes", {}), info["ratings"])
    return (
        info
        | _scale(given, info)
        | {"stimuli": check_names(given["stimuli"], "stimuli") if "stimuli" in given else None}
        | ({"groups": check_groups(given["groups"], "groups")} if "groups" in given else {})
    )


def check_groups(values, what, n_trials=None):
    """The group of every stimulus, such as the film that it is a part of, as a list of texts."""
    if isinstance(values, str | bytes | set | frozenset | dict) or not hasattr(values, "__iter__"):
        raise InputError(f"{what} must be a list of names, one per stimulus, not {str(values)[:60]}")
    names = [check_text(value, f"{what}, number {number},") for number, value in enumerate(values, 1)]
    if n_trials not in (None, len(names)):
        raise InputError(f"{what} has {len(names)} names for {n_trials} trials; one each is needed")
    return names


def _check_rating_names(ratings):
    """Refuse names that scripts and file systems could not tell apart."""
    seen = {}
    for name in ratings:
        if name == QUADRANTS:
            raise InputError(f"ratings has {name!r}, which means the quadrants of arousal and valence; rename it")
        same = seen.setdefault("".join(name.casefold().split()), name)
        if same != name:
            raise InputError(
                f"ratings has {same!r} and {name!r}, which are the same but for case and blanks; rename one"
            )


def _classes(classes, ratings):
    """Names of the classes of every categorical rating."""
    if not isinstance(classes, dict):
        raise InputError("classes must be a dictionary of rating to names of its classes")
    found = {}
    for rating, values in classes.items():
        rating = check_text(rating, "a rating in classes")
        if rating not in ratings:
            raise InputError(f"classes has {rating!r}, which is not one of the ratings ({', '.join(ratings)[:100]})")
        found[rating] = check_names(values, f"classes of {rating!r}")
        if not 2 <= len(found[rating]) <= MOST_CLASSES:
            raise InputError(f"classes of {rating!r} are {len(found[rating])}; 2 to {MOST_CLASSES} are possible")
    return found


def _scale(given, info):
    """Range and threshold of the numeric ratings, one for all or by name; None where all ratings are categorical."""
    numeric = [name for name in info["ratings"] if name not in info["classes"]]
    if not numeric and "rating_range" not in given and "threshold" not in given:
        return {"rating_range": None, "threshold": None}
    for key in ("rating_range", "threshold"):
        if key not in given:
            raise InputError(
                f"the rating {numeric[0]!r} needs {key}, or classes if it is categorical" if numeric else key
            )
    for key in ("rating_range", "threshold"):
        if isinstance(given[key], dict):
            given = given | {key: {check_text(name, f"a rating in {key}"): value for name, value in given[key].items()}}
            wrong = [name for name in given[key] if name not in numeric]
            if lacking := [name for name in numeric if name not in given[key]]:
                raise InputError(f"{key} has none for {lacking[0]!r}; give one number for all, or one for each rating")
            if wrong:
                raise InputError(f"{key} has {wrong[0]!r}, which is not one of the numeric ratings {shorten(numeric)}")
    pairs = [[of_rating(given[key], name) for key in ("rating_range", "threshold")] for name in numeric or [None]]
    scales = [_scale_of(*pair) for pair in pairs]
    return {
        key: dict(zip(numeric, of_all, strict=True)) if isinstance(given[key], dict) else of_all[0]
        for key, of_all in zip(("rating_range", "threshold"), zip(*scales, strict=True), strict=True)
    }


def _scale_of(values, threshold):
    """Range and threshold of one rating, checked."""
    if isinstance(values, str | dict | set) or not hasattr(values, "__len__") or len(values) != 2:
        raise InputError(f"rating_range must be two numbers, the lowest and the highest rating, not {str(values)[:60]}")
    low, high = (check_number(value, "rating_range") for value in values)
    threshold = check_number(threshold, "threshold")
    if low >= high:
        raise InputError(f"rating_range must begin with the lower end, not {low}, {high}")
    if not low <= threshold <= high:
        raise InputError(f"threshold {threshold} lies outside rating_range {low} to {high}: all trials would be alike")
    return [low, high], threshold
