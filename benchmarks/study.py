"""Does PhysioSync learn what it claims? Components, label fractions, baselines, other networks, on planted structure.

    python benchmarks/study.py
    python benchmarks/study.py --seeds 1 --formats deap --splits trial    (a part; the whole command then takes it up)

Runs the real scripts on simulated recordings (make_synthetic.py with a weak EFFECT) under honest splits; what is
complete is not run again. Writes table.md, held_out.md, study.json and two figures to OUT_DIR. Hours on a CPU; EEGNet
and ShallowFBCSPNet take part where braindecode is installed (pip install -r benchmarks/requirements.txt).
"""

import contextlib
import io
import json
import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch.nn import functional as F

import utils.errors
from benchmarks import other_networks
from utils import compare_runs, figures
from utils.batches import ContrastiveBatches
from utils.files import atomic, write_json, write_text
from utils.pretraining import trainings
from utils.settings import ROOT, read_settings

OUT_DIR = "runs/study"  # recordings, run directories, tables and figures
SEEDS = [4, 5, 6]  # of recordings, splits and weights; the recipe was chosen on others (benchmarks/RESULTS.md)
FORMATS = ["deap", "dreamer"]  # data sets to imitate
SPLITS = ["trial", "subject"]  # honest splits
NOISE_SPLITS = ["window", "trial"]  # splits on which to try ratings that have nothing to do with the signals (deap)
SUBJECTS = 8  # people
TRIALS = 12  # stimuli of 60 s
N_FOLDS = 3  # of every split
EFFECT = 0.25  # strength of emotion's traces in the signals
HELD_OUT_EPOCHS = 8  # epochs of pre-training that are followed on held-out data, fold 0
OTHER_EPOCHS = 6  # of EEGNet and ShallowFBCSPNet

ablations = {  # pre-trainings beside the whole method: name of the variant, flags
    "no-cmca": ["--no-cmca"],
    "no-group-loss-eeg_no-group-loss-pps": ["--no-group-loss-eeg", "--no-group-loss-pps"],
    "no-augmentation": ["--no-augmentation"],
}
paper_epochs = {"1s": 2, "5s": 4}  # epochs of the paper's recipe, whose 500 are beyond a CPU
paper_sizes = ["--embed-dim", 64, "--projector-dims", "128,128,128", "--batch-size", 32]
paper_tuning = ["--lr", 3e-5, "--epochs", 6]  # the paper's 1e-3 learns so few recordings by heart
fractions = [0.1, 0.25, 0.5]  # of the labelled trials

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
    "EEGNet": ("robust", "baseline_arousal_EEGNet"),
    "ShallowFBCSPNet": ("robust", "baseline_arousal_ShallowFBCSPNet"),
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


def reference(row):
    """The row that a row is compared with: pre-trained, of the same signals and labels."""
    what, _, how = row.partition(", ")
    if what == "pre-trained":
        return None if row == what or "of labels" in how else what
    same = [f"pre-trained, {how}", f"pre-trained, {how.rpartition(', ')[2]}"]
    return next((name for name in same if name in results), "pre-trained")


def main():
    """Run what is missing, then make tables and figures of all that is there."""
    settings = read_settings(globals())
    cells = {}
    for data_format in settings.FORMATS:
        for split in settings.SPLITS:
            for seed in settings.SEEDS:
                cells[data_format, split, seed] = run_cell(settings, data_format, split, seed)
    noise = {split: [run_noise(settings, split, seed) for seed in settings.SEEDS] for split in settings.NOISE_SPLITS}
    table, comparisons = make_table(cells)
    table += noise_table(noise)
    held_out = {
        " ".join(map(str, key)): json.loads((cell / "held_out.json").read_text()) for key, cell in cells.items()
    }
    write_text(settings.OUT_DIR / "table.md", table)
    write_text(settings.OUT_DIR / "held_out.md", held_out_table(held_out))
    write_json(settings.OUT_DIR / "study.json", {"comparisons": comparisons, "held_out": held_out})
    for name, figure in (("labels", label_curve(cells)), ("held_out", held_out_curve(held_out))):
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=120)
        with atomic(settings.OUT_DIR / f"study_{name}.png") as file:
            file.write(image.getvalue())
    print(table + held_out_table(held_out))
    print(f"wrote {settings.OUT_DIR}: table.md, held_out.md, study.json, study_labels.png and study_held_out.png")


