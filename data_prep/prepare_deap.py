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
from data_prep.folder.prepared import MARK
from data_prep.folder.writer import PreparedWriter, is_prepared
from data_prep.formats import deap
from utils.base.errors import InputError
from utils.base.progress import Progress, say_pretraining, warn
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
    if is_prepared(settings.OUT_DIR, made, {path.name: path for path in files.values()}):
        print(f"{settings.OUT_DIR}: complete, from these files")
        say_pretraining(settings.OUT_DIR)
        return
    simulated = any(path.with_name(MARK).exists() for path in files.values())
    writer = PreparedWriter(
        settings.OUT_DIR,
        name="DEAP",
        sampling_rate=deap.RATE,
        eeg_channels=deap.EEG_CHANNELS,
        pps_channels=deap.PPS_CHANNELS,
        ratings=deap.RATINGS,
        rating_range=deap.RATING_RANGE,
        threshold=deap.THRESHOLD,
        preparation=made,
        simulated=simulated,
    )
    with writer:
        for subject, path in Progress(files.items(), desc="preparing", unit="subject"):
            data, ratings, checksum = deap.read_file(path)
            constant = deap.constant_channels(data)
            if constant:
                warn(f"{path} has channels that do not change in some trials: {', '.join(constant)}")
            deap.rest_seconds(path, data, settings.REST_SECONDS)
            try:
                eeg, pps = deap.to_prepared(data, *how, rest)
                writer.add(subject, eeg, pps, ratings, sources={path.name: checksum})
                writer.quality.look(subject, deap.EEG_CHANNELS + deap.PPS_CHANNELS, deap.RATE, data, units_known=False)
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
    writer.report()
    if settings.REST_SECONDS is None and deap.is_unusual(data) and not simulated:
        warn(
            f"trials of {data.shape[2] / deap.RATE:g} s are not DEAP's of 63 s: their first {rest} s were taken for "
            "rest; --rest-seconds says how much of it there is"
        )
    say_pretraining(settings.OUT_DIR)


if __name__ == "__main__":
    utils.base.errors.run(main)
