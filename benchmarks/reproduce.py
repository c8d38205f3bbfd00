"""The paper's experiments in one command, then one page: its figures and ours, with their protocol and audit.

    python benchmarks/reproduce.py --data-dir data/DEAP --out-dir runs/reproduce --dry-run
    python benchmarks/reproduce.py --data-dir data/DEAP --out-dir runs/reproduce --recipe robust

Every split (the paper's, which leaks, and those without leak), every label, ablations, classical baselines and networks
of others. It begins with a plan: what will run, and for how long on this machine. The same command goes on where it
was interrupted; what is complete is not computed again. Writes report.html to OUT_DIR, and a run directory per split.
"""

import contextlib
import io
import runpy
import statistics
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors

# isort: split

from benchmarks.common import script
from data_prep import open_prepared
from utils.base.errors import InputError
from utils.base.files import read_json, write_json
from utils.base.other_networks import find
from utils.base.progress import duration, next_command
from utils.base.settings import ROOT, Settings, read_settings
from utils.finetuning.baselines import MODELS as CLASSICAL
from utils.finetuning.baselines import STIMULUS, networks_of
from utils.pretraining import recipes
from utils.pretraining.pretraining import training_step, trainings
from utils.pretraining.resolve import PHYSIOSYNC, enough_epochs
from utils.pretraining.stacked import Alone
from utils.protocol import splits
from utils.results import reproduction

# Where
DATA_DIR = "data/DEAP"  # prepared folder
OUT_DIR = "runs/reproduce"  # a run directory per split, and report.html
DRY_RUN = False  # True: print the plan and end
DEVICE = "auto"  # auto | cpu | cuda | mps
QUIET = False  # True: say nothing but warnings and errors

# What
RECIPE = "paper"  # paper: 500 epochs, for a GPU | robust: for few recordings or a laptop
EPOCHS = None  # of pre-training (None: the recipe's)
ONLY = []  # splits: authors, window, trial, subject, subject+trial; empty: all
LABELS = []  # ratings; empty: arousal, valence and four, or else all that the data have
MODELS = []  # of baseline.py; empty: the classical ones, and six networks of braindecode
ENCODERS = []  # networks to try as the EEG encoder too, such as EEGNet or my_net.py:Net
ABLATIONS = True  # False: leave them out; they are made on the splits trial and subject
N_FOLDS = None  # of the cross-validation (None: each split's own number)
FOLDS = []  # which of them to run; empty: all
SEED = 0  # of splits, weights and batches

networks = ["EEGNet", "ShallowFBCSPNet", "Deep4Net", "EEGConformer", "TSception", "ATCNet"]
classical = [*CLASSICAL, STIMULUS]
tune = "Fine_tuning/fine_tuning.py"
baseline = "Fine_tuning/baseline.py"
pretraining_ablations = {  # name of the variant: flags
    "no-group-loss-eeg": ["--no-group-loss-eeg"],
    "no-group-loss-pps": ["--no-group-loss-pps"],
    "no-cmca": ["--no-cmca"],
    "augmentation": ["--positives", "augmentation"],
}
tuning_ablations = (
    *(["--modalities", "eeg"], ["--modalities", "pps"], ["--resolutions", "5s"], ["--resolutions", "1s"]),
    *(["--no-gate"], ["--freeze"]),
)
ablated_splits = ("trial", "subject")
protocols = {split: protocol for protocol, names in splits.SPLITS.items() for split in reversed(names)}


class Step(NamedTuple):
    """One command: the split and what it is for, the script and its flags, and about how long it takes in s."""

    split: str
    what: str
    script: str
    flags: list
    network: str = ""  # of EEG in pre-training and fine-tuning; the model of a baseline
    seconds: float = 0.0


def main():
    """Print the plan, run what is missing, write the page."""
    settings = read_settings(globals())
    data = open_prepared(settings.DATA_DIR)
    settings = settings.replace(
        LABELS=settings.LABELS or paper_labels(data),
        MODELS=settings.MODELS or classical + networks,
        ONLY=settings.ONLY or list(protocols),
    )
    for flag, names in (("--models", settings.MODELS), ("--encoders", settings.ENCODERS)):
        for name in names:
            if name not in classical:
                find(name.partition("=")[0], flag)  # is it there: now, not after hours
    for label in settings.LABELS:
        data.labels(label)  # or it is refused
    steps, impossible = plan(settings, data, [name for name in settings.MODELS if name not in classical])
    if settings.DRY_RUN:
        return
    failed, done = [], _done(settings)
    for number, step in enumerate(steps, start=1):
        print(f"[{number} of {len(steps)}] {step.split}: {step.what}", flush=True)
        if message := attempt(step):
            failed.append(f"{step.split} split, {step.what}: {message}")
            print(f"not done: {message}", flush=True)
        else:
            write_json(settings.OUT_DIR / "done.json", done := done | {_words(step): True})
    run_dirs = {step.split: settings.OUT_DIR / step.split for step in steps}
    names = {label: data.folder_name(label) for label in settings.LABELS}
    n = reproduction.write(settings.OUT_DIR, run_dirs, names, impossible + failed)
    if n:
        print(f"wrote {settings.OUT_DIR / 'report.html'}: {n} results")
    if failed or not n:
        first = (failed + impossible or ["no result can be read; see the warnings"])[0]
        raise InputError(
            f"{len(failed)} of {len(steps)} commands were not done{', see report.html' if n else ''}; {first}"
        )


