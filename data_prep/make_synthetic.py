"""Write raw files in DEAP's or DREAMER's format, with planted structure, to try every script without the real data.

    python data_prep/make_synthetic.py --format deap --out-dir data/raw --subjects 8 --trials 10 --seconds 60 --seed 0

What is planted: data_prep/formats/synthetic.py. The same settings always write the same bytes.
"""

import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors  # before all packages, to say in one line which are not installed

# isort: split

import numpy as np
import scipy.io

from data_prep.folder.prepared import MARK
from data_prep.formats import deap, dreamer, synthetic
from utils.base.files import atomic_folder
from utils.base.progress import Progress, say_next
from utils.base.settings import read_settings

FORMAT = "deap"  # deap: s01.dat, s02.dat, ... | dreamer: one DREAMER.mat
OUT_DIR = "data/synthetic_raw"  # folder to write; must not exist
SUBJECTS = 8  # people
TRIALS = 10  # stimuli
SECONDS = 60  # length of a stimulus in s; of the shortest one for dreamer, whose clips differ in length
SEED = 0  # same seed, same bytes
EFFECT = 1.0  # strength of emotion's traces in the signals; 1: plain to see, 0.3: hard to find
GSR_DRIFT = 0.0  # uS by which skin conductance wanders within a minute, apart from emotion; 0: it follows arousal alone
TREND = 0.0  # strength of what changes over every trial alike: skin conductance that falls, alpha that grows
NULL = False  # True: ratings have nothing to do with the signals
QUIET = False  # True: say nothing but warnings and errors

mark_text = "The recordings in this folder were simulated; they come from no person. Leave this file beside them.\n"


def main():
    """Write the files and say what comes next."""
    settings = read_settings(globals())
    with atomic_folder(settings.OUT_DIR, "--out-dir") as folder:
        (write_deap if settings.FORMAT == "deap" else write_dreamer)(folder, settings)
        (folder / MARK).write_text(mark_text, encoding="utf-8", newline="\n")
    print(f"wrote {settings.OUT_DIR}: {settings.SUBJECTS} subjects x {settings.TRIALS} trials")
    name = settings.OUT_DIR.name
    prepared = settings.OUT_DIR.with_name(name.removesuffix("_raw") if name.endswith("_raw") else f"{name}_prepared")
    if settings.FORMAT == "deap":
        say_next("data_prep/prepare_deap.py", "--raw-dir", settings.OUT_DIR, "--out-dir", prepared)
    else:
        say_next("data_prep/prepare_dreamer.py", "--raw-file", settings.OUT_DIR / "DREAMER.mat", "--out-dir", prepared)


def simulate(settings, channels, lengths, rest_seconds):
    """Trials (an iterator of `synthetic.Trial`) and ratings ((trials,) by name, in -1..1) of one subject after another.

    ``lengths``: seconds of each stimulus, with ``rest_seconds`` in front of it. With NULL the ratings do not depend on
    the signals.
    """
    stimuli = synthetic.make_stimuli(settings.SEED, settings.TRIALS, max(lengths))
    courses = [s.courses[:, : n * synthetic.LATENT_RATE] for s, n in zip(stimuli, lengths, strict=True)]
    felt = np.stack([course.mean(axis=1) for course in courses])
    traces = settings.EFFECT, settings.GSR_DRIFT, settings.TREND
    for index in Progress(range(settings.SUBJECTS), desc="simulating", unit="subject"):
        person = synthetic.Person(settings.SEED, index, channels)
        signal_rng, rating_rng = (np.random.default_rng([settings.SEED, i, index]) for i in (3, 4))
        rated = synthetic.make_targets(rating_rng, len(stimuli), balanced=False) if settings.NULL else felt
        planned = zip(stimuli, lengths, strict=True)
        trials = (synthetic.Trial(signal_rng, person, s, rest_seconds, n, *traces) for s, n in planned)
        yield trials, synthetic.make_ratings(rating_rng, person, rated)


