"""Prepare DEAP: raw files s01.dat ... s32.dat -> one prepared folder, for every label and window size.

    python data_prep/prepare_deap.py --raw-dir data_preprocessed_python --out-dir data/DEAP

Any number of subjects and trials from 2 on, and any length from 5 s on, will do, if all subjects agree.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import utils.errors
from data_prep import deap
from data_prep.writer import PreparedWriter, is_prepared
from utils.errors import InputError
from utils.progress import Progress, say_next, warn
from utils.settings import read_settings

RAW_DIR = "data_preprocessed_python"  # folder with s01.dat, s02.dat, ...
OUT_DIR = "data/DEAP"  # prepared folder to write
PPS_NORMALISE = "trial"  # trial: each PPS channel standardised over its trial | none: as the paper's program leaves it
QUIET = False  # True: say nothing but warnings and errors


def main():
    """Write the prepared folder, one person in memory at a time."""
    settings = read_settings(globals())
    files = deap.find_files(settings.RAW_DIR)
    preparation = {"eeg": "z-score across channels", "pps": settings.PPS_NORMALISE, "baseline_seconds": 3}
    following = ("main_pretrain_1s.py", "--data-dir", settings.OUT_DIR, "--run-dir", "runs/deap")
    if is_prepared(settings.OUT_DIR, preparation, files.values()):
        print(f"{settings.OUT_DIR}: complete, from these files")
        say_next(*following)
        return
    writer = PreparedWriter(
        settings.OUT_DIR,
        name="DEAP",
        sampling_rate=deap.RATE,
        eeg_channels=deap.EEG_CHANNELS,
        pps_channels=deap.PPS_CHANNELS,
        ratings=deap.RATINGS,
        rating_range=deap.RATING_RANGE,
        threshold=deap.THRESHOLD,
        preparation=preparation,
    )
    with writer:
        for subject, path in Progress(files.items(), desc="preparing", unit="subject"):
            data, ratings, checksum = deap.read_file(path)
            constant = deap.constant_channels(data)
            if constant:
                warn(f"{path} has channels that do not change in some trials: {', '.join(constant)}")
            try:
                eeg, pps = deap.to_prepared(data, settings.PPS_NORMALISE)
                writer.add(subject, eeg, pps, ratings, sources={path.name: checksum})
                writer.quality.look(subject, deap.EEG_CHANNELS + deap.PPS_CHANNELS, deap.RATE, data, units_known=False)
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
    writer.report()
    say_next(*following)


if __name__ == "__main__":
    utils.errors.run(main)