def script(path, *flags):
    """Run a script in this process, which has the libraries loaded; its own lines are shown only if it fails."""
    words = [str(ROOT / path), *map(str, flags)]
    print(" ".join(words[1:]), flush=True)
    out, argv = io.StringIO(), sys.argv
    sys.argv = words
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as stop:
        if stop.code:
            print(out.getvalue())
            raise
    finally:
        sys.argv = argv


def prepare(settings, data_format, seed, *flags):
    """A prepared folder of simulated recordings."""
    name = "_".join([data_format, *(flag.strip("-") for flag in flags), str(seed)])
    raw, data = settings.OUT_DIR / f"{name}_raw", settings.OUT_DIR / name
    if not data.exists():
        if not raw.exists():
            sizes = ("--subjects", settings.SUBJECTS, "--trials", settings.TRIALS, "--effect", settings.EFFECT)
            made = ("--format", data_format, "--out-dir", raw, "--seed", seed)
            script("data_prep/make_synthetic.py", *made, *sizes, *flags)
        source = ("--raw-dir", raw) if data_format == "deap" else ("--raw-file", raw / "DREAMER.mat")
        script(f"data_prep/prepare_{data_format}.py", *source, "--out-dir", data)
    return data


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
        found = {n: [json.loads((d / n / "metrics.json").read_text()) for d in run_dirs] for n in names.values()}
        majority = [run["majority"] for run in found["finetune_arousal"]]
        means = [[run["accuracy"]["mean"] for run in runs] for runs in found.values()]
        cells = [f"{np.mean(values):.3f} ± {np.std(values):.3f}" for values in (majority, *means)]
        lines.append(f"| `{split}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\n"


def run_cell(settings, data_format, split, seed):
    """Everything on one data set, split and seed; returns its folder."""
    data = prepare(settings, data_format, seed)
    cell = settings.OUT_DIR / f"{data_format}_{split}_{seed}"
    where = {name: ("--data-dir", data, "--run-dir", cell / name, "--seed", seed) for name in ("robust", "paper")}
    folds = ("--split", split, "--n-folds", settings.N_FOLDS)
    tune = "Fine_tuning/fine_tuning.py"
    for window, epochs in paper_epochs.items():
        main_script = f"main_pretrain_{window}.py"
        for flags in ([], *ablations.values()):
            script(main_script, *where["robust"], *folds, "--recipe", "robust", *flags)
        filters = ("--lr", 1e-12, "--epochs", 1, "--tag", "filters")
        script(main_script, *where["robust"], *folds, "--recipe", "robust", *filters)
        script(main_script, *where["paper"], *folds, "--epochs", epochs, *paper_sizes)
    for flags in ([], ["--init", "random"], ["--freeze"]):
        script(tune, *where["robust"], *flags)
    for flags in (("--modalities", "eeg"), ("--modalities", "pps"), ("--resolutions", "5s"), ("--resolutions", "1s")):
        script(tune, *where["robust"], *flags)
    for flags in (["--init", "random"], ["--label-fraction", 0.25], ["--init", "random", "--label-fraction", 0.25]):
        script(tune, *where["robust"], "--modalities", "eeg", *flags)
    for variant in (*ablations, "filters"):
        script(tune, *where["robust"], "--pretrain-variant", variant)
    for init in ("pretrained", "random"):
        script(tune, *where["paper"], "--init", init, *paper_tuning)
        for fraction in fractions:
            script(tune, *where["robust"], "--init", init, "--label-fraction", fraction)
    for standardise in ("none", "subject"):
        script("Fine_tuning/baseline.py", *where["robust"], "--models", "logistic,lda", "--standardise", standardise)
    alone = [("--modalities", name) for name in ("eeg", "pps")]
    for flags in (*alone, *(("--label-fraction", fraction) for fraction in fractions)):
        chosen = ("--models", "lda", "--standardise", "subject", *flags)
        script("Fine_tuning/baseline.py", *where["robust"], *chosen)
    other_networks.run(data, cell / "robust", seed, settings.OTHER_EPOCHS)
    if not (cell / "held_out.json").exists():
        write_json(cell / "held_out.json", follow(settings, data, cell, seed))
    return cell


# --- what pre-training learns, on data that it does not see


def follow(settings, data, cell, seed):
    """Pre-train fold 0 of both recipes at 5 s, and look at its held-out windows after every epoch."""
    results = {}
    for recipe, extra in (("robust", []), ("paper", paper_sizes)):
        flags = [
            "--data-dir",
            data,
            "--run-dir",
            cell / recipe,
            "--seed",
            seed,
            "--folds",
            0,
            "--recipe",
            recipe,
            *extra,
        ]
        constants = runpy.run_path(str(ROOT / "main_pretrain_5s.py"))
        with contextlib.redirect_stdout(io.StringIO()):
            chosen = read_settings(constants, list(map(str, [*flags, "--epochs", settings.HELD_OUT_EPOCHS])))
            training = next(trainings(chosen))
        batches = held_out_batches(training)
        torch.manual_seed(seed)
        results[recipe] = [look(training.model, batches)]
        for _ in range(settings.HELD_OUT_EPOCHS):
            training.start_epoch()
            for _ in range(training.batches.n_steps):
                training.step()
            results[recipe].append(look(training.model, batches) | {"training": training_accuracy(training)})
    return results


def held_out_batches(training):
    """Batches of the fold's test windows: new stimuli seen by all people, or stimuli seen by new people."""
    test, seconds = training.fold.test, training.data.eeg.shape[2]
    rows, per_trial = test.rows["5s"], seconds // 5
    first = torch.from_numpy(rows // per_trial * seconds + rows % per_trial * 5)
    subjects = torch.from_numpy(test.subjects)
    recordings = training.batches.recordings
    group = min(training.settings.SUBJECTS_PER_GROUP, len(subjects) // 2)
    return ContrastiveBatches(recordings, subjects, first, 5, 32, group)


def training_accuracy(training):
    """Contrastive accuracy of the epoch's steps, by modality."""
    means = training.record.mean(0).tolist()
    names = training.model.metric_names
    return {name[-3:]: value for name, value in zip(names, means, strict=True) if name.startswith("accuracy")}


@torch.no_grad()
def look(model, batches):
    """Agreement between two groups of people, and between EEG and PPS, at held-out moments.

    Returns
    -------
    dict of str to float
        ``eeg``, ``pps``: share of group 1's moments whose most similar moment of group 2 is their own (top-1 retrieval;
        the contrastive accuracy). ``cross``: the same from group 1's EEG to group 2's PPS. ``chance``: 1 / batch.
    """
    model.eval()
    sums, n = {"eeg": 0.0, "pps": 0.0, "cross": 0.0}, 0
    for _ in range(3):
        first, variants = batches.shuffle()
        for places in batches.place(first[: max(1, len(first) // 6)]):
            windows = batches.draw(places, torch.zeros_like(variants[0]))
            pooled = {}
            for name, encoder in model.encoders.items():
                x = windows[name]
                feature = encoder(x.flatten(0, 2))
                pooled[name] = feature.unflatten(0, x.shape[:3]).amax(2)  # (2, B, 4E)
                groups = encoder.project(feature).unflatten(0, x.shape[:3]).amax(2)
                sums[name] += top1(groups[0], groups[1])
            shared = {name: model.alignment.norm(model.alignment.linear(x.flatten(0, 1))) for name, x in pooled.items()}
            size = places.shape[1]
            sums["cross"] += top1(shared["eeg"][:size], shared["pps"][size:])
            n += 1
    return {name: value / n for name, value in sums.items()} | {"chance": 1 / batches.batch_size}


def top1(a, b):
    """Share of the rows of ``a`` (B, D) whose most similar row of ``b`` (B, D) is the one of the same number."""
    similarity = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    return (similarity.argmax(1) == torch.arange(len(a))).float().mean().item()


def held_out_table(held_out):
    """Markdown: retrieval before training, at its best epoch and after the last one, mean over seeds."""
    lines = ["| data, split | recipe | signal | chance | untrained | best epoch | last epoch | in training, last |"]
    lines.append("|" + " --- |" * 8)
    for cell, by_recipe in grouped(held_out).items():
        for recipe in ("robust", "paper"):
            runs = [run[recipe] for run in by_recipe]
            for signal in ("eeg", "pps", "cross"):
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


# --- tables and figures


def load(cell, row):
    """``metrics.json`` of a row of the table, or None if it was not run."""
    folder, name = results[row]
    path = cell / folder / name / "metrics.json"
    return json.loads(path.read_text()) if path.exists() else None


def make_table(cells):
    """Markdown table of accuracies, with differences and p-values.

    Accuracy per window, mean ± standard deviation over seeds; then how much better the pre-trained row of the same
    signals and labels is, and p: Wilcoxon's signed-rank test over people of all seeds (`utils/compare_runs.py`), with
    Holm's correction over the rows of a column.
    """
    columns = list(dict.fromkeys(key[:2] for key in cells))
    rows, comparisons = {}, {}
    for column in columns:
        own = {seed: cell for (*key, seed), cell in cells.items() if tuple(key) == column}
        values, found = {}, []
        for row in results:
            runs = [load(cell, row) for cell in own.values()]
            if None in runs:
                continue
            means = [run["accuracy"]["mean"] for run in runs]
            rows.setdefault(row, {})[column] = f"{np.mean(means):.3f} ± {np.std(means):.3f}"
            values[row] = {}
            for seed, run in zip(own, runs, strict=True):
                values[row] |= {
                    f"{seed} {who}": v for who, v in compare_runs.scores(run, "accuracy", "subjects").items()
                }
        majority = [load(cell, "pre-trained")["majority"] for cell in own.values()]
        rows.setdefault("majority class", {})[column] = f"{np.mean(majority):.3f} ± {np.std(majority):.3f}"
        for row in values:
            first = reference(row)
            if first:
                found.append(compare_runs.compare({"name": first}, values[first], values[row]) | {"against": row})
        for entry, p in zip(found, compare_runs.holm([entry["p"] for entry in found]), strict=True):
            mark = "**" if p < 0.05 else ""
            sign = f"{entry['difference']:+.3f}"
            rows[entry["against"]][column] += f"; {mark}{sign}, p {p:.2g}{mark}"
            entry["p_holm"] = p
        comparisons[" ".join(column)] = found
    header = "| | " + " | ".join(f"{name}, `{split}`" for name, split in columns) + " |"
    lines = [header, "|" + " --- |" * (1 + len(columns))]
    for row, by_column in rows.items():
        lines.append(f"| {row} | " + " | ".join(by_column.get(column, "") for column in columns) + " |")
    return "\n".join(lines) + "\n\n", comparisons


def label_curve(cells):
    """Accuracy over the fraction of labelled trials, for each data set and split."""
    columns = list(dict.fromkeys(key[:2] for key in cells))
    figure, axes = figures.plt.subplots(
        1, len(columns), figsize=(3.2 * len(columns), 3), sharey=True, layout="constrained", squeeze=False
    )
    for panel, column in zip(axes[0], columns, strict=True):
        own = [cell for key, cell in cells.items() if key[:2] == column]
        for number, name in enumerate(("pre-trained", "random weights", "LDA, standardised")):
            names = [f"{name}, {fraction:.0%} of labels" for fraction in fractions] + [name]
            values = np.array([[load(cell, row)["accuracy"]["mean"] for cell in own] for row in names])
            x = 100 * np.array([*fractions, 1])
            panel.plot(x, values.mean(1), figures.LINES[number], marker=figures.MARKERS[number], label=name)
            panel.fill_between(x, values.min(1), values.max(1), alpha=0.15)
        panel.set_title(", ".join(column), fontsize=10)
        panel.set_xlabel("labelled training trials, %")
    axes[0, 0].set_ylabel("accuracy per 5 s window")
    axes[0, -1].legend(fontsize=8)
    return figure


def held_out_curve(held_out):
    """Top-1 retrieval on held-out data by epoch, for each data set and split; robust recipe solid, paper's dashed."""
    cells = grouped(held_out)
    figure, axes = figures.plt.subplots(
        1, len(cells), figsize=(3.2 * len(cells), 3), sharey=True, layout="constrained", squeeze=False
    )
    for panel, (name, runs) in zip(axes[0], cells.items(), strict=True):
        for line, recipe in zip(figures.LINES, ("robust", "paper"), strict=False):
            for colour, marker, signal in zip(figures.COLOURS, figures.MARKERS, ("eeg", "pps", "cross"), strict=False):
                curve = np.mean([[epoch[signal] for epoch in run[recipe]] for run in runs], axis=0)
                label = f"{signal}, {recipe}"
                panel.plot(curve, line, color=colour, marker=marker, markersize=4, label=label)
        panel.axhline(np.mean([run["robust"][0]["chance"] for run in runs]), color="black", linewidth=1, linestyle=":")
        panel.set_title(name.replace(" ", ", "), fontsize=10)
        panel.set_xlabel("epoch of pre-training")
    axes[0, 0].set_ylabel("top-1 on held-out moments")
    axes[0, -1].legend(fontsize=7)
    return figure


if __name__ == "__main__":
    utils.errors.run(main)
