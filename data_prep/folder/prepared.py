"""Opens the prepared folder that every reader writes, and checks it; data_prep/README.md says what its files hold.

In an incomplete design ``not_seen`` in ``dataset.json`` names the stimuli that a person did not see.
"""

import functools
import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.folder.arrays import SIGNALS
from data_prep.folder.descriptions import REMEDY, check_info, shapes_of
from data_prep.folder.scales import QUADRANTS, of_rating, thresholds_of
from data_prep.folder.stimuli import seen_of
from data_prep.signals.channels import plain, shorten
from utils.base.errors import InputError
from utils.base.files import read_json, sha256
from utils.base.progress import next_command

FORMAT_VERSION, INCOMPLETE_VERSION = 1, 2  # versions of before do not know incomplete designs, and refuse them
ARRAYS = (*SIGNALS, "ratings")
MARK = "SIMULATED.txt"  # beside raw files that make_synthetic.py wrote, so that no result takes them for real ones


@dataclass
class Prepared:
    """An open prepared folder.

    Attributes
    ----------
    folder : pathlib.Path
    eeg, pps : numpy.memmap, float32, shape (subjects, trials, seconds, channels, rate)
        Normalised as ``info["preparation"]`` says.
    ratings : numpy.ndarray, float32, shape (subjects, trials, ratings)
        NaN where a person did not see a stimulus.
    info : dict
        The contents of ``dataset.json``.
    """

    folder: Path
    info: dict
    eeg: np.ndarray
    pps: np.ndarray
    ratings: np.ndarray

    name = property(lambda self: self.info["name"], doc='Name of the data set, such as ``"DEAP"``.')
    rate = property(lambda self: self.info["sampling_rate"], doc="Sampling rate of EEG and PPS in Hz.")
    subjects = property(lambda self: self.info["subjects"], doc="Ids of all subjects, in the order of the arrays.")
    checksum = property(lambda self: self.info["checksum"], doc="SHA-256 of the data set, as results carry it.")

    @functools.cached_property
    def seen(self):
        """Who saw which stimulus: bool, shape (subjects, trials)."""
        return seen_of(self.info)

    def labels(self, label, threshold=None):
        """Class of every trial.

        Parameters
        ----------
        label : str
            One of the ratings by name: 0 = low, 1 = high, or the number of its class where it is categorical; or
            ``"four"``: 0 both high, 1 arousal high and valence low, 2 arousal low and valence high, 3 both low.
        threshold : float or dict of str to float, optional
            High is a rating of at least this; by rating where they differ. By default the data set's own.

        Returns
        -------
        labels : numpy.ndarray, int64, shape (subjects, trials)
            -1 where a person did not see the stimulus.
        class_names : list of str

        Raises
        ------
        InputError
            If the data set has no such rating, or a threshold is given for one that is categorical.
        """
        names, label = self.info["ratings"], unicodedata.normalize("NFC", label)
        if label not in self.label_names:
            raise InputError(f"--label {label[:60]}: {self.folder} has the labels {shorten(self.label_names)}")
        if label in self.info["classes"]:
            classes, values = self.info["classes"][label], self.ratings[:, :, names.index(label)]
            if of_rating(threshold, label) is not None:
                raise InputError(f"--threshold: {label} has the classes {shorten(classes)}; leave the flag out")
            if not np.isin(values[self.seen], np.arange(len(classes))).all():
                raise InputError(f"{self.folder} has values of {label} that are not among its classes; {REMEDY}")
            return np.where(self.seen, values, -1).astype(np.int64), list(classes)
        cuts = thresholds_of(self.info, label, threshold)
        high = [self.ratings[:, :, names.index(name)] >= cut for name, cut in cuts.items()]
        values, classes = high[0], [f"low {label}", f"high {label}"]
        if label == QUADRANTS:
            levels = ("high", "low")
            values = 2 * ~high[0] + ~high[1]
            classes = [f"{arousal} arousal, {valence} valence" for arousal in levels for valence in levels]
        return np.where(self.seen, values, -1).astype(np.int64), classes

    @property
    def label_names(self):
        """All labels: the ratings, and the quadrants of arousal and valence where these are numbers."""
        numeric = [name for name in self.info["ratings"] if name not in self.info["classes"]]
        return self.info["ratings"] + ([QUADRANTS] if {"arousal", "valence"} <= set(numeric) else [])

    def folder_name(self, label):
        """A label in names of folders: itself, or, where that is ambiguous, its letters and digits and a checksum."""
        safe = re.sub(r"[^A-Za-z0-9_+.-]+", "-", label)[:40].strip("-.")
        if safe == label and not any(label.startswith(f"{other}_") for other in self.label_names):
            return label
        return f"{safe or 'label'}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"

    @property
    def groups(self):
        """Number of the group of stimuli, such as a film, that each trial is a part of, int (trials,); None without."""
        names = self.info["groups"]
        return None if names is None else np.array([list(dict.fromkeys(names)).index(name) for name in names])

    @property
    def modalities(self):
        """``"eeg"`` and ``"pps"``, those that were recorded."""
        return [name for name in SIGNALS if self.info[f"{name}_channels"]]

    def pps_names(self, names):
        """Full names of PPS channels; all for an empty list.

        A name may be what several have in front of a number (``"ECG"`` for ECG1 and ECG2), in any case.
        """
        known, found = self.info["pps_channels"], []
        for name in names:
            pattern = re.escape(plain(name, "pps")) + r"\d*"
            matches = [full for full in known if re.fullmatch(pattern, plain(full, "pps"))]
            if not matches:
                raise InputError(f"--pps-channels {name}: {self.folder} has {', '.join(known) or 'no PPS channels'}")
            found += [full for full in matches if full not in found]
        return found or list(known)


