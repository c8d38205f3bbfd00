"""How long to pre-train? Test accuracy after fine-tuning over epochs of pre-training, paper's recipe.

    python benchmarks/curve.py

Simulated DEAP recordings under the trial split, networks of the demo's size. Every point goes on from the one before;
an interrupted run goes on. Prints the table of benchmarks/RESULTS.md, writes it and its figure to OUT_DIR.
"""

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from matplotlib.figure import Figure

import physiosync  # noqa: F401
import utils.base.errors
from utils.base.files import atomic, write_text
from utils.base.settings import ROOT, read_settings

OUT_DIR = "runs/curve"  # recordings, run directories, the table and the figure
SEEDS = [1, 2, 3]  # of recordings, splits and weights; the demo's settings, used here, were chosen on seed 0
SUBJECTS = 12  # people
TRIALS = 16  # stimuli of 60 s
N_FOLDS = 4  # of the trial split
FOLDS = [0]  # which of them to run
EPOCH_LIST = [0, 1, 2, 5, 10, 20, 50]  # of pre-training, of both windows

network = ("--embed-dim", 64, "--projector-dims", "128,128,128")
tuning = ("--epochs", 6, "--lr", 3e-5)
arms = {  # positive pairs per batch, learning rate, epochs over which it rises, epochs after which it is not followed
    "B = 8 (paper)": (8, 7e-4, 0, 50),
    "B = 32, twice the rate, warm-up": (32, 1.4e-3, 2, 20),  # the square root of the batch's growth, as Adam is scaled
}


def main():
    settings = read_settings(globals())
    accuracy = {
        name: np.array([run_all(settings, seed, *arm) for seed in settings.SEEDS]) for name, arm in arms.items()
    }
    baselines = [baseline(settings, seed) for seed in settings.SEEDS]
    header = f"| epochs | {' | '.join(arms)} |\n|{' --- |' * (len(arms) + 1)}"
    lines = [
        f"| {epochs} | "
        + " | ".join(cell(values[:, i]) if i < values.shape[1] else "" for values in accuracy.values())
        + " |"
        for i, epochs in enumerate(settings.EPOCH_LIST)
    ]
    logistic, majority = (cell(np.array(values)) for values in zip(*baselines, strict=True))
    known = f"On the same folds: logistic regression {logistic}, majority class {majority}."
    table = "\n".join([header, *lines, "", known])
    write_text(settings.OUT_DIR / "table.md", table + "\n")
    with atomic(settings.OUT_DIR / "curve.png") as file:
        draw(settings.EPOCH_LIST, accuracy).savefig(file, format="png", dpi=150)
    print("\n" + table)


def draw(epochs, accuracy):
    """Accuracy over epochs of pre-training, mean and range of the seeds."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    for (name, values), marker, line in zip(accuracy.items(), "os^D", ("-", "--", "-.", ":"), strict=False):
        followed = epochs[: values.shape[1]]
        axes.plot(followed, values.mean(axis=0), marker=marker, linestyle=line, label=name)
        axes.fill_between(followed, values.min(axis=0), values.max(axis=0), alpha=0.15, linewidth=0)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xticks(epochs, [str(n) for n in epochs])
    axes.set_xlabel("epochs of pre-training")
    axes.set_ylabel("accuracy per 5 s window")
    axes.legend(frameon=False)
    return figure


def cell(accuracy):
    """Mean and standard deviation over seeds."""
    return f"{accuracy.mean():.3f} ± {accuracy.std(ddof=1):.3f}" if len(accuracy) > 1 else f"{accuracy[0]:.3f}"


def prepared(settings, seed):
    """The prepared recordings of a seed."""
    data = settings.OUT_DIR / f"data_{seed}"
    if not data.exists():
        raw = settings.OUT_DIR / f"raw_{seed}"
        if not raw.exists():
            sizes = ("--subjects", settings.SUBJECTS, "--trials", settings.TRIALS, "--seed", seed)
            run("data_prep/make_synthetic.py", "--out-dir", raw, *sizes)
        run("data_prep/prepare_deap.py", "--raw-dir", raw, "--out-dir", data)
    return data


def run_all(settings, seed, batch_size, rate, warm_up, most):
    """Accuracy at every point, for one seed and one way of training."""
    data, folder = prepared(settings, seed), settings.OUT_DIR / f"run_{seed}_{batch_size}_{rate:g}"
    common = ("--data-dir", data, "--run-dir", folder, "--seed", seed, *chosen_folds(settings))
    accuracy = []
    for epochs in (number for number in settings.EPOCH_LIST if number <= most):
        result = folder / f"finetune_arousal_epochs{epochs}" / "metrics.json"
        if not result.exists():
            split = ("--split", "trial", "--n-folds", settings.N_FOLDS)
            training = ("--epochs", epochs, "--batch-size", batch_size, "--lr", rate, "--warm-up", warm_up)
            for window in ("1s", "5s"):
                run(f"main_pretrain_{window}.py", *common, *split, *training, *network)
            run("Fine_tuning/fine_tuning.py", *common, *tuning, "--tag", f"epochs{epochs}")
        accuracy.append(json.loads(result.read_text(encoding="utf-8"))["accuracy"]["mean"])
    return accuracy


def baseline(settings, seed):
    """Accuracy of logistic regression and of the majority class on the same folds."""
    data, folder = prepared(settings, seed), settings.OUT_DIR / f"baseline_{seed}"
    split = ("--split", "trial", "--n-folds", settings.N_FOLDS, "--seed", seed, *chosen_folds(settings))
    run("Fine_tuning/baseline.py", "--data-dir", data, "--run-dir", folder, *split, "--models", "logistic")
    found = json.loads((folder / "baseline_arousal_logistic" / "metrics.json").read_text(encoding="utf-8"))
    return found["accuracy"]["mean"], found["majority"]


def chosen_folds(settings):
    """The flag that says which folds are run."""
    return ("--folds", ",".join(map(str, settings.FOLDS)))


def run(script, *flags):
    """Run a script as a user would; its own lines are shown only if it fails."""
    command = [sys.executable, str(ROOT / script), *map(str, flags)]
    print(" ".join(command[1:]), flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    utils.base.errors.run(main)
