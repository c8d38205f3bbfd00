"""Time of a pre-training step, against its straightforward form, at the paper's sizes.

    python benchmarks/bench_pretrain.py
    python benchmarks/bench_pretrain.py --quick

Both forms take turns of a few steps in one run, on batches that they put together themselves: ours with
utils/pretraining/pretraining.py as the scripts run it, the reference with tests/reference.py. The floor of
each time is printed, too. Last line: JSON.
"""

import itertools
import runpy
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

import physiosync  # noqa: F401
import utils.base.errors
from benchmarks import common
from data_prep import open_prepared
from models import ContrastiveModel, Encoder
from models.encoder import paper_arguments
from tests import reference
from utils.base.devices import Captured, choose_device
from utils.base.settings import ROOT, read_settings
from utils.pretraining.pretraining import training_step, trainings
from utils.pretraining.stacked import Alone, Stacked
from utils.protocol import splits

DEVICE = "auto"  # auto | cpu | cuda
PRECISION = "fp32"  # of ours: fp32 | tf32 | bf16; the reference stays at fp32
SUBJECTS = 32  # people in the recordings
TRIALS = 10  # stimuli of 60 s
CHANNELS = 32  # EEG channels, beside one peripheral signal
BATCH_SIZE = 8  # stimulus windows
SUBJECTS_PER_GROUP = 2  # people per group
ROUNDS = 10  # timed pairs of turns
QUICK = False  # True: fewer rounds, done within a minute on 2 cores


def main():
    settings = read_settings(globals())
    device = choose_device(settings.DEVICE)
    bandwidth, rate = common.copy_bandwidth(device), common.gemm_rate(device)
    print(common.machine(device))
    print(f"copy bandwidth {bandwidth / 1e9:.0f} GB/s, fp32 products {rate / 1e9:.0f} billion operations/s\n")
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        common.random_recordings(data_dir, settings.SUBJECTS, settings.TRIALS, 60, settings.CHANNELS)
        for window in ("1s", "5s"):
            result[window] = measure(settings, window, data_dir, device, bandwidth, rate)
    print(f"\n{'':6}{'ours':>10}{'reference':>12}{'ratio':>8}{'floor: memory':>16}{'operations':>13}")
    for window, row in result.items():
        floors = f"{row['floor_memory_ms']:13.2f} ms{row['floor_operations_ms']:10.2f} ms"
        print(f"{window:4}{row['ours_ms']:9.2f} ms{row['reference_ms']:9.2f} ms{row['ratio']:8.2f}{floors}")
    common.finish(result)


def measure(settings, window, data_dir, device, bandwidth, rate):
    """Times of one window length, in ms."""
    training, step = make_training(settings, window, data_dir)
    sizes = (settings.BATCH_SIZE, settings.SUBJECTS_PER_GROUP)
    straightforward = common.Elsewhere(make_reference, data_dir, window, device, *sizes)
    warm_up = 8 if device.type == "cuda" else 1  # the capture of the graph is among them
    for _ in range(warm_up):
        step()
    rounds = settings.ROUNDS if not settings.QUICK else 5 if window == "1s" else 3
    times = common.paired({"ours": step, "reference": straightforward}, rounds, device)
    straightforward.close()
    ours, theirs = (common.median_ms(times[name]) for name in ("ours", "reference"))
    n_parameters = sum(p.numel() for p in training.model.parameters())
    rows = 2 * settings.BATCH_SIZE * settings.SUBJECTS_PER_GROUP
    memory, operations = common.floor_ms(n_parameters, rows, bandwidth, rate)
    return {
        "ours_ms": ours,
        "reference_ms": theirs,
        "ratio": round(theirs / ours, 2),
        "floor_ms": max(memory, operations),
        "floor_memory_ms": memory,
        "floor_operations_ms": operations,
        "parameters": n_parameters,
    }


def make_reference(data_dir, window, device, batch_size, n_people):
    """The straightforward step, with networks of the same sizes."""
    data, rng, n_seconds = open_prepared(data_dir), np.random.default_rng(0), splits.RESOLUTIONS[window]
    sizes = {name: (len(data.info[f"{name}_channels"]), n_seconds * data.rate) for name in ("eeg", "pps")}
    encoders = {name: Encoder(**paper_arguments(name, *size)) for name, size in sizes.items()}
    model = reference.reference_contrastive(ContrastiveModel(encoders, tau=0.1)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), 7e-4, weight_decay=1e-3)

    def step():
        batch = reference.contrastive_batch(data, [0], n_seconds, batch_size, n_people, rng)
        reference.contrastive_step(model, optimizer, {name: x.to(device) for name, x in batch.items()})

    return step


def make_training(settings, window, data_dir, n_folds=1, compiled=False, captured=True):
    """Pre-training of the first folds, as the script makes it, and its step."""
    folds = make_folds(settings, window, data_dir, n_folds)
    networks, step = make_step(folds, compiled, captured)
    first, variants = networks.shuffle()
    numbers = itertools.cycle(range(len(first)))

    def of_next_windows():
        number = next(numbers)
        step(first[number], variants[number])

    return folds[0], of_next_windows


def make_folds(settings, window, data_dir, n_folds, *more):
    """Pre-training of the first folds, as the script makes it with these settings and more flags."""
    script = runpy.run_path(str(ROOT / f"main_pretrain_{window}.py"))
    flags = {
        "data-dir": data_dir,
        "run-dir": data_dir.with_name(data_dir.name + "_run"),
        "device": settings.DEVICE,
        "precision": settings.PRECISION,
        "batch-size": settings.BATCH_SIZE,
        "subjects-per-group": settings.SUBJECTS_PER_GROUP,
        "folds-at-once": n_folds,
    }
    argv = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    return list(itertools.islice(trainings(read_settings(script, [*argv, *map(str, more)])), n_folds))


def make_step(folds, compiled=False, captured=True):
    """The networks of these folds, and their step; on CUDA captured."""
    networks = Stacked(folds) if len(folds) > 1 else Alone(folds[0])
    step = training_step(networks, compiled)
    return networks, Captured(step) if captured and folds[0].device.type == "cuda" else step


if __name__ == "__main__":
    utils.base.errors.run(main)
