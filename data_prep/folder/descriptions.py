"""What ``dataset.json`` holds: the description of a data set, checked alike when it is written and opened."""

from data_prep.folder.arrays import SIGNALS, check_keys, check_names, check_number, check_rate, check_text
from data_prep.folder.scales import QUADRANTS, of_rating
from data_prep.signals.channels import distinct, shorten
from utils.base.errors import InputError

MOST_CLASSES = 100
SCALE = ("rating_range", "threshold")
KEYS = ("name", "sampling_rate", "eeg_channels", "pps_channels", "ratings", *SCALE, "classes", "stimuli", "groups")
REMEDY = "copy the folder from where it is whole, or prepare the data into a new one (data_prep/README.md)"
OPTIONAL = {"classes": {}, "copies": [], "groups": None, "simulated": False, "not_seen": {}}  # if it is not there


def _are_names(value):
    return type(value) is list and all(type(name) is str for name in value) and len(set(value)) == len(value)


def _is_count(value):
    return type(value) is int and 0 < value < 2**31


FIELDS = dict.fromkeys(("seconds", "trials"), _is_count)  # besides the description
FIELDS |= dict.fromkeys(("stimuli", "subjects", "copies"), _are_names)
FIELDS |= dict.fromkeys(("preparation", "sources", "arrays"), lambda value: type(value) is dict)
FIELDS["checksum"] = lambda value: type(value) is str
FIELDS["simulated"] = lambda value: type(value) is bool
FIELDS["not_seen"] = lambda value: type(value) is dict and all(_are_names(names) and names for names in value.values())


def check_info(path, info):
    """The contents of a ``dataset.json`` with all optional entries, checked."""
    info = OPTIONAL | info
    for field, is_valid in FIELDS.items():
        if field not in info or not is_valid(info[field]):
            raise InputError(path, f"has no valid {field!r}", REMEDY)
    try:
        described = {"groups": None} | describe("it", rated=False, **{key: info.get(key) for key in KEYS})
    except InputError as error:
        raise InputError(path, f"has no valid description ({error})", REMEDY) from None
    for key, value in described.items():
        if key not in info or value != info[key] or type(value) is not type(info[key]):
            raise InputError(path, f"has no valid {key!r}", REMEDY)
        if key in ("stimuli", "groups") and value is not None and len(value) != info["trials"]:
            raise InputError(path, f"has no valid {key!r}: {len(value)} for {info['trials']} trials", REMEDY)
    return info


def shapes_of(info):
    """Shape of each array of one person, by name."""
    size = info["trials"], info["seconds"]
    shapes = {name: (*size, len(info[f"{name}_channels"]), info["sampling_rate"]) for name in SIGNALS}
    return shapes | {"ratings": (info["trials"], len(info["ratings"]))}


def describe(where, rated=True, **description):
    """The entries of ``dataset.json`` that describe a data set (as for `PreparedWriter`), checked, in plain types."""
    check_keys(description, KEYS, where)
    given = {key: value for key, value in description.items() if value is not None}
    for key in ("name", "sampling_rate", "ratings"):
        if key not in given:
            raise InputError(f"{where} needs {key}")
    info = {"name": check_text(given["name"], "name"), "sampling_rate": check_rate(given["sampling_rate"])}
    for key in ("eeg_channels", "pps_channels", "ratings"):
        info[key] = check_names(given.get(key, []), key)
    for name in SIGNALS:
        distinct(info[f"{name}_channels"], name, "the data set")
    if not info["eeg_channels"] and not info["pps_channels"]:
        raise InputError("eeg_channels and pps_channels are empty; name the channels of at least one of them")
    if rated and not info["ratings"]:
        raise InputError("ratings is empty; name at least one")
    spellings = {}
    for name in info["ratings"]:  # scripts and file systems must distinguish them
        if name == QUADRANTS:
            raise InputError(f"ratings has {name!r}, which means the quadrants of arousal and valence; rename it")
        same = spellings.setdefault("".join(name.casefold().split()), name)
        if same != name:
            raise InputError(f"ratings has {same!r} and {name!r}: the same but for case and blanks; rename one")
    info["classes"] = _classes(given.get("classes", {}), info["ratings"])
    info |= _scale(given, [name for name in info["ratings"] if name not in info["classes"]])
    info["stimuli"] = check_names(given["stimuli"], "stimuli") if "stimuli" in given else None
    return info | ({"groups": check_names(given["groups"], "groups", once=False)} if "groups" in given else {})


def _classes(classes, ratings):
    """Names of the classes of every categorical rating."""
    if not isinstance(classes, dict):
        raise InputError("classes must be a dictionary of rating to names of its classes")
    classes = {check_text(rating, "a rating in classes"): names for rating, names in classes.items()}
    for rating, names in classes.items():
        if rating not in ratings:
            raise InputError(f"classes has {rating!r}, which is not one of the ratings ({shorten(ratings)})")
        classes[rating] = check_names(names, f"classes of {rating!r}")
        if not 2 <= len(classes[rating]) <= MOST_CLASSES:
            raise InputError(f"classes of {rating!r} are {len(classes[rating])}; 2 to {MOST_CLASSES} are possible")
    return classes


def _scale(given, numeric):
    """Range and threshold of the numeric ratings, one for all or by name; None where all ratings are categorical."""
    if not numeric and not given.keys() & set(SCALE):
        return dict.fromkeys(SCALE)
    scale = {}
    for key in SCALE:
        if key not in given:
            where = f"the rating {numeric[0]!r}" if numeric else "the data set"
            raise InputError(where, f"needs {key}, or classes if it is categorical")
        scale[key] = given[key]
        if isinstance(given[key], dict):
            scale[key] = {check_text(name, f"a rating in {key}"): value for name, value in given[key].items()}
            if missing := [name for name in numeric if name not in scale[key]]:
                raise InputError(f"{key} has none for {missing[0]!r}; give one number for all, or one for each rating")
            if wrong := [name for name in scale[key] if name not in numeric]:
                raise InputError(f"{key} has {wrong[0]!r}, which is not one of the numeric ratings {shorten(numeric)}")
    checked = {name: _check_scale(*(of_rating(scale[key], name) for key in SCALE)) for name in numeric or [None]}
    for place, key in enumerate(SCALE):
        by_name = {name: pair[place] for name, pair in checked.items()}
        scale[key] = by_name if isinstance(scale[key], dict) else next(iter(by_name.values()))
    return scale


def _check_scale(values, threshold):
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