def open_prepared(folder, rated=True):
    """The `Prepared` of a folder, after checking every file against its checksum.

    Signals are memory-mapped; the files cannot be changed through them. With ``rated=False`` recordings that nobody has
    rated will do.
    """
    folder = Path(folder)
    path = folder / "dataset.json"
    if not folder.is_dir():
        raise InputError(f"--data-dir {folder}", "is not a folder", _how_to_begin(folder))
    if not path.exists() and not (folder / "eeg.npy").exists():
        raise InputError(path, "does not exist, so this is not a prepared folder", _how_to_begin(folder))
    info = read_json(path, REMEDY)
    version, expected = info.get("format_version"), INCOMPLETE_VERSION if info.get("not_seen") else FORMAT_VERSION
    if version != expected:
        remedy = "prepare the data with this version, into another folder"
        raise InputError(path, f"has format version {version!r}, not {expected}", remedy)
    checksum = checksum_of(info)
    info = check_info(path, info)
    if info["checksum"] != checksum:
        raise InputError(path, "was edited or damaged", REMEDY)
    if rated and not info["ratings"]:
        raise InputError(f"--data-dir {folder}", "has no ratings: it is for predict.py and extract_features.py")
    shapes = {name: (len(info["subjects"]), *shape) for name, shape in shapes_of(info).items()}
    data = Prepared(folder, info, *(_open_array(folder, name, info["arrays"], shapes[name]) for name in ARRAYS))
    agrees = (np.isnan(data.ratings) != data.seen[..., None]).all()
    agrees &= sum(map(len, info["not_seen"].values())) == (~data.seen).sum()  # and no other names
    if not agrees or not data.seen.any(axis=0).all() or not data.seen.any(axis=1).all():
        raise InputError(path, "names other trials in 'not_seen' than ratings.npy lacks", REMEDY)
    return data


def _how_to_begin(folder):
    """What prepares the data set that somebody has asked for, or what to do without one."""
    for name, *raw in (("dreamer", "--raw-file", "DREAMER.mat"), ("deap", "--raw-dir", "data_preprocessed_python")):
        if name in folder.name.lower():
            out = f"data/{name.upper()}" if folder.exists() else folder  # one that exists has most likely raw files
            out = out if len(str(out)) < 60 else "..."
            command = next_command(f"data_prep/prepare_{name}.py", *raw, "--out-dir", out)
            return f"make it, or give its new place: {command} (without the data set: ./demo.sh)"
    return "data_prep/README.md says how to make one; ./demo.sh needs no data"


def _open_array(folder, name, arrays, shape):
    """One array; ``arrays`` has the checksums."""
    path = folder / f"{name}.npy"
    try:
        if sha256(path) != arrays.get(name):
            raise InputError(path, "is not the file that was prepared (its checksum differs)", REMEDY)
        array = np.load(path, mmap_mode="c", allow_pickle=False)  # nothing that is written to it reaches the file
    except FileNotFoundError:
        raise InputError(path, "does not exist", REMEDY) from None
    except ValueError as error:
        raise InputError(path, f"is damaged ({error})", REMEDY) from None
    if array.dtype != np.float32 or array.shape != shape:
        raise InputError(path, f"has shape {array.shape}, not {shape} as dataset.json says", REMEDY)
    return array


def checksum_of(info):
    """Checksum of the contents of ``dataset.json``, which has those of the arrays."""
    rest = {key: value for key, value in info.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
