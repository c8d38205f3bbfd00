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


@dataclass
class Stage:
    """One folder of a run directory: folds that are complete and asked for, and how far others are, in words.

    ``settings`` and ``given`` are of the script that made it; empty if there is nothing yet to say.
    """

    name: str
    complete: set
    asked: set
    n_folds: int
    begun: dict
    settings: dict
    given: dict
    other: bool = False  # of another split.json: it is not completed here

    @property
    def missing(self):
        """Folds that were asked for and are not complete."""
        return sorted(self.asked - self.complete)

    @property
    def window(self):
        """``"1s"`` or ``"5s"`` of a pre-training."""
        return self.name.split("_")[1]

    @property
    def script(self):
        """What made it."""
        pretraining = f"main_pretrain_{self.window}.py"
        return {"finetune": FINE_TUNING, "baseline": BASELINE}.get(self.name.split("_")[0], pretraining)

    @property
    def variant(self):
        """What a pre-training's name has behind its window."""
        return "_".join(self.name.split("_")[2:])

    def in_words(self):
        """One line."""
        if self.other:
            return "made with another split.json: not of this run"
        of = f" of {self.n_folds}" if len(self.asked) < self.n_folds else ""
        if not self.missing:
            return f"complete: {_folds(sorted(self.complete), self.n_folds)}{of}"
        line = f"{len(self.complete)} of {len(self.asked)} folds complete"
        line += f"; missing: {_folds(self.missing, self.n_folds)}"
        return line + "".join(f"; fold {fold} is at {how}" for fold, how in sorted(self.begun.items())[:3])


@dataclass
class State:
    """A run directory: one line about it, its stages, and the script and the flags that come next."""

    title: str
    stages: list
    following: tuple | None  # nothing but the report

    @property
    def missing(self):
        """Whether something is left to do before the report."""
        return self.following is not None


def look(run_dir):
    """The `State` of a run directory; an `InputError` if nothing was begun there, or something there is damaged."""
    run_dir = Path(run_dir)
    if not (run_dir / "split.json").exists():
        what = "has no split.json and no results" if run_dir.is_dir() else "does not exist"
        where = run_dir if len(str(run_dir)) < 50 else "..."  # a message is short
        command = next_command(
            "main_pretrain_1s.py", "--data-dir", "data/DEAP", "--run-dir", where, "--recipe", "robust"
        )
        raise InputError(f"--run-dir {run_dir} {what}: nothing was begun there; begin with {command}")
    try:
        split = read_json(run_dir / "split.json", REMEDY)
        n_folds = len(split["folds"])
        title = f"{run_dir}: {split['dataset']}, {split['protocol']}, {split['split']} split, {n_folds} folds"
    except (KeyError, TypeError):
        raise InputError(f"{run_dir / 'split.json'} does not describe folds; {REMEDY}") from None
    folders = [path for path in sorted(run_dir.iterdir()) if path.is_dir()]
    pretrained = [_pretraining(path, split) for path in folders if path.name.startswith(("pretrain_1s", "pretrain_5s"))]
    tuned = [_results(path, split) for path in folders if path.name.startswith(OURS)]
    of_this = [[stage for stage in stages if not stage.other] for stages in (pretrained, tuned)]
    return State(title, pretrained + tuned, _following(run_dir, f"data/{split['dataset']}", *of_this))


def show(state):
    """Print where a run stands, and the next command."""
    print(state.title)
    width = max((len(stage.name) for stage in state.stages), default=0)
    for stage in state.stages:
        print(f"  {stage.name:{width}}  {stage.in_words()}")
    if not state.stages:
        print("  no stage has begun")
    if state.following:
        say_next(*state.following)


def _following(run_dir, data_dir, pretrained, tuned):
    """The script that comes next and its flags; None if all is there."""
    for stage in pretrained + tuned:
        if stage.missing:
            return _again(stage.script, stage, run_dir, data_dir)
    if any(stage.name.startswith("finetune_") for stage in tuned):
        return _comparison(run_dir, data_dir, tuned)
    for stage in pretrained:
        windows = {other.window for other in pretrained if other.variant == stage.variant}
        if len(windows) == 1:
            other = {"1s": "5s", "5s": "1s"}[stage.window]
            return _again(f"main_pretrain_{other}.py", stage, run_dir, data_dir)
    if not pretrained:
        return "main_pretrain_1s.py", "--data-dir", Path(data_dir), "--run-dir", run_dir, "--recipe", "robust"
    stage = pretrained[0]
    flags = ["--data-dir", Path(stage.settings.get("DATA_DIR", data_dir)), "--run-dir", run_dir]
    flags += ["--pretrain-variant", stage.variant] if stage.variant else []
    folds = "" if len(stage.asked) == stage.n_folds else ",".join(map(str, sorted(stage.asked)))
    flags += ["--folds", folds] if folds else []
    modalities = stage.settings.get("MODALITIES", "eeg+pps")
    return FINE_TUNING, *flags, *(["--modalities", modalities] if modalities != "eeg+pps" else [])