def write_deap(folder, settings):
    """s01.dat, s02.dat, ... in ``folder``: float64 data (trials, 40, samples) at 128 Hz and labels (trials, 4)."""
    lengths = [settings.SECONDS] * settings.TRIALS
    subjects = simulate(settings, deap.EEG_CHANNELS, lengths, deap.BASELINE_SECONDS)
    for index, (trials, ratings) in enumerate(subjects, start=1):
        data = np.stack([deap_channels(trial) for trial in trials])
        labels = np.stack([np.clip(5 + 4 * ratings[name], 1, 9).round(2) for name in deap.RATINGS], axis=1)
        (folder / f"s{index:02d}.dat").write_bytes(python2_pickle({"labels": labels, "data": data}))


def deap_channels(trial):
    """All channels of DEAP (40, samples) of a simulated trial."""
    rate, blinks = deap.RATE, trial.blinks(deap.RATE)
    pps = [trial.eye(rate), trial.eye(rate) + 150 * blinks, trial.muscle(rate, which=1), trial.muscle(rate, which=0)]
    pps += [trial.skin_conductance(rate), trial.respiration(rate), trial.pulse(rate), trial.temperature(rate)]
    return np.stack([*trial.eeg(deap.EEG_CHANNELS, rate, blinks), *pps])  # in the order of deap.PPS_CHANNELS


def python2_pickle(arrays):
    """The bytes Python 2 writes for a dictionary of float64 arrays: protocol 2, 8-bit strings, names of NumPy 1."""
    out = [b"\x80\x02}("]
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array, dtype="<f8").tobytes()
        out += [b"U", struct.pack("B", len(name)), name.encode()]  # SHORT_BINSTRING
        out += [b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"]
        out += [b"(K\x01(", *(b"J" + struct.pack("<i", n) for n in array.shape), b"t"]  # version, shape
        out += [b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"]
        out += [b"\x89T", struct.pack("<i", len(raw)), raw, b"tb"]  # C order, BINSTRING, BUILD
    return b"".join([*out, b"u."])


def write_dreamer(folder, settings):
    """DREAMER.mat in ``folder``: EEG (samples, 14) at 128 Hz and ECG (samples, 2) at 256 Hz of every clip, ratings."""
    lengths = [settings.SECONDS + 7 * trial % 13 for trial in range(settings.TRIALS)]
    rest, people = dreamer.BASELINE_SECONDS, []
    for trials, ratings in simulate(settings, dreamer.EEG_CHANNELS, lengths, rest):
        clips = [{"EEG": dreamer_eeg(trial), "ECG": trial.ecg(dreamer.ECG_RATE).T} for trial in trials]
        person = {"Age": "25", "Gender": "female" if len(people) % 2 else "male"}
        for name, (rate, _) in dreamer.SIGNALS.items():
            parts = [np.split(clip[name], [rest * rate]) for clip in clips]
            before, during = ([np.ascontiguousarray(part) for part in column] for column in zip(*parts, strict=True))
            person[name] = {"baseline": cells(before, (-1, 1)), "stimuli": cells(during, (-1, 1))}
        for name in dreamer.RATINGS:
            person[f"Score{name.capitalize()}"] = np.clip(np.rint(3 + 2 * ratings[name]), 1, 5)[:, None]
        people.append(person)
    structure = {
        "Data": cells(people, (1, -1)),
        "EEG_SamplingRate": float(dreamer.EEG_RATE),
        "ECG_SamplingRate": float(dreamer.ECG_RATE),
        "EEG_Electrodes": cells(dreamer.EEG_CHANNELS, (1, -1)),
        "noOfSubjects": float(settings.SUBJECTS),
        "noOfVideoSequences": float(settings.TRIALS),
    }
    with open(folder / "DREAMER.mat", "wb") as file:
        scipy.io.savemat(file, {"DREAMER": structure}, oned_as="column")
        file.seek(0)
        file.write(b"MATLAB 5.0 MAT-file, synthetic recordings".ljust(116))  # SciPy writes the time here


def dreamer_eeg(trial):
    """EEG (samples, 14) of a simulated trial."""
    return trial.eeg(dreamer.EEG_CHANNELS, dreamer.EEG_RATE, trial.blinks(dreamer.EEG_RATE)).T


def cells(items, shape):
    """A MATLAB cell array of ``items``."""
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(shape)


if __name__ == "__main__":
    utils.base.errors.run(main)