def paper_labels(data):
    """The paper's three labels, or else all ratings of the data."""
    known = [name for name in ("arousal", "valence") if name in data.info["ratings"]]
    return [*known, "four"] if len(known) == 2 else list(data.info["ratings"])


def attempt(step):
    """Run a command; the message of one that is refused, which need not keep the others from running."""
    err = io.StringIO()
    try:
        with contextlib.redirect_stderr(err):
            script(step.script, *step.flags)
    except SystemExit as stop:
        if stop.code != 2:  # interrupted
            raise
        *before, last = err.getvalue().strip().splitlines() or ["it ended without a message"]
        err = io.StringIO("".join(f"{line}\n" for line in before))
        return last.removeprefix("error: ")
    except Exception as error:  # a fault of ours or of a network: the hours of the other commands are not lost
        traceback.print_exc(file=err)
        return f"{type(error).__name__}: {error}"
    finally:
        sys.stderr.write(err.getvalue())
    return ""


# --- the plan


def plan(settings, data, others):
    """All commands in their order, printed with the time that they take, and what cannot be made of these data."""
    costs, manifests, impossible = {}, {}, []
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        for name in (PHYSIOSYNC, *settings.ENCODERS):
            for window in ("1s", "5s"):
                costs[name, window] = of_encoder(settings, data, name, window, Path(folder) / "step")
        for split in settings.ONLY:
            try:
                manifests[split] = manifest(settings, data, split, Path(folder) / split)
            except InputError as error:
                impossible.append(f"{split} split: {error}")
        for name in others:
            try:
                costs[name] = of_network(settings, data, name, next(iter(manifests.values()), None), Path(folder))
            except InputError as error:
                if settings.given_values["MODELS"]:
                    raise
                impossible.append(f"baseline {name}: {error}")
                settings = settings.replace(MODELS=[model for model in settings.MODELS if model != name])
    steps, done = [step for split in manifests for step in of_split(settings, data, split)], _done(settings)
    steps = [
        step._replace(seconds=0 if _words(step) in done else estimate(settings, step, manifests[step.split], costs))
        for step in steps
    ]
    n_folds = {split: len(splits.choose_folds(made, settings.FOLDS)) for split, made in manifests.items()}
    print(f"\nplan for {data.name}, recipe {settings.RECIPE}, {len(steps)} commands; times are for all of each")
    for split in manifests:
        mine = [step for step in steps if step.split == split]
        print(f"  {split} split, {n_folds[split]} folds: about {duration(sum(step.seconds for step in mine))}")
        for step in mine:
            print(f"    {'done' if _words(step) in done else duration(step.seconds):>8}  {step.what}")
            if settings.DRY_RUN:
                print(f"{'':14}{next_command(step.script, *step.flags)}")
    for line in impossible:
        print(f"  left out: {line}")
    print(f"  in all about {duration(sum(step.seconds for step in steps))} on this machine\n", flush=True)
    return steps, impossible


def _words(step):
    return " ".join([step.script, *map(str, step.flags)])


def _done(settings):
    """The commands that were completed, for the plan; each is run again, and skips what is complete."""
    path = settings.OUT_DIR / "done.json"
    there = [str(settings.OUT_DIR / split) for split in settings.ONLY if (settings.OUT_DIR / split).exists()]
    done = read_json(path, "delete it") if path.exists() else {}
    return {words: True for words in done if any(run_dir in words.split(" ") for run_dir in there)}


