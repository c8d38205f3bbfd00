"""Is pre-training worth anything? On simulated recordings, with several seeds.

    python benchmarks/study.py --quick --seeds 10,11,12,13,14,15,16,17
    python benchmarks/study.py --seeds 7,8,9           (also on ratings that are noise, with the leaking split)

Runs the real scripts on simulated recordings (make_synthetic.py with a weak EFFECT, and skin conductance that drifts).
What is complete is not run again. Writes table.md and study.json to OUT_DIR. Five minutes per data set and seed on one
core.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors
from benchmarks import study_tables
from benchmarks.common import script
from utils.base.errors import InputError
from utils.base.files import read_json, write_json, write_text
from utils.base.settings import read_settings

OUT_DIR = "runs/study"  # recordings, run directories, table
SEEDS = [7, 8, 9]  # of recordings, splits and weights; the recipe was chosen on others (benchmarks/RESULTS.md)
FORMATS = ["deap", "dreamer"]  # data sets to imitate
SPLITS = ["trial", "subject"]  # splits without leak
NOISE_SPLITS = ["window", "trial"]  # splits for ratings that have nothing to do with the signals (deap)
SUBJECTS = 8  # people
TRIALS = 12  # stimuli
SECONDS = 60  # length of a stimulus
N_FOLDS = 3  # of every split
EFFECT = 0.25  # strength of emotion's traces in the signals
GSR_DRIFT = 0.3  # uS by which skin conductance wanders within a minute: it alone then says about as much as EEG alone
QUICK = False  # True: without noise

simulated = ("SUBJECTS", "TRIALS", "SECONDS", "EFFECT", "GSR_DRIFT")  # what recordings are made with
windows = ("1s", "5s")
few = 0.25  # of the labelled trials
rows = {}  # title: result, and the row that is better or not
for _folder, _how in (("robust", ""), ("robust_trial", ", EEG over trials")):
    for _labels, _of in (("", ""), (f"_labels-{few:g}", f", {few:.0%} of labels")):
        _trained = f"pre-trained{_how}{_of}"
        rows |= {
            _trained: (f"{_folder}/finetune_arousal{_labels}", "pre-trained" if _how and not _of else None),
            f"random weights{_how}{_of}": (f"{_folder}/finetune_arousal_random{_labels}", _trained),
            f"LDA, standardised{_how}{_of}": (f"{_folder}/baseline_arousal_lda_standardised{_labels}", _trained),
        }
rows["shared filters alone, not trained"] = ("robust/finetune_arousal_filters", "pre-trained")
rows["nearest neighbour"] = ("robust/baseline_arousal_nearest", None)


def main():
    """Run what is missing, then make the table of all that is there."""
    settings = read_settings(globals())
    columns = {}
    for data_format in settings.FORMATS:
        for split in settings.SPLITS:
            folders = [run_cell(settings, data_format, split, seed) for seed in settings.SEEDS]
            columns[f"{data_format}, `{split}`"] = (folders, "accuracy")
    for split in [] if settings.QUICK else settings.NOISE_SPLITS:
        folders = [run_noise(settings, split, seed) for seed in settings.SEEDS]
        columns[f"noise, `{split}`"] = (folders, "accuracy")
    table, comparisons = study_tables.make_table(columns, rows)
    write_text(settings.OUT_DIR / "table.md", table)
    write_json(settings.OUT_DIR / "study.json", {"comparisons": comparisons})
    print(f"{table}wrote {settings.OUT_DIR}: table.md and study.json")


def prepare(settings, data_format, seed, *flags, variant="", preparation=()):
    """A prepared folder of simulated recordings; ``variant`` names those that are prepared with flags of their own."""
    refuse_others(settings)
    name = "_".join([data_format, *(flag.strip("-") for flag in flags), str(seed)])
    raw, data = settings.OUT_DIR / f"{name}_raw", settings.OUT_DIR / "_".join(filter(None, [name, variant]))
    if not data.exists():
        if not raw.exists():
            sizes = ("--subjects", settings.SUBJECTS, "--trials", settings.TRIALS, "--seconds", settings.SECONDS)
            planted = ("--effect", settings.EFFECT, "--gsr-drift", settings.GSR_DRIFT)
            where = ("--format", data_format, "--out-dir", raw, "--seed", seed)
            script("data_prep/make_synthetic.py", *where, *sizes, *planted, *flags)
        source = ("--raw-dir", raw) if data_format == "deap" else ("--raw-file", raw / "DREAMER.mat")
        script(f"data_prep/prepare_{data_format}.py", *source, "--out-dir", data, *preparation)
    return data


def refuse_others(settings):
    """Refuse an OUT_DIR whose recordings were made with other sizes: what is there is not made again."""
    path, wanted = settings.OUT_DIR / "recordings.json", {name: getattr(settings, name) for name in simulated}
    before = read_json(path, "delete it") if path.exists() else wanted
    others = [f"{name} {before.get(name)}, not {value}" for name, value in wanted.items() if before.get(name) != value]
    if others:
        raise InputError(f"--out-dir {settings.OUT_DIR} has recordings of {', '.join(others)}; give another one")
    if not path.exists():
        write_json(path, wanted)


def pretrain(settings, where, split, *flags):
    """Both windows with the robust recipe."""
    for window in windows:
        folds = ("--split", split, "--n-folds", settings.N_FOLDS, "--recipe", "robust")
        script(f"main_pretrain_{window}.py", *where, *folds, *flags)


def run_noise(settings, split, seed):
    """The robust recipe and baselines where there is nothing to find; the folder of this split and seed."""
    cell = settings.OUT_DIR / f"deap_null_{split}_{seed}"
    where = ("--data-dir", prepare(settings, "deap", seed, "--null"), "--run-dir", cell / "robust", "--seed", seed)
    pretrain(settings, where, split)
    for init in ("pretrained", "random"):
        script("Fine_tuning/fine_tuning.py", *where, "--init", init)
    script("Fine_tuning/baseline.py", *where, "--models", "nearest,lda")
    return cell


def run_cell(settings, data_format, split, seed):
    """Everything on one data set, split and seed; its folder."""
    cell = settings.OUT_DIR / f"{data_format}_{split}_{seed}"
    over_trials = prepare(settings, data_format, seed, variant="trial", preparation=("--eeg-normalise", "trial"))
    for name, data in (("robust", prepare(settings, data_format, seed)), ("robust_trial", over_trials)):
        where = ("--data-dir", data, "--run-dir", cell / name, "--seed", seed)
        pretrain(settings, where, split)
        for labels in ((), ("--label-fraction", few)):
            for init in ("pretrained", "random"):
                script("Fine_tuning/fine_tuning.py", *where, "--init", init, *labels)
            script("Fine_tuning/baseline.py", *where, "--models", "lda", "--standardise", "subject", *labels)
        if name == "robust":  # the shared filters alone: a step changes nothing at this rate
            pretrain(settings, where, split, "--lr", 1e-12, "--epochs", 1, "--tag", "filters")
            script("Fine_tuning/fine_tuning.py", *where, "--pretrain-variant", "filters")
    return cell


if __name__ == "__main__":
    utils.base.errors.run(main)
