"""Time of a fine-tuning step, against its straightforward form, at the paper's sizes.

    python benchmarks/bench_finetune.py

Both forms take turns of a few steps in one run, each in a process of its own: ours with
utils/finetuning/fitting.py as the script runs it, the reference with tests/reference.py (batch from the host,
each 1 s window by itself, Adam with its defaults). Last line: JSON.
"""

import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import physiosync  # noqa: F401
import utils.base.errors
from benchmarks import common
from data_prep import open_prepared
from models import Encoder
from models.encoder import paper_arguments
from models.fusion import FusionModel
from tests import reference
from utils.base.devices import Captured, adam, choose_device, set_precision
from utils.base.settings import read_settings
from utils.finetuning import fitting
from utils.pretraining.batches import FusionWindows, Recordings
from utils.protocol import splits

DEVICE = "auto"  # auto | cpu | cuda
PRECISION = "fp32"  # of ours: fp32 | tf32 | bf16; the reference stays at fp32
SUBJECTS = 32  # people in the recordings
TRIALS = 4  # stimuli of 60 s
CHANNELS = 32  # EEG channels, beside one peripheral signal
BATCH_SIZE = 256  # 5 s windows
ROUNDS = 5  # timed pairs of turns


def main():
    settings = read_settings(globals())
    device = choose_device(settings.DEVICE)
    print(common.machine(device) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        common.random_recordings(data_dir, settings.SUBJECTS, settings.TRIALS, 60, settings.CHANNELS)
        ours = make_ours(data_dir, device, settings.BATCH_SIZE, settings.PRECISION)
        straightforward = common.Elsewhere(make_reference, data_dir, device, settings.BATCH_SIZE)
        times = common.paired({"ours": ours, "reference": straightforward}, settings.ROUNDS, device)
        straightforward.close()
        n_operations = operations(open_prepared(data_dir), settings.BATCH_SIZE)
    mine, theirs = (common.median_ms(times[name]) for name in ("ours", "reference"))
    floor = round(n_operations / common.gemm_rate(device) * 1e3, 2)
    print(f"\nfine-tuning, {settings.BATCH_SIZE} windows: ours {mine} ms, reference {theirs} ms, {theirs / mine:.2f} x")
    print(f"floor: {floor} ms, its fp32 products at the rate of a large one")
    common.finish({"ours_ms": mine, "reference_ms": theirs, "ratio": round(theirs / mine, 2), "floor_ms": floor})


def operations(data, batch_size):
    """Operations of a step's matrix products, forward and backward."""
    model, n_windows = make_model(data).double(), 32
    x = {name: torch.zeros(n_windows, 5, len(data.info[f"{name}_channels"]), data.rate) for name in ("eeg", "pps")}
    with FlopCounterMode(display=False) as counter:
        model({name: windows.double() for name, windows in x.items()}).sum().backward()
    return counter.get_total_flops() * batch_size / n_windows


def make_model(data):
    """The network at the paper's sizes."""
    channels = {name: len(data.info[f"{name}_channels"]) for name in ("eeg", "pps")}
    encoders = {
        name: {r: Encoder(**paper_arguments(name, n, splits.RESOLUTIONS[r] * data.rate)) for r in ("5s", "1s")}
        for name, n in channels.items()
    }
    return FusionModel(encoders, n_classes=2)


def make_windows(data):
    """(subject, trial, 5 s row) of all windows, and random classes."""
    n_subjects, n_trials, seconds = data.eeg.shape[:3]
    rows = np.arange(n_trials * (seconds // 5))
    windows = splits.windows_of(np.arange(n_subjects), rows, seconds // 5)
    return windows, torch.from_numpy(np.random.default_rng(0).integers(2, size=len(windows)))


def make_ours(data_dir, device, batch_size, precision, captured=True, compiled=False):
    """The step of utils/finetuning/fitting.py."""
    data = open_prepared(data_dir)
    set_precision(precision, device)
    model = make_model(data).to(device).train()
    optimizer = adam(model.parameters(), SimpleNamespace(LR=1e-3, WEIGHT_DECAY=0.0), device)
    rows, truth = make_windows(data)
    windows = FusionWindows(Recordings(data, ["eeg", "pps"], data.info["pps_channels"], device), rows, 60)
    scores = fitting.Scores(model, windows, precision == "bf16", compiled)
    capture, truth = Captured() if captured and device.type == "cuda" else None, truth.to(device)

    def of_any_windows():
        index = torch.randint(len(windows), (batch_size,), device=device)
        fitting.train_one_epoch(scores, optimizer, truth, [(index, index)], capture)

    return of_any_windows


def make_reference(data_dir, device, batch_size):
    """The straightforward step."""
    data, rng = open_prepared(data_dir), np.random.default_rng(0)
    model = reference.ReferenceFusion(make_model(data), 2).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    rows, truth = make_windows(data)

    def step():
        index = rng.integers(len(rows), size=batch_size)
        windows = [(s, t, row % 12 * 5) for s, t, row in rows[index]]
        blocks = {name: x.to(device) for name, x in reference.fusion_batch(data, [0], windows).items()}
        reference.fusion_step(model, optimizer, blocks, truth[index].to(device))

    return step


if __name__ == "__main__":
    utils.base.errors.run(main)
