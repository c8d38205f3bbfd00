"""Does it hold on recordings that nobody simulated? Stress-Predict: a wristband, 33 people, is this stage stressful?

    git clone https://github.com/italha-d/Stress-Predict-Dataset
    python benchmarks/study_real.py --raw-dir Stress-Predict-Dataset/Raw_data

Runs the real scripts on new people, with several seeds of split and weights; what is complete is not run again. Writes
table.md and study.json to OUT_DIR. About 30 minutes for each seed on a CPU. With --fractal-dir also whether moments of
one film look alike across people (github.com/sarshardorosti/EEG-Inter-Subject-Correlation, needs MNE-Python).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors
from benchmarks import study_fractal, study_real_tables
from benchmarks.common import script
from utils.base.files import write_json, write_text
from utils.base.settings import read_settings

RAW_DIR = "Stress-Predict-Dataset/Raw_data"  # folder with S01, S02, ...
FRACTAL_DIR = None  # folder of .set files of one film for all people (None: not looked at)
OUT_DIR = "runs/study_real"  # prepared folders, run directories and tables
SEEDS = [7, 8, 9]  # of split, weights and batches; choices were made on others (benchmarks/RESULTS.md)
N_FOLDS = 5  # groups of people
SECONDS = 85  # length of the part of each stage that is used, in s
DELAY = 2  # s from the mark that begins a stage to that part
BASELINE_BEFORE = 250  # s from the beginning of the baseline's part to the first mark
PERMUTATIONS = 200  # of the labels over the stages, for the test

levels = ("subject", "trial")  # what each signal is standardised over: PPS_NORMALISE
windows = ("1s", "5s")
baselines = "logistic,lda,nearest"


def main():
    """Run what is missing, then make the tables of all that is there."""
    settings = read_settings(globals())
    data = {level: prepare(settings, level) for level in levels}
    cells = [run_seed(settings, data, seed) for seed in settings.SEEDS]
    text, found = study_real_tables.make(cells)
    if settings.FRACTAL_DIR:
        line, found["fractal"] = study_fractal.retrieval(settings.FRACTAL_DIR)
        text += line
    write_text(settings.OUT_DIR / "table.md", text)
    write_json(settings.OUT_DIR / "study.json", found)
    print(text)
    print(f"wrote {settings.OUT_DIR}: table.md and study.json")


def prepare(settings, level):
    """The prepared folder in which peripheral signals are standardised over this."""
    data = settings.OUT_DIR / f"data_{level}"
    flags = ("--raw-dir", settings.RAW_DIR, "--out-dir", data, "--pps-normalise", level)
    parts = ("--seconds", settings.SECONDS, "--delay", settings.DELAY, "--baseline-before", settings.BASELINE_BEFORE)
    script("data_prep/prepare_stress_predict.py", *flags, *parts)
    return data


def run_seed(settings, data, seed):
    """Everything with one seed; the run directory of each level."""
    cell = {level: settings.OUT_DIR / f"{level}_{seed}" for level in levels}
    for level, run_dir in cell.items():
        where = ("--data-dir", data[level], "--run-dir", run_dir, "--seed", seed)
        folds = ("--protocol", "cross-subject", "--n-folds", settings.N_FOLDS)
        for standardise in ("none", "subject"):
            chosen = ("--label", "stress", "--models", baselines, "--standardise", standardise)
            script("Fine_tuning/baseline.py", *where, *folds, *chosen)
        pretrain(where)
        permutations = ("--permutations", settings.PERMUTATIONS) if level == "subject" else ()
        tune(where, *permutations)
        tune(where, "--init", "random", *permutations)
    where = ("--data-dir", data["subject"], "--run-dir", cell["subject"], "--seed", seed)
    tune(where, "--freeze")
    for fraction in study_real_tables.fractions:
        few = ("--label-fraction", fraction)
        tune(where, *few)
        tune(where, "--init", "random", *few)
        chosen = ("--label", "stress", "--models", "logistic,lda", "--standardise", "subject")
        script("Fine_tuning/baseline.py", *where, *chosen, *few)
    # filters alone: a step changes nothing at this rate
    pretrain(where, "--lr", 1e-12, "--epochs", 1, "--tag", "filters")
    tune(where, "--pretrain-variant", "filters")
    # every person's windows are items of their own: an epoch has as many more steps as there are people
    pretrain(where, "--positives", "augmentation", "--epochs", 1)
    tune(where, "--pretrain-variant", "augmentation")
    return cell


def pretrain(where, *flags):
    """Both windows with the robust recipe."""
    for window in windows:
        script(f"main_pretrain_{window}.py", *where, "--recipe", "robust", *flags)


def tune(where, *flags):
    """Fine-tune and test, from the pre-trained encoders if the flags do not say otherwise."""
    script("Fine_tuning/fine_tuning.py", *where, "--label", "stress", "--recipe", "robust", *flags)


if __name__ == "__main__":
    utils.base.errors.run(main)
