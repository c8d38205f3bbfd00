"""Does PhysioSync learn what it claims? Components, label fractions, baselines, other networks, on planted structure.

    python benchmarks/study.py
    python benchmarks/study.py --seeds 1 --formats deap --splits trial    (a part; the whole command then takes it up)
    python benchmarks/study.py --quick --seeds 10,11,12,13,14,15,16,17    (the questions alone, with more seeds)

Runs the real scripts on simulated recordings (make_synthetic.py with a weak EFFECT and skin conductance that drifts)
under honest splits; what is complete is not run again. Writes table.md, held_out.md, study.json and two figures to
OUT_DIR. Hours on a CPU; EEGNet and ShallowFBCSPNet take part where braindecode is installed (pip install -r
benchmarks/requirements.txt).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors
from benchmarks import other_networks, study_held_out, study_tables
from benchmarks.common import script
from utils.base.errors import InputError
from utils.base.files import atomic, read_json, write_json, write_text
from utils.base.settings import read_settings
from utils.results import drawing

OUT_DIR = "runs/study"  # recordings, run directories, tables and figures
SEEDS = [7, 8, 9]  # of recordings, splits and weights; the recipe was chosen on others (benchmarks/RESULTS.md)
FORMATS = ["deap", "dreamer"]  # data sets to imitate
SPLITS = ["trial", "subject"]  # honest splits
NOISE_SPLITS = ["window", "trial"]  # splits on which to try ratings that have nothing to do with the signals (deap)
SUBJECTS = 8  # people
TRIALS = 12  # stimuli
SECONDS = 60  # length of a stimulus
N_FOLDS = 3  # of every split
EFFECT = 0.25  # strength of emotion's traces in the signals
GSR_DRIFT = 0.3  # uS by which skin conductance wanders within a minute: it alone then says about as much as EEG alone
HELD_OUT_EPOCHS = 8  # epochs of pre-training that are followed on held-out data, fold 0
OTHER_EPOCHS = 6  # of EEGNet and ShallowFBCSPNet
QUICK = False  # True: only what the questions of study_tables.py ask, for more seeds

simulated = ("SUBJECTS", "TRIALS", "SECONDS", "EFFECT", "GSR_DRIFT")  # what recordings are made with
ablations = {  # pre-trainings beside the whole method: name of the variant, flags
    "no-cmca": ["--no-cmca"],
    "no-group-loss-eeg_no-group-loss-pps": ["--no-group-loss-eeg", "--no-group-loss-pps"],
    "no-augmentation": ["--no-augmentation"],
}
paper_epochs = {"1s": 2, "5s": 4}  # epochs of the paper's recipe, whose 500 are beyond a CPU
paper_sizes = ["--embed-dim", 64, "--projector-dims", "128,128,128", "--batch-size", 32]
paper_tuning = ["--lr", 3e-5, "--epochs", 6]  # the paper's 1e-3 learns so few recordings by heart


def main():
    """Run what is missing, then make tables and figures of all that is there."""
    settings = read_settings(globals())
    cells = {}
    for data_format in settings.FORMATS:
        for split in settings.SPLITS:
            for seed in settings.SEEDS:
                cells[data_format, split, seed] = run_cell(settings, data_format, split, seed)
    table, comparisons = study_tables.make_table(cells)
    table += study_tables.question_table(comparisons)
    if settings.QUICK:
        write_text(settings.OUT_DIR / "question.md", table)
        write_json(settings.OUT_DIR / "question.json", {"comparisons": comparisons})
        print(f"{table}wrote {settings.OUT_DIR}: question.md and question.json")
        return
    noise = {split: [run_noise(settings, split, seed) for seed in settings.SEEDS] for split in settings.NOISE_SPLITS}
    table += study_tables.noise_table(noise)
    held_out = {" ".join(map(str, key)): read_json(cell / "held_out.json", "delete it") for key, cell in cells.items()}
    seen = study_tables.held_out_table(held_out)
    curves = {"labels": study_tables.label_curve(cells), "held_out": study_tables.held_out_curve(held_out)}
    write_text(settings.OUT_DIR / "table.md", table)
    write_text(settings.OUT_DIR / "held_out.md", seen)
    write_json(settings.OUT_DIR / "study.json", {"comparisons": comparisons, "held_out": held_out})
    for name, figure in curves.items():
        with atomic(settings.OUT_DIR / f"study_{name}.png") as file:
            file.write(drawing.image(figure, "png", dpi=120))
    print(table + seen)
    print(f"wrote {settings.OUT_DIR}: table.md, held_out.md, study.json, study_labels.png and study_held_out.png")


def prepare(settings, data_format, seed, *flags, variant="", preparation=()):
    """A prepared folder of simulated recordings; ``variant`` names those that are prepared with flags of their own."""
    refuse_others(settings)
    name = "_".join([data_format, *(flag.strip("-") for flag in flags), str(seed)])
    raw, data = settings.OUT_DIR / f"{name}_raw", settings.OUT_DIR / "_".join(filter(None, [name, variant]))
    if not data.exists():
        if not raw.exists():
            sizes = ("--subjects", settings.SUBJECTS, "--trials", settings.TRIALS, "--seconds", settings.SECONDS)
            made = ("--format", data_format, "--out-dir", raw, "--seed", seed)
            planted = ("--effect", settings.EFFECT, "--gsr-drift", settings.GSR_DRIFT)
            script("data_prep/make_synthetic.py", *made, *sizes, *planted, *flags)
        source = ("--raw-dir", raw) if data_format == "deap" else ("--raw-file", raw / "DREAMER.mat")
        script(f"data_prep/prepare_{data_format}.py", *source, "--out-dir", data, *preparation)
    return data


def refuse_others(settings):
    """Refuse an OUT_DIR whose recordings were made with other sizes: what is there is not made again."""
    path, own = settings.OUT_DIR / "recordings.json", {name: getattr(settings, name) for name in simulated}
    before = read_json(path, "delete it") if path.exists() else own
    others = [f"{name} {before.get(name)}, not {value}" for name, value in own.items() if before.get(name) != value]
    if others:
        raise InputError(f"--out-dir {settings.OUT_DIR} has recordings of {', '.join(others)}; give another one")
    if not path.exists():
        write_json(path, own)


def run_noise(settings, split, seed):
    """The robust recipe and the nearest neighbour where there is nothing to find; the run directory."""
    data, run_dir = prepare(settings, "deap", seed, "--null"), settings.OUT_DIR / f"deap_null_{split}_{seed}"
    where = ("--data-dir", data, "--run-dir", run_dir, "--seed", seed)
    for window in paper_epochs:
        folds = ("--split", split, "--n-folds", settings.N_FOLDS)
        script(f"main_pretrain_{window}.py", *where, *folds, "--recipe", "robust")
    script("Fine_tuning/fine_tuning.py", *where)
    script("Fine_tuning/fine_tuning.py", *where, "--init", "random")
    script("Fine_tuning/baseline.py", *where, "--models", "nearest,lda")
    return run_dir


def run_cell(settings, data_format, split, seed):
    """Everything on one data set, split and seed; returns its folder."""
    data = prepare(settings, data_format, seed)
    cell = settings.OUT_DIR / f"{data_format}_{split}_{seed}"
    where = {name: ("--data-dir", data, "--run-dir", cell / name, "--seed", seed) for name in ("robust", "paper")}
    folds = ("--split", split, "--n-folds", settings.N_FOLDS)
    tune = "Fine_tuning/fine_tuning.py"
    for window in paper_epochs:
        script(f"main_pretrain_{window}.py", *where["robust"], *folds, "--recipe", "robust")
    over_trials = prepare(settings, data_format, seed, variant="trial", preparation=("--eeg-normalise", "trial"))
    where["robust_trial"] = ("--data-dir", over_trials, "--run-dir", cell / "robust_trial", "--seed", seed)
    filters = ("--lr", 1e-12, "--epochs", 1, "--tag", "filters")
    for window in paper_epochs:
        script(f"main_pretrain_{window}.py", *where["robust_trial"], *folds, "--recipe", "robust")
        script(f"main_pretrain_{window}.py", *where["robust"], *folds, "--recipe", "robust", *filters)
    script(tune, *where["robust"], "--pretrain-variant", "filters")
    for run_dir in ("robust", "robust_trial"):
        for few in ([], ["--label-fraction", study_tables.QUARTER]):
            for init in ("pretrained", "random"):
                script(tune, *where[run_dir], "--init", init, *few)
            script("Fine_tuning/baseline.py", *where[run_dir], "--models", "lda", "--standardise", "subject", *few)
    if settings.QUICK:
        return cell
    for window, epochs in paper_epochs.items():
        main_script = f"main_pretrain_{window}.py"
        for flags in ablations.values():
            script(main_script, *where["robust"], *folds, "--recipe", "robust", *flags)
        script(main_script, *where["paper"], *folds, "--epochs", epochs, *paper_sizes)
    for flags in (
        *(["--freeze"], ["--modalities", "eeg"], ["--modalities", "pps"]),
        *(["--resolutions", "5s"], ["--resolutions", "1s"]),
    ):
        script(tune, *where["robust"], *flags)
    for flags in (["--init", "random"], ["--label-fraction", 0.25], ["--init", "random", "--label-fraction", 0.25]):
        script(tune, *where["robust"], "--modalities", "eeg", *flags)
    for variant in ablations:
        script(tune, *where["robust"], "--pretrain-variant", variant)
    for init in ("pretrained", "random"):
        script(tune, *where["paper"], "--init", init, *paper_tuning)
        for fraction in study_tables.fractions:
            script(tune, *where["robust"], "--init", init, "--label-fraction", fraction)
    for standardise in ("none", "subject"):
        script("Fine_tuning/baseline.py", *where["robust"], "--models", "logistic,lda", "--standardise", standardise)
    alone = [("--modalities", name) for name in ("eeg", "pps")]
    for flags in (*alone, *(("--label-fraction", fraction) for fraction in study_tables.fractions)):
        chosen = ("--models", "lda", "--standardise", "subject", *flags)
        script("Fine_tuning/baseline.py", *where["robust"], *chosen)
    other_networks.run(data, cell / "robust", seed, settings.OTHER_EPOCHS)
    if not (cell / "held_out.json").exists():
        flags = {"robust": [], "paper": paper_sizes}
        write_json(cell / "held_out.json", study_held_out.follow(data, cell, seed, flags, settings.HELD_OUT_EPOCHS))
    return cell


if __name__ == "__main__":
    utils.base.errors.run(main)
