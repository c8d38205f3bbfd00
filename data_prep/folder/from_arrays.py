"""The prepared folder from a user's own arrays: check, one order of trials, baseline removal, normalisation."""

import itertools
import shutil
from collections.abc import Mapping

import numpy as np

from data_prep.folder import arrays, preparation, stimuli
from data_prep.folder.descriptions import KEYS
from data_prep.folder.writer import PreparedWriter
from data_prep.signals.resampling import at_one_rate
from data_prep.signals.transforms import prepare_trials
from utils.base.errors import InputError

OPTIONS = ("eeg_normalise", "pps_normalise", "filters", "reference", "resampling", "sampling_rates", "missing")


def write_prepared(
    folder,
    subjects,
    *,
    eeg_normalise="channels",
    pps_normalise="trial",
    filters=None,
    reference=None,
    resampling=None,
    sampling_rates=None,
    missing="error",
    **description,
):
    """Turn arrays into a prepared folder: 1 s blocks, baseline removal, normalisation as for DEAP.

    Parameters
    ----------
    folder : path
        Must not exist, or be empty.
    subjects : iterable of dict
        One per person, at least 2; a generator keeps one in memory at a time. ``id`` (str), ``eeg`` and ``pps``
        (trials, channels, samples) or one of them, ``ratings`` (trials, ratings); optional: ``eeg_baseline`` and
        ``pps_baseline``, the rest of 1 s or more before each trial, ``stimuli`` and ``groups``, a name for each trial.
    eeg_normalise : str
        ``"channels"``: standardised across channels at each sample (the paper); ``"trial"``: each over its trial.
    pps_normalise : str
        ``"trial"``: each channel over its trial; ``"subject"``: over a person's training seconds; ``"none"``.
    filters, reference, resampling : str, optional
        What was done to the signals before, such as ``"1-45 Hz"``; what meets a model of these data is compared.
    sampling_rates : dict of str to float, optional
        Hz, of what is to be resampled to ``sampling_rate``: ``{"eeg": 512, "GSR": 4}``; ``pps`` and ``pps_baseline``
        are then dicts of channel to (trials, samples).
    missing : str
        What of a stimulus that somebody has not seen: ``"error"``; ``"drop"``, for all; or ``"keep"``, as a trial that
        is not there: people name their ``stimuli``, or have a row of NaN in ``ratings`` (signals there: 0 or NaN).
    **description
        As for `PreparedWriter`; ``stimuli`` gives the order of the trials.

    Raises
    ------
    InputError
        If anything does not fit; nothing is written then.
    """
    arrays.check_keys(description, (*KEYS, *OPTIONS), "write_prepared")
    if missing not in ("error", "drop", "keep"):
        raise InputError(f"missing must be error, drop or keep, not {missing!r}")
    if isinstance(subjects, str | bytes | Mapping) or not hasattr(subjects, "__iter__"):
        raise InputError("subjects must be a list or a generator of dictionaries, one per person")
    rates = _rates(sampling_rates)
    if rates and resampling is None:
        shown = ", ".join(f"{rate:g}" for rate in sorted(set(rates.values())))
        resampling = f"{shown} to {arrays.check_rate(description.get('sampling_rate', 0))} Hz"
    before = {"filters": filters, "reference": reference, "resampling": resampling}
    before = {key: value for key, value in before.items() if value is not None}
    made = preparation.make(eeg_normalise, pps_normalise, segment=None, **before)
    with PreparedWriter(folder, preparation=made, missing=missing, **description) as writer:
        rate, rests, trials = writer.info["sampling_rate"], [], Trials(writer, missing)
        for number, person in enumerate(subjects, 1):
            person, seen = stimuli.only_seen(person) if missing == "keep" else (person, None)
            recorded, person = check_person(person, number, writer.info, rates)
            trials.add(person, made, seen)
            rests.append(arrays.rest_of(person, rate))
            look(writer, recorded, rates)
        trials.finish()
        made["baseline_seconds"] = preparation.rest_of_all(rests)
    writer.report()


def _rates(sampling_rates):
    """Rates in Hz of what does not have the folder's, by channel."""
    if not isinstance(sampling_rates or {}, Mapping):
        raise InputError('sampling_rates must be a dictionary such as {"eeg": 512, "GSR": 4}')
    rates = {}
    for name, value in (sampling_rates or {}).items():
        rates[name] = arrays.check_number(value, f"sampling_rates of {name!r}")
        if rates[name] <= 0:
            raise InputError(f"sampling_rates of {name!r} must be greater than 0 Hz, not {rates[name]:g}")
    return rates


