"""Where a run stands: what is complete, what is missing, and the command that does it."""

from dataclasses import dataclass
from pathlib import Path

from utils.base.errors import InputError
from utils.base.files import read_json
from utils.base.progress import next_command, say_next
from utils.base.rules import result_of
from utils.base.settings import other_flags
from utils.base.structure import find_wrong
from utils.pretraining.checkpoints import DELETE_IT, load_tensors
from utils.protocol.splits import REMEDY
from utils.results.stored import OURS, read_result

FINE_TUNING, BASELINE = "Fine_tuning/fine_tuning.py", "Fine_tuning/baseline.py"
RESULT = {"fold": int, "settings": {"FOLDS": [int]}}  # what a model.pt must have
CHECKPOINT = {"fold": int, "epoch": int, "settings": {"EPOCHS": int, "FOLDS": [int]}}
BEGUN = {"settings": {"FOLDS": [int]}, "given": {str: [str]}}


@dataclass
class Stage:
    """One folder of a run directory: folds that are complete and asked for, and how far others are, in words.

    ``settings`` and ``given`` are of the script that made it; empty if there is nothing yet to say. ``other``: it is of
    another split.json, and not completed here.
    """

    name: str
    complete: set
    asked: set
    n_folds: int
    begun: dict
    settings: dict
    given: dict
    other: bool

    @property
    def missing(self):
        """Folds that were asked for and are not complete."""
        return sorted(self.asked - self.complete)

    def in_words(self):
        """One line."""
        if self.other:
            return "made with another split.json: not of this run"
        if not self.missing:
            of = f" of {self.n_folds}" if len(self.asked) < self.n_folds else ""
            return f"complete: {_folds(sorted(self.complete), self.n_folds)}{of}"
        begun = "".join(f"; fold {fold} is at {how}" for fold, how in sorted(self.begun.items())[:3])
        missing = _folds(self.missing, self.n_folds)
        return f"{len(self.complete)} of {len(self.asked)} folds complete; missing: {missing}{begun}"

    def again(self, script, run_dir, names=None):
        """A script and the flags that make it do what this was begun for: with all its settings, or with these."""
        words = {name: self.given[name] for name in names or self.given if name in self.given}
        return script, *self.where(run_dir), *other_flags(script, words)

    def where(self, run_dir):
        """The flags of data and run directory."""
        return "--data-dir", Path(self.settings["DATA_DIR"]), "--run-dir", run_dir


@dataclass
class State:
    """A run directory: one line about it, its stages, and the script and the flags that come next before the report."""

    title: str
    stages: list
    following: tuple | None

    def show(self):
        """Print it."""
        print(self.title)
        width = max((len(stage.name) for stage in self.stages), default=0)
        for stage in self.stages:
            print(f"  {stage.name:{width}}  {stage.in_words()}")
        if not self.stages:
            print("  no stage has begun")
        if self.following:
            say_next(*self.following)


def look(run_dir):
    """The `State` of a run directory; an `InputError` if nothing was begun there, or something there is damaged."""
    run_dir = Path(run_dir)
    if not (run_dir / "split.json").exists():
        what = "has no split.json and no results" if run_dir.is_dir() else "does not exist"
        where = run_dir if len(str(run_dir)) < 50 else "..."  # a message is short
        flags = "--data-dir", "data/DEAP", "--run-dir", where, "--recipe", "robust"
        begin = next_command("main_pretrain_1s.py", *flags)
        raise InputError(f"--run-dir {run_dir} {what}: nothing was begun there; begin with {begin}")
    split = read_json(run_dir / "split.json", REMEDY)
    shape = dict.fromkeys(("dataset", "protocol", "split"), str) | {"folds": [{}]}
    if not isinstance(split, dict) or find_wrong(split, shape):
        raise InputError(run_dir / "split.json", "does not describe folds", REMEDY)
    title = f"{run_dir}: {split['dataset']}, {split['protocol']}, {split['split']} split, {len(split['folds'])} folds"
    folders = [path for path in sorted(run_dir.iterdir()) if path.is_dir()]
    pretrained = [_pretraining(path, split) for path in folders if path.name.startswith(("pretrain_1s", "pretrain_5s"))]
    tuned = [_results(path, split) for path in folders if path.name.startswith(OURS)]
    of_this = ([stage for stage in stages if not stage.other] for stages in (pretrained, tuned))
    return State(title, pretrained + tuned, _following(run_dir, f"data/{split['dataset']}", *of_this))


