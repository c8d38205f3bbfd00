"""Which channels of a recording are EEG, which are peripheral, and which are the same in another person's file.

Amplifiers' files call nearly everything EEG, and spell one electrode in several ways. Names decide where types do not.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.signals.channels import plain, shorten
from utils.base.errors import InputError

EXTENDED_10_20 = re.compile(  # the 10-20, 10-10 and 10-5 systems (Oostenveld and Praamstra, Clin. Neurophysiol. 2001)
    r"fp[12z]|n[z12]|(af|f|ft|fc|t|c|tp|cp|p|po|o|i)(z|\d|10)h?|"
    r"(afp|aff|fft|ffc|ftt|fcc|ttp|ccp|tpp|cpp|ppo|poo|oi)(z|\d|10)h?"
)
SAYS_EEG = re.compile(r"eeg[\s_-]*(ch|channel)?[\s_-]*\d+", re.IGNORECASE)  # numbered, and called EEG
KINDS = {  # what a name says; the first that fits
    "clock": r".*(time|clock|stamp).*",
    "stim": r"sti\d*|stim.*|status|trig.*|marker.*|events?|.*annotations|sync.*|counter|photo.*|battery|"
    r"responses?|button.*|keyboard|din\d*|ttl.*|digi.*|evt.*|mkr.*",
    "ground": r"gnd|ground|ref|reference|cms|drl|[am][12]",  # reference and ground electrodes
    "eog": r".*eog.*|[hv]eo[a-z]?|[ls]o[12]|io[12]?|[lr]oc",
    "ecg": r".*(ecg|ekg).*|cardiac",
    "emg": r".*emg.*|zyg.*|corrugator.*|masseter.*|trapez.*",
    "gsr": r".*(gsr|eda).*|sc[lr]?\d?|.*galvanic.*|.*conductance.*|.*electrodermal.*",
    "resp": r".*resp.*|breath.*|rsp.*|thora.*|abdom.*|.*airflow.*",
    "temperature": r".*temp.*|skt",
    "ppg": r".*(ppg|bvp|plet).*|pulse\d?|pulsewave",
}
PERIPHERAL = ("eog", "ecg", "emg", "gsr", "resp", "temperature", "ppg")
UNKNOWN = "eeg?"  # the kind of what a file calls EEG, as amplifiers call nearly everything, and no name supports


@dataclass(frozen=True)
class Channel:
    """A channel of a recording or of its physiology file."""

    name: str  # in the file
    kind: str  # MNE's types, and ppg
    rate: float  # Hz
    factor: float = 1.0  # from MNE's unit to the one that is kept: volts to microvolts
    physio: int | None = None  # which of the files of physiology it is in
    unitless: bool = False
    unit_as: Callable = lambda kind: (1.0, None)  # the factor of another kind, and what is to be said of the unit

    def called(self, kind):
        """The channel of the kind that a person says it is, in that kind's unit; and what is to be said of the unit."""
        factor, said = self.unit_as(kind)
        return replace(self, kind=kind, factor=factor, unitless=False), said


def key(name):
    """What channels of one name have in common, however a file spells it: ``EEG T3-LE`` is ``t7``."""
    return plain(clean(name), "eeg")


def clean(name):
    """A channel's name without what EDF files put around it: ``EEG Fp1-Ref`` is ``Fp1``, but ``EOG left`` stays."""
    name = re.sub(r"^(eeg\s+(?=\S)|(ecg|eog|emg)\s+(?=\S*\2))", "", name.strip(), flags=re.IGNORECASE)
    return re.sub(r"[-_ ](ref|le|av|avg|ar)$", "", name, flags=re.IGNORECASE)


def kind(name, declared, names=()):
    """Kind of a channel: what its file says, unless files say that of everything; ``names``: of all its channels."""
    if declared not in ("eeg", "misc", "bio"):
        return declared
    letters = re.sub(r"[\W_]", "", key(name))
    numbered = letters in ("a1", "a2") and "A3" in names  # a cap whose electrodes are numbered: A1 is not the ear
    said = None if numbered else next((kind for kind, of in KINDS.items() if re.fullmatch(of, letters)), None)
    if said or declared != "eeg":
        return said or declared
    return "eeg" if EXTENDED_10_20.fullmatch(key(name)) or SAYS_EEG.fullmatch(name.strip()) else UNKNOWN


def refuse_unknown(people):
    """Refuse files that call EEG what is none by its name: neither taken nor dropped in silence."""
    for who, channels in people.items():
        if unknown := [channel.name for channel in channels if channel.kind == UNKNOWN]:
            what = f"calls {shorten(unknown)} EEG, which are no electrodes of the 10-5 system"
            remedy = "name the EEG with --eeg-channels, or write channels.csv with propose_trials.py for --channels"
            raise InputError(who, what, remedy)


def file_names(paths):
    """Names of files for messages, with their folders' where several have the same."""
    names = [Path(path).name for path in paths]
    return {p: n if names.count(n) == 1 else f"{Path(p).parent.name}/{n}" for p, n in zip(paths, names, strict=True)}


def has(channels, name):
    """Whether one of these is the channel of this name."""
    return any(key(channel.name) == key(name) for channel in channels)


def pick(channels, name, where):
    """The channel of this name."""
    found = [channel for channel in channels if key(channel.name) == key(name)]
    exact = [channel for channel in found if channel.name == name]
    if len(found) > 1 and len(exact) != 1:
        raise InputError(f"{where} has {name} more than once: {shorten([channel.name for channel in found])}")
    return (exact or found)[0]


def say_rates(people, names, rate):
    """Print the channels that have several rates in the files, in Hz, and are resampled."""
    shown = file_names(people)
    rates = {who: {key(channel.name): channel.rate for channel in own} for who, own in people.items()}
    for name in map(key, names):
        found = {}
        for who, own in rates.items():
            found.setdefault(own[name], []).append(shown[who])
        if len(found) > 1:
            parts = [f"{own:g} Hz ({shorten(files)})" for own, files in sorted(found.items())]
            print(f"sampling rates differ: {', '.join(parts)}; all are brought to {rate} Hz (--sampling-rate)")
            return