def of_split(settings, data, split):
    """The commands of one split."""
    run_dir = settings.OUT_DIR / split
    where = ["--data-dir", settings.DATA_DIR, "--run-dir", run_dir, "--seed", settings.SEED]
    where += ["--folds", ",".join(map(str, settings.FOLDS))] if settings.FOLDS else []
    device = ["--device", settings.DEVICE]
    first = [*where, *device, "--split", split, "--recipe", settings.RECIPE]
    first += ["--protocol", protocols[split]]
    first += ["--n-folds", settings.N_FOLDS] if settings.N_FOLDS and split != "authors" else []  # it has its own ten
    first += ["--epochs", settings.EPOCHS] if settings.EPOCHS is not None else []
    both = len(data.modalities) == 2
    ablated = settings.ABLATIONS and split in ablated_splits
    variants = {"": []} | (pretraining_ablations if ablated and both else {})
    encoders = {f"encoder-{name.rpartition(':')[2]}": name for name in settings.ENCODERS}
    variants |= {tag: ["--encoder", name, "--tag", tag] for tag, name in encoders.items()}
    for variant, flags in variants.items():
        for window in ("1s", "5s"):
            what = f"pre-training, {window}{f', {variant}' if variant else ''}"
            network = encoders.get(variant, PHYSIOSYNC)
            yield Step(split, what, f"main_pretrain_{window}.py", [*first, *flags], network)
    tunings = [[], ["--init", "random"], *(["--pretrain-variant", name] for name in variants if name)]
    tunings += [flags for flags in tuning_ablations if ablated and (both or "--modalities" not in flags)]
    for label in settings.LABELS:
        for flags in tunings:
            what = " ".join([f"fine-tuning, {label}", *flags])
            network = encoders.get(flags[-1] if flags else "", PHYSIOSYNC)
            yield Step(split, what, tune, [*where, *device, "--label", label, *flags], network)
        new = split in ("trial", "subject+trial")  # no test stimulus is in training
        quick = [name for name in settings.MODELS if name in classical and not (new and name == STIMULUS)]
        others = [name for name in settings.MODELS if name not in classical]
        for names in ([",".join(quick)] if quick else []) + others:
            flags = [*where, "--label", label, "--models", names, *(device if names in others else [])]
            yield Step(split, f"baseline, {label}: {names}", baseline, flags, names)


def manifest(settings, data, split, folder):
    """The folds of a split, as the scripts will make them."""
    n_folds = settings.N_FOLDS if split != "authors" else None
    asked = Settings(RUN_DIR=folder, PROTOCOL=protocols[split], SPLIT=split, N_FOLDS=n_folds, SEED=settings.SEED)
    return splits.load_or_create(asked, data)


def settings_of(path, *flags):
    """The settings of a script with these flags."""
    constants = runpy.run_path(str(ROOT / path), run_name="constants")
    return read_settings(constants, [str(word) for word in flags])


def of_network(settings, data, name, made, folder):
    """Time that a window takes in all epochs of a baseline that is trained, measured in two steps."""
    where = ["--data-dir", data.folder, "--run-dir", folder, "--device", settings.DEVICE, "--label", settings.LABELS[0]]
    _, (network,), *_ = networks_of(settings_of(baseline, *where, "--models", name), data)
    return made and network.settings.EPOCHS * network.seconds_per_window(made, folder / "step")


def of_encoder(settings, data, encoder, window, run_dir):
    """Time that a window of this size takes in pre-training, measured in a few steps; and the recipe's epochs."""
    flags = ["--data-dir", data.folder, "--run-dir", run_dir, "--recipe", settings.RECIPE, "--device", settings.DEVICE]
    flags += ["--epochs", settings.EPOCHS] if settings.EPOCHS is not None else []
    asked = settings_of(f"main_pretrain_{window}.py", *flags, "--folds", 0, "--encoder", encoder)
    training = next(trainings(asked))
    networks, times = Alone(training), []
    step, (first, variants) = training_step(networks), networks.shuffle()
    for number in range(min(6, len(first))):
        networks.batches.ready(number)
        start = time.perf_counter()
        with training.guard():
            step(first[number], variants[number]).cpu()
        times.append(time.perf_counter() - start)
    per_window = statistics.median(times) / first[0].numel()
    of_row = training.batches.n_steps * first[0].numel() / len(training.rows)  # windows of an epoch, of a training row
    return {"seconds": per_window, "windows": of_row, "epochs": training.settings.EPOCHS}


def estimate(settings, step, made, costs):
    """Seconds of a command: windows that are encoded, times what one takes."""
    folds = splits.choose_folds(made, settings.FOLDS)
    if step.script.startswith("main_pretrain"):
        window = "1s" if "1s" in step.script else "5s"
        cost = costs[step.network, window]
        return sum(len(fold.train.rows[window]) for fold in folds) * cost["windows"] * cost["epochs"] * cost["seconds"]
    n = sum(len(fold.train.rows["5s"]) * len(fold.train.subjects) for fold in folds)
    if step.script == baseline:
        return n * costs[step.network] if step.network in costs else 2.0 * len(folds)
    row = recipes.FINETUNE[settings.RECIPE, "DEAP", made.protocol]
    epochs = row["EPOCHS"]
    if settings.RECIPE == "robust":
        epochs = enough_epochs(epochs, n // len(folds), row["BATCH_SIZE"])
    seconds = [costs[step.network, window]["seconds"] for window in ("1s", "5s")]
    return n * epochs * (splits.WINDOW_SECONDS * seconds[0] + seconds[1])


if __name__ == "__main__":
    utils.base.errors.run(main)