def check_person(person, number, info, rates):
    """A person of `write_prepared`, checked: as recorded, and at one rate; ``number``: of the person, for messages."""
    if not isinstance(person, Mapping):
        raise InputError(f"person number {number} is a {type(person).__name__}, not a dictionary with id, eeg, ...")
    person = {key: value for key, value in person.items() if value is not None and not str(key).startswith("__")}
    for key in ("id", "ratings"):
        if key not in person:
            raise InputError(f"person number {number} has no {key!r}")
    person["id"] = arrays.check_text(person["id"], f"the id of person number {number}")
    where, channels = f"subject {person['id']}", {name: info[f"{name}_channels"] for name in arrays.SIGNALS}
    arrays.check_keys(person, arrays.PERSON, where)
    recorded = arrays.check_values(person, channels, where)
    person = at_one_rate(recorded, channels["pps"], info["sampling_rate"], rates)
    arrays.check_shapes(person, channels, info["sampling_rate"], where)
    n_trials = arrays.n_trials_of(person)
    person["ratings"] = arrays.check_ratings(person["ratings"], info["ratings"], n_trials, where)
    for key in person.keys() & {"stimuli", "groups"}:
        person[key] = arrays.check_names(person[key], f"{where}, {key}", n_trials, once=key == "stimuli")
    return recorded, person


class Trials:
    """Puts everybody's trials into one order, by the stimuli that people bring.

    With ``missing="drop"`` or ``"keep"`` it is known at the end only what people have seen: until then the prepared
    arrays of everybody wait in the unfinished folder, so that one person is in memory at a time.
    """

    def __init__(self, writer, missing):
        self.writer, self.missing, self.waiting = writer, missing, writer.partial / "waiting"
        self.names = {}  # of the stimuli, by person; None without names
        self.first, self.whose = None, "the data set's stimuli"  # the first person, and whether it names its stimuli
        info = writer.info
        self.groups = [("the data set", info["stimuli"], info["groups"])] if "groups" in info else []

    def add(self, person, made, seen=None):
        """Prepare a person and write it, or keep it until `finish`; ``seen``: as `only_seen` gives it."""
        subject, names, info = person["id"], person.get("stimuli"), self.writer.info
        where = f"subject {subject}"
        if subject in self.names:
            raise InputError(f"subject {subject} comes twice", remedy="keep one of its files")
        self.first = self.first or (subject, names is not None)
        if (names is not None) != self.first[1]:
            has, has_none = (self.first[0], subject) if names is None else (subject, self.first[0])
            remedy = "name them for all or for none"
            raise InputError(f"subject {has} has stimuli and subject {has_none} has none; {remedy}")
        if names is None and self.missing == "keep":
            n = arrays.n_trials_of(person) if seen is None else len(seen)
            info["stimuli"] = info["stimuli"] or stimuli.numbers(n)
            if n != len(info["stimuli"]):
                what = f"has {n} trials for {len(info['stimuli'])} stimuli"
                raise InputError(where, what, "all subjects need the same trials, or names of their stimuli")
            names = info["stimuli"] if seen is None else list(itertools.compress(info["stimuli"], seen))
        self.names[subject] = names
        if "groups" in person:
            self.groups.append((where, names or info["stimuli"], person["groups"]))
        blocks = prepare_trials(arrays.signals(person), info["sampling_rate"], made, where)
        blocks = (*blocks, person["ratings"])
        if names is None:
            self.writer.add(subject, *blocks, sources={})
        elif self.missing == "error":
            if info["stimuli"] is None:
                info["stimuli"], self.whose = sorted(names, key=stimuli.natural), where
            places = stimuli.positions(where, names, info["stimuli"], self.whose)
            self.writer.add(subject, *(array[places] for array in blocks), sources={})
        else:
            self.writer.check_ratings(subject, person["ratings"])
            self.waiting.mkdir(exist_ok=True)
            np.savez(self.waiting / f"{len(self.names)}.npz", *blocks)

    def finish(self):
        """Write what waits, of all what all have seen or with ``"keep"`` what anybody has; and the groups in order."""
        info = self.writer.info
        if self.waiting.exists():
            choose = stimuli.seen_by_any if self.missing == "keep" else stimuli.common
            info["stimuli"] = choose(self.names, info["stimuli"])
            for number, (subject, names) in enumerate(self.names.items(), 1):
                places = [names.index(name) for name in info["stimuli"] if name in names]
                with np.load(self.waiting / f"{number}.npz") as stored:
                    blocks = [array[places] for array in stored.values()]
                self.writer.add(subject, *blocks, sources={}, seen=np.isin(info["stimuli"], names))
            shutil.rmtree(self.waiting)
        if self.groups:
            info["groups"] = stimuli.groups_of(self.groups, info["stimuli"])


def look(writer, person, rates):
    """Show the arrays of a person, each at its own rate, to the page about the signals."""
    for key in arrays.SIGNALS:
        signal, channels = person.get(key, ()), writer.info[f"{key}_channels"]
        parts = {key: (channels, signal)}
        if isinstance(signal, dict):
            parts = {name: ([name], signal[name][:, None]) for name in channels}
        for name, part in parts.items():
            writer.quality.look(person["id"], part[0], rates.get(name, writer.info["sampling_rate"]), part[1])
