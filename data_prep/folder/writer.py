"""Writes the prepared folder, subject by subject, from what a reader gives; `from_arrays` takes arrays."""

import contextlib
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.folder import preparation as preparations
from data_prep.folder.arrays import check_names, check_text
from data_prep.folder.descriptions import describe, shapes_of
from data_prep.folder.prepared import ARRAYS, FORMAT_VERSION, INCOMPLETE_VERSION, MARK, checksum_of, open_prepared
from data_prep.folder.quality import PAGE, Quality, write_page
from data_prep.folder.scales import of_rating, one_sided_ratings
from data_prep.folder.stimuli import GROUPS, in_words, look_like_parts, numbers, seen_of
from data_prep.signals.channels import shorten
from data_prep.signals.transforms import MIN_ELECTRODES, prepare_trials
from utils.base.errors import InputError
from utils.base.files import atomic_folder, only_writer, sha256, write_json
from utils.base.progress import say_pretraining, warn

SOME_VALUES = 4096  # of a trial that are looked at
FEW_VALUES = 50  # two trials that hold no more of them may be alike by chance: a slow sensor that moves in steps


class PreparedWriter:
    """Writes a prepared folder subject by subject; it appears under its name when it is complete.

    Parameters
    ----------
    folder : path
        Must not exist, or be empty.
    preparation : dict
        The settings that made the arrays, in the words of `data_prep.folder.preparation`.
    rated : bool
        False: recordings without ratings, to predict; one person is enough, and ``ratings`` is empty.
    missing : str
        ``"keep"``: an incomplete design, in which people may lack trials (see `add`); ``"error"``: nobody may.
    simulated : bool
        Whether the raw files are marked as simulated, for results to say so.
    **description
        ``name``; ``sampling_rate`` in Hz; names of ``eeg_channels``, ``pps_channels`` and ``ratings``, in the order of
        the arrays, none for what was not recorded. ``classes``: by categorical rating the names of its values 0, 1,
        ...; ``rating_range`` and ``threshold``: lowest and highest value of the others, and from where on they are
        high, for all or by name. Optional ``stimuli``, by default their numbers from 1 on, and for each in ``groups``
        the larger whole that it is a part of, such as a film: splits hold out whole groups.

    Attributes
    ----------
    quality : Quality
        Is shown the signals before they were changed; its page is written into the folder.
    """

    def __init__(self, folder, *, preparation, rated=True, simulated=False, missing="error", **description):
        self.folder, self.rated, self.missing = Path(folder), rated, missing
        self._signals, self._not_seen = {}, {}  # trials by the checksum of their signals; places by person
        self._ratings, self.adjoining = [], []  # of each person; stimuli that begin where another ends
        self.quality = Quality()
        description = describe("the data set", rated, **description)
        n_eeg = len(description["eeg_channels"])
        if preparation.get("eeg") == "channels" and 0 < n_eeg < MIN_ELECTRODES:
            what = "cannot be standardised across channels: one becomes 0, two become the sign of their difference"
            raise InputError(f"{n_eeg} EEG channels", what, 'use eeg_normalise="trial" (--eeg-normalise trial)')
        self.info = {"format_version": FORMAT_VERSION} | description | {"seconds": 0, "subjects": [], "trials": 0}
        self.info |= {"copies": [], "preparation": preparation, "sources": {}}
        self.info |= {"simulated": True} if simulated else {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.partial = stack.enter_context(atomic_folder(self.folder, "--out-dir"))
            self._files = {n: stack.enter_context(open(self.partial / f"{n}.npy", "wb")) for n in ARRAYS}
            self._context = stack.pop_all()
        return self

    def add(self, subject, eeg, pps, ratings, sources, seen=None):
        """Append one subject; refused if shapes differ from the first one's, or a value is not finite or off its scale.

        Parameters
        ----------
        subject : str
            Its id.
        eeg, pps : numpy.ndarray, shape (trials, seconds, channels, rate)
        ratings : numpy.ndarray, shape (trials, ratings)
        sources : dict of str to str
            Checksum of every raw file that went in.
        seen : numpy.ndarray, bool, shape (stimuli,), optional
            With ``missing="keep"``: the arrays hold only the trials that the person saw; this says which they are.
        """
        info, subject = self.info, check_text(subject, "a subject's id")
        where = f"subject {subject}"
        if subject in info["subjects"]:
            raise InputError(f"subject {subject} comes twice", remedy="keep one of its files")
        arrays = dict(zip(ARRAYS, (eeg, pps, np.asarray(ratings, np.float64)), strict=True))
        seen = np.ones(len(eeg), bool) if seen is None or self.missing != "keep" else seen
        for name, array in () if seen.all() else arrays.items():
            arrays[name] = np.full((len(seen), *array.shape[1:]), np.nan if name == "ratings" else 0, array.dtype)
            arrays[name][seen] = array
        if not info["subjects"]:
            info["trials"], info["seconds"] = arrays["eeg"].shape[:2]
        stored = {}
        for name, shape in shapes_of(info).items():
            if arrays[name].shape != shape:
                what = f"has {name} of shape {arrays[name].shape}, not {shape}"
                raise InputError(where, what, "all subjects need the same trials, and the named channels and rate")
            with np.errstate(over="ignore"):  # values that do not fit into float32 are refused below
                stored[name] = np.ascontiguousarray(arrays[name], dtype="<f4")
            if not np.isfinite(stored[name][seen]).all():
                raise InputError(where, f"has NaN or infinite {name} values", "repair or leave out its file")
        self.check_ratings(subject, arrays["ratings"][seen])
        if not seen.all():
            self._not_seen[subject] = np.flatnonzero(~seen)
        if self.rated:
            self._find_copies(subject, stored["eeg"], stored["pps"], np.flatnonzero(seen))
        for name, array in stored.items():
            if not info["subjects"]:
                self._write_header(name)
            self._files[name].write(array.data)
        self._ratings.append(stored["ratings"])
        info["subjects"].append(subject)
        info["sources"] |= sources

    def check_ratings(self, subject, ratings):
        """Refuse ratings (trials, ratings) that are off the scale, or not the number of a class."""
        for values, name in zip(np.transpose(ratings), self.info["ratings"], strict=True):
            if name in self.info["classes"]:
                n = len(self.info["classes"][name])
                valid, scale = np.isin(values, np.arange(n)), f"0 to {n - 1}, the numbers of its classes"
            else:
                low, high = of_rating(self.info["rating_range"], name)
                valid, scale = (low <= values) & (values <= high), f"{low} to {high}"
            if not valid.all():
                what = f"has {name} ratings outside {scale}, such as {values[~valid][0]:g}"
                raise InputError(f"subject {subject}", what, "repair or leave out its file")

    def _find_copies(self, subject, eeg, pps, places):
        """Note trials whose signals are there already: a model trained on one would be tested on the other."""
        for place in places:
            trial, parts = f"{subject} trial {place + 1}", (eeg[place], pps[place])
            checksum = hashlib.blake2b(b"".join(part.tobytes() for part in parts), digest_size=16)
            same = self._signals.setdefault(checksum.digest(), trial)
            some = [part.ravel()[:: 1 + part.size // SOME_VALUES] for part in parts]
            if same != trial and max(len(np.unique(part)) for part in some) > FEW_VALUES:
                self.info["copies"].append(f"{trial} is {same}")

    def report(self):
        """Print what was written."""
        info = self.info
        size = f"{len(info['subjects'])} subjects x {info['trials']} trials x {info['seconds']} s"
        channels = f"{len(info['eeg_channels'])} EEG and {len(info['pps_channels'])} PPS channels"
        unrated = "" if info["ratings"] else "; no ratings: to predict"
        print(f"wrote {self.folder}: {size}, {channels}, {info['sampling_rate']} Hz{unrated}")
        if info.get("not_seen"):
            print(in_words(info))
        if info["copies"]:
            what = "a model trained on one may be tested on the other: leave copies out (every result names them)"
            warn(f"trials with the signals of another one, to the last digit: {shorten(info['copies'])}; {what}")
        for line in one_sided_ratings(info, self._ratings):
            print(line)
        if "groups" not in info and (parts := look_like_parts(info["stimuli"]) or shorten(self.adjoining, 60)):
            warn(f"{parts} may be parts of one film, and a split would test one after training on another; {GROUPS}")
        if self.quality.people:
            print(f"quality: {self.quality.counts()}; see {self.folder / PAGE}")

    def __exit__(self, *error):
        if error[0] is None:
            with self._context:  # renames the folder if all goes well
                self._finish()
        else:
            self._context.__exit__(*error)

    def _finish(self):
        info, least = self.info, 2 if self.rated else 1
        if (n := len(info["subjects"])) < least:
            raise InputError(self.folder, f"would have {n} subjects", f"at least {least} are needed")
        for name, file in self._files.items():
            self._write_header(name)
            file.flush()
            os.fsync(file.fileno())
        info["stimuli"] = info["stimuli"] or numbers(info["trials"])
        for key in ("stimuli", "groups") if "groups" in info else ("stimuli",):
            check_names(info[key], key, info["trials"], once=key == "stimuli")
        if self._not_seen:
            names = {who: [info["stimuli"][place] for place in places] for who, places in self._not_seen.items()}
            info |= {"format_version": INCOMPLETE_VERSION, "not_seen": names}
            if unseen := [name for name, n in zip(info["stimuli"], seen_of(info).sum(axis=0), strict=True) if n == 0]:
                raise InputError(shorten(unseen), "was seen by no person", "leave it out of stimuli")
            self.quality.notes.append(in_words(info))
        info["arrays"] = {name: sha256(self.partial / f"{name}.npy") for name in ARRAYS}
        info["checksum"] = checksum_of(info)
        if self.quality.people:
            write_page(self.partial / PAGE, info["name"], self.quality)
        write_json(self.partial / "dataset.json", info)

    def _write_header(self, name):
        """Header of an array for the subjects so far; NumPy leaves room in it for the first axis to grow."""
        header = {"descr": "<f4", "fortran_order": False}
        header["shape"] = (len(self.info["subjects"]), *shapes_of(self.info)[name])
        self._files[name].seek(0)
        np.lib.format.write_array_header_1_0(self._files[name], header)


def is_prepared(folder, preparation, files, **description):
    """Whether a folder holds what these settings make of these files (by their names in the folder's sources)."""
    if not (Path(folder) / "dataset.json").exists():
        return False
    with only_writer(Path(folder)):  # not while another process is at it; and a lock that a killed one left goes
        info = open_prepared(folder, rated=False).info
    stored = preparations.read(info["preparation"])
    same = all(stored[key] == preparation[key] for key in stored.keys() & preparation.keys())
    same = same and all(info.get(key) == value for key, value in description.items())
    return same and info["sources"] == {name: sha256(path) for name, path in files.items()}


@dataclass
class Recorded:
    """A person as a reader gives it."""

    subject: str
    where: str  # the file, for messages
    trials: Iterable  # of dicts by modality: (signal, rest or None), each (channels, samples) at the rate of the card
    ratings: np.ndarray  # (trials, ratings)
    looks: list  # what the page about the signals shows: arguments of `Quality.look` after the subject


def prepare_all(out_dir, card, made, files, people, *arguments, following=()):
    """Write the prepared folder, one person in memory at a time, unless it is complete; print the next command.

    ``card``: description for `PreparedWriter`; ``made``: the preparation; ``files``: the raw files by name; ``people``:
    a generator of `Recorded`, called with the writer and ``arguments``; ``following``: flags of the next command.
    """
    if is_prepared(out_dir, made, files):
        print(f"{out_dir}: complete, from these files")
    else:
        simulated = any(path.with_name(MARK).exists() for path in files.values())
        with PreparedWriter(out_dir, preparation=made, simulated=simulated, **card) as writer:
            for person in people(writer, *arguments):
                blocks = prepare_trials(person.trials, card["sampling_rate"], made, person.where)
                try:
                    writer.add(person.subject, *blocks, person.ratings, sources={})
                except InputError as error:
                    raise InputError(f"{person.where}: {error}") from None
                for look in person.looks:
                    writer.quality.look(person.subject, *look)
            writer.info["sources"] |= {name: sha256(path) for name, path in files.items()}
        writer.report()
    say_pretraining(out_dir, *following)
