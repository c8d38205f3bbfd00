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
``filters``           what was filtered, as text such as ``4-45 Hz``; None for nothing
``reference``         of the EEG, as text such as ``average``
``resampling``        as text such as ``512 to 128 Hz``; None for nothing
``short_trials``      what became of trials that were too short

A key that is not there was not recorded: older folders and checkpoints, other people's arrays. Nothing is guessed then.
"""

import re

from utils.errors import InputError

CHOICES = {"eeg": ("channels", "trial"), "pps": ("trial", "none", "subject")}
TEXTS = ("filters", "reference", "resampling", "trials")
KEYS = ("eeg", "pps", "baseline_seconds", "segment", *TEXTS, "short_trials")
OLD_WORDS = {"z-score across channels": "channels"}  # of folders and models before there was a choice
OLD_NAMES = {"t3": "t7", "t4": "t8", "t5": "p7", "t6": "p8"}  # of electrodes, before the 10-10 system
LIST_CHARACTERS = 60  # of names in a message


def make(eeg="channels", pps="trial", **others):
    """The preparation as it is recorded; see the module.

    Raises
    ------
    InputError
        For a key or a value that is not in the vocabulary.
    """
    made = {"eeg": eeg, "pps": pps} | others
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
    if not isinstance(stored, dict):
        return {}
    return {key: OLD_WORDS.get(value, value) if isinstance(value, str) else value for key, value in stored.items()}


def rest_of_all(rests):
    """``baseline_seconds`` of all people from those of each, by modality.

    Raises
    ------
    InputError
        If it was removed for some people only.
    """
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
