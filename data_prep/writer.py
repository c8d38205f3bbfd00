"""Writes the prepared folder, from a reader subject by subject or from a user's own arrays."""

import contextlib
import os
from pathlib import Path

import numpy as np

from data_prep import preparation as preparations
from data_prep.channels import distinct
from data_prep.prepared import ARRAYS, FORMAT_VERSION, checksum_of, open_prepared
from data_prep.quality import Quality
from data_prep.quality_page import PAGE, write_page
from data_prep.resampling import at_one_rate
from data_prep.transforms import MIN_ELECTRODES, prepare
from utils.errors import InputError
from utils.files import atomic_folder, only_writer, sha256, write_json


class PreparedWriter:
    """Writes a prepared folder subject by subject; it appears under its name when it is complete.

    Parameters
    ----------
    folder : path
        Must not exist, or be empty.
    name : str
        Of the data set.
    sampling_rate : int
        Of EEG and PPS, in Hz.
    eeg_channels, pps_channels, ratings : list of str
        Names, in the order of the arrays.
    rating_range : tuple of float
        Lowest and highest possible rating.
    threshold : float
        A rating of at least this counts as high.
    preparation : dict
        The settings that made the arrays, in the words of `data_prep.preparation`.
    stimuli : list of str, optional
        Names of the trials' stimuli; by default their numbers from 1 on.

    Attributes
    ----------
    quality : Quality
        Whoever adds a person shows it the signals before they were changed; its page is written into the folder.

    Raises
    ------
    InputError
        If the folder exists already and is not empty, two channels are the same, or the EEG has too few electrodes for
        its standardisation.
    """

    def __init__(
        self,
        folder,
        *,
        name,
        sampling_rate,
        eeg_channels,
        pps_channels,
        ratings,
        rating_range,
        threshold,
        preparation,
        stimuli=None,
    ):
        self.folder = Path(folder)
        self.quality = Quality()
        distinct(eeg_channels, "eeg", "the data set")
        distinct(pps_channels, "pps", "the data set")
        if preparation.get("eeg") == "channels" and 0 < len(eeg_channels) < MIN_ELECTRODES:
            raise InputError(
                f"{len(eeg_channels)} EEG channels cannot be standardised across channels: one becomes 0, two become "
                'the sign of their difference; use eeg_normalise="trial"'
            )
        self.info = {
            "format_version": FORMAT_VERSION,
            "name": name,
            "sampling_rate": sampling_rate,
            "seconds": 0,
            "eeg_channels": list(eeg_channels),
            "pps_channels": list(pps_channels),
            "ratings": list(ratings),
            "rating_range": list(rating_range),
            "threshold": threshold,
            "subjects": [],
            "trials": 0,
            "stimuli": stimuli,
            "preparation": preparation,
            "sources": {},
        }

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self._partial = stack.enter_context(atomic_folder(self.folder, "--out-dir"))
            self._files = {n: stack.enter_context(open(self._partial / f"{n}.npy", "wb")) for n in ARRAYS}
            self._shapes = {}
            self._context = stack.pop_all()
        return self

    def add(self, subject, eeg, pps, ratings, sources):
        """Append one subject.

        Parameters
        ----------
        subject : str
            Its id.
        eeg, pps : numpy.ndarray, shape (trials, seconds, channels, rate)
        ratings : numpy.ndarray, shape (trials, ratings)
        sources : dict of str to str
            Checksum of every raw file that went in.

        Raises
        ------
        InputError
            If shapes differ from the first subject's, or a value is not finite or off the rating scale.
        """
        info = self.info
        if subject in info["subjects"]:
            raise InputError(f"subject {subject} comes twice; keep one of its files")
        low, high = info["rating_range"]
        n_eeg, n_pps, rate = len(info["eeg_channels"]), len(info["pps_channels"]), info["sampling_rate"]
        named = {"eeg": (n_eeg, rate), "pps": (n_pps, rate), "ratings": (len(info["ratings"]),)}
        for name, array in zip(ARRAYS, (eeg, pps, ratings), strict=True):
            if array.shape[-len(named[name]) :] != named[name] or len(array) != len(eeg):
                raise InputError(
                    f"subject {subject} has {name} of shape {array.shape}, which does not end in {named[name]} as the "
                    f"names and the sampling rate say, or has another number of trials than its EEG ({len(eeg)})"
                )
        for name, array in zip(ARRAYS, (eeg, pps, ratings), strict=True):
            first = self._shapes.setdefault(name, array.shape)
            if array.shape != first:
                raise InputError(
                    f"subject {subject} has {name} of shape {array.shape} (trials first), but subject "
                    f"{info['subjects'][0]} has {first}; all subjects need the same trials"
                )
            if not np.isfinite(array).all():
                raise InputError(f"subject {subject} has NaN or infinite {name} values; repair or leave out its file")
        if ratings.min() < low or ratings.max() > high:
            raise InputError(f"subject {subject} has ratings outside {low} to {high}; repair or leave out its file")
        for name, array in zip(ARRAYS, (eeg, pps, ratings), strict=True):
            if not info["subjects"]:
                self._write_header(name)
            self._files[name].write(np.ascontiguousarray(array, dtype="<f4").data)
        info["subjects"].append(subject)
        info["sources"] |= sources

    def report(self):
        """Print what was written."""
        info = self.info
        print(
            f"wrote {self.folder}: {len(info['subjects'])} subjects x {info['trials']} trials x {info['seconds']} s, "
            f"{len(info['eeg_channels'])} EEG and {len(info['pps_channels'])} PPS channels, {info['sampling_rate']} Hz"
        )
        if self.quality.people:
            print(f"quality: {self.quality.counts()}; see {self.folder / PAGE}")

    def __exit__(self, *error):
        if error[0] is None:
            with self._context:  # renames the folder if all goes well
                self._finish()
        else:
            self._context.__exit__(*error)

    def _finish(self):
        info = self.info
        if len(info["subjects"]) < 2:
            raise InputError(f"{self.folder} would have {len(info['subjects'])} subjects; at least 2 are needed")
        for name, file in self._files.items():
            self._write_header(name)
            file.flush()
            os.fsync(file.fileno())
        info["trials"], info["seconds"] = self._shapes["eeg"][:2]
        info["stimuli"] = info["stimuli"] or [str(number) for number in range(1, info["trials"] + 1)]
        info["arrays"] = {name: sha256(self._partial / f"{name}.npy") for name in ARRAYS}
        info["checksum"] = checksum_of(info)
        if self.quality.people:
            write_page(self._partial / PAGE, info["name"], self.quality)
        write_json(self._partial / "dataset.json", info)

    def _write_header(self, name):
        """Header of an array for the subjects so far; NumPy leaves room in it for the first axis to grow."""
        shape = (len(self.info["subjects"]), *self._shapes[name])
        self._files[name].seek(0)
        np.lib.format.write_array_header_1_0(
            self._files[name], {"descr": "<f4", "fortran_order": False, "shape": shape}
        )


