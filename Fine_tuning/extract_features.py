"""Write the features that an encoder makes of a prepared data set, for your own classifier.

    python Fine_tuning/extract_features.py --checkpoint runs/deap/pretrain_5s/fold_00/checkpoint.pt --data-dir data/DEAP

Takes a checkpoint of pre-training. Writes one .npz: features float32 (n, 4 x embed_dim), subject (ids), trial (from 0),
start_second, ratings (n, ratings), rating_names, and seen_in_training: whether the encoder was trained on the window.
Read it with numpy.load.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors  # before all packages, to say in one line which are not installed

# isort: split

import numpy as np

from data_prep import open_prepared
from data_prep.folder.preparation import compare, of_model, record
from utils.base.devices import choose_device, use_threads
from utils.base.errors import InputError
from utils.base.files import atomic, check_new_file
from utils.base.progress import warn
from utils.base.settings import read_settings
from utils.inputs.features import block_width
from utils.inputs.normalise import Standardiser
from utils.pretraining.checkpoints import load_encoders
from utils.pretraining.encoding import build, encode, open_recordings
from utils.protocol import splits
from utils.protocol.windows import first_seconds

# what to read and write
CHECKPOINT = "runs/deap/pretrain_5s/fold_00/checkpoint.pt"  # of main_pretrain_1s.py or main_pretrain_5s.py
DATA_DIR = "data/DEAP"  # prepared folder
MODALITY = None  # eeg | pps (None: eeg, where the checkpoint has it)
OUT_FILE = "runs/features.npz"  # to write; must not exist
STANDARDISE = "person"  # with what, where training did per person: person: all that there is | training: its people's
BATCH_SIZE = 256  # windows at once
DEVICE = "auto"  # auto | cpu | cuda | mps
THREADS = None  # threads that compute on a CPU (None: as many as pay for networks of this size)
QUIET = False  # True: say nothing but warnings and errors


def main():
    """Check that checkpoint and data fit, encode every window, write the file."""
    settings = read_settings(globals())
    check_new_file(settings.OUT_FILE, "--out-file")
    remedy = "give a checkpoint.pt that main_pretrain_1s.py or main_pretrain_5s.py has written"
    checkpoint = load_encoders(settings.CHECKPOINT, remedy)
    if settings.MODALITY is None:
        settings = settings.replace(MODALITY="pps" if list(checkpoint["encoders"]) == ["pps"] else "eeg")
    if settings.MODALITY not in checkpoint["encoders"]:
        raise InputError(f"--checkpoint {settings.CHECKPOINT} holds no {settings.MODALITY} encoder")
    data = open_prepared(settings.DATA_DIR, rated=False)
    entry, n_seconds = checkpoint["encoders"][settings.MODALITY], splits.RESOLUTIONS[checkpoint["window"]]
    device = choose_device(settings.DEVICE)
    model = of_model(checkpoint, settings.CHECKPOINT)
    positions, warnings = compare(model, record(data), f"--data-dir {data.folder}", [settings.MODALITY])
    channels = data.info[f"{settings.MODALITY}_channels"]
    if positions[settings.MODALITY] is not None:
        channels = [channels[position] for position in positions[settings.MODALITY]]
    front_end = checkpoint["settings"]["FRONT_END"]
    of_input = [settings.MODALITY], data.info["preparation"], f"--checkpoint {settings.CHECKPOINT}"
    standardiser = Standardiser(settings.STANDARDISE, checkpoint, *of_input)
    recordings = open_recordings(data, settings.MODALITY, channels, device, front_end, standardiser)
    size = len(channels), n_seconds * block_width(front_end, data.rate, settings.MODALITY)
    wanted = entry["arguments"]["n_channels"], entry["arguments"]["n_samples"]
    if size != wanted:
        sizes = f"takes {wanted[0]} channels x {wanted[1]} samples, and {data.folder} has {size[0]} x {size[1]}"
        raise InputError(f"--checkpoint {settings.CHECKPOINT} {sizes}")
    n_subjects, trials, seconds = data.eeg.shape[:3]
    rows = np.arange(trials * (seconds // n_seconds))
    windows = splits.windows_of(np.arange(n_subjects), rows, seconds // n_seconds, data.seen)
    encoder = build(entry).to(device)
    use_threads(settings.THREADS, encoder)
    features = encode(encoder, recordings, settings.MODALITY, windows, n_seconds, seconds, settings.BATCH_SIZE)
    subject, trial, row = windows.T
    seen = seen_in_training(checkpoint, data, windows)
    arrays = {
        "features": features,
        "subject": np.array(data.subjects)[subject],
        "trial": trial,
        "start_second": first_seconds(row, n_seconds, seconds) % seconds,
        "ratings": data.ratings[subject, trial],
        "rating_names": np.array(data.info["ratings"], dtype=str),
        "seen_in_training": seen,
    }
    with atomic(settings.OUT_FILE) as file:
        np.savez(file, **arrays)
    print(f"wrote {settings.OUT_FILE}: {len(features)} windows of {n_seconds} s x {features.shape[1]} features")
    if standardiser:
        print(standardiser)
    if seen.any():
        n = f"{seen.sum()} of these {len(seen)} windows, without labels (seen_in_training in the file)"
        print(f"the encoder was trained on {n}: test a classifier on the others only")
    for line in [*warnings, *standardiser.warnings()]:
        warn(line)


def seen_in_training(checkpoint, data, windows):
    """Which of the windows (n, 3) the encoder was trained on; all if of the same recordings, prepared otherwise."""
    if checkpoint.get("dataset_checksum") == data.checksum:
        subjects, rows = (checkpoint["trained_on"][name].numpy() for name in ("subjects", "rows"))
        return np.isin(windows[:, 0], subjects) & np.isin(windows[:, 2], rows)
    sources = set((checkpoint.get("sources") or {}).values()) & set((data.info.get("sources") or {}).values())
    return np.full(len(windows), bool(sources) and len(checkpoint["trained_on"]["subjects"]) > 0)


if __name__ == "__main__":
    utils.base.errors.run(main)
