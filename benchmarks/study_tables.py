"""Tables of study.py and study_real.py."""

import numpy as np

from utils.base.files import read_json
from utils.results import comparison

MAJORITY = "majority class"


def make_table(columns, rows, crossed=False):
    """Markdown table of scores, and every comparison.

    A cell is the mean ± standard deviation over seeds; then by how much the reference is better, with the 95 % interval
    and p of `utils.results.comparison`, bold where Holm's correction over the column leaves p < .05.

    Parameters
    ----------
    columns : dict of str to (list of pathlib.Path, str)
        Title of a column: a folder per seed, and the score.
    rows : dict of str to (str, str or None)
        Title of a row: the result's path in such a folder, and the row that it is compared with.
    crossed : bool
        Whether all seeds have the same people.
    """
    cells, comparisons = {name: {} for name in rows}, {}
    for column, (folders, score) in columns.items():
        runs = {name: load(folders, path) for name, (path, _) in rows.items()}
        means = {name: [run[score]["mean"] for run in of_seeds] for name, of_seeds in runs.items() if of_seeds}
        if score == "accuracy":
            values = {name: [comparison.scores(run, score, "subjects") for run in runs[name]] for name in means}
            first = next(iter(means))
            means[MAJORITY] = [run["majority"] for run in runs[first]]
            values[MAJORITY] = [dict.fromkeys(v, m) for v, m in zip(values[first], means[MAJORITY], strict=True)]
            comparisons[column] = compare_all(values, rows | {MAJORITY: (None, first)}, crossed)
        for name, of_seeds in means.items():
            cells.setdefault(name, {})[column] = f"{np.mean(of_seeds):.3f} ± {np.std(of_seeds):.3f}"
        for entry in comparisons.get(column, []):
            bold = "**" if entry["p_holm"] < 0.05 else ""
            difference = f"{bold}{entry['difference']:+.3f}{bold} ({interval(entry)}), p {entry['p']:.2g}"
            cells[entry["against"]][column] += f"; {difference}"
    lines = ["| | " + " | ".join(columns) + " |", "|" + " --- |" * (1 + len(columns))]
    lines += [f"| {name} | " + " | ".join(of_row.get(c, "") for c in columns) + " |" for name, of_row in cells.items()]
    return "\n".join(lines) + "\n\n", comparisons


def compare_all(values, rows, crossed):
    """The comparison of every row with its reference, and Holm's correction."""
    entries = [
        {"name": better, "against": name} | comparison.compare(values[better], values[name], crossed=crossed)
        for name, (_, better) in rows.items()
        if name in values and better in values
    ]
    for entry, p in zip(entries, comparison.holm([entry["p"] for entry in entries]), strict=True):
        entry["p_holm"] = p
    return entries


def interval(entry):
    """The 95 % interval of a difference, in words."""
    return "{:+.2f} to {:+.2f}".format(*entry["ci95"]) if entry["ci95"] else "no interval"


def load(folders, path):
    """The ``metrics.json`` of a result for every seed, or None if one is missing."""
    paths = [folder / path / "metrics.json" for folder in folders]
    return [read_json(p, "delete it") for p in paths] if all(p.exists() for p in paths) else None
