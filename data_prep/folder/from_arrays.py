"""The prepared folder from a user's own arrays: check, one order of trials, baseline removal, normalisation."""

from collections.abc import Mapping

import numpy as np

from data_prep.folder import preparation as preparations
from data_prep.folder import stimuli
from data_prep.folder.arrays import (
    PERSON,
    SIGNALS,
    check_ratings,
    check_signal,
    check_signals,
    n_trials_of,
    rest_of,
    signals,
)
from data_prep.folder.descriptions import KEYS
from data_prep.folder.prepared import ARRAYS
from data_prep.folder.reading import prepare_trials
from data_prep.folder.stimuli import only_seen
from data_prep.folder.values import check_keys, check_names, check_number, check_rate, check_text
from data_prep.folder.writer import PreparedWriter
from data_prep.signals.resampling import at_one_rate
from utils.base.errors import InputError


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
        (trials, channels, samples) or one of them, and ``ratings`` (trials, ratings); all trials have one length.
        ``eeg_baseline`` and ``pps_baseline``, of any length from 1 s on, are the rest before each trial; without them
        no baseline is removed. ``stimuli``, the names of a person's trials, puts everybody's trials into one order;
        without them trial t must be the same for all. ``groups`` names the film (or session) of each.
    eeg_normalise : str
        ``"channels"``: standardised across channels at each sample (the paper); ``"trial"``: each over its trial.
    pps_normalise : str
        ``"trial"``: each PPS channel standardised over its trial; ``"subject"``: over a person's training seconds, in
        training; ``"none"``: as it is.
    filters, reference, resampling : str, optional
        What was done to the signals before, such as ``"1-45 Hz"``, ``"average"``, ``"500 to 128 Hz"``; None: not
        recorded. What meets a model of these data is compared with it.
    sampling_rates : dict of str to float, optional
        Hz, of what is to be resampled to the ``sampling_rate`` of the folder: ``{"eeg": 512, "GSR": 4}``. Then ``pps``
        and ``pps_baseline`` are dicts: name of a channel to (trials, samples).
    missing : str
        What of a stimulus that somebody has not seen: ``"error"``; ``"drop"``, for all; or ``"keep"``, as a trial that
        is not there: people name their ``stimuli``, or have a row of NaN in ``ratings`` (signals there: 0 or NaN).
    **description
        As for `PreparedWriter`; ``stimuli`` gives the order of the trials.

    Raises
    ------
    InputError
        If shapes do not agree with the names or with each other, values are impossible, a key or an option is not
        known, or the rest or the stimuli are there for some people only. Nothing is written then.
    """
    options = ("eeg_normalise", "pps_normalise", "filters", "reference", "resampling", "sampling_rates", "missing")
    check_keys(description, (*KEYS, *options), "write_prepared")
    if missing not in ("error", "drop", "keep"):
        raise InputError(f"missing must be error, drop or keep, not {missing!r}")
    if isinstance(subjects, str | bytes | Mapping) or not hasattr(subjects, "__iter__"):
        raise InputError("subjects must be a list or a generator of dictionaries, one per person")
    rates = _rates(sampling_rates)
    if rates and resampling is None:
        shown = ", ".join(f"{value:g}" for value in sorted(set(rates.values())))
        resampling = f"{shown} to {check_rate(description.get('sampling_rate', 0))} Hz"
    before = {"filters": filters, "reference": reference, "resampling": resampling}
    before = {key: value for key, value in before.items() if value is not None}
    made = preparations.make(eeg_normalise, pps_normalise, segment=None, **before)
    with PreparedWriter(folder, preparation=made, missing=missing, **description) as writer:
        rate, rests, trials = writer.info["sampling_rate"], [], Trials(writer, missing)
        for place, recorded in enumerate(subjects, 1):
            recorded, seen = only_seen(recorded) if missing == "keep" else (recorded, None)
            recorded, person = check_person(recorded, place, writer.info, rates)
            trials.add(person, made, seen)
            rests.append(rest_of(person, rate))
            look(writer, recorded, rate, rates)
        trials.finish()
        made["baseline_seconds"] = preparations.rest_of_all(rests)
    writer.report()


def _rates(sampling_rates):
    """Rates in Hz of what does not have the folder's, by channel."""
    if not isinstance(sampling_rates or {}, Mapping):
        raise InputError('sampling_rates must be a dictionary such as {"eeg": 512, "GSR": 4}')
    rates = {name: check_number(value, f"sampling_rates of {name!r}") for name, value in (sampling_rates or {}).items()}
    if wrong := [name for name, rate in rates.items() if rate <= 0]:
        raise InputError(f"sampling_rates of {wrong[0]!r} must be greater than 0 Hz, not {rates[wrong[0]]:g}")
    return rates


