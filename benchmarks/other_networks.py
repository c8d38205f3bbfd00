"""EEGNet and ShallowFBCSPNet, from braindecode, on the same manifest: what people would use instead."""

import time
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

from data_prep import open_prepared
from utils.base.devices import derive_seed
from utils.base.progress import Progress
from utils.base.settings import Settings
from utils.protocol import audit, splits
from utils.results.results import FoldResult, describe, report

try:
    from braindecode.models import EEGNetv4, ShallowFBCSPNet

    NETWORKS = {"EEGNet": EEGNetv4, "ShallowFBCSPNet": partial(ShallowFBCSPNet, final_conv_length="auto")}
except ImportError:  # not needed for anything else
    NETWORKS = {}


def run(data_dir, run_dir, seed, epochs, label="arousal", batch_size=64, lr=1e-3):
    """Train and test every network on every fold of a run directory; results look like those of the baselines.

    Parameters
    ----------
    data_dir, run_dir : pathlib.Path
        Prepared folder, and run directory with a ``split.json``.
    seed, epochs : int
    label : str
    batch_size : int
        5 s windows.
    lr : float
        Of Adam.
    """
    data = open_prepared(data_dir)
    manifest = splits.load(run_dir, data)
    labels, class_names = data.labels(label)
    settings = Settings(
        DATA_DIR=data_dir, RUN_DIR=run_dir, LABEL=label, SEED=seed, EPOCHS=epochs, BATCH_SIZE=batch_size, LR=lr,
        THRESHOLD=data.info["threshold"], PERMUTE_LABELS=False, MODALITIES="eeg",
    )  # fmt: skip
    for name, network in NETWORKS.items():
        folder = run_dir / f"baseline_{data.folder_name(label)}_{name}"
        if (folder / "metrics.json").exists():
            continue
        print(folder, flush=True)
        folds = Progress(manifest.folds, desc=name, unit="fold")
        results = [run_fold(network, name, data, fold, labels, settings) for fold in folds]
        description = describe(settings, data, manifest, class_names, results)
        report(folder, description, results, data, {"model": name})


def run_fold(network, name, data, fold, labels, settings):
    """One network on one fold."""
    start = time.perf_counter()
    torch.manual_seed(derive_seed(settings.SEED, name, fold.index))
    train, test = (windows(data, part) for part in (fold.train, fold.test))
    x = torch.from_numpy(signals(data, train))
    y = torch.from_numpy(labels[train[:, 0], train[:, 1]])
    model = network(n_chans=x.shape[1], n_outputs=2, n_times=x.shape[2])
    optimizer = torch.optim.Adam(model.parameters(), settings.LR)
    for _ in range(settings.EPOCHS):
        model.train()
        for index in torch.randperm(len(x)).split(settings.BATCH_SIZE):
            loss = F.cross_entropy(model(x[index]), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        probability = torch.cat([model(part).softmax(1) for part in torch.from_numpy(signals(data, test)).split(256)])
    counts = {"classifier": audit.count(test, train), "encoder_1s": None, "encoder_5s": None}
    truth = labels[test[:, 0], test[:, 1]]
    seconds = time.perf_counter() - start
    return FoldResult(fold.index, test, truth, probability.numpy().astype(float), len(train), counts, seconds)


def windows(data, part):
    """(subject, trial, 5 s row) of a part of a fold."""
    return splits.windows_of(part.subjects, part.rows["5s"], data.eeg.shape[2] // splits.WINDOW_SECONDS)


def signals(data, chosen):
    """EEG windows (n, channels, samples) as the prepared folder has them."""
    n = data.eeg.shape[2] // splits.WINDOW_SECONDS
    blocks = data.eeg[:, :, : n * splits.WINDOW_SECONDS]
    blocks = blocks.reshape(*blocks.shape[:2], n, splits.WINDOW_SECONDS, *blocks.shape[3:])
    picked = blocks[chosen[:, 0], chosen[:, 1], chosen[:, 2] % n].swapaxes(1, 2)  # (n, C, 5, rate)
    return np.ascontiguousarray(picked.reshape(*picked.shape[:2], -1))
