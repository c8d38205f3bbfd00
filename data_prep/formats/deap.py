"""DEAP's raw format: where its files are, what they hold, and how they become 1 s blocks.

Authors   Koelstra, Muehl, Soleymani, Lee, Yazdani, Ebrahimi, Pun, Nijholt, Patras
Source    "DEAP: A Database for Emotion Analysis using Physiological Signals", IEEE Trans. Affective Computing, 2012
Link      https://www.eecs.qmul.ac.uk/mmv/datasets/deap/ (an agreement is to be signed; the data may not be passed on)
People    32, each with 40 one-minute music videos; ratings from 1 to 9
Signals   128 Hz, band-passed and cleaned by DEAP's authors: 32 EEG (uV) and 8 peripheral channels
Files     data_preprocessed_python/s01.dat ... s32.dat, pickles of Python 2, or the same numbers for MATLAB in
          data_preprocessed_matlab/s01.mat ... s32.mat:
          data (40 trials, 40 channels, 8064 samples: 3 s before the video, then 60 s), labels (40 trials, 4 ratings)
"""

import re
from pathlib import Path

import numpy as np

from data_prep.folder.writer import Recorded
from data_prep.formats import matlab
from data_prep.formats.safe_pickle import UnsafePickleError, load_arrays
from data_prep.signals.channels import shorten
from utils.base.errors import InputError
from utils.base.files import sha256
from utils.base.progress import Progress, warn

RATE = 128  # Hz
BASELINE_SECONDS = 3  # of rest at the start of each trial
TRIAL_SECONDS = 60  # behind them
MIN_SECONDS = 5  # one 5 s window
EEG_CHANNELS = (
    "Fp1 AF3 F3 F7 FC5 FC1 C3 T7 CP5 CP1 P3 P7 PO3 O1 Oz Pz Fp2 AF4 Fz F4 F8 FC6 FC2 Cz C4 T8 CP6 CP2 P4 P8 PO4 O2"
).split()
PPS_CHANNELS = "hEOG vEOG zEMG tEMG GSR respiration plethysmograph temperature".split()
RATINGS = "valence arousal dominance liking".split()
RATING_RANGE = (1, 9)
MAX_FILE_BYTES = 4 << 30  # 40 times a DEAP file
BEFORE = {"filters": "4-45 Hz", "reference": "average", "resampling": "512 to 128 Hz"}  # by DEAP's authors
CARD = {
    "name": "DEAP",
    "sampling_rate": RATE,
    "eeg_channels": EEG_CHANNELS,
    "pps_channels": PPS_CHANNELS,
    "ratings": RATINGS,
    "rating_range": RATING_RANGE,
    "threshold": 5,
}
MAX_MATLAB_BYTES = 1 << 30  # unpacked; 10 times a DEAP file
FOLDERS = ("data_preprocessed_python", "data_preprocessed_matlab")  # of the archive
REMEDY = f"use the files of {' or '.join(FOLDERS)}"
VARIABLES = ("data", "labels")
OTHER_RATES = (100, 200, 250, 256, 500, 512, 1000, 1024)  # Hz, to which people resample


def find_files(folder):
    """Files of all subjects by id (``"s01"``), in order; ``folder`` has them, or the archive's folder that has them."""
    folder, where = Path(folder), f"--raw-dir {folder}"
    if not folder.is_dir():
        simulate = "without DEAP, data_prep/make_synthetic.py simulates some"
        raise InputError(where, "is not a folder", f"give the one that holds s01.dat, s02.dat, ...; {simulate}")
    parts = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    archives = [parts[name] for name in FOLDERS if name in parts]
    folder = archives[0] if archives else folder
    if len(archives) == 2:
        print(f"{folder} is used; {archives[1]} has the same recordings for MATLAB")
    paths, files = sorted(folder.iterdir()), {}
    for path in paths:
        if path.name.startswith(".") or path.suffix.lower() not in (".dat", ".mat"):
            continue
        match = re.fullmatch(r"s0*(\d+)\.(dat|mat)", path.name, re.IGNORECASE)
        if not match:
            what = "is not named like a subject of DEAP (s01.dat, s01.mat)"
            raise InputError(path, what, "rename it, or move it elsewhere")
        same = files.setdefault(int(match[1]), path)
        if same != path:
            raise InputError(f"{same} and {path}", "are the same subject", "keep one of them")
    if len(files) < 2:
        what = f"has {len(files)} files s01.dat or s01.mat, s02, ...; at least 2 are needed"
        raise InputError(where, f"{what} (it has {shorten([path.name for path in paths]) or 'nothing'})")
    return {f"s{number:02d}": path for number, path in sorted(files.items())}


