"""What the report of a run directory says, section by section."""

import json
from pathlib import Path

import numpy as np

from utils.base.progress import warn
from utils.base.structure import find_wrong
from utils.results import figures, overview, published
from utils.results.page import Page

SCORES = dict(accuracy="accuracy per window", f1="F1", balanced_accuracy="balanced accuracy")
SCORES |= dict(trial_accuracy="accuracy per trial")
KEYS = ("window", "trial", "subject", "stimulus")  # and group, where stimuli have groups
PUBLISHED = (
    "Published figures come from other splits, often from test windows of trials seen in training: they say little."
)
GLOSSARY = {
    "subject, trial, stimulus": "A person; a film as one person watched it; the film itself, watched by all people.",
    "window": "5 s of a trial. Every window is a test of its own, so neighbours in one trial are not independent.",
    "fold": "The data are divided into parts; each part is tested once, by a model that was trained on the others.",
    "split": "What a part consists of. trial: whole trials. window: single windows, so that training has seen others "
    "of the same trial. authors: the paper's own division, in which 1 s encoders have seen test windows. subject: "
    "people. subject+trial: people, and stimuli that training has not seen.",
    "protocol": "subject-dependent: people of the test were trained on, with other data. cross-subject: they were not.",
    "pre-trained, random": "Whether the encoders learned from signals without labels before fine-tuning, or began with "
    "random weights. The difference is what pre-training is worth.",
    "baseline": "A classical model, or a network of others, on the same folds. What does not beat it shows nothing.",
    "majority class": "The accuracy of always saying the most frequent class. A score near it has learned nothing.",
    "accuracy per window, per trial": "Share of the windows that were classified rightly; the same for whole trials, "
    "from the mean probability of their windows.",
    "balanced accuracy": "Mean over the classes of the share that was found. Chance is 1 / number of classes, however "
    "frequent they are.",
    "F1": "Between 0 and 1: how well the high class is found without false alarms; with more classes than two, the "
    "mean over them, weighted by how frequent they are.",
    "mean ± std, 95 % interval": "Over the folds; and where the score would lie for other trials or people like these.",
    "group": "A larger whole that stimuli are parts of, such as a film that was cut into trials, or a session.",
    "audit": "The share of the test windows whose window, trial, subject or stimulus was in training: of the "
    "classifier and of each pre-trained encoder. 0 % is clean. A trial that was seen makes a score worthless as a "
    "measure of emotion; a subject that was seen means that it does not hold for new people.",
    "standardised with their own": "The signals of test people were scaled with all of their own signals, without "
    "labels. For a new person, a recording must be there before the first answer.",
    "permutation test": "The same with labels that mean nothing, many times. p: how often that was at least as good.",
    "contrastive accuracy": "In pre-training: how often the two views of one moment find each other in a batch.",
    "by the clock alone": "The same where the second group is at the same second of another stimulus. What changes "
    "over every trial alike, such as falling skin conductance, is recognised as often; the difference is the stimulus.",
}


def write(run_dir, results, maps=None):
    """Draw all results (``metrics.json`` by folder), write ``report.html``; returns the number of figures.

    ``maps`` adds figures of the features to the page.
    """
    page, results = Page(run_dir), overview.in_order(results)
    simulated = any(result.get("simulated") for result in results.values())
    protocols = dict.fromkeys(f"{result['protocol']}, {result['split']} split" for result in results.values())
    dataset = " and ".join(dict.fromkeys(result["dataset"] for result in results.values()))
    title = f"{dataset}{', simulated' if simulated else ''}: {'; '.join(protocols)}"
    page.heading(f"PhysioSync on {title}", 1)
    groups = overview.by_task(results)
    for line in dict.fromkeys(filter(None, (overview.above_majority(group.values()) for _, group in groups))):
        page.text(line, "warn")
    page.text(str(run_dir), "code")
    if simulated:
        page.text("These recordings are simulated. The numbers say nothing about people.", "warn")
    for task, group in groups:
        example = next(iter(group.values()))
        protocol = f": {example['protocol']}, {example['split']} split" if len(protocols) > 1 else ""
        _headline(page, example["label"], protocol + task, group)
    _audit(page, results)
    for name, result in results.items():
        if "model" not in result:
            _result(page, name, result)
    _pretraining(page)
    if maps is not None:
        maps(page, results)
    page.heading("Words")
    page.glossary(GLOSSARY)
    _provenance(page, results)
    page.write(title)
    return len(page.names)


