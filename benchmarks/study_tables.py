"""Tables and figures of study.py."""

import numpy as np

from utils.base.files import read_json
from utils.results import comparison, drawing

QUARTER = 0.25  # of the labelled trials
fractions = [0.1, QUARTER, 0.5]  # of the labelled trials, beside all of them
FEW, TRIALS = f"{QUARTER:.0%} of labels", "EEG over trials"  # the latter: --eeg-normalise trial
results = {  # name in the table: (run directory, result)
    "pre-trained": ("robust", "finetune_arousal"),
    "random weights": ("robust", "finetune_arousal_random"),
    "pre-trained, encoders frozen": ("robust", "finetune_arousal_frozen"),
    "pre-trained, EEG only": ("robust", "finetune_arousal_eeg"),
    "pre-trained, PPS only": ("robust", "finetune_arousal_pps"),
    "pre-trained, 5 s only": ("robust", "finetune_arousal_5s"),
    "pre-trained, 1 s only": ("robust", "finetune_arousal_1s"),
    "pre-trained without CM-CA": ("robust", "finetune_arousal_no-cmca"),
    "pre-trained without LS-TCL": ("robust", "finetune_arousal_no-group-loss-eeg_no-group-loss-pps"),
    "pre-trained without augmentation": ("robust", "finetune_arousal_no-augmentation"),
    "shared filters alone, not trained": ("robust", "finetune_arousal_filters"),
    "recipe paper (short), pre-trained": ("paper", "finetune_arousal"),
    "recipe paper (short), random weights": ("paper", "finetune_arousal_random"),
    "logistic regression": ("robust", "baseline_arousal_logistic"),
    "LDA": ("robust", "baseline_arousal_lda"),
    "logistic regression, standardised": ("robust", "baseline_arousal_logistic_standardised"),
    "LDA, standardised": ("robust", "baseline_arousal_lda_standardised"),
    "LDA, standardised, EEG only": ("robust", "baseline_arousal_lda_eeg_standardised"),
    "LDA, standardised, PPS only": ("robust", "baseline_arousal_lda_pps_standardised"),
    "EEGNet": ("robust", "baseline_arousal_EEGNet_eeg"),
    "ShallowFBCSPNet": ("robust", "baseline_arousal_ShallowFBCSPNet_eeg"),
}
for _fraction in fractions:
    for _name, _result in (
        ("pre-trained", "finetune_arousal"),
        ("random weights", "finetune_arousal_random"),
        ("LDA, standardised", "baseline_arousal_lda_standardised"),
    ):
        results[f"{_name}, {_fraction:.0%} of labels"] = ("robust", f"{_result}_labels-{_fraction:g}")
results |= {
    "random weights, EEG only": ("robust", "finetune_arousal_eeg_random"),
    "pre-trained, EEG only, 25% of labels": ("robust", "finetune_arousal_eeg_labels-0.25"),
    "random weights, EEG only, 25% of labels": ("robust", "finetune_arousal_eeg_random_labels-0.25"),
}


for _name, _result in (("pre-trained", ""), ("random weights", "_random")):
    results[f"{_name}, {TRIALS}"] = ("robust_trial", f"finetune_arousal{_result}")
    results[f"{_name}, {TRIALS}, {FEW}"] = ("robust_trial", f"finetune_arousal{_result}_labels-{QUARTER:g}")
for _more, _result in (("", ""), (f", {FEW}", f"_labels-{QUARTER:g}")):
    results[f"LDA, standardised, {TRIALS}{_more}"] = ("robust_trial", f"baseline_arousal_lda_standardised{_result}")
questions = [  # what pre-training is to be better than, and whether EEG is better standardised over trials
    *("random weights", f"random weights, {FEW}", "shared filters alone, not trained", f"pre-trained, {TRIALS}"),
    *(f"random weights, {TRIALS}", f"random weights, {TRIALS}, {FEW}"),
]


def reference(row):
    """The row that a row is compared with: pre-trained, of the same signals and labels."""
    what, _, how = row.partition(", ")
    if what == "pre-trained":
        return None if row == what or "of labels" in how else what
    same = [f"pre-trained, {how}", f"pre-trained, {how.removeprefix('standardised, ')}"]
    return next((name for name in same if name in results), "pre-trained")


