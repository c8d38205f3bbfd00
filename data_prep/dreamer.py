"""DREAMER's raw format: what its one file holds, and how it becomes 1 s blocks.

Authors   Katsigiannis, Ramzan
Source    "DREAMER: A Database for Emotion Recognition through EEG and ECG Signals from Wireless Low-cost Off-the-Shelf
          Devices", IEEE Journal of Biomedical and Health Informatics 22(1), 2018
Link      https://zenodo.org/records/546113 (on request)
People    23, each with 18 film clips of 65 to 393 s; scores from 1 to 5
Signals   EEG of 14 channels at 128 Hz (uV), ECG of 2 channels at 256 Hz; 61 s of rest before each clip
File      DREAMER.mat, one MATLAB structure: Data (1, 23) of Age, Gender, EEG, ECG {stimuli, baseline (18, 1) cells of
          (samples, channels)}, ScoreValence, ScoreArousal, ScoreDominance (18, 1); rates, electrodes, numbers
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import signal

from data_prep.mat5 import Cells, MatError, stream_struct
from data_prep.transforms import prepare
from utils.errors import InputError

EEG_RATE = 128  # Hz
ECG_RATE = 256  # Hz
BASELINE_SECONDS = 61
EEG_CHANNELS = "AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4".split()
PPS_CHANNELS = ["ECG1", "ECG2"]
RATINGS = ["valence", "arousal", "dominance"]
RATING_RANGE = (1, 5)
THRESHOLD = 3
MIN_SECONDS = 5  # one 5 s window
SIGNALS = {"EEG": (EEG_RATE, len(EEG_CHANNELS)), "ECG": (ECG_RATE, len(PPS_CHANNELS))}
REMEDY = "download it again"
BEFORE = {"filters": None, "reference": "M1", "resampling": "ECG 256 to 128 Hz"}  # by the headset; by `signals`


@dataclass
class Person:
    """One subject's recordings.

    Attributes
    ----------
    clips : list of dict of str to tuple of numpy.ndarray
        For each clip ``{"EEG": (stimulus, baseline), "ECG": ...}``, each (samples, channels).
    ratings : numpy.ndarray, shape (clips, 3)
        Valence, arousal, dominance.
    """

    clips: list
    ratings: np.ndarray


def read_file(path):
    """Open DREAMER.mat; the subjects come one after the other, never all in memory.

    Parameters
    ----------
    path : path
        Of MATLAB version 5 to 7; of version 7.3 too, where h5py is installed.

    Returns
    -------
    n_subjects : int
    people : iterator of Person

    Raises
    ------
    InputError
        Here or while the people are read: if the file is not DREAMER's, or its values are impossible.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"--raw-file {path} is not a file; give DREAMER.mat")
    fields, events = {}, _events(path)
    for name, value in events:
        if name == "Data size":
            if value < 2:
                raise InputError(f"{path} has {value} subjects; at least 2 are needed")
            return value, _people(path, events, fields, value)
        fields[name] = value
    raise InputError(f"{path} has no field Data; {REMEDY}")


