"""What each protocol measures: the same methods under every split, on real labels and on labels that are noise.

    python benchmarks/protocols.py

Runs the real scripts on simulated DEAP recordings, with several seeds; an interrupted run goes on. Prints the table of
benchmarks/RESULTS.md and writes it to OUT_DIR. Takes about 4 minutes per seed, split and kind of labels on 2 cores.
"""

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import physiosync  # noqa: F401
import utils.base.errors
from utils.base.files import write_text
from utils.base.settings import ROOT, read_settings
from utils.results import comparison

OUT_DIR = "runs/protocols"  # recordings, run directories and the table
SEEDS = [1, 2, 3]  # of recordings, splits and weights; the demo's settings, used here, were chosen on seed 0
SUBJECTS = 8  # people
TRIALS = 12  # stimuli
N_FOLDS = 4  # of every split

splits = ("window", "trial", "subject", "subject+trial")
network = ("--embed-dim", 64, "--projector-dims", "128,128,128", "--batch-size", 32)
tuning = ("--epochs", 6, "--lr", 3e-5)
baselines = ("logistic", "lda", "nearest")


def main():
    settings = read_settings(globals())
    rows = []
    for null in (False, True):
        for split in splits:
            runs = [run_all(settings, seed, split, null) for seed in settings.SEEDS]
            rows.append(row(runs, "noise" if null else "real", split))
    header = "| labels | split | majority | best baseline | PhysioSync, random weights | PhysioSync, pre-trained |"
    table = "\n".join([header, "|" + " --- |" * 6, *rows])
    write_text(settings.OUT_DIR / "table.md", table + "\n")
    print("\n" + table)


def run_all(settings, seed, split, null):
    """Everything for one seed; the run directory."""
    name = f"{'null' if null else 'real'}_{seed}"
    home = settings.OUT_DIR
    if not (home / name).exists():
        if not (home / f"{name}_raw").exists():
            sizes = ("--subjects", settings.SUBJECTS, "--trials", settings.TRIALS, "--seed", seed)
            flags = ("--null",) if null else ()
            run("data_prep/make_synthetic.py", "--out-dir", home / f"{name}_raw", *sizes, *flags)
        run("data_prep/prepare_deap.py", "--raw-dir", home / f"{name}_raw", "--out-dir", home / name)
    folder = home / f"{name}_{split}"
    common = ("--data-dir", home / name, "--run-dir", folder, "--seed", seed)
    folds = ("--split", split, "--n-folds", settings.N_FOLDS)
    run("main_pretrain_1s.py", *common, *folds, "--epochs", 2, *network)
    run("main_pretrain_5s.py", *common, *folds, "--epochs", 4, *network)
    run("Fine_tuning/fine_tuning.py", *common, "--init", "random", *tuning)
    run("Fine_tuning/fine_tuning.py", *common, *tuning)
    run("Fine_tuning/baseline.py", *common, "--models", ",".join(baselines), "--standardise", "none")
    return folder


def run(script, *flags):
    """Run a script as a user would; its own lines are shown only if it fails."""
    command = [sys.executable, str(ROOT / script), *map(str, flags)]
    print(" ".join(command[1:]), flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def row(runs, labels, split):
    """One line of the table: means over seeds, and intervals over seeds, whose people share their networks."""
    finetuned = [result(runs, name) for name in ("finetune_arousal_random", "finetune_arousal")]
    classical = {name: result(runs, f"baseline_arousal_{name}") for name in baselines}
    best = max(classical, key=lambda name: classical[name]["mean"])
    majority = np.mean([load(folder / "finetune_arousal")["majority"] for folder in runs])
    cells = [f"{show(classical[best])} {best}", *map(show, finetuned)]
    return f"| {labels} | `{split}` | {majority:.3f} | " + " | ".join(cells) + " |"


def show(value):
    interval = " ({:.2f} to {:.2f})".format(*np.clip(value["ci95"], 0, 1)) if value["ci95"] else ""
    return f"{value['mean']:.3f} ± {value['std']:.3f}{interval}"


def load(folder):
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def result(runs, name):
    """Accuracy per window of one method over seeds: mean, deviation, and 95 % interval by a t test over seeds."""
    means = np.array([load(folder / name)["accuracy"]["mean"] for folder in runs])
    return {"mean": means.mean(), "std": means.std(), "ci95": comparison.t_test([means])["ci95"]}


if __name__ == "__main__":
    utils.base.errors.run(main)
