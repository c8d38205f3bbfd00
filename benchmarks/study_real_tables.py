"""Tables of study_real.py."""

import json

import numpy as np

from benchmarks.study_tables import interval
from utils.results import comparison

fractions = [0.25, 0.1]  # of the labelled stages, beside all of them
rows = {  # name in the table: result, where signals are standardised over a person
    "pre-trained": "finetune_stress",
    "random weights": "finetune_stress_random",
    "pre-trained, encoders frozen": "finetune_stress_frozen",
    "shared filters alone, not trained": "finetune_stress_filters",
    "pre-trained, --positives augmentation": "finetune_stress_augmentation",
    "logistic regression": "baseline_stress_logistic",
    "LDA": "baseline_stress_lda",
    "nearest neighbour": "baseline_stress_nearest",
    "logistic regression, standardised": "baseline_stress_logistic_standardised",
    "LDA, standardised": "baseline_stress_lda_standardised",
    "nearest neighbour, standardised": "baseline_stress_nearest_standardised",
}
both_levels = ["pre-trained", "random weights", *(name for name in rows if rows[name].startswith("baseline"))]
for _fraction in fractions:
    for _name, _result in (
        ("pre-trained", "finetune_stress"),
        ("random weights", "finetune_stress_random"),
        ("logistic regression, standardised", "baseline_stress_logistic_standardised"),
        ("LDA, standardised", "baseline_stress_lda_standardised"),
    ):
        rows[f"{_name}, {_fraction:.0%} of labels"] = f"{_result}_labels-{_fraction:g}"
STAGE_IS_STIMULUS = """\
A stage is a stimulus here: everybody had the same seven stages in the same order, and all of them are in training,
through other people. So a network may learn the Stroop test, or how long ago the session began, in place of stress; and
positives by stimulus (as `--positives stimulus` has them, and the shared filters) pull together the windows of a stage,
all of one class: without labels they tell the classes apart among training people. `--positives augmentation` does not.
"""
PERMUTED = """\
Permuted: three other stages are called stressful, the same for all people. There are only 35 such choices. If they are
told apart as well as the true ones are, what is shown is that stages differ, not that stress does.
"""


def make(cells):
    """Markdown of all tables, and every comparison.

    Parameters
    ----------
    cells : list of dict
        For every seed: the run directory of each level of standardisation.

    Returns
    -------
    text : str
    found : dict
    """
    text, found = accuracies([cell["subject"] for cell in cells])
    other, levels = by_level(cells)
    test, permutation = permutations([cell["subject"] for cell in cells])
    return text + other + test, {"comparisons": found, "levels": levels, "permutation": permutation}


def load(run_dirs, name):
    """The ``metrics.json`` of a result for every seed, or None if one is not there."""
    paths = [folder / name / "metrics.json" for folder in run_dirs]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths] if all(p.exists() for p in paths) else None


def people(runs):
    """Accuracy per window of every person, for every seed."""
    return [comparison.scores(run, "accuracy", "subjects") for run in runs]


def show(runs, score):
    """Mean and deviation over seeds."""
    values = [run[score]["mean"] for run in runs]
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def accuracies(run_dirs):
    """Every method, and how much better the pre-trained networks with as many labels are; people and seeds crossed."""
    runs = {name: load(run_dirs, result) for name, result in rows.items()}
    runs = {name: own for name, own in runs.items() if own}
    values = {name: people(own) for name, own in runs.items()}
    first = runs["pre-trained"]
    majority = [dict.fromkeys(own, run["majority"]) for run, own in zip(first, values["pre-trained"], strict=True)]
    found = [
        {"name": reference(name), "against": name}
        | comparison.compare(values[reference(name)], values[name], crossed=True)
        for name in values
        if name != reference(name)
    ]
    of_majority = comparison.compare(values["pre-trained"], majority, crossed=True)
    found.insert(0, {"name": "pre-trained", "against": "majority class"} | of_majority)
    for entry, p in zip(found, comparison.holm([entry["p"] for entry in found]), strict=True):
        entry["p_holm"] = p
    by_row = {entry["against"]: entry for entry in found}
    entry = found[0]
    text = (
        f"{entry['n']} people, seeds: {entry['n_seeds']}; mean ± standard deviation over seeds. {STAGE_IS_STIMULUS}\n"
    )
    text += "| new people | per window | balanced | per stage | pre-trained is better by | p | p (Holm) |\n"
    text += "|" + " --- |" * 7 + "\n"
    text += f"| majority class | {first[0]['majority']:.3f} | 0.500 | | {difference(entry)} |\n"
    for name, own in runs.items():
        shown = [show(own, score) for score in ("accuracy", "balanced_accuracy", "trial_accuracy")]
        compared = difference(by_row[name]) if name in by_row else "| |"
        text += f"| {name} | {' | '.join(shown)} | {compared} |\n"
    return text + "\n", found


def reference(name):
    """The pre-trained row with as many labels."""
    how = name.rpartition(", ")[2]
    return f"pre-trained, {how}" if "of labels" in how else "pre-trained"


def difference(entry):
    """A difference with its interval and p-values, as cells."""
    bold = "**" if entry["p_holm"] < 0.05 else ""
    value = f"{bold}{entry['difference']:+.3f}{bold} ({interval(entry)})"
    return f"{value} | {entry['p']:.2g} | {entry['p_holm']:.2g}"


def by_level(cells):
    """Each method with signals standardised over a person and over a stage: on what the default rests."""
    found, shown = [], []
    for name in both_levels:
        runs = [load([cell[level] for cell in cells], rows[name]) for level in ("subject", "trial")]
        if None not in runs:
            values = map(people, runs)
            found.append({"name": name} | comparison.compare(*values, crossed=True))
            shown.append([show(own, "accuracy") for own in runs])
    text = "| per window | `--pps-normalise subject` | `trial` | difference | p | p (Holm) |\n|" + " --- |" * 6 + "\n"
    for entry, values, p in zip(found, shown, comparison.holm([e["p"] for e in found]), strict=True):
        entry["p_holm"] = p
        text += f"| {entry['name']} | {' | '.join(values)} | {difference(entry)} |\n"
    return text + "\n", found


def permutations(run_dirs):
    """The permutation test of every seed: labels change places among the stages, alike for all people."""
    found = {name: [run.get("permutation") for run in load(run_dirs, rows[name])] for name in list(rows)[:2]}
    text = "| permutation test, probe, per stage | score | permuted, mean | p by seed |\n|" + " --- |" * 4 + "\n"
    for name, own in found.items():
        if None not in own:
            score, null = (np.mean([test[key] for test in own]) for key in ("score", "null_mean"))
            p = " ".join(f"{test['p_value']:.3f}" for test in own)
            text += f"| {name} | {score:.3f} | {null:.3f} | {p} |\n"
    return f"{text}\n{PERMUTED}\n", found