def make_table(cells):
    """Markdown table of accuracies, and every comparison.

    Accuracy per window, mean ± standard deviation over seeds; then how much better the pre-trained row of the same
    signals and labels is, with a 95 % interval. Seeds, which have people, splits and trainings of their own, are what
    is independent (`utils.results.comparison`); bold where Holm's correction over the rows of a column leaves p < .05.
    """
    columns = list(dict.fromkeys(key[:2] for key in cells))
    rows, comparisons = {}, {}
    for column in columns:
        own = [cell for key, cell in cells.items() if key[:2] == column]
        values, found = {}, []
        for row in results:
            runs = [load(cell, row) for cell in own]
            if None in runs:
                continue
            means = [run["accuracy"]["mean"] for run in runs]
            rows.setdefault(row, {})[column] = f"{np.mean(means):.3f} ± {np.std(means):.3f}"
            values[row] = [comparison.scores(run, "accuracy", "subjects") for run in runs]
        majority = [load(cell, "pre-trained")["majority"] for cell in own]
        rows.setdefault("majority class", {})[column] = f"{np.mean(majority):.3f} ± {np.std(majority):.3f}"
        for row in values:
            first = reference(row)
            if first:
                found.append({"name": first, "against": row} | comparison.compare(values[first], values[row]))
        for entry, p in zip(found, comparison.holm([entry["p"] for entry in found]), strict=True):
            mark = "**" if p < 0.05 else ""
            rows[entry["against"]][column] += f"; {mark}{entry['difference']:+.3f}{mark} ({interval(entry)})"
            entry["p_holm"] = p
        comparisons[" ".join(column)] = found
    header = "| | " + " | ".join(f"{name}, `{split}`" for name, split in columns) + " |"
    lines = [header, "|" + " --- |" * (1 + len(columns))]
    for row, by_column in rows.items():
        lines.append(f"| {row} | " + " | ".join(by_column.get(column, "") for column in columns) + " |")
    return "\n".join(lines) + "\n\n", comparisons


def interval(entry):
    """The 95 % interval of a difference, in words."""
    return "{:+.2f} to {:+.2f}".format(*entry["ci95"]) if entry["ci95"] else "no interval"


def question_table(comparisons):
    """Markdown: the questions of the study, as far as they were run; Holm's correction over all of them."""
    found = [
        (column, entry)
        for question in questions
        for column, rows in comparisons.items()
        for entry in rows
        if entry["against"] == question
    ]
    lines = ["| | is better than | on | seeds | difference | 95 % interval | by seed | p | p (Holm) |"]
    lines.append("|" + " --- |" * 9)
    for (column, entry), p in zip(found, comparison.holm([entry["p"] for _, entry in found]), strict=True):
        by_seed = " ".join(f"{value:+.3f}" for value in entry["difference_by_seed"])
        cells = [entry["n_seeds"], f"{entry['difference']:+.3f}", interval(entry), by_seed, f"{entry['p']:.2g}"]
        lines.append(
            f"| {entry['name']} | {entry['against']} | {column} | " + " | ".join(map(str, cells)) + f" | {p:.2g} |"
        )
    return "\n".join(lines) + "\n\n"


def load(cell, row):
    """``metrics.json`` of a row of the table, or None if it was not run."""
    folder, name = results[row]
    path = cell / folder / name / "metrics.json"
    return read_json(path, "delete it") if path.exists() else None