def clip_seconds(clip):
    """Whole seconds that all signals of a clip have."""
    return min(len(clip[name][0]) // rate for name, (rate, _) in SIGNALS.items())


def signals(clip):
    """Clip and rest by modality, at the rate of the EEG and equally long.

    Parameters
    ----------
    clip : dict
        An element of ``Person.clips``.

    Returns
    -------
    dict of str to tuple of numpy.ndarray, shape (channels, samples)
        ``"eeg"``, ``"pps"``: the clip, and the rest before it. The ECG is resampled.
    """
    parts = {}
    for (name, (rate, _)), modality in zip(SIGNALS.items(), ("eeg", "pps"), strict=True):
        stimulus, baseline = (np.asarray(part).T for part in clip[name])
        if rate != EEG_RATE:
            shared = math.gcd(rate, EEG_RATE)
            up, down = EEG_RATE // shared, rate // shared
            stimulus, baseline = (
                signal.resample_poly(np.asarray(part, np.float64), up, down, axis=1, padtype="line")
                for part in (stimulus, baseline)
            )
        parts[modality] = stimulus[:, : clip_seconds(clip) * EEG_RATE], baseline
    return parts


def to_prepared(clip, segment, eeg_normalise="channels", pps_normalise="trial"):
    """Baseline removal, resampling and normalisation of one clip (PhysioSync, preprocessing; with the real ECG).

    Parameters
    ----------
    clip : dict
        An element of ``Person.clips``.
    segment : str
        ``"first 60 s"`` or ``"last 60 s"``, of any length that is no longer than `clip_seconds`.
    eeg_normalise, pps_normalise : str
        As in `data_prep.preparation`.

    Returns
    -------
    eeg : numpy.ndarray, float32, shape (seconds, 14, 128)
    pps : numpy.ndarray, float32, shape (seconds, 2, 128)
        ECG, resampled to the rate of the EEG.

    Raises
    ------
    InputError
        If the normalisation would leave nothing of the EEG.
    """
    how = {"eeg": eeg_normalise, "pps": pps_normalise}
    return tuple(
        prepare(stimulus, baseline, EEG_RATE, how[name], segment).astype(np.float32).swapaxes(0, 1)
        for name, (stimulus, baseline) in signals(clip).items()
    )


def _events(path):
    """(field, value) of the file's structure, with Data cell by cell; see `mat5.stream_struct`."""
    try:
        with open(path, "rb") as file:
            start = file.read(520)
            if start.startswith(b"MATLAB 7.3") or b"\x89HDF\r\n\x1a\n" in (start[:8], start[512:]):
                yield from _hdf5_events(path)
            else:
                file.seek(0)
                yield from stream_struct(file, "DREAMER", streamed="Data")
    except MatError as error:
        raise InputError(f"{path} is not DREAMER's file: {error}; {REMEDY}") from None


def _hdf5_events(path):
    """The same from a file of MATLAB 7.3, which is HDF5 with all axes reversed."""
    try:
        import h5py
    except ImportError:
        remedy = "install h5py (pip install h5py), or save it with MATLAB's save(..., '-v7')"
        raise InputError(f"{path} is a MATLAB 7.3 (HDF5) file; {remedy}") from None

    def value(item):
        if isinstance(item, h5py.Group):
            return {name: value(part) for name, part in item.items()}
        if item.dtype == h5py.ref_dtype:
            return Cells(value(file[reference]) for reference in item[()].T.ravel(order="F"))
        if item.attrs.get("MATLAB_class") == b"char":
            return "".join(chr(code) for code in item[()].T.ravel(order="F"))
        return item[()].T

    try:
        with h5py.File(path, "r") as file:
            structure = file["DREAMER"]
            for name, item in structure.items():
                if name == "Data":
                    references = item[()].T.ravel(order="F")
                    yield "Data size", len(references)
                    for reference in references:
                        yield name, value(file[reference])
                else:
                    yield name, value(item)
    except (MemoryError, InputError, GeneratorExit):
        raise
    except Exception as error:  # HDF5 raises nearly anything for a damaged file
        raise MatError(f"it is damaged ({type(error).__name__})") from None


def _people(path, events, fields, n_subjects):
    """Checked subjects; at the end the fields beside them are checked too, which may come behind them in the file."""
    number, n_clips = 0, None
    for name, value in events:
        if name != "Data":
            fields[name] = value
            continue
        number += 1
        person = _person(f"{path}, subject {number}", value)
        n_clips = n_clips or len(person.clips)
        if len(person.clips) != n_clips:
            raise InputError(
                f"{path}, subject {number} has {len(person.clips)} clips, not {n_clips} as the first; {REMEDY}"
            )
        yield person
    expected = {
        "EEG_SamplingRate": EEG_RATE,
        "ECG_SamplingRate": ECG_RATE,
        "noOfSubjects": n_subjects,
        "noOfVideoSequences": n_clips,
    }
    for name, number in expected.items():
        found = fields.get(name)
        if not isinstance(found, np.ndarray) or found.size != 1 or found.item() != number:
            raise InputError(f"{path} has {name} = {_show(found)}, not {number}; {REMEDY}")
    electrodes = fields.get("EEG_Electrodes")
    if electrodes != EEG_CHANNELS:
        raise InputError(f"{path} has EEG_Electrodes = {_show(electrodes)}, not {', '.join(EEG_CHANNELS)}; {REMEDY}")


def _show(value):
    return "nothing" if value is None else " ".join(str(value).split())[:60]


def _person(where, value):
    """One subject of the file, checked; ``where`` begins the message."""
    if not isinstance(value, dict):
        raise InputError(f"{where} is not a structure; {REMEDY}")
    parts = {}
    for name, (rate, channels) in SIGNALS.items():
        part = value.get(name)
        for kind in ("stimuli", "baseline"):
            cells = part.get(kind) if isinstance(part, dict) else None
            if not isinstance(cells, Cells):
                raise InputError(f"{where} has no {name}.{kind}; {REMEDY}")
            for clip, array in enumerate(cells, start=1):
                here = f"{where}, clip {clip}, {name} {kind}"
                if not isinstance(array, np.ndarray) or array.ndim != 2 or array.shape[1] != channels:
                    raise InputError(f"{here} is not (samples, {channels}); {REMEDY}")
                if len(array) < rate:
                    raise InputError(f"{here} is shorter than 1 s; {REMEDY}")
                if not np.isfinite(array).all():
                    raise InputError(f"{here} has NaN or infinite values; repair it")
            parts[name, kind] = cells
    if len({len(cells) for cells in parts.values()}) != 1 or not parts["EEG", "stimuli"]:
        raise InputError(f"{where} has different numbers of EEG and ECG stimuli and baselines; {REMEDY}")
    n_clips = len(parts["EEG", "stimuli"])
    ratings = []
    for name in RATINGS:
        scores = value.get(f"Score{name.capitalize()}")
        if not isinstance(scores, np.ndarray) or scores.size != n_clips:
            raise InputError(f"{where} has no Score{name.capitalize()} for each of its {n_clips} clips; {REMEDY}")
        if not ((scores >= RATING_RANGE[0]) & (scores <= RATING_RANGE[1])).all():
            raise InputError(f"{where} has scores outside {RATING_RANGE[0]} to {RATING_RANGE[1]}; {REMEDY}")
        ratings.append(scores.ravel())
    clips = [
        {name: (parts[name, "stimuli"][i], parts[name, "baseline"][i]) for name in SIGNALS} for i in range(n_clips)
    ]
    return Person(clips, np.stack(ratings, axis=1))
