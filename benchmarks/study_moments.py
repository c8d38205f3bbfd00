"""Why is so little recognised of moments that pre-training did not see? Too few people or moments, or fingerprints?

    python benchmarks/study_moments.py --raw-dir Stress-Predict-Dataset/Raw_data

Follows the robust recipe's 5 s pre-training on simulated recordings of growing size, with and without the marks that
every trial has of its own, and on a real set. What is complete is not run again. Writes table.md to OUT_DIR.
"""

import contextlib
import io
import re
import runpy
import sys
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors

# isort: split

import torch

from benchmarks import study, study_tables
from benchmarks.common import script
from data_prep.formats import synthetic
from utils.base.errors import InputError
from utils.base.files import read_json, write_json, write_text
from utils.base.settings import ROOT, read_settings
from utils.pretraining.moments import look, moments_of
from utils.pretraining.pretraining import train_one_epoch, training_step, trainings
from utils.pretraining.stacked import Alone

OUT_DIR = "runs/study_moments"  # recordings, run directories, the table
RAW_DIR = None  # folder with S01, S02, ... of Stress-Predict (None: without a real set)
SEEDS = [100, 101]  # of recordings, split and weights
SIZES = ["8x12", "16x24", "32x40"]  # people x stimuli
FORMATS = ["deap", "dreamer"]  # data sets to imitate
SECONDS = 60  # length of a stimulus
EFFECT = 0.25  # strength of emotion's traces in the signals
GSR_DRIFT = 0.3  # uS by which skin conductance wanders within a minute
HELD_OUT_EPOCHS = 8  # epochs that are followed, on fold 0

held_out = {"trial": ("--split", "trial", "--n-folds", 4), "subject": ("--split", "subject", "--n-folds", 5)}


def main():
    """Follow what is missing, then make the table."""
    settings = read_settings(globals())
    for size in settings.SIZES:
        if not re.fullmatch(r"\d+x\d+", size):
            raise InputError(f"--sizes {size}: give people x stimuli, such as 8x12")
    found = {}
    for seed in settings.SEEDS:
        for data_format in settings.FORMATS:
            for size in settings.SIZES:
                for marked in (True, False):
                    data = prepare(settings, data_format, seed, size, marked)
                    row = f"{data_format} {size}" + ("" if marked else ", no marks of trials")
                    found[f"{row} {seed}"] = follow(settings, data, "trial", seed)
        if settings.RAW_DIR:
            data = settings.OUT_DIR / "real"
            if not data.exists():
                script("data_prep/prepare_stress_predict.py", "--raw-dir", settings.RAW_DIR, "--out-dir", data)
            found[f"real, new people {seed}"] = follow(settings, data, "subject", seed)
    table = study_tables.held_out_table(found, ("robust",))
    write_text(settings.OUT_DIR / "table.md", table)
    print(f"{table}wrote {settings.OUT_DIR}: table.md")


def prepare(settings, data_format, seed, size, marked):
    """Recordings of so many people x stimuli, with or without marks of their trials."""
    subjects, trials = map(int, size.split("x"))
    folder = settings.OUT_DIR / (size if marked else f"{size}_unmarked")
    settings = settings.replace(OUT_DIR=folder, SUBJECTS=subjects, TRIALS=trials)
    with contextlib.nullcontext() if marked else mock.patch.multiple(synthetic, TRIAL_GAIN=0, TRIAL_TILT=0):
        return study.prepare(settings, data_format, seed)


def follow(settings, data, split, seed):
    """Pre-train fold 0 at 5 s, and look at its held-out moments before the first epoch and after every one.

    By recipe: a list of what `look` returns, and ``training``, the contrastive accuracy of the epoch by modality.
    """
    cell = data.with_name(f"{data.name}_{split}_{seed}")
    path = cell / "held_out.json"
    if path.exists():
        return read_json(path, "delete it")
    where = ["--data-dir", data, "--run-dir", cell / "robust", "--seed", seed, "--folds", 0, "--device", "cpu"]
    flags = [*where, "--recipe", "robust", *held_out[split], "--epochs", settings.HELD_OUT_EPOCHS]
    constants = runpy.run_path(str(ROOT / "main_pretrain_5s.py"))
    with contextlib.redirect_stdout(io.StringIO()):
        training = next(trainings(read_settings(constants, list(map(str, flags)))))
    moments = moments_of(training)
    looks = [look(training.model, *moments, seed)]
    networks = Alone(training)
    step = training_step(networks)
    record = torch.zeros(training.batches.n_steps, len(training.model.metric_names), 1)
    for _ in range(settings.HELD_OUT_EPOCHS):
        train_one_epoch(step, networks, record)
        training.epoch += 1
        means = dict(zip(training.model.metric_names, record[..., 0].mean(0).tolist(), strict=True))
        seen = {name: means[f"accuracy_{name}"] for name in training.model.group_losses}
        looks.append(look(training.model, *moments, seed) | {"training": seen})
    write_json(path, {"robust": looks})
    return read_json(path, "delete it")


if __name__ == "__main__":
    utils.base.errors.run(main)
