"""Does it hold on real recordings? Stress-Predict: a wristband, 33 people, is this stage stressful?

    git clone https://github.com/italha-d/Stress-Predict-Dataset
    python benchmarks/study_real.py --raw-dir Stress-Predict-Dataset/Raw_data

Runs the real scripts on new people, with several seeds of split and weights; what is complete is not run again. Writes
table.md and study.json to OUT_DIR. About 30 minutes per seed on a CPU.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import physiosync  # noqa: F401
import utils.base.errors
from benchmarks import study_tables
from benchmarks.common import script
from utils.base.files import write_json, write_text
from utils.base.settings import read_settings

RAW_DIR = "Stress-Predict-Dataset/Raw_data"  # folder with S01, S02, ...
OUT_DIR = "runs/study_real"  # prepared folders, run directories and tables
SEEDS = [7, 8, 9]  # of split, weights and batches; choices were made on others (benchmarks/RESULTS.md)
N_FOLDS = 5  # groups of people
SECONDS = 85  # length of the part of each stage that is used, in s
DELAY = 2  # s from the mark that begins a stage to that part
BASELINE_BEFORE = 250  # s from the beginning of the baseline's part to the first mark
PERMUTATIONS = 200  # of the labels over the stages, for the test

levels = ("subject", "trial")  # what each signal is standardised over: PPS_NORMALISE
fractions = (0.25, 0.1)  # of the labelled stages
rows = {  # title: result, and the row that is better or not
    "pre-trained": ("finetune_stress", None),
    "random weights": ("finetune_stress_random", "pre-trained"),
    "pre-trained, encoders frozen": ("finetune_stress_frozen", "pre-trained"),
    "shared filters alone, not trained": ("finetune_stress_filters", "pre-trained"),
    "pre-trained, --positives augmentation": ("finetune_stress_augmentation", "pre-trained"),
}
for _model, _name in (("logistic", "logistic regression"), ("lda", "LDA"), ("nearest", "nearest neighbour")):
    rows[_name] = (f"baseline_stress_{_model}", "pre-trained")
    rows[f"{_name}, standardised"] = (f"baseline_stress_{_model}_standardised", "pre-trained")
for _fraction in fractions:
    _of, _trained = f", {_fraction:.0%} of labels", f"pre-trained, {_fraction:.0%} of labels"
    for _name, _result in (("pre-trained", "finetune_stress"), ("random weights", "finetune_stress_random")):
        rows[_name + _of] = (f"{_result}_labels-{_fraction:g}", None if _name == "pre-trained" else _trained)
    for _model, _name in (("logistic", "logistic regression"), ("lda", "LDA")):
        _result = f"baseline_stress_{_model}_standardised_labels-{_fraction:g}"
        rows[f"{_name}, standardised{_of}"] = (_result, _trained)
note = """\
A stage is a stimulus: everybody had the same seven stages in the same order, and all of them are in training, through
other people. So a network may recognise the Stroop test, or how long ago the session began, rather than stress.
Permutation test: three other stages are called stressful, the same for all people (there are 35 choices). If they are
told apart as well as the true ones, what is shown is that stages differ, not that stress does.
"""


def main():
    """Run what is missing, then make the table of all that is there."""
    settings = read_settings(globals())
    data = {level: prepare(settings, level) for level in levels}
    cells = [run_seed(settings, data, seed) for seed in settings.SEEDS]
    by_person, by_stage = ([cell[level] for cell in cells] for level in levels)
    columns = {
        "per window": (by_person, "accuracy"),
        "balanced": (by_person, "balanced_accuracy"),
        "per stage": (by_person, "trial_accuracy"),
        "per window, `--pps-normalise trial`": (by_stage, "accuracy"),
    }
    table, comparisons = study_tables.make_table(columns, rows, crossed=True)
    permutation = {}
    for name in list(rows)[:2]:
        tests = [run["permutation"] for run in study_tables.load(by_person, rows[name][0])]
        permutation[name] = tests
        score, null = (np.mean([test[key] for test in tests]) for key in ("score", "null_mean"))
        p = " ".join(f"{test['p_value']:.3f}" for test in tests)
        table += f"Permutation test, {name}: per stage {score:.3f}, permuted {null:.3f}, p by seed {p}\n"
    write_text(settings.OUT_DIR / "table.md", table + "\n" + note)
    write_json(settings.OUT_DIR / "study.json", {"comparisons": comparisons, "permutation": permutation})
    print(f"{table}\n{note}\nwrote {settings.OUT_DIR}: table.md and study.json")


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
        baseline(where, *folds, "--models", "logistic,lda,nearest")
        pretrain(where)
        permutations = ("--permutations", settings.PERMUTATIONS) if level == "subject" else ()
        tune(where, *permutations)
        tune(where, "--init", "random", *permutations)
    where = ("--data-dir", data["subject"], "--run-dir", cell["subject"], "--seed", seed)
    tune(where, "--freeze")
    for fraction in fractions:
        tune(where, "--label-fraction", fraction)
        tune(where, "--init", "random", "--label-fraction", fraction)
        baseline(where, "--models", "logistic,lda", "--standardise", "subject", "--label-fraction", fraction)
    pretrain(where, "--lr", 1e-12, "--epochs", 1, "--tag", "filters")  # the shared filters alone
    tune(where, "--pretrain-variant", "filters")
    pretrain(where, "--positives", "augmentation", "--epochs", 1)  # an epoch has as many more steps as there are people
    tune(where, "--pretrain-variant", "augmentation")
    return cell


def pretrain(where, *flags):
    """Both windows with the robust recipe."""
    for window in ("1s", "5s"):
        script(f"main_pretrain_{window}.py", *where, "--recipe", "robust", *flags)


def tune(where, *flags):
    """Fine-tune and test."""
    script("Fine_tuning/fine_tuning.py", *where, "--label", "stress", "--recipe", "robust", *flags)


def baseline(where, *flags):
    """Classical baselines."""
    script("Fine_tuning/baseline.py", *where, "--label", "stress", *flags)


if __name__ == "__main__":
    utils.base.errors.run(main)