def _headline(page, label, task, group):
    """The scores and what they are compared with; ``task`` distinguishes groups of the label."""
    fullest = overview.most_complete(group.values())
    page.heading(label.capitalize() + task)
    rows = []
    for name, result in group.items():
        cells = ["\n".join(filter(None, [name, overview.who(result), overview.missing_folds(result)]))]
        for score in SCORES:
            value = result[score]
            interval = "\n{:.2f} to {:.2f}".format(*value["ci95"]) if value["ci95"] else ""
            cells.append((overview.mean_std(result, score) + interval, "n"))
        rows.append(cells)
    known = published.figures(fullest)
    asides = [["always the majority class", (f"{fullest['majority']:.3f}", "n"), "", "", ""]]
    asides += [[f"{text} (published)", (accuracy, "n"), (f1, "n"), "", ""] for text, accuracy, f1 in known]
    page.table(["result", *SCORES.values()], rows, asides)
    n = sum(fold["n_test"] for fold in fullest["folds"])
    over = f"{len(fullest['folds'])} of {fullest['n_folds']} folds, {n} test windows of 5 s"
    interval = f"a 95 % interval (t over {fullest['interval_unit']}s)"
    page.text(f"Mean ± standard deviation over {over}; below it {interval}.")
    whole = {
        name: r for name, r in group.items() if not (overview.missing_folds(r) or r["settings"].get("PERMUTE_LABELS"))
    }
    networks = [name for name, result in whole.items() if "model" not in result]
    classical = [name for name, result in whole.items() if "model" in result]
    if networks and classical:
        best, other = (max(names, key=lambda name: group[name]["accuracy"]["mean"]) for names in (networks, classical))
        above = group[best]["accuracy"]["mean"] > group[other]["accuracy"]["mean"]
        chance = "Whether the difference is chance, Fine_tuning/compare_runs.py tells."
        page.text(f"Best network: {best}. Best baseline: {other}. {chance if above else 'No network beats it.'}")
    if known:
        page.text(PUBLISHED)
    for name, result in group.items():
        if "permutation" in result:
            page.text(f"{name}: {overview.permutation_in_words(result['permutation'])}")
    page.figure(figures.accuracies(group), f"accuracy_{label}", f"{label}{task}: accuracy of every result")


def _audit(page, results):
    """What test and training data share: one row per result, or per parts of it that differ."""
    page.heading("Audit: what the test windows shared with the training data")
    rows, words = [], []
    grouped = any("group" in (seen or {}) for result in results.values() for seen in result["audit"].values())
    keys = [*KEYS, "group"] if grouped else KEYS
    for name, result in results.items():
        parts = {part.replace("_", " "): seen for part, seen in result["audit"].items() if set(KEYS) <= set(seen or {})}
        alike = {}  # parts by what they have seen
        for part, seen in parts.items():
            alike.setdefault(tuple(seen.get(key) for key in keys), []).append(part)
        for shares, some in alike.items():
            cells = ["" if s is None else (f"{s:.0%}", "seen" if s else "free") for s in shares]
            rows.append([f"{name}\n{'all parts' if 1 < len(parts) == len(some) else ', '.join(some)}", *cells])
        words += result["audit_in_words"]
    page.table(["seen in training", *keys], rows, compact=True)
    for line in dict.fromkeys(words):
        page.text(line, "warn")


def _result(page, name, result):
    """Figures of one fine-tuning."""
    page.heading(name)
    page.figure(figures.confusion(result), f"{name}_confusion", "Predicted classes of each true class")
    page.figure(figures.subjects(result), f"{name}_subjects", "Accuracy of every person")
    logs = read_logs(page.folder / name)
    if logs:
        page.figure(figures.learning(logs), f"{name}_learning", "Fine-tuning: mean and range of the folds")


def _pretraining(page):
    folders = [folder for folder in sorted(page.folder.glob("pretrain_*")) if read_logs(folder)]
    if folders:
        page.heading("Pre-training")
    for folder in folders:
        if line := _clock(read_logs(folder)):
            page.text(f"{folder.name}: {line}")
        caption = f"{folder.name}: mean and range of the folds; contrastive accuracy by chance is 1 / batch size"
        page.figure(figures.pretraining(read_logs(folder)), folder.name, caption)


def _clock(logs):
    """How often moments of stimuli that training has not seen were recognised, mean over folds, as a sentence."""
    looks = [log[-1]["held_out"] for log in logs if log[-1].get("held_out")]
    names = [name for name in ("eeg", "pps") if looks and all(f"{name}_clock" in look for look in looks)]
    parts = []
    for name in names:
        share, clock, chance = (np.mean([look[key] for look in looks]) for key in (name, f"{name}_clock", "chance"))
        parts.append(
            f"in the {name.upper()} {share:.3f} (chance {chance:.3f}), but {clock:.3f} already by the clock alone, so "
            f"{share - clock:+.3f} is the stimulus itself"
        )
    return f"of the moments of new stimuli, these shares are recognised: {'; '.join(parts)}." if parts else None


def _provenance(page, results):
    """Settings and versions, folded away."""
    for name, result in results.items():
        kept = ("dataset_checksum", "manifest_hash", "split_seed", "settings", "provenance", "seconds")
        text = json.dumps({key: result[key] for key in kept if key in result}, indent=1, ensure_ascii=False)
        page.folded(f"Settings and provenance of {name}", text)


def read_logs(folder):
    """``log.jsonl`` of every fold of a pre-training or fine-tuning, without empty ones and without damaged ones."""
    logs = []
    for path in sorted(Path(folder).glob("fold_*/log.jsonl")):
        try:
            log = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except ValueError:
            log = None
        if log is None or find_wrong(log, [{str: (float, None, {})}]):
            warn(f"{path} is damaged; the curves are drawn without it, and nothing else depends on it")
        elif log:
            logs.append(log)
    return logs