def is_prepared(folder, preparation, files, **description):
    """Whether a folder holds what these settings make of these raw files, so that nothing is left to do.

    Parameters
    ----------
    folder : path
    preparation : dict
        As for `PreparedWriter`.
    files : dict of str to path
        By the name that the folder's sources have for each.
    **description
        What else must be the same, as for `PreparedWriter`.
    """
    if not (Path(folder) / "dataset.json").exists():
        return False
    with only_writer(Path(folder)):  # not while another process is at it; and a lock that a killed one left goes
        made = open_prepared(folder).info
    same = preparations.agree(made["preparation"], preparation)
    same = same and all(made[name] == value for name, value in description.items())
    return same and made["sources"] == {name: sha256(path) for name, path in files.items()}


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
    **description,
):
    """Turn arrays into a prepared folder: 1 s blocks, baseline removal, normalisation as for DEAP.

    Parameters
    ----------
    folder : path
        Must not exist, or be empty.
    subjects : iterable of dict
        One per person, at least 2: ``id`` (str), ``eeg`` (trials, channels, samples), ``ratings`` (trials, ratings)
        and, if there are any, ``pps`` (trials, channels, samples). ``eeg_baseline`` and ``pps_baseline``, of any length
        from 1 s on, are the rest before each trial; without them no baseline is removed. All trials have one length.
        A generator will do: one person is in memory at a time.
    eeg_normalise : str
        ``"channels"``: standardised across channels at each sample (the paper); ``"trial"``: each over its trial.
    pps_normalise : str
        ``"trial"``: each PPS channel standardised over its trial; ``"subject"``: over a person's training seconds, in
        training; ``"none"``: as it is.
    filters, reference, resampling : str, optional
        What was done to the signals before, such as ``"1-45 Hz"``, ``"average"``, ``"500 to 128 Hz"``; None: not
        recorded. What meets a model of these data is compared with it.
    sampling_rates : dict of str to float, optional
        Hz, of what does not have the ``sampling_rate`` of the folder: ``{"eeg": 512, "GSR": 4, "temperature": 4}``. It
        is resampled (`data_prep.resampling`). Then ``pps`` and ``pps_baseline`` are dicts: name of a channel to
        (trials, samples).
    **description
        As for `PreparedWriter`: ``name``, ``sampling_rate`` (Hz), ``eeg_channels``, ``pps_channels``, ``ratings``
        (names), ``rating_range``, ``threshold``, and ``stimuli`` if they have names.

    Raises
    ------
    InputError
        If shapes do not agree with the names or with each other, values are impossible, or the rest is there for some
        people only. Nothing is written then.
    """
    rates = dict(sampling_rates or {})
    if rates and resampling is None:
        resampling = f"{', '.join(f'{value:g}' for value in sorted(set(rates.values())))} to "
        resampling += f"{description['sampling_rate']} Hz"
    before = {"filters": filters, "reference": reference, "resampling": resampling}
    before = {key: value for key, value in before.items() if value is not None}
    made = preparations.make(eeg_normalise, pps_normalise, segment=None, **before)
    with PreparedWriter(folder, preparation=made, **description) as writer:
        rate, rests = writer.info["sampling_rate"], []
        for recorded in subjects:
            person = at_one_rate(recorded, writer.info["pps_channels"], rate, rates)
            eeg, pps = prepare_person(person, rate, made)
            rests.append(rest_of(person, rate))
            writer.add(str(person["id"]), eeg, pps, np.asarray(person["ratings"], dtype=np.float64), sources={})
            look(writer, recorded, rate, rates)
        made["baseline_seconds"] = preparations.rest_of_all(rests)
    writer.report()


