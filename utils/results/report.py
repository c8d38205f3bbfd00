"""The report of a run directory: what `templates/report.html` shows."""

import json
from pathlib import Path

import numpy as np

from utils.base.progress import warn
from utils.base.structure import find_wrong
from utils.results import figures, overview, published
from utils.results.page import write_page

SCORES = dict(accuracy="accuracy per window", f1="F1", balanced_accuracy="balanced accuracy")
SCORES |= dict(trial_accuracy="accuracy per trial")
KEYS = ("window", "trial", "subject", "stimulus")  # and group, where stimuli have groups
PROVENANCE = ("dataset_checksum", "manifest_hash", "split_seed", "settings", "provenance", "seconds")


def write(run_dir, results, feature_maps=None):
    """Draw all results (``metrics.json`` by folder), write ``report.html``; returns the number of figures.

    ``feature_maps(run_dir, results, pictures)`` may add figures of the features.
    """
    pictures, results = figures.Figures(run_dir), overview.in_order(results)
    protocols = dict.fromkeys(f"{result['protocol']}, {result['split']} split" for result in results.values())
    dataset = " and ".join(dict.fromkeys(result["dataset"] for result in results.values()))
    simulated = any(result.get("simulated") for result in results.values())
    groups = overview.by_task(results)
    grouped = any("group" in (seen or {}) for result in results.values() for seen in result["audit"].values())
    audit_keys = [*KEYS, "group"] if grouped else KEYS
    write_page(
        run_dir,
        "report.html",
        title=f"{dataset}{', simulated' if simulated else ''}: {'; '.join(protocols)}",
        run_dir=run_dir,
        simulated=simulated,
        results=results,
        overview=overview,
        scores=SCORES,
        no_better=dict.fromkeys(filter(None, (overview.above_majority(group.values()) for _, group in groups))),
        tasks=[_task(pictures, words, group, len(protocols) > 1) for words, group in groups],
        audit_keys=audit_keys,
        audit=list(_audit(results, audit_keys)),
        networks={name: list(_network(pictures, name, r)) for name, r in results.items() if "model" not in r},
        pretraining=list(_pretraining(pictures)),
        maps=feature_maps(run_dir, results, pictures) if feature_maps else None,
        provenance={
            name: json.dumps({key: result[key] for key in PROVENANCE if key in result}, indent=1, ensure_ascii=False)
            for name, result in results.items()
        },
    )
    return len(pictures.names)


def _task(pictures, words, group, several_protocols):
    """The scores for one label and what they are compared with; ``words`` distinguish groups of the same label."""
    fullest = overview.most_complete(group.values())
    label = fullest["label"]
    if several_protocols:
        words = f": {fullest['protocol']}, {fullest['split']} split{words}"
    known = published.figures(fullest)
    asides = [("always the majority class", f"{fullest['majority']:.3f}", "")]
    caption = f"{label}{words}: accuracy of every result"
    return {
        "title": label.capitalize() + words,
        "results": group,
        "asides": asides + [(f"{source} (published)", accuracy, f1) for source, accuracy, f1 in known],
        "published": known,
        "best": _best(group),
        "figure": pictures.add(figures.accuracies(group), f"accuracy_{label}", caption),
        **{key: fullest[key] for key in ("folds", "n_folds", "interval_unit")},
    }


def _best(group):
    """A sentence about the best network and the best baseline among complete results of true labels; None without."""
    whole = [r for r in group.values() if not (overview.missing_folds(r) or r["settings"].get("PERMUTE_LABELS"))]
    kinds = [result for result in whole if "model" not in result], [result for result in whole if "model" in result]
    if not all(kinds):
        return None
    network, baseline = (max(kind, key=lambda result: result["accuracy"]["mean"]) for kind in kinds)
    verdict = "No network beats it."
    if network["accuracy"]["mean"] > baseline["accuracy"]["mean"]:
        verdict = "Fine_tuning/compare_runs.py tests whether the difference is due to chance."
    return f"Best network: {network['name']}. Best baseline: {baseline['name']}. {verdict}"


def _audit(results, keys):
    """What test and training data share: (result, parts of it, shares by key) where these parts agree."""
    for name, result in results.items():
        parts = {part.replace("_", " "): seen for part, seen in result["audit"].items() if set(KEYS) <= set(seen or {})}
        alike = {}  # parts by what they have seen
        for part, seen in parts.items():
            alike.setdefault(tuple(seen.get(key) for key in keys), []).append(part)
        for shares, some in alike.items():
            words = "all parts" if 1 < len(parts) == len(some) else ", ".join(some)
            yield name, words, list(zip(keys, shares, strict=True))


def _network(pictures, name, result):
    """Figures of one fine-tuning."""
    yield pictures.add(figures.confusion(result), f"{name}_confusion", "Predicted classes of each true class")
    yield pictures.add(figures.subjects(result), f"{name}_subjects", "Accuracy of every person")
    if logs := read_logs(pictures.folder.parent / name):
        yield pictures.add(
            figures.curves(logs, figures.FINE_TUNING), f"{name}_learning", "Fine-tuning: mean and range of the folds"
        )


def _pretraining(pictures):
    """(folder, sentence about the clock or None, figure) of every pre-training."""
    for folder in sorted(pictures.folder.parent.glob("pretrain_*")):
        if logs := read_logs(folder):
            caption = f"{folder.name}: mean and range of the folds; contrastive accuracy by chance is 1 / batch size"
            figure = figures.curves(logs, figures.PRETRAINING)
            yield folder.name, _clock(logs), pictures.add(figure, folder.name, caption)


def _clock(logs):
    """How often moments of stimuli that training has not seen were recognised, mean over folds, as a sentence."""
    looks = [log[-1]["held_out"] for log in logs if log[-1].get("held_out")]
    parts = []
    for name in ("eeg", "pps"):
        if looks and all(f"{name}_clock" in look for look in looks):
            share, clock, chance = (np.mean([look[key] for look in looks]) for key in (name, f"{name}_clock", "chance"))
            parts.append(
                f"in the {name.upper()} {share:.3f} (chance {chance:.3f}), but {clock:.3f} already by the clock alone, "
                f"so the stimulus itself adds {share - clock:+.3f}"
            )
    return f"of the moments of new stimuli, these shares are recognised: {'; '.join(parts)}." if parts else None


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
