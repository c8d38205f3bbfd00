"""The prepared folder from a user's own arrays: check, one order of trials, baseline removal, normalisation."""

import shutil
from collections.abc import Mapping

import numpy as np

from data_prep.folder import preparation as preparations
from data_prep.folder import stimuli
from data_prep.folder.arrays import (
    PERSON,
    SIGNALS,
    check_keys,
    check_names,
    check_number,
    check_ratings,
    check_shapes,
    check_text,
    check_values,
    n_trials_of,
    rest_of,
    signals,
)
from data_prep.folder.descriptions import KEYS
from data_prep.folder.prepared import ARRAYS
from data_prep.folder.reading import prepare_trials
from data_prep.folder.writer import PreparedWriter
from data_prep.signals.channels import shorten
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
    before = {"filters": filters, "reference": reference, "resampling": resampling}
    made = preparations.make(
        eeg_normalise, pps_normalise, segment=None, **{k: v for k, v in before.items() if v is not None}
    )
    with PreparedWriter(folder, preparation=made, missing=missing, **description) as writer:
        rate, rests, trials = writer.info["sampling_rate"], [], Trials(writer, missing)
        if rates and resampling is None:
            made["resampling"] = f"{', '.join(f'{value:g}' for value in sorted(set(rates.values())))} to {rate} Hz"
        for number, person in enumerate(subjects, 1):
            person, seen = stimuli.only_seen(person) if missing == "keep" else (person, None)
            recorded, person = check_person(person, number, writer.info, rates)
            trials.add(person, made, seen)
            rests.append(rest_of(person, rate))
            look(writer, recorded, rates)
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


def check_person(person, number, info, rates):
    """A person of `write_prepared`, checked: as recorded, and at one rate; ``number``: of the person, for messages."""
    if not isinstance(person, Mapping):
        raise InputError(f"person number {number} is a {type(person).__name__}, not a dictionary with id, eeg, ...")
    person = {key: value for key, value in person.items() if value is not None and not str(key).startswith("__")}
    if missing := [key for key in ("id", "ratings") if key not in person]:
        raise InputError(f"person number {number} has no {missing[0]!r}")
    person["id"] = check_text(person["id"], f"the id of person number {number}")
    where, channels = f"subject {person['id']}", {name: info[f"{name}_channels"] for name in SIGNALS}
    check_keys(person, PERSON, where)
    recorded = check_values(person, channels, where)
    person = at_one_rate(recorded, channels["pps"], info["sampling_rate"], rates)
    check_shapes(person, channels, info["sampling_rate"], where)
    n_trials = n_trials_of(person)
    person["ratings"] = check_ratings(person["ratings"], info["ratings"], n_trials, where)
    for key in person.keys() & {"stimuli", "groups"}:
        person[key] = check_names(person[key], f"{where}, {key}", n_trials, once=key == "stimuli")
    return recorded, person


class Trials:
    """Puts everybody's trials into one order, by the stimuli that people bring.

    With ``missing="drop"`` or ``"keep"`` it is known at the end only what people have seen: until then the prepared
    arrays of everybody wait in the unfinished folder, so that one person is in memory at a time.
    """

    def __init__(self, writer, missing):
        self.writer, self.missing, self.waiting = writer, missing, writer.partial / "waiting"
        self.stimuli, self.groups = {}, {}  # names by person, None for one who brings none; group by stimulus
        self.whose = "the data set's stimuli" if writer.info["stimuli"] else None
        if "groups" in writer.info:
            names = writer.info["stimuli"] or _numbers(len(writer.info["groups"]))
            stimuli.note_groups(self.groups, "the data set", names, writer.info["groups"])

    def add(self, person, made, seen=None):
        """Prepare a person and write it, or keep it until `finish`; ``seen``: as `only_seen` gives it."""
        subject, names, info = person["id"], person.get("stimuli"), self.writer.info
        where = f"subject {subject}"
        if subject in self.stimuli:
            raise InputError(where, "comes twice", "keep one of its files")
        for other, of_other in self.stimuli.items():
            if (names is None) != (of_other is None):
                has, has_none = (subject, other) if of_other is None else (other, subject)
                what = f"subject {has} has stimuli and subject {has_none} has none"
                raise InputError(f"{what}; name them for all or for nobody")
        self.stimuli[subject] = names
        if "groups" in person:
            seen_names = names
            if names is None:
                everything = np.array(info["stimuli"] or _numbers(n_trials_of(person) if seen is None else len(seen)))
                seen_names = (everything if seen is None else everything[seen]).tolist()
            stimuli.note_groups(self.groups, where, seen_names, person["groups"])
        self.writer.check_ratings(subject, person["ratings"])
        arrays = (*prepare_person(person, info["sampling_rate"], made), person["ratings"])
        if names is None:
            self.writer.add(subject, *arrays, sources={}, seen=seen)
        elif self.missing == "error":
            if info["stimuli"] is None:
                info["stimuli"], self.whose = sorted(names, key=stimuli.natural), where
            places = stimuli.positions(where, names, info["stimuli"], self.whose)
            self.writer.add(subject, *(array[places] for array in arrays), sources={})
        else:
            self.waiting.mkdir(exist_ok=True)
            for name, array in zip(ARRAYS, arrays, strict=True):
                np.save(self._path(subject, name), array)

    def finish(self):
        """Write what waits, of all what all have seen or with ``"keep"`` what anybody has; and the groups in order."""
        info = self.writer.info
        if self.waiting.exists():
            choose = stimuli.seen_by_any if self.missing == "keep" else stimuli.common
            info["stimuli"] = choose(self.stimuli, info["stimuli"])
            for subject, names in self.stimuli.items():
                places = [names.index(name) for name in info["stimuli"] if name in names]
                arrays = (np.load(self._path(subject, name), mmap_mode="r")[places] for name in ARRAYS)
                self.writer.add(subject, *arrays, sources={}, seen=np.isin(info["stimuli"], names))
            shutil.rmtree(self.waiting)
        if self.groups:
            names = info["stimuli"] or _numbers(len(self.groups))
            if ungrouped := [name for name in names if name not in self.groups]:
                remedy = "give one for every stimulus, in the order of the data set's stimuli"
                raise InputError(f"groups has none for {shorten(ungrouped)}; {remedy}")
            info["groups"] = [self.groups[name] for name in names]

    def _path(self, subject, name):
        return self.waiting / f"{list(self.stimuli).index(subject)}_{name}.npy"


def _numbers(n):
    """Names of stimuli without names."""
    return [str(number) for number in range(1, n + 1)]


def look(writer, person, rates):
    """Show the arrays of a person, each at its own rate, to the page about the signals."""
    info, subject, pps = writer.info, person["id"], person.get("pps", ())
    rate = info["sampling_rate"]
    writer.quality.look(subject, info["eeg_channels"], rates.get("eeg", rate), person.get("eeg", ()))
    if not isinstance(pps, dict):
        writer.quality.look(subject, info["pps_channels"], rate, pps)
        return
    for name in info["pps_channels"]:
        writer.quality.look(subject, [name], rates.get(name, rate), pps[name][:, None])


def prepare_person(person, rate, made):
    """1 s blocks of one person's arrays, as `check_values` leaves them, normalised: EEG and PPS, float32 (trials,
    seconds, channels, rate).
    """
    try:
        return prepare_trials(signals(person), rate, made)
    except InputError as error:
        raise InputError(f"subject {person['id']}, {error}") from None