def _following(run_dir, data_dir, pretrained, tuned):
    """The script that comes next and its flags; None if all is there."""
    scripts = {"finetune": FINE_TUNING, "baseline": BASELINE}
    for stage in pretrained + tuned:
        if stage.missing:
            kind, window, *_ = stage.name.split("_")
            return stage.again(scripts.get(kind, f"main_pretrain_{window}.py"), run_dir)
    if any(stage.name.startswith("finetune_") for stage in tuned):
        return _comparison(run_dir, tuned)
    if not pretrained:
        where = tuned[0].where(run_dir) if tuned else ("--data-dir", Path(data_dir), "--run-dir", run_dir)
        return "main_pretrain_1s.py", *where, "--recipe", "robust"
    for stage in pretrained:
        kind, window, *variant = stage.name.split("_", 2)
        other = {"1s": "5s", "5s": "1s"}[window]
        if "_".join([kind, other, *variant]) not in [stage.name for stage in pretrained]:
            return stage.again(f"main_pretrain_{other}.py", run_dir)
    stage = pretrained[0]
    flags, variant = [], stage.name.split("_", 2)[2:]
    if variant:
        flags += ["--pretrain-variant", *variant]
    if len(stage.asked) < stage.n_folds:
        flags += ["--folds", ",".join(map(str, sorted(stage.asked)))]
    if (modalities := stage.settings.get("MODALITIES", "eeg+pps")) != "eeg+pps":
        flags += ["--modalities", modalities]
    return FINE_TUNING, *stage.where(run_dir), *flags


def _comparison(run_dir, tuned):
    """What a pre-trained result is not compared with yet: classical baselines, then random first weights."""
    for result in (stage for stage in tuned if stage.settings.get("INIT") == "pretrained"):
        same = [stage for stage in tuned if stage.settings.get("LABEL") == result.settings["LABEL"]]
        same = [stage for stage in same if stage.complete >= result.complete]
        if not any(stage.name.startswith("baseline_") for stage in same):
            return result.again(BASELINE, run_dir, ("FOLDS", *result_of("B")))
        if not any(stage.settings.get("INIT") == "random" for stage in same):
            return (
                *result.again(FINE_TUNING, run_dir, [name for name in result.given if name != "INIT"]),
                "--init",
                "random",
            )
    return None


def _pretraining(folder, split):
    files = [_load(path, CHECKPOINT) for path in sorted(folder.glob("fold_*/checkpoint.pt"))]
    epochs = {one["fold"]: (one["epoch"], one["settings"]["EPOCHS"]) for one in files}
    begun = {fold: f"epoch {epoch} of {n}" for fold, (epoch, n) in epochs.items() if epoch < n}
    return _stage(folder, epochs.keys() - begun.keys(), split, begun, files)


def _results(folder, split):
    files = [read_result(path) for path in folder.glob("metrics.json")]
    complete = {fold["fold"] for metrics in files for fold in metrics["folds"]}
    files += [_load(path, RESULT) for path in sorted(folder.glob("fold_*/model.pt"))]  # networks of others keep none
    complete |= {int(path.parent.name[5:]) for path in folder.glob("fold_[0-9]*/result.pt")}
    return _stage(folder, complete, split, {}, files)


def _stage(folder, complete, split, begun, files):
    """A stage from what its files say; of the settings those of the last one count."""
    other = any(one.get("manifest_hash", split.get("hash")) != split.get("hash") for one in files)
    path = folder / "begun.json"
    if not files and path.exists():  # interrupted before its first fold
        files = [read_json(path, DELETE_IT)]
        if wrong := find_wrong(files[0], BEGUN):
            raise InputError(path, f"is damaged: {wrong}", "delete it")
    everything = set(range(len(split["folds"])))
    asked = set().union(*(set(one["settings"]["FOLDS"]) or everything for one in files)) if files else everything
    settings, given = (files[-1]["settings"], files[-1].get("given", {})) if files else ({}, {})
    settings = {"DATA_DIR": f"data/{split['dataset']}"} | settings
    return Stage(folder.name, complete, asked, len(everything), begun, settings, given, other)


def _load(path, shape):
    stored = load_tensors(path, DELETE_IT, mmap=True)
    if wrong := find_wrong(stored, shape):
        raise InputError(path, f"lacks parts of a checkpoint: {wrong}", DELETE_IT)
    return stored


def _folds(numbers, n_folds):
    """Numbers of folds in words."""
    if len(numbers) == n_folds:
        return f"all {n_folds} folds"
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"folds {numbers[0]} to {numbers[-1]}"
    return f"fold{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
