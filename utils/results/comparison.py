"""Is one result really better than another? Pairs of people or folds, a test, an effect size, a correction."""

from pathlib import Path

import numpy as np
from scipy import stats

from utils.errors import InputError
from utils.files import read_json


def load(folder):
    """``metrics.json`` of a folder (or the file itself), with its ``name`` and ``path``."""
    path = Path(folder) if str(folder).endswith(".json") else Path(folder) / "metrics.json"
    run = read_json(path, "give a folder that fine_tuning.py or baseline.py has written")
    if not isinstance(run.get("folds"), list) or not run["folds"] or "manifest_hash" not in run:
        raise InputError(f"{path} is not a result of this project")
    return run | {"name": path.parent.name, "path": path}


def check_comparable(runs):
    """Refuse what cannot be compared: other splits, labels, thresholds, folds or numbers of test windows."""
    for run in runs[1:]:
        first = runs[0]
        for what, a, b in (
            ("split (by its manifest)", first["manifest_hash"], run["manifest_hash"]),
            ("label", first["label"], run["label"]),
            ("threshold", first["settings"].get("THRESHOLD"), run["settings"].get("THRESHOLD")),
            ("permutation", first["settings"].get("PERMUTE_LABELS"), run["settings"].get("PERMUTE_LABELS")),
            ("folds", [fold["fold"] for fold in first["folds"]], [fold["fold"] for fold in run["folds"]]),
            ("test windows", [fold["n_test"] for fold in first["folds"]], [fold["n_test"] for fold in run["folds"]]),
        ):
            if a != b:
                raise InputError(f"{run['path']} and {first['path']} differ in their {what}: {b}, and {a}")


def scores(run, score, pairs):
    """Scores of a run by subject (mean over its folds) or by fold."""
    values = {}
    for fold in run["folds"]:
        units = fold["subjects"] if pairs == "subjects" else {fold["fold"]: fold}
        for name, unit in units.items():
            if score not in unit:
                raise InputError(f"--score {score} is not kept for {pairs}; use --pairs folds")
            values.setdefault(name, []).append(unit[score])
    return {name: float(np.mean(value)) for name, value in values.items()}


def compare(run, values, baseline):
    """One comparison: means, difference, Wilcoxon's test and its effect size.

    Parameters
    ----------
    run : dict
        From `load`.
    values, baseline : dict of str to float
        Score of every pair's unit, from `scores`, of this run and of the first.

    Returns
    -------
    dict
        A row of ``comparison.json``; ``difference`` is this run's score less the first's, ``rank_biserial`` in -1..1.
    """
    a, b = (np.array([v[name] for name in baseline]) for v in (values, baseline))
    difference = np.round(a - b, 12)  # equal steps of accuracy are ties, whatever the last binary digit says
    moved = difference[difference != 0]
    ranks = stats.rankdata(np.abs(moved))
    effect = float((ranks * np.sign(moved)).sum() / ranks.sum()) if len(moved) else 0.0
    p = float(stats.wilcoxon(difference).pvalue) if len(moved) else 1.0
    return {
        "name": run["name"],
        "n": len(a),
        "mean": float(a.mean()),
        "difference": float(difference.mean()),
        "better": int((difference > 0).sum()),
        "worse": int((difference < 0).sum()),
        "rank_biserial": effect,
        "p": p,
    }


def holm(p_values):
    """Holm's step-down correction: adjusted p-values in the same order."""
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.minimum(1, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    return [float(p) for _, p in sorted(zip(order, adjusted, strict=True))]