def read_file(path):
    """One subject's ``.dat`` or ``.mat``, checked.

    Returns data (trials, 40, samples) at 128 Hz, the first 3 s before the video; ratings (trials, 4); the SHA-256.
    """
    path = Path(path)
    data, ratings = _arrays(path)
    n_channels, least = len(EEG_CHANNELS) + len(PPS_CHANNELS), (BASELINE_SECONDS + MIN_SECONDS) * RATE
    if data.ndim != 3 or len(data) < 2 or data.shape[1] != n_channels or data.shape[2] < least:
        wanted = f"(at least 2 trials, {n_channels} channels, at least {least} samples)"
        raise InputError(path, f"has data of shape {data.shape}, not {wanted}", REMEDY)
    if ratings.shape != (len(data), len(RATINGS)):
        raise InputError(path, f"has labels of shape {ratings.shape}, not {(len(data), len(RATINGS))}", REMEDY)
    for name, array in (("data", data), ("labels", ratings)):
        if not np.isfinite(array).all():
            raise InputError(path, f"has NaN or infinite values in {name}", "repair it or leave it out")
    low, high = RATING_RANGE
    if ratings.min() < low or ratings.max() > high:
        raise InputError(path, f"has ratings outside {low} to {high}", "repair it or leave it out")
    return data, ratings, sha256(path)


def _arrays(path):
    """The file's data and labels."""
    if path.suffix.lower() == ".mat":
        arrays, names = matlab.load(path, VARIABLES, MAX_MATLAB_BYTES)
    elif path.stat().st_size > MAX_FILE_BYTES:
        raise InputError(path, "is larger than any DEAP file", REMEDY)
    else:
        try:
            names = arrays = load_arrays(path.read_bytes())
        except UnsafePickleError as error:
            raise InputError(path, f"is not a DEAP file: {error}", REMEDY) from None
    if not set(VARIABLES) <= set(arrays):
        raise InputError(path, f"is not a DEAP file: it has {shorten(sorted(names))}, not data and labels", REMEDY)
    for name in VARIABLES:
        if not matlab.is_real(arrays[name]):
            raise InputError(path, f"is not a DEAP file: its {name} is not an array of real numbers", REMEDY)
    return [arrays[name] for name in VARIABLES]


def people(writer, files, asked):
    """A `Recorded` for each of ``files`` (by subject); ``asked``: seconds of rest, None for DEAP's."""
    names = EEG_CHANNELS + PPS_CHANNELS
    for subject, path in Progress(files.items(), desc="preparing", unit="subject"):
        data, ratings, _ = read_file(path)
        still = (data.max(axis=2) == data.min(axis=2)).any(axis=0)  # in at least one trial
        if constant := [name for name, is_still in zip(names, still, strict=True) if is_still]:
            warn(f"{path} has channels that do not change in some trials: {', '.join(constant)}")
        rest = _rest_seconds(path, data, asked)
        yield Recorded(subject, path, signals(data, rest), ratings, [(names, RATE, data, False)])
    if asked is None and is_unusual(data) and "simulated" not in writer.info:
        what = f"trials of {data.shape[2] / RATE:g} s are not DEAP's of 63 s: their first {rest} s were taken for rest"
        warn(f"{what}; --rest-seconds says how much of it there is")


def _rest_seconds(path, data, asked):
    """Seconds of rest that each trial of ``data`` begins with: as the user says (``asked``), else DEAP's 3 s."""
    length, rest = data.shape[2] / RATE, BASELINE_SECONDS if asked is None else asked
    if asked is None:
        says_so = f"use --rest-seconds 0 if the rest was cut off, {BASELINE_SECONDS} if they begin with it"
        refuse_other_length(path, data, says_so, "give --rest-seconds")
    if 0 < rest < 1:
        raise InputError(f"--rest-seconds {rest:g}: at least 1 s of rest is needed to subtract its mean second, or 0")
    if length - rest < MIN_SECONDS:
        raise InputError(path, f"has trials of {length:g} s; {rest:g} s of rest and {MIN_SECONDS} s are needed")
    return rest


def refuse_other_length(where, data, if_no_rest, if_other_rate):
    """Refuse trials (trials, 40, samples) as long as DEAP's without their rest, or at another rate; with remedies."""
    n_samples, length = data.shape[2], data.shape[2] / RATE
    if length == TRIAL_SECONDS and if_no_rest:
        what = f"has trials of {length:g} s, as DEAP's are without the {BASELINE_SECONDS} s of rest before them"
        raise InputError(where, what, if_no_rest)
    for rate in OTHER_RATES:
        if n_samples in (rate * (BASELINE_SECONDS + TRIAL_SECONDS), rate * TRIAL_SECONDS):
            what = f"has {n_samples} samples a trial: DEAP's trials at {rate} Hz, not {RATE}"
            remedy = f"resample them to {RATE} Hz, or {if_other_rate} if they are {length:g} s at {RATE} Hz"
            raise InputError(where, what, remedy)


def is_unusual(data):
    """Whether trials (trials, 40, samples) are not as long as DEAP's: how much of them is rest is then unknown."""
    return data.shape[2] != (BASELINE_SECONDS + TRIAL_SECONDS) * RATE


def signals(data, rest=BASELINE_SECONDS):
    """Trial and rest (or None) by modality, (channels, samples), of each trial of ``data`` (trials, 40, samples)."""
    start, n_eeg = round(rest * RATE), len(EEG_CHANNELS)
    for trial in data:
        parts = {"eeg": trial[:n_eeg], "pps": trial[n_eeg:]}
        yield {name: (part[:, start:], part[:, :start] if start else None) for name, part in parts.items()}
