"""Channels by name: the same electrodes in another order, spelled otherwise, or by their older names."""

import re

from utils.base.errors import InputError

OLD_NAMES = {"t3": "t7", "t4": "t8", "t5": "p7", "t6": "p8"}  # 10-20 system to 10-10
LIST_CHARACTERS = 60  # of names in a message


def match_channels(wanted, available, modality, where):
    """Positions of ``wanted`` channels among ``available`` by name, regardless of case, blanks and older names."""
    places = distinct(available, modality, where)
    keys = distinct(wanted, modality, "the model")
    missing = [name for key, name in zip(keys, wanted, strict=True) if key not in places]
    if missing:
        what = f"lacks the {modality} channels {shorten(missing)}, which the model was trained on"
        raise InputError(where, what, f"it has {shorten(available) or 'none'}")
    positions = [places[key] for key in keys]
    pairs = zip(wanted, (available[position] for position in positions), strict=True)
    other = [f"{there} is {name}" for name, there in pairs if name != there]
    if other:
        print(f"{where}: {modality} channels by name: {shorten(other)}")
    return positions


def distinct(names, modality, where):
    """Position of each channel by what its name means; two that mean the same are an `InputError`."""
    places = {}
    for position, name in enumerate(names):
        key = plain(name, modality)
        if key in places:
            same = f"{names[places[key]]!r} and {name!r}, which are the same"
            raise InputError(where, f"has the {modality} channels {same}", "keep one")
        places[key] = position
    return places


def plain(name, modality):
    """What the name of a channel means: without case and blanks; of an electrode its newer name, without ``EEG``."""
    text = " ".join(name.split()).lower()
    if modality == "eeg":
        text = re.sub(r"^eeg[ _-]+|[ _-]+ref$|\.+$", "", text)
    text = "".join(text.split())
    return OLD_NAMES.get(text, text) if modality == "eeg" else text


def shorten(names, most=LIST_CHARACTERS):
    """Names as a list of at most about so many characters."""
    names = list(names)
    text = ", ".join(names)
    if len(text) <= most:
        return text
    kept = text[:most].rsplit(", ", 1)[0]
    return f"{kept}, ... ({len(names)} in all)"