def check_person(person, place, info, rates):
    """A person of `write_prepared` (the ``place``-th), checked: as recorded, and at one rate."""
    if not isinstance(person, Mapping):
        raise InputError(f"person number {place} is a {type(person).__name__}, not a dictionary with id, eeg, ...")
    person = {key: value for key, value in person.items() if value is not None and not str(key).startswith("__")}
    if lacking := [key for key in ("id", "ratings") if key not in person]:
        raise InputError(f"person number {place} has no {lacking[0]!r}")
    recorded = person | {"id": check_text(person["id"], f"the id of person number {place}")}
    where = f"subject {recorded['id']}"
    check_keys(recorded, PERSON, where)
    at_own_rate = {key for key in ("pps", "pps_baseline") if isinstance(recorded.get(key), Mapping)}
    for key in at_own_rate:
        recorded[key] = {name: check_signal(value, where, f"{key} {name}") for name, value in recorded[key].items()}
    if "eeg" in rates and "eeg" in recorded:
        recorded["eeg"] = check_signal(recorded["eeg"], where, "eeg")
        at_own_rate.add("eeg")
    channels = {name: info[f"{name}_channels"] for name in SIGNALS}
    at_one = at_one_rate(recorded, channels["pps"], info["sampling_rate"], rates)
    person = check_signals(at_one, channels, info["sampling_rate"], where)
    n_trials = n_trials_of(person)
    person["ratings"] = check_ratings(person["ratings"], info["ratings"], n_trials, where)
    for key in person.keys() & {"stimuli", "groups"}:
        person[key] = check_names(person[key], f"{where}, {key}", n_trials, once=key == "stimuli")
    return person | {key: recorded[key] for key in at_own_rate}, person


class Trials:
    """Puts everybody's trials into one order, by the stimuli that people bring.

    With ``missing="drop"`` or ``"keep"`` it is known at the end only what people have seen: until then the prepared
    arrays of everybody wait in the unfinished folder, so that one person is in memory at a time.
    """

    def __init__(self, writer, missing):
        self.writer, self.missing = writer, missing
        self.stimuli = {}  # by person; None for one who brings none
        self.whose = "the data set's stimuli" if writer.info["stimuli"] else None
        self.groups = stimuli.Groups()
        if "groups" in writer.info:
            self.groups.note("the data set", writer.info["stimuli"], writer.info["groups"])

    def add(self, person, made, seen=None):
        """Prepare a person and write it, or keep it until `finish`; ``seen``: as `only_seen` gives it."""
        subject, own, info = person["id"], person.get("stimuli"), self.writer.info
        if subject in self.stimuli:
            raise InputError(f"subject {subject} comes twice; keep one of its files")
        for other, names in self.stimuli.items():
            if (own is None) != (names is None):
                has, lacks = (subject, other) if names is None else (other, subject)
                remedy = "name them for all or for nobody"
                raise InputError(f"subject {has} has stimuli and subject {lacks} has none; {remedy}")
        if own is not None and self.missing == "error":
            if info["stimuli"] is None:
                info["stimuli"], self.whose = sorted(own, key=stimuli.natural), f"subject {subject}"
            places = stimuli.positions(f"subject {subject}", own, info["stimuli"], self.whose)
            if places != sorted(places):
                arrays = person.keys() & {*ARRAYS, "eeg_baseline", "pps_baseline"}
                person = person | {key: person[key][places] for key in arrays}
        self.groups.note(f"subject {subject}", own or info["stimuli"], person.get("groups"), None if own else seen)
        self.stimuli[subject] = own
        self.writer.check_ratings(subject, person["ratings"])
        arrays = (*prepare_person(person, info["sampling_rate"], made), person["ratings"])
        if own is None or self.missing == "error":
            self.writer.add(subject, *arrays, sources={}, seen=seen)
            return
        for name, array in zip(ARRAYS, arrays, strict=True):
            np.save(self._path(subject, name), array)

    def finish(self):
        """Write what waits, of all what all have seen or with ``"keep"`` what anybody has; and the groups in order."""
        waiting = {subject: own for subject, own in self.stimuli.items() if own is not None}
        if self.missing != "error" and waiting:
            choose = stimuli.seen_by_any if self.missing == "keep" else stimuli.common
            kept = self.writer.info["stimuli"] = choose(waiting, self.writer.info["stimuli"])
            for subject, own in waiting.items():
                places = [own.index(name) for name in kept if name in own]
                arrays = (np.load(self._path(subject, name), mmap_mode="r")[places] for name in ARRAYS)
                self.writer.add(subject, *arrays, sources={}, seen=np.isin(kept, own))
            self.writer.remove_scratch()
        if self.groups:
            self.writer.info["groups"] = self.groups.of(self.writer.info["stimuli"])

    def _path(self, subject, name):
        return self.writer.scratch() / f"{list(self.stimuli).index(subject)}_{name}.npy"


def look(writer, person, rate, rates):
    """Show the arrays of a person, each at its own rate, to the page about the signals."""
    subject, pps = person["id"], person.get("pps", ())
    writer.quality.look(subject, writer.info["eeg_channels"], rates.get("eeg", rate), person.get("eeg", ()))
    if not isinstance(pps, dict):
        writer.quality.look(subject, writer.info["pps_channels"], rate, pps)
        return
    for name in writer.info["pps_channels"]:
        writer.quality.look(subject, [name], rates.get(name, rate), np.asarray(pps[name])[:, None])


def prepare_person(person, rate, made):
    """1 s blocks of one person's arrays, normalised; EEG and PPS, float32 (trials, seconds, channels, rate).

    ``person`` is as `check_signals` leaves it.
    """
    try:
        return prepare_trials(signals(person), rate, made)
    except InputError as error:
        raise InputError(f"subject {person['id']}, {error}") from None
