"""Prepare DREAMER: DREAMER.mat -> one prepared folder, for every label and window size.

    python data_prep/prepare_dreamer.py --raw-file DREAMER.mat --out-dir data/DREAMER

Of each clip 60 s are kept, the first as in the paper or the last. The ECG is resampled from 256 to 128 Hz.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors  # before all packages, to say in one line which are not installed

# isort: split

import numpy as np

from data_prep.folder import preparation
from data_prep.folder.prepared import MARK
from data_prep.folder.writer import PreparedWriter, is_prepared
from data_prep.formats import dreamer
from utils.base.errors import InputError
from utils.base.files import sha256
from utils.base.progress import Progress, say_pretraining
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
    segment, how = f"{settings.SEGMENT} {settings.SEGMENT_SECONDS} s", (settings.EEG_NORMALISE, settings.PPS_NORMALISE)
    made = preparation.make(
        *how,
        baseline_seconds=dreamer.BASELINE_SECONDS,
        segment=segment,
        short_trials=settings.SHORT_TRIALS,
        **dreamer.BEFORE,
    )
    if is_prepared(settings.OUT_DIR, made, {settings.RAW_FILE.name: settings.RAW_FILE}):
        print(f"{settings.OUT_DIR}: complete, from this file")
        say_pretraining(settings.OUT_DIR)
        return
    people = dreamer.read_file(settings.RAW_FILE)
    kept = find_clips(people, settings)
    stimuli = None if kept is None else [str(index + 1) for index in kept]
    writer = PreparedWriter(
        settings.OUT_DIR,
        name="DREAMER",
        sampling_rate=dreamer.EEG_RATE,
        eeg_channels=dreamer.EEG_CHANNELS,
        pps_channels=dreamer.PPS_CHANNELS,
        ratings=dreamer.RATINGS,
        rating_range=dreamer.RATING_RANGE,
        threshold=dreamer.THRESHOLD,
        preparation=made,
        simulated=settings.RAW_FILE.with_name(MARK).exists(),
        stimuli=stimuli,
    )
    with writer:
        checksum = {settings.RAW_FILE.name: sha256(settings.RAW_FILE)}
        for number, person in enumerate(Progress(people, desc="preparing", unit="subject"), start=1):
            clips = person.clips if kept is None else [person.clips[i] for i in kept]
            ratings = person.ratings if kept is None else person.ratings[kept]
            blocks = []
            for index, clip in enumerate(clips, start=1):
                if dreamer.clip_seconds(clip) < settings.SEGMENT_SECONDS:
                    seconds = dreamer.clip_seconds(clip)
                    raise InputError(
                        f"{settings.RAW_FILE}, subject {number}, clip {index} lasts {seconds} s, less than "
                        f"{settings.SEGMENT_SECONDS} s; use --short-trials drop or a smaller --segment-seconds"
                    )
                try:
                    blocks.append(dreamer.to_prepared(clip, segment, *how))
                except InputError as error:
                    raise InputError(f"{settings.RAW_FILE}, subject {number}, clip {index}: {error}") from None
            eeg, pps = (np.stack(part) for part in zip(*blocks, strict=True))
            writer.add(f"s{number:02d}", eeg, pps, ratings, sources=checksum)
            for name, channels in (("EEG", dreamer.EEG_CHANNELS), ("ECG", dreamer.PPS_CHANNELS)):
                trials = [np.concatenate((clip[name][1], clip[name][0])).T for clip in clips]  # rest, then the film
                writer.quality.look(f"s{number:02d}", channels, dreamer.SIGNALS[name][0], trials)
    writer.report()
    say_pretraining(settings.OUT_DIR)


def find_clips(people, settings):
    """Indices of the clips that are long enough for every subject, or None where short ones are an error."""
    if settings.SHORT_TRIALS == "error":
        return None
    shortest = np.min([[dreamer.clip_seconds(clip) for clip in person.clips] for person in people], axis=0)
    kept = np.flatnonzero(shortest >= settings.SEGMENT_SECONDS)
    if len(kept) < 2:
        raise InputError(
            f"--segment-seconds {settings.SEGMENT_SECONDS}: {settings.RAW_FILE} has {len(kept)} such clips"
        )
    for index in np.flatnonzero(shortest < settings.SEGMENT_SECONDS):
        print(f"clip {index + 1} is dropped for all subjects: the shortest lasts {shortest[index]} s")
    return kept


if __name__ == "__main__":
    utils.base.errors.run(main)
