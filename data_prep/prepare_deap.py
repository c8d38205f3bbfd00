"""Prepare DEAP: raw files s01.dat ... s32.dat (or .mat) -> one prepared folder, for every label and window size.

    python data_prep/prepare_deap.py --raw-dir data_preprocessed_python --out-dir data/DEAP

Any number of subjects and trials from 2 on, and any length from 5 s on, will do, if all subjects agree.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors
from data_prep.folder import preparation
from data_prep.folder.writer import prepare_all
from data_prep.formats import deap
from utils.base.settings import read_settings

RAW_DIR = "data_preprocessed_python"  # folder with s01.dat, s02.dat, ... or s01.mat, s02.mat, ...
OUT_DIR = "data/DEAP"  # prepared folder to write
REST_SECONDS = None  # rest at the start of each trial, in s; 0: the files have none (None: DEAP's 3 s)
EEG_NORMALISE = "channels"  # channels: across channels at each sample (paper) | trial: each channel over its trial
PPS_NORMALISE = "trial"  # trial: each channel over its trial | subject: over a person's training data | none (paper)
QUIET = False  # True: say nothing but warnings and errors


def main():
    """Write the prepared folder, one person in memory at a time."""
    settings = read_settings(globals())
    files = deap.find_files(settings.RAW_DIR)
    rest = deap.BASELINE_SECONDS if settings.REST_SECONDS is None else settings.REST_SECONDS
    how = (settings.EEG_NORMALISE, settings.PPS_NORMALISE)
    made = preparation.make(*how, baseline_seconds=rest or None, segment=None, **deap.BEFORE)
    sources = {path.name: path for path in files.values()}
    prepare_all(settings.OUT_DIR, deap.CARD, made, sources, deap.people, files, settings.REST_SECONDS)


if __name__ == "__main__":
    utils.base.errors.run(main)
