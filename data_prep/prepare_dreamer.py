"""Prepare DREAMER: DREAMER.mat -> one prepared folder, for every label and window size.

    python data_prep/prepare_dreamer.py --raw-file DREAMER.mat --out-dir data/DREAMER

Of each clip 60 s are kept, the first as in the paper or the last. The ECG is resampled from 256 to 128 Hz.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors
from data_prep.folder import preparation
from data_prep.folder.writer import prepare_all
from data_prep.formats import dreamer
from utils.base.settings import read_settings

RAW_FILE = "DREAMER.mat"  # the data set's one file
OUT_DIR = "data/DREAMER"  # prepared folder to write
SEGMENT = "first"  # part of each clip to keep: first (the paper's) | last, when the emotion has grown
SEGMENT_SECONDS = 60  # length of that part in s, at least 5
SHORT_TRIALS = "error"  # clips that are shorter: error | drop, for all subjects
EEG_NORMALISE = "channels"  # channels: across channels at each sample (paper) | trial: each channel over its segment
PPS_NORMALISE = "trial"  # trial: each channel over its segment | subject: over a person's training data | none
QUIET = False  # True: say nothing but warnings and errors


def main():
    """Write the prepared folder; the file as a whole is in memory."""
    settings = read_settings(globals())
    made = preparation.make(
        settings.EEG_NORMALISE,
        settings.PPS_NORMALISE,
        baseline_seconds=dreamer.BASELINE_SECONDS,
        segment=f"{settings.SEGMENT} {settings.SEGMENT_SECONDS} s",
        short_trials=settings.SHORT_TRIALS,
        **dreamer.BEFORE,
    )
    arguments = (settings.RAW_FILE, settings.SEGMENT_SECONDS, settings.SHORT_TRIALS == "drop")
    files = {settings.RAW_FILE.name: settings.RAW_FILE}
    prepare_all(settings.OUT_DIR, dreamer.CARD, made, files, dreamer.people, *arguments)


if __name__ == "__main__":
    utils.base.errors.run(main)
