"""What could make pre-training worth more? The robust recipe, changed in one thing at a time, on development seeds.

    python benchmarks/study_variants.py --raw-dir Stress-Predict-Dataset/Raw_data
    python benchmarks/study_variants.py --recordings deap-100,dreamer-100 --variants filters,learned

Runs the real scripts; what no flag does, benchmarks/changes.py does. What is complete is not run again. Writes table.md
and study.json to OUT_DIR. A minute or two for each change and data set, on one core.
"""

import contextlib
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import physiosync  # noqa: F401
import utils.base.errors
from benchmarks import changes, study
from benchmarks.common import script
from utils.base.errors import InputError
from utils.base.files import read_json, write_json, write_text
from utils.base.settings import read_settings

OUT_DIR = "runs/study_variants"  # recordings, run directories, the table
RAW_DIR = "Stress-Predict-Dataset/Raw_data"  # folder with S01, S02, ..., for the data set real
RECORDINGS = ["deap-100", "deap-101", "dreamer-100", "dreamer-101", "real-100"]  # data set and seed; no report's seed
VARIANTS = []  # which changes, by their names below; empty: all
FOLDS = []  # which folds to run; empty: all
SUBJECTS = 8  # simulated people
TRIALS = 12  # stimuli
SECONDS = 60  # length of a stimulus
EFFECT = 0.25  # strength of emotion's traces in the signals
GSR_DRIFT = 0.3  # uS by which skin conductance wanders within a minute

n_folds = {"deap": 3, "dreamer": 3, "real": 5}  # of the trial split; real: of the subject split
variants = {  # flags of preparation, of pre-training, of fine-tuning; another change; whether random weights, too
    "as-it-is": ((), (), (), None, True),
    "filters": ((), ("--lr", 1e-12, "--epochs", 1), (), None, False),
    "eeg-trial": (("--eeg-normalise", "trial"), (), (), None, True),
    "eeg-as-recorded": ((), (), (), changes.eeg_as_recorded, True),
    "pps-subject": (("--pps-normalise", "subject"), (), (), None, True),
    "pps-trial": (("--pps-normalise", "trial"), (), (), None, True),
    "pps-both-levels": ((), (), (), changes.less_trial_mean, True),
    "learned": ((), (), (), changes.learned_beside_bands, True),
    "evoked": ((), (), (), changes.evoked_beside_bands, True),
    "no-delta": ((), (), (), changes.without_delta, True),
    "same-people": ((), (), (), changes.same_people, False),
    "other-trials": ((), (), (), changes.other_trials, False),
    "same-label": ((), ("--subjects-per-group", 1), (), changes.same_label, False),
    "early-stopping": ((), ("--keep", "best", "--epochs", 8), (), None, False),
    "l2-pretraining": ((), ("--weight-decay", 0.03), (), None, False),
    "l2-tuning": ((), (), ("--weight-decay", 0.01), None, True),
}
not_for = {  # what a data set does not have, or does already
    "deap": ["pps-trial"],
    "dreamer": ["pps-trial"],
    "real": ["eeg-trial", "eeg-as-recorded", "pps-subject", "evoked", "no-delta"],
}


def main():
    """Run what is missing, then make the table of it."""
    settings = read_settings(globals())
    check(settings)
    found = {}
    for name in settings.VARIANTS or variants:
        for recordings in settings.RECORDINGS:
            kind, seed = recordings.split("-")
            if name not in not_for[kind]:
                for init, scores in run(settings, name, kind, int(seed)).items():
                    found.setdefault(f"{name}, {init}", {})[recordings] = scores
    table = make_table(found, settings.RECORDINGS)
    write_text(settings.OUT_DIR / "table.md", table)
    write_json(settings.OUT_DIR / "study.json", found)
    print(f"{table}wrote {settings.OUT_DIR}: table.md and study.json")


def check(settings):
    """Refuse names of changes and of data sets that there are not."""
    for name in settings.VARIANTS:
        if name not in variants:
            raise InputError(f"--variants {name}: there are {','.join(variants)}")
    for name in settings.RECORDINGS:
        if not re.fullmatch(rf"({'|'.join(n_folds)})-\d+", name):
            raise InputError(f"--recordings {name}: give {', '.join(n_folds)} with a seed, such as deap-100")


def run(settings, name, kind, seed):
    """One change on one data set; for each kind of first weights accuracy per window and per trial."""
    preparation, pretraining, tuning, change, also_random = variants[name]
    label = "stress" if kind == "real" else "arousal"
    with change(kind) if change else contextlib.nullcontext():
        data = prepare(settings, name, kind, seed, preparation)
        run_dir = settings.OUT_DIR / f"{kind}_{seed}_{name}"
        where = ("--data-dir", data, "--run-dir", run_dir, "--seed", seed, "--device", "cpu")  # changes.py is for it
        where += ("--folds", ",".join(map(str, settings.FOLDS))) if settings.FOLDS else ()
        folds = ("--split", "subject" if kind == "real" else "trial", "--n-folds", n_folds[kind])
        for window in study.paper_epochs:
            script(f"main_pretrain_{window}.py", *where, *folds, "--recipe", "robust", *pretraining)
        results = {}
        for init in ("pretrained", "random") if also_random else ("pretrained",):
            script("Fine_tuning/fine_tuning.py", *where, "--label", label, "--init", init, *tuning)
            result = f"finetune_{label}" + ("_random" if init == "random" else "")
            scores = read_json(run_dir / result / "metrics.json", "delete it")
            results[init] = [scores[score]["mean"] for score in ("accuracy", "trial_accuracy")]
    return results


def prepare(settings, name, kind, seed, flags):
    """The prepared folder, one for all changes that do not prepare recordings otherwise."""
    own = name if flags or variants[name][3] is changes.eeg_as_recorded else ""
    if kind != "real":
        return study.prepare(settings, kind, seed, variant=own, preparation=flags)
    data = settings.OUT_DIR / "_".join(filter(None, ["real", own]))
    if not data.exists():
        script("data_prep/prepare_stress_predict.py", "--raw-dir", settings.RAW_DIR, "--out-dir", data, *flags)
    return data


def make_table(found, recordings):
    """Markdown: accuracy per window / per trial, and in brackets per window the difference to the recipe as it is."""
    lines = ["| | " + " | ".join(recordings) + " | mean difference |", "|" + " --- |" * (2 + len(recordings))]
    for name, scores in found.items():
        same = found.get("as-it-is, " + name.rpartition(", ")[2], {})
        differences = {key: scores[key][0] - same[key][0] for key in scores if key in same}
        cells = []
        for key in recordings:
            cell = "{:.3f} / {:.3f}".format(*scores[key]) if key in scores else ""
            cells.append(cell + (f" ({differences[key]:+.3f})" if key in differences and same is not scores else ""))
        simulated = [value for key, value in differences.items() if not key.startswith("real")]
        cells.append(f"{np.mean(simulated):+.3f}" if simulated and same is not scores else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\n"


if __name__ == "__main__":
    utils.base.errors.run(main)
