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

`compare` matches channels by name, refuses what would be another signal, and warns of the rest, with both sides. A key
that is not there was not recorded (older folders and checkpoints, other people's arrays): that is said, not guessed.
"""

import re

from data_prep.signals.channels import match_channels, shorten
from utils.base.errors import InputError

CHOICES = {"eeg": ("channels", "trial"), "pps": ("trial", "none", "subject")}
TEXTS = ("filters", "reference", "resampling", "trials")
KEYS = ("eeg", "pps", "baseline_seconds", "segment", *TEXTS, "bad_channels", "short_trials")
OLD_WORDS = {"z-score across channels": "channels"}  # of folders and models before there was a choice


def make(eeg="channels", pps="trial", **others):
    """The preparation as it is recorded; see the module."""
    made = {"eeg": eeg, "pps": pps} | others
    made |= {key: None for key in TEXTS if isinstance(made.get(key), str) and made[key].strip().lower() == "none"}
    for key, value in made.items():
        if key not in KEYS:
            raise InputError(f"a preparation has no {key!r}; it has {', '.join(KEYS)}")
        if key in CHOICES and value not in CHOICES[key]:
            raise InputError(f"{key}_normalise must be one of {', '.join(CHOICES[key])}; not {value!r}")
        if key in TEXTS and not (value is None or (isinstance(value, str) and value.strip() and len(value) <= 100)):
            raise InputError(f"{key} must be a text of at most 100 characters, such as '4-45 Hz', or None")
        if key == "segment" and not (value is None or is_segment(value)):
            raise InputError(f"segment must be like 'first 60 s' or 'last 60 s', or None; not {value!r}")
    return made


def is_segment(value):
    """Whether this names a part of a trial."""
    return isinstance(value, str) and re.fullmatch(r"(first|last) [1-9]\d{0,5} s", value) is not None


def read(stored):
    """A stored preparation in the words of today."""
    return {key: OLD_WORDS.get(value, value) if isinstance(value, str) else value for key, value in stored.items()}


def rest_of_all(rests):
    """``baseline_seconds`` by modality of all people from those of each; refused if only some have it."""
    found = {}
    for name in sorted({name for rest in rests for name in rest}):
        values = [rest[name] for rest in rests if name in rest]
        if None in values and any(value is not None for value in values):
            raise InputError(f"some people have {name}_baseline and some have none; give it for all or for nobody")
        least, most = (None, None) if None in values else (min(values), max(values))
        found[name] = least if least == most else [least, most]
    same = [value for value in found.values() if value not in list(found.values())[:1]] == []
    return next(iter(found.values()), None) if same else found


def agree(one, other):
    """Whether two stored preparations differ in nothing that both record."""
    one, other = read(one), read(other)
    return all(one[key] == other[key] for key in one.keys() & other.keys())


def record(data, pps_channels=None):
    """The record of a prepared folder (`Prepared`) for checkpoints and models; ``pps_channels``: those used, by
    default all.
    """
    if not is_valid(data.info["preparation"]):
        raise InputError(
            f"{data.folder / 'dataset.json'} does not say properly how the data were prepared; prepare them anew"
        )
    pps = data.info["pps_channels"] if pps_channels is None else pps_channels
    return {
        "sampling_rate": data.rate,
        "seconds": data.info["seconds"],
        "channels": {"eeg": list(data.info["eeg_channels"]), "pps": list(pps)},
        "preparation": read(data.info["preparation"]),
        "dataset_checksum": data.checksum,
        "sources": dict(data.info.get("sources") or {}),  # checksums of the raw files, by name
    }


def of_model(made, where):
    """The record in a checkpoint or ``model.pt``, its types checked; older ones contain parts of it."""
    settings = made.get("settings")
    old = {"pps": settings.get("PPS_CHANNELS")} if isinstance(settings, dict) else {}
    channels, preparation = made.get("channels", old), made.get("preparation", {})
    valid = (
        isinstance(channels, dict)
        and all(isinstance(names, list) and all(isinstance(n, str) for n in names) for names in channels.values())
        and all(type(made.get(key, 0)) is int for key in ("sampling_rate", "seconds"))
        and is_valid(preparation)
    )
    if not valid:
        raise InputError(f"{where} does not say properly how its data were prepared; use the file as it was written")
    kept = {key: made[key] for key in ("sampling_rate", "seconds", "dataset_checksum") if key in made}
    return kept | {"channels": channels, "preparation": read(preparation)}


def is_valid(stored):
    """Whether a stored preparation has values of the types that it must have; keys may be missing, or unknown."""
    if not isinstance(stored, dict):
        return False
    made = read(stored)
    return (
        all(made.get(key, choices[0]) in choices for key, choices in CHOICES.items())
        and all(made.get(key) is None or isinstance(made[key], str) for key in TEXTS)
        and (made.get("segment") is None or is_segment(made["segment"]))
        and _is_rest(made.get("baseline_seconds"))
    )


def _is_rest(value):
    if isinstance(value, dict):
        return set(value) <= {"eeg", "pps"} and not any(isinstance(v, dict) or not _is_rest(v) for v in value.values())
    values = value if isinstance(value, list) and value else [value]
    return value is None or all(type(part) in (int, float) and abs(part) < 1e9 for part in values)


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
    rate, own_rate = found["sampling_rate"], wanted.get("sampling_rate")
    if own_rate not in (None, rate):
        raise InputError(f"{where} has {rate} Hz, the model {own_rate} Hz; prepare it with --sampling-rate {own_rate}")
    same = wanted.get("dataset_checksum") is not None and wanted["dataset_checksum"] == found.get("dataset_checksum")
    positions, missing, warnings = {}, [], found.get("remarks", [])
    for name in modalities:
        names, there = wanted["channels"].get(name), found["channels"][name]
        if names is None:
            missing.append(f"{name.upper()} channels (taken in their order)")
            positions[name] = None
            continue
        positions[name] = match_channels(names, there, name, where)
        others = [other for number, other in enumerate(there) if number not in positions[name]]
        if others and name == "eeg" and standardised and found["preparation"].get("eeg") != "trial":
            raise InputError(
                f"{where} was standardised with more EEG channels than the model has ({shorten(others)}); prepare it "
                "without them (--eeg-channels)"
            )
    if not same:
        unknown, differences = _differences(wanted, found, where, modalities)
        if missing + unknown:
            warnings.append(
                f"{where}: not compared, as it is not recorded on both sides: {', '.join(missing + unknown)}"
            )
        if differences:
            warnings.append(f"{where} was prepared otherwise than the model's data: {'; '.join(differences)}")
    return positions, warnings


def _differences(wanted, found, where, modalities):
    """What only one side records, and differences that a model may bear, in words; others are refused."""
    own, other = wanted["preparation"], found["preparation"]
    unknown, differences = [], []

    def both(key, what):
        if (key in own) != (key in other):
            unknown.append(what)
        return key in own and key in other

    for name in modalities:
        if both(name, f"{name.upper()} normalisation") and own[name] != other[name]:
            raise InputError(
                f"{where} has the {name.upper()} normalisation {other[name]!r}, the model's data {own[name]!r}; "
                f"prepare it with --{name}-normalise {own[name]}"
            )
    if both("baseline_seconds", "removal of the rest"):
        for name in modalities:
            rests = [rest_by_modality(made, name) for made in (other, own)]
            if (rests[0] is None) != (rests[1] is None):
                here, there = ("removed" if rest is not None else "not removed" for rest in rests)
                raise InputError(
                    f"{where}: the rest before each trial is {here} from the {name.upper()}, in the model's data it is "
                    f"{there}; " + ("bring it along" if here == "not removed" else "prepare it without the rest")
                )
            text = "mean of {} s of rest subtracted, not of {}".format(*map(_show, rests))
            if rests[0] != rests[1] and text not in differences:
                differences.append(text)
    for key in ("segment", *TEXTS):
        if both(key, key) and own[key] != other[key]:
            differences.append(f"{key} {_show(other[key])}, not {_show(own[key])}")
    lengths = [part.get("seconds") for part in (found, wanted)]
    over_trials = any(own.get(name) == "trial" for name in modalities)
    if over_trials and None not in lengths and lengths[0] != lengths[1]:
        differences.append(f"standardised over trials of {lengths[0]} s, not of {lengths[1]} s")
    return unknown, differences


def in_words(made):
    """A preparation as one line."""
    rests = {name: rest_by_modality(made, name) for name in ("eeg", "pps")}
    parts = {f"{name.upper()} normalised over {made[name]}": rests[name] for name in rests}
    words = [f"{what}, " + ("no rest" if rest is None else f"{_show(rest)} s of rest") for what, rest in parts.items()]
    return "; ".join([*words, made["segment"] or "whole trials"])


def _show(value):
    if isinstance(value, list):
        return " to ".join(f"{part:g}" for part in value)
    return "none" if value is None else f"{value:g}" if isinstance(value, int | float) else value[:40]
