"""The prepared folder: what every reader writes and every later script opens.

``eeg.npy`` and ``pps.npy``  float32 (subjects, trials, seconds, channels, rate): 1 s blocks
``ratings.npy``              float32 (subjects, trials, ratings)
``dataset.json``             names, scales, subject ids, how it was made, checksums

Five consecutive blocks are a 5 s window, so 1 s and 5 s windows correspond by construction.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.errors import InputError
from utils.files import atomic_folder, read_json, sha256, write_json

FORMAT_VERSION = 1
ARRAYS = ("eeg", "pps", "ratings")
REMEDY = "prepare the data set again (data_prep/README.md)"
_FIELDS = {
    "format_version": int,
    "name": str,
    "sampling_rate": int,
    "seconds": int,
    "eeg_channels": list,
    "pps_channels": list,
    "ratings": list,
    "rating_range": list,
    "threshold": (int, float),
    "subjects": list,
    "trials": int,
    "preparation": dict,
    "sources": dict,
    "arrays": dict,
    "checksum": str,
}


@dataclass
class Prepared:
    """An open prepared folder.

    Attributes
    ----------
    folder : pathlib.Path
    name : str
        Of the data set, such as ``"DEAP"``.
    rate : int
        Sampling rate of EEG and PPS in Hz.
    eeg, pps : numpy.memmap, float32, shape (subjects, trials, seconds, channels, rate)
        EEG standardised across channels; PPS as ``info["preparation"]`` says.
    ratings : numpy.ndarray, float32, shape (subjects, trials, ratings)
    info : dict
        The contents of ``dataset.json``.
    """

    folder: Path
    info: dict
    eeg: np.ndarray
    pps: np.ndarray
    ratings: np.ndarray

    @property
    def name(self):
        return self.info["name"]

    @property
    def rate(self):
        return self.info["sampling_rate"]

    @property
    def subjects(self):
        return self.info["subjects"]

    @property
    def checksum(self):
        return self.info["checksum"]

    def labels(self, label, threshold=None):
        """Class of every trial.

        Parameters
        ----------
        label : str
            One of the ratings by name (0 = low, 1 = high), or ``"four"``: 0 both high, 1 arousal high and valence
            low, 2 arousal low and valence high, 3 both low.
        threshold : float, optional
            High is a rating of at least this. By default the data set's own: 5 for DEAP, 3 for DREAMER.

        Returns
        -------
        labels : numpy.ndarray, int64, shape (subjects, trials)
        class_names : list of str

        Raises
        ------
        InputError
            If the data set has no such rating.
        """
        names = self.info["ratings"]
        needed = ["arousal", "valence"] if label == "four" else [label]
        if not set(needed) <= set(names):
            known = names + (["four"] if {"arousal", "valence"} <= set(names) else [])
            raise InputError(f"--label {label}: {self.folder} has the labels {', '.join(known)}")
        threshold = self.info["threshold"] if threshold is None else threshold
        high = [self.ratings[:, :, names.index(name)] >= threshold for name in needed]
        if label == "four":
            classes = ["high arousal, high valence", "high arousal, low valence"]
            classes += ["low arousal, high valence", "low arousal, low valence"]
            return (2 * ~high[0] + ~high[1]).astype(np.int64), classes
        return high[0].astype(np.int64), [f"low {label}", f"high {label}"]

    def pps_indices(self, names):
        """Positions of PPS channels by name, all of them for an empty list; unknown names are an `InputError`."""
        known = self.info["pps_channels"]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise InputError(f"--pps-channels {','.join(unknown)}: {self.folder} has {', '.join(known)}")
        return [known.index(name) for name in names] if names else list(range(len(known)))


def open_prepared(folder):
    """Open a prepared folder, after checking every file against its checksum.

    Parameters
    ----------
    folder : path

    Returns
    -------
    Prepared
        Signals are memory-mapped; the files cannot be changed through them.

    Raises
    ------
    InputError
        If a file is missing, damaged, edited or of another version.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"--data-dir {folder} is not a folder; {REMEDY}")
    path = folder / "dataset.json"
    info = read_json(path, REMEDY)
    if info.get("format_version") != FORMAT_VERSION:
        version = info.get("format_version")
        raise InputError(f"{path} has format version {version!r}, not {FORMAT_VERSION}; {REMEDY}")
    for field, kind in _FIELDS.items():
        if not isinstance(info.get(field), kind):
            raise InputError(f"{path} has no valid {field!r}; {REMEDY}")
    if info["checksum"] != _checksum(info):
        raise InputError(f"{path} was edited or damaged; {REMEDY}")
    people, trials, seconds, rate = len(info["subjects"]), info["trials"], info["seconds"], info["sampling_rate"]
    shapes = {
        "eeg": (people, trials, seconds, len(info["eeg_channels"]), rate),
        "pps": (people, trials, seconds, len(info["pps_channels"]), rate),
        "ratings": (people, trials, len(info["ratings"])),
    }
    return Prepared(folder, info, *(_open_array(folder, name, info["arrays"], shapes[name]) for name in ARRAYS))


def _open_array(folder, name, arrays, shape):
    path = folder / f"{name}.npy"
    try:
        if sha256(path) != arrays.get(name):
            raise InputError(f"{path} is not the file that was prepared (its checksum differs); {REMEDY}")
        array = np.load(path, mmap_mode="c", allow_pickle=False)  # nothing that is written to it reaches the file
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; {REMEDY}") from None
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); {REMEDY}") from None
    if array.dtype != np.float32 or array.shape != shape:
        raise InputError(f"{path} has shape {array.shape}, not {shape} as dataset.json says; {REMEDY}")
    return array


def _checksum(info):
    rest = {key: value for key, value in info.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


class PreparedWriter:
    """Writes a prepared folder subject by subject; it appears under its name when it is complete.

    Parameters
    ----------
    folder : path
        Must not exist, or be empty.
    n_subjects : int
        How many subjects will be added.
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
        The settings that made the arrays.

    Raises
    ------
    InputError
        If the folder exists already and is not empty.
    """

    def __init__(
        self,
        folder,
        n_subjects,
        *,
        name,
        sampling_rate,
        eeg_channels,
        pps_channels,
        ratings,
        rating_range,
        threshold,
        preparation,
    ):
        self.folder = Path(folder)
        self.n_subjects = n_subjects
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
            file = self._files[name]
            if not info["subjects"]:
                header = {"descr": "<f4", "fortran_order": False, "shape": (self.n_subjects, *array.shape)}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(array, dtype="<f4").data)
        info["subjects"].append(subject)
        info["sources"] |= sources

    def __exit__(self, *error):
        if error[0] is None:
            with self._context:  # renames the folder if all goes well
                self._finish()
        else:
            self._context.__exit__(*error)

    def _finish(self):
        info = self.info
        if len(info["subjects"]) != self.n_subjects:
            raise ValueError(f"{len(info['subjects'])} subjects were added, not {self.n_subjects}")
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        info["trials"], info["seconds"] = self._shapes["eeg"][:2]
        info["arrays"] = {name: sha256(self._partial / f"{name}.npy") for name in ARRAYS}
        info["checksum"] = _checksum(info)
        write_json(self._partial / "dataset.json", info)