def _comparison(run_dir, data_dir, tuned):
    """What a pre-trained result is not compared with yet: classical baselines, then random first weights."""
    for result in (stage for stage in tuned if stage.settings.get("INIT") == "pretrained"):
        same = [stage for stage in tuned if stage.settings.get("LABEL") == result.settings["LABEL"]]
        same = [stage for stage in same if stage.complete >= result.complete]
        if not any(stage.name.startswith("baseline_") for stage in same):
            return _again(BASELINE, result, run_dir, data_dir, ("FOLDS", *result_of("B")))
        if not any(stage.settings.get("INIT") == "random" for stage in same):
            names = [name for name in result.given if name != "INIT"]
            return *_again(FINE_TUNING, result, run_dir, data_dir, names), "--init", "random"
    return None


def _again(script, stage, run_dir, data_dir, names=None):
    """A script and the flags that make it do what a stage was begun for: with all its settings, or with these."""
    words = {name: stage.given[name] for name in names or stage.given if name in stage.given}
    where = ["--data-dir", Path(stage.settings.get("DATA_DIR", data_dir)), "--run-dir", run_dir]
    return script, *where, *other_flags(script, words)


def _pretraining(folder, split):
    parts = {"fold": int, "epoch": int, "settings": {"EPOCHS": int, "FOLDS": [int]}}
    files = [_load(path, parts) for path in sorted(folder.glob("fold_*/checkpoint.pt"))]
    epochs = {one["fold"]: (one["epoch"], one["settings"]["EPOCHS"]) for one in files}
    begun = {fold: f"epoch {epoch} of {n}" for fold, (epoch, n) in epochs.items() if epoch < n}
    return _stage(folder, epochs.keys() - begun.keys(), split, begun, files)


def _results(folder, split):
    metrics = read_result(folder / "metrics.json") if (folder / "metrics.json").exists() else None
    complete = {fold["fold"] for fold in metrics["folds"]} if metrics else set()
    if folder.name.startswith("baseline_"):  # networks of others keep no model.pt
        complete |= {int(path.parent.name[5:]) for path in folder.glob("fold_[0-9]*/result.pt")}
    files = [metrics] if metrics else []
    for path in sorted(folder.glob("fold_*/model.pt")):
        files.append(_load(path, {"fold": int, "settings": {"FOLDS": [int]}}))
        if path.with_name("result.pt").exists():
            complete.add(files[-1]["fold"])
    return _stage(folder, complete, split, {}, files)


def _stage(folder, complete, split, begun, files):
    """A stage from what its files say; of the settings those of the last one count."""
    n_folds = len(split["folds"])
    other = any(one.get("manifest_hash", split.get("hash")) != split.get("hash") for one in files)
    path = folder / "begun.json"
    if not files and path.exists():  # interrupted before its first fold
        files = [read_json(path, DELETE_IT)]
        if wrong := find_wrong(files[0], {"settings": {"FOLDS": [int]}, "given": {str: [str]}}):
            raise InputError(f"{path} is damaged: {wrong}; delete it")
    everything = set(range(n_folds))
    asked = set().union(*(set(one["settings"]["FOLDS"]) or everything for one in files)) if files else everything
    settings, given = (files[-1]["settings"], files[-1].get("given", {})) if files else ({}, {})
    return Stage(folder.name, complete, asked, n_folds, begun, settings, given, other)


def _load(path, parts):
    stored = load_tensors(path, DELETE_IT, mmap=True)
    if wrong := find_wrong(stored, parts):
        raise InputError(f"{path} lacks parts of a checkpoint: {wrong}; {DELETE_IT}")
    return stored


def _folds(numbers, n_folds):
    """Numbers of folds in words."""
    if len(numbers) == n_folds:
        return f"all {n_folds} folds"
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"folds {numbers[0]} to {numbers[-1]}"
    return f"fold{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