def noise_table(noise):
    """Markdown table of accuracies on ratings that are noise, mean ± standard deviation over seeds."""
    names = {
        "pre-trained": "finetune_arousal",
        "random weights": "finetune_arousal_random",
        "nearest neighbour": "baseline_arousal_nearest",
        "LDA": "baseline_arousal_lda",
    }
    lines = ["| noise, deap | majority | " + " | ".join(names) + " |", "|" + " --- |" * (2 + len(names))]
    for split, run_dirs in noise.items():
        found = {n: [read_json(d / n / "metrics.json", "delete it") for d in run_dirs] for n in names.values()}
        majority = [run["majority"] for run in found["finetune_arousal"]]
        means = [[run["accuracy"]["mean"] for run in runs] for runs in found.values()]
        cells = [f"{np.mean(values):.3f} ± {np.std(values):.3f}" for values in (majority, *means)]
        lines.append(f"| `{split}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\n"


def held_out_table(held_out, recipes=("robust", "paper")):
    """Markdown: retrieval before training, at its best epoch and after the last one, mean over seeds."""
    lines = ["| data, split | recipe | signal | chance | untrained | best epoch | last epoch | in training, last |"]
    lines.append("|" + " --- |" * 8)
    for cell, by_recipe in grouped(held_out).items():
        for recipe in recipes:
            runs = [run[recipe] for run in by_recipe]
            for signal in (name for name in ("eeg", "pps", "cross") if name in runs[0][0]):
                curve = np.mean([[epoch[signal] for epoch in run] for run in runs], axis=0)
                seen = [run[-1]["training"].get(signal) for run in runs]
                seen = "" if seen[0] is None else f"{np.mean(seen):.3f}"
                best = int(curve.argmax())
                chance = np.mean([run[0]["chance"] for run in runs])
                cells = [f"{chance:.3f}", f"{curve[0]:.3f}", f"{curve[best]:.3f} ({best})", f"{curve[-1]:.3f}", seen]
                lines.append(f"| {cell} | {recipe} | {signal} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def grouped(held_out):
    """Seeds of one data set and split together."""
    cells = {}
    for name, value in held_out.items():
        cells.setdefault(name.rpartition(" ")[0], []).append(value)
    return cells


@drawing.styled
def label_curve(cells):
    """Accuracy over the fraction of labelled trials, for each data set and split."""
    columns = list(dict.fromkeys(key[:2] for key in cells))
    figure, axes = drawing.subplots(1, len(columns), figsize=(3.2 * len(columns), 3), sharey=True, squeeze=False)
    for panel, column in zip(axes[0], columns, strict=True):
        own = [cell for key, cell in cells.items() if key[:2] == column]
        for number, name in enumerate(("pre-trained", "random weights", "LDA, standardised")):
            names = [f"{name}, {fraction:.0%} of labels" for fraction in fractions] + [name]
            values = np.array([[load(cell, row)["accuracy"]["mean"] for cell in own] for row in names])
            x = 100 * np.array([*fractions, 1])
            panel.plot(x, values.mean(1), drawing.LINES[number], marker=drawing.MARKERS[number], label=name)
            panel.fill_between(x, values.min(1), values.max(1), alpha=0.15)
        panel.set_title(", ".join(column), fontsize=10)
        panel.set_xlabel("labelled training trials, %")
    axes[0, 0].set_ylabel("accuracy per 5 s window")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


@drawing.styled
def held_out_curve(held_out):
    """Top-1 retrieval on held-out data by epoch, for each data set and split; robust recipe solid, paper's dashed."""
    cells = grouped(held_out)
    figure, axes = drawing.subplots(1, len(cells), figsize=(3.2 * len(cells), 3), sharey=True, squeeze=False)
    for panel, (name, runs) in zip(axes[0], cells.items(), strict=True):
        for line, recipe in zip(drawing.LINES, ("robust", "paper"), strict=False):
            for colour, marker, signal in zip(drawing.COLOURS, drawing.MARKERS, ("eeg", "pps", "cross"), strict=False):
                curve = np.mean([[epoch[signal] for epoch in run[recipe]] for run in runs], axis=0)
                label = f"{signal}, {recipe}"
                panel.plot(curve, line, color=colour, marker=marker, markersize=4, label=label)
        panel.axhline(np.mean([run["robust"][0]["chance"] for run in runs]), color="black", linewidth=1, linestyle=":")
        panel.set_title(name.replace(" ", ", "), fontsize=10)
        panel.set_xlabel("epoch of pre-training")
    axes[0, 0].set_ylabel("top-1 on held-out moments")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8)
    return figure
