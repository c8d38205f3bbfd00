"""How data were prepared, in one vocabulary, and whether what a model meets is what it was trained on.

A *record* says what data are: ``sampling_rate`` (Hz), ``seconds`` (of a trial), ``channels`` (names by modality) and
the ``preparation``, a dictionary with these keys:

``eeg``               ``channels`` (standardised across channels at each sample, the paper's) | ``trial`` (each channel
                      over its trial)
``pps``               ``trial`` | ``none`` (as after baseline removal) | ``subject`` (each channel over all training
                      seconds of a person; the arrays hold what ``none`` holds, training does the rest)
``baseline_seconds``  rest before each trial whose mean was subtracted: a number, [least, most], None where nothing was
                      subtracted, or one of these by modality
``trials``            what of a long recording became a trial, as text
``segment``           ``first 60 s`` | ``last 60 s`` | None for whole trials
``filters``           what was filtered, as text such as ``4-45 Hz``; None, given as ``none``, for nothing
``reference``         of the EEG, as text such as ``average``
``resampling``        as text such as ``512 to 128 Hz``; None for nothing
``bad_channels``      ``interpolate`` | ``refuse`` | ``keep``: what became of EEG channels that a file marks as bad
``short_trials``      what became of trials that were too short

`compare` matches channels by name, refuses what would be another signal, and warns of the rest. A key that is missing
was not recorded (older folders and checkpoints, other people's arrays): that is said, not guessed.
"""

import re

from data_prep.folder.arrays import SIGNALS
from data_prep.signals.channels import match_channels, shorten
from utils.base.errors import InputError

OLD_WORDS = {"z-score across channels": "channels"}  # of folders and models before there was a choice
TEXTS = ("filters", "reference", "resampling", "trials")


def _is_text(value):
    return value is None or (isinstance(value, str) and 0 < len(value.strip()) <= 100)


def _is_rest(value):
    if isinstance(value, dict):
        return set(value) <= set(SIGNALS) and not any(isinstance(v, dict) or not _is_rest(v) for v in value.values())
    values = value if isinstance(value, list) and value else [value]
    return value is None or all(type(part) in (int, float) and abs(part) < 1e9 for part in values)


VALUES = {  # of a key: whether a value is valid, and what is, in words
    "eeg": (lambda value: value in ("channels", "trial"), "channels or trial"),
    "pps": (lambda value: value in ("trial", "none", "subject"), "trial, none or subject"),
    "baseline_seconds": (_is_rest, "a number, [least, most], None, or one of these by modality"),
    "segment": (
        lambda value: value is None or re.fullmatch(r"(first|last) [1-9]\d{0,5} s", str(value)),
        "like 'first 60 s' or 'last 60 s', or None",
    ),
    **dict.fromkeys(TEXTS, (_is_text, "a text of at most 100 characters, such as '4-45 Hz', or None")),
}


def make(eeg="channels", pps="trial", **others):
    """The preparation as it is recorded; see the module."""
    made = {"eeg": eeg, "pps": pps} | others
    made |= {key: None for key in TEXTS if isinstance(made.get(key), str) and made[key].strip().lower() == "none"}
    for key, (is_valid, words) in VALUES.items():
        if key in made and not is_valid(made[key]):
            name = f"{key}_normalise" if key in SIGNALS else key
            raise InputError(f"{name} must be {words}; not {str(made[key])[:60]!r}")
    return made


def read(stored):
    """A stored preparation in the words of today."""
    return {key: OLD_WORDS.get(value, value) if isinstance(value, str) else value for key, value in stored.items()}


def _checked(stored, where):
    """A stored preparation in the words of today, with valid values; keys may be missing, or unknown."""
    stored = read(stored) if isinstance(stored, dict) else None
    if stored is None or not all(is_valid(stored[key]) for key, (is_valid, _) in VALUES.items() if key in stored):
        what = "has no valid record of how its data were prepared"
        raise InputError(where, what, "use the file as it was written, or prepare the data again")
    return stored


def rest_of_all(rests):
    """``baseline_seconds`` by modality of all people from those of each; refused if only some have it."""
    merged = {}
    for name in sorted({name for rest in rests for name in rest}):
        values = {rest[name] for rest in rests if name in rest}
        if None in values and len(values) > 1:
            raise InputError(f"some people have {name}_baseline and some have none; give it for all or for none")
        merged[name] = next(iter(values)) if len(values) == 1 else [min(values), max(values)]
    values = list(merged.values())
    return merged if any(value != values[0] for value in values) else next(iter(values), None)


def record(data, pps_channels=None):
    """The record of a prepared folder (`Prepared`); ``pps_channels``: those used, by default all."""
    pps = data.info["pps_channels"] if pps_channels is None else pps_channels
    return {
        "sampling_rate": data.rate,
        "seconds": data.info["seconds"],
        "channels": {"eeg": list(data.info["eeg_channels"]), "pps": list(pps)},
        "preparation": _checked(data.info["preparation"], data.folder / "dataset.json"),
        "dataset_checksum": data.checksum,
        "sources": dict(data.info.get("sources") or {}),  # checksums of the raw files, by name
    }


