"""What pre-training learns, on data that it does not see: fold 0's test windows after every epoch, for study.py."""

import contextlib
import io
import runpy

import torch
from torch.nn import functional as F

from utils.base.settings import ROOT, read_settings
from utils.pretraining.batches import ContrastiveBatches
from utils.pretraining.pretraining import train_one_epoch, training_step, trainings
from utils.pretraining.stacked import Alone


def follow(data, cell, seed, recipes, n_epochs):
    """Pre-train fold 0 at 5 s, and look at its held-out windows before the first epoch and after every one.

    Parameters
    ----------
    data, cell : pathlib.Path
        Prepared data set, and the folder with a run directory per recipe.
    seed : int
    recipes : dict of str to list
        Flags by recipe.
    n_epochs : int

    Returns
    -------
    dict of str to list of dict
        By recipe: what `look` returns, and ``training``, the contrastive accuracy of the epoch by modality.
    """
    results = {}
    for recipe, extra in recipes.items():
        where = ["--data-dir", data, "--run-dir", cell / recipe, "--seed", seed, "--folds", 0, "--device", "cpu"]
        flags = [*where, "--recipe", recipe, *extra, "--epochs", n_epochs]
        constants = runpy.run_path(str(ROOT / "main_pretrain_5s.py"))
        with contextlib.redirect_stdout(io.StringIO()):
            training = next(trainings(read_settings(constants, list(map(str, flags)))))
        batches = held_out_batches(training)
        torch.manual_seed(seed)
        results[recipe] = [look(training.model, batches)]
        networks, names = Alone(training), training.model.metric_names
        record = torch.zeros(training.batches.n_steps, len(names), 1)
        for training.epoch in range(n_epochs):
            train_one_epoch(training_step(networks), networks, record)
            means = dict(zip(names, record.mean((0, 2)).tolist(), strict=True))
            accuracy = {name[-3:]: value for name, value in means.items() if name.startswith("accuracy")}
            results[recipe].append(look(training.model, batches) | {"training": accuracy})
    return results


def held_out_batches(training):
    """Batches of the fold's test windows: new stimuli seen by all people, or stimuli seen by new people."""
    test, seconds = training.fold.test, training.data.eeg.shape[2]
    rows, per_trial = test.rows["5s"], seconds // 5
    first = torch.from_numpy(rows // per_trial * seconds + rows % per_trial * 5)
    subjects = torch.from_numpy(test.subjects)
    recordings = training.batches.recordings
    group = min(training.settings.SUBJECTS_PER_GROUP, len(subjects) // 2)
    return ContrastiveBatches(recordings, subjects, first, 5, 32, group)


@torch.no_grad()
def look(model, batches):
    """Agreement between two groups of people, and between EEG and PPS, at held-out moments.

    Returns
    -------
    dict of str to float
        ``eeg``, ``pps``: share of group 1's moments whose most similar moment of group 2 is their own (top-1 retrieval;
        the contrastive accuracy). ``cross``: the same from group 1's EEG to group 2's PPS. ``chance``: 1 / batch.
        What the model does not have is left out.
    """
    model.eval()
    sums, n = dict.fromkeys([*model.encoders, *(["cross"] if model.alignment else [])], 0.0), 0
    for _ in range(3):
        first, variants = batches.shuffle()
        for places in batches.place(first[: max(1, len(first) // 6)]):
            windows = batches.draw(places, torch.zeros_like(variants[0]))
            pooled = {}
            for name, encoder in model.encoders.items():
                x = windows[name]
                feature = encoder(x.flatten(0, 2))
                pooled[name] = feature.unflatten(0, x.shape[:3]).amax(2)  # (2, B, 4E)
                groups = encoder.project(feature).unflatten(0, x.shape[:3]).amax(2)
                sums[name] += top1(groups[0], groups[1])
            n += 1
            if not model.alignment:
                continue
            shared = {name: model.alignment.norm(model.alignment.linear(x.flatten(0, 1))) for name, x in pooled.items()}
            size = places.shape[1]
            sums["cross"] += top1(shared["eeg"][:size], shared["pps"][size:])
    return {name: value / n for name, value in sums.items()} | {"chance": 1 / batches.batch_size}


def top1(a, b):
    """Share of the rows of ``a`` (B, D) whose most similar row of ``b`` (B, D) is the one of the same number."""
    similarity = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    return (similarity.argmax(1) == torch.arange(len(a))).float().mean().item()