def look(writer, person, rate, rates):
    """Show the arrays of a person, each at its own rate, to the page about the signals."""
    subject, pps = str(person["id"]), person.get("pps", ())
    writer.quality.look(subject, writer.info["eeg_channels"], rates.get("eeg", rate), person["eeg"])
    if not isinstance(pps, dict):
        writer.quality.look(subject, writer.info["pps_channels"], rate, pps)
        return
    for name in writer.info["pps_channels"]:
        writer.quality.look(subject, [name], rates.get(name, rate), np.asarray(pps[name])[:, None])


def prepare_person(person, rate, made):
    """1 s blocks of one person's arrays, normalised.

    Parameters
    ----------
    person : dict
        As for `write_prepared`; ratings are not needed.
    rate : int
        Of all its signals, in Hz.
    made : dict
        The preparation; see `data_prep.preparation`.

    Returns
    -------
    eeg, pps : numpy.ndarray, float64, shape (trials, seconds, channels, rate)

    Raises
    ------
    InputError
        If the shapes do not agree.
    """
    blocks = {"eeg": [], "pps": []}
    for trial in signals(person, rate):
        for name, (signal, rest) in trial.items():
            try:
                prepared = prepare(signal, rest, rate, made[name], made.get("segment"))
            except InputError as error:
                raise InputError(f"subject {person['id']}: {error}") from None
            blocks[name].append(prepared.swapaxes(0, 1))
    return np.stack(blocks["eeg"]), np.stack(blocks["pps"])


def signals(person, rate):
    """Trial and rest of every trial by modality, each (channels, samples); None for the rest where there is none."""
    parts = []
    for name in ("eeg", "pps"):
        trials = person.get(name)
        if trials is None:
            trials = np.zeros((len(person["eeg"]), 0, np.shape(person["eeg"])[-1]))
        parts.append(_pairs(f"subject {person['id']}, {name}", trials, person.get(f"{name}_baseline"), rate))
    return ({"eeg": eeg, "pps": pps} for eeg, pps in zip(*parts, strict=True))


def rest_of(person, rate):
    """Seconds of rest of a person's arrays by modality; None for one without rest, no entry for one without signals."""
    rest = {}
    for name in ("eeg", "pps"):
        if person.get(name) is not None and np.size(person[name]):
            baseline = person.get(f"{name}_baseline")
            rest[name] = None if baseline is None else np.shape(baseline)[-1] // rate
    return rest


def _pairs(where, trials, baseline, rate):
    """(trial, rest or None) of every trial."""
    trials = np.asarray(trials)
    if trials.ndim != 3:
        raise InputError(f"{where} has shape {trials.shape}, not (trials, channels, samples)")
    if baseline is None:
        return [(trial, None) for trial in trials]
    baseline = np.asarray(baseline)
    if baseline.ndim != 3 or baseline.shape[:2] != trials.shape[:2] or baseline.shape[2] < rate:
        raise InputError(f"{where}_baseline has shape {baseline.shape}, not {trials.shape[:2]} and at least 1 s")
    return list(zip(trials, baseline, strict=True))
