"""Prepare Stress-Predict, an open data set: a wristband's files -> one prepared folder without EEG. Label: stress.

    git clone https://github.com/italha-d/Stress-Predict-Dataset
    python data_prep/prepare_stress_predict.py --raw-dir Stress-Predict-Dataset/Raw_data --out-dir data/STRESS

A trial is a stage of the experiment, the same part of each: baseline, Stroop test, rest, interview, rest,
hyperventilation, rest. Pulse, skin conductance, temperature, heart rate and acceleration are brought to 64 Hz.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors
from data_prep.folder import preparation
from data_prep.folder.writer import prepare_all
from data_prep.formats import stress_predict
from utils.base.errors import InputError
from utils.base.settings import read_settings

RAW_DIR = "Stress-Predict-Dataset/Raw_data"  # folder with S01, S02, ...
OUT_DIR = "data/STRESS"  # prepared folder to write
SECONDS = 85  # length of the part of each stage that is kept, in s; the shortest stage lasts 89 s
DELAY = 2  # s from the mark that begins a stage to that part
BASELINE_BEFORE = 250  # s from the beginning of the baseline's part to the mark that begins the Stroop test
PPS_NORMALISE = "subject"  # subject: each channel over a person's training data | trial: over its stage | none
QUIET = False  # True: say nothing but warnings and errors


def main():
    """Write the prepared folder, one person in memory at a time."""
    settings = read_settings(globals())
    sizes = seconds, delay, before = (settings.SECONDS, settings.DELAY, settings.BASELINE_BEFORE)
    if before < seconds:
        what = f"is less than --seconds {seconds}: the baseline would reach into the Stroop test"
        raise InputError(f"--baseline-before {before}", what)
    folders = stress_predict.find_people(settings.RAW_DIR)
    paths = [path for folder in folders.values() for path in stress_predict.files_of(folder).values()]
    files = {f"{path.parent.name}/{path.name}": path for path in paths}
    made = preparation.make(
        pps=settings.PPS_NORMALISE,
        baseline_seconds=None,
        segment=None,
        resampling="1, 4 and 32 to 64 Hz",
        trials=f"{seconds} s from {delay} s after each mark; baseline from {before} s before the first",
    )
    following, people = ("--protocol", "cross-subject", "--n-folds", "5"), stress_predict.people
    prepare_all(settings.OUT_DIR, stress_predict.CARD, made, files, people, folders, *sizes, following=following)


if __name__ == "__main__":
    utils.base.errors.run(main)
