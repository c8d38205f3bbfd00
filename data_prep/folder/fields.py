"""The entries of ``dataset.json`` and what each must be."""


def _is_count(value):
    return type(value) is int and 0 < value < 2**31


def _is_number(value):
    return type(value) in (int, float) and abs(value) < 1e9  # neither NaN nor infinite


def _are_names(values):
    return type(values) is list and all(type(value) is str for value in values) and len(set(values)) == len(values)


def _is_dict(value):
    return type(value) is dict


def _are_classes(value):
    return _is_dict(value) and all(_are_names(names) and len(names) > 1 for names in value.values())


def _is_range(value):
    return type(value) is list and len(value) == 2 and all(map(_is_number, value))


def _or_by_rating(is_valid):
    """None, one for all ratings, or one for each by its name."""
    return lambda value: value is None or all(map(is_valid, value.values() if _is_dict(value) else [value]))


def _are_lists_of_names(value):
    return _is_dict(value) and all(_are_names(names) and names for names in value.values())


FIELDS = {
    "name": lambda value: type(value) is str,
    "sampling_rate": _is_count,
    "seconds": _is_count,
    "eeg_channels": _are_names,
    "pps_channels": _are_names,
    "ratings": _are_names,
    "classes": _are_classes,
    "rating_range": _or_by_rating(_is_range),
    "threshold": _or_by_rating(_is_number),
    "copies": _are_names,
    "subjects": _are_names,
    "trials": _is_count,
    "stimuli": _are_names,
    "groups": lambda value: value is None or (type(value) is list and all(type(name) is str for name in value)),
    "preparation": _is_dict,
    "sources": _is_dict,
    "arrays": _is_dict,
    "checksum": lambda value: type(value) is str,
    "simulated": lambda value: type(value) is bool,
    "not_seen": _are_lists_of_names,
}
OPTIONAL = {"classes": {}, "copies": [], "groups": None, "simulated": False, "not_seen": {}}  # if it is not there