def of_model(made, where):
    """The record in a checkpoint or ``model.pt``, its types checked; older ones contain parts of it."""
    settings = made.get("settings")
    old = {"pps": settings.get("PPS_CHANNELS")} if isinstance(settings, dict) else {}
    channels, preparation = made.get("channels", old), _checked(made.get("preparation", {}), where)
    valid = isinstance(channels, dict) and all(isinstance(names, list) for names in channels.values())
    valid = valid and all(isinstance(name, str) for names in channels.values() for name in names)
    if not valid or any(type(made.get(key, 0)) is not int for key in ("sampling_rate", "seconds")):
        raise InputError(where, "has no valid channels, rate or seconds of its data", "use the file as it was written")
    kept = {key: made[key] for key in ("sampling_rate", "seconds", "dataset_checksum") if key in made}
    return kept | {"channels": channels, "preparation": preparation}


def rest_by_modality(made, modality):
    """``baseline_seconds`` of ``"eeg"`` or ``"pps"``."""
    rest = made.get("baseline_seconds")
    return rest.get(modality) if isinstance(rest, dict) else rest


def compare(wanted, found, where, modalities, standardised=True):
    """Compare recordings (record ``found``) with what a model was trained on (``wanted``).

    ``standardised``: EEG in ``found`` is standardised already, with channels that the model does not know. Returns the
    positions of the model's channels by modality (None where ``found`` does not record them), and warnings. Raises
    InputError if a channel, the rate, a normalisation or the rest differs.
    """
    rate, trained_rate = found["sampling_rate"], wanted.get("sampling_rate")
    if trained_rate not in (None, rate):
        what = f"has {rate} Hz, the model {trained_rate} Hz"
        raise InputError(where, what, f"prepare it with --sampling-rate {trained_rate}")
    positions, unknown, differences = {}, [], []
    for name in modalities:
        names, available = wanted["channels"].get(name), found["channels"][name]
        if names is None:
            unknown.append(f"{name.upper()} channels (taken in their order)")
            positions[name] = None
            continue
        positions[name] = match_channels(names, available, name, where)
        others = [other for number, other in enumerate(available) if number not in positions[name]]
        if others and name == "eeg" and standardised and found["preparation"].get("eeg") != "trial":
            what = f"was standardised with more EEG channels than the model has ({shorten(others)})"
            raise InputError(where, what, "prepare it without them (--eeg-channels)")
    warnings = list(found.get("remarks", []))
    if wanted.get("dataset_checksum") is None or wanted["dataset_checksum"] != found.get("dataset_checksum"):
        _compare_preparations(wanted, found, where, modalities, unknown, differences)
        if unknown:
            warnings.append(f"{where}: not compared, as it is not recorded on both sides: {', '.join(unknown)}")
        if differences:
            warnings.append(f"{where} was prepared otherwise than the model's data: {'; '.join(differences)}")
    return positions, warnings


def _compare_preparations(wanted, found, where, modalities, unknown, differences):
    """Refuse what a model cannot bear; note what only one side records in ``unknown``, the rest in ``differences``."""
    trained, other = wanted["preparation"], found["preparation"]

    def both(key, what):
        if (key in trained) != (key in other):
            unknown.append(what)
        return key in trained and key in other

    for name in modalities:
        if both(name, f"{name.upper()} normalisation") and trained[name] != other[name]:
            what = f"has the {name.upper()} normalisation {other[name]!r}, the model's data {trained[name]!r}"
            raise InputError(where, what, f"prepare it with --{name}-normalise {trained[name]}")
    for name in modalities if both("baseline_seconds", "removal of the rest") else ():
        here, in_model = (rest_by_modality(made, name) for made in (other, trained))
        if (here is None) != (in_model is None):
            states = ["not removed" if rest is None else "removed" for rest in (here, in_model)]
            what = f"the rest before each trial is {states[0]} from the {name.upper()}, in the model's data {states[1]}"
            remedy = "bring it along" if here is None else "prepare it without the rest"
            raise InputError(f"{where}:", what, remedy)
        text = f"mean of {_show(here)} s of rest subtracted, not of {_show(in_model)}"
        if here != in_model and text not in differences:
            differences.append(text)
    for key in ("segment", *TEXTS):
        if both(key, key) and trained[key] != other[key]:
            differences.append(f"{key} {_show(other[key])}, not {_show(trained[key])}")
    seconds, trained_seconds = found.get("seconds"), wanted.get("seconds")
    over_trials = "trial" in [trained.get(name) for name in modalities]
    if over_trials and None not in (seconds, trained_seconds) and seconds != trained_seconds:
        differences.append(f"standardised over trials of {seconds} s, not of {trained_seconds} s")


def in_words(made):
    """A preparation as one line."""
    rests = {name: rest_by_modality(made, name) for name in SIGNALS}
    parts = {f"{name.upper()} normalised over {made[name]}": rests[name] for name in rests}
    words = [f"{what}, " + ("no rest" if rest is None else f"{_show(rest)} s of rest") for what, rest in parts.items()]
    return "; ".join([*words, made["segment"] or "whole trials"])


def _show(value):
    if isinstance(value, list):
        return " to ".join(f"{part:g}" for part in value)
    return "none" if value is None else f"{value:g}" if isinstance(value, int | float) else value[:40]
