"""Compare results of one split, person by person: is one really better, and by how much?

    python Fine_tuning/compare_runs.py runs/deap/baseline_arousal_lda runs/deap/finetune_arousal

Every result is compared with the first: the mean difference with its 95 % interval, a t test, the effect size over
people (matched-pairs rank-biserial correlation, from -1 to 1), and Holm's correction when there are several. Only
results of the same split.json, label, folds and test windows are compared.

People who were tested by the same trained networks are not independent witnesses for a method; several trainings are.
Train every seed in a run directory of its own (--seed and --run-dir in all scripts), and give the seeds of a result in
one word, with commas between, in the same order for every result:

    python Fine_tuning/compare_runs.py runs/s0/finetune_arousal_random,runs/s1/finetune_arousal_random,... \\
        runs/s0/finetune_arousal,runs/s1/finetune_arousal,...

If all seeds test the same people, people and seeds both count as drawn by chance (min F', Clark 1973). If each has
people of its own (simulations), the seeds alone count: a t test over their means.
"""

import itertools
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors  # before all packages, to say in one line which are not installed

# isort: split

import numpy as np

from utils.base.errors import InputError
from utils.base.files import read_json, write_csv, write_json
from utils.base.settings import read_settings
from utils.results import comparison
from utils.results.overview import interval

RUNS = []  # folders with a metrics.json each, the one to compare with first; without a flag also seeds: "s0/x,s1/x"
SCORE = "accuracy"  # accuracy | f1 | balanced_accuracy, of windows; with trial_ in front, of trials
PAIRS = "subjects"  # what is paired: subjects | folds
OUT_DIR = "runs"  # folder for comparison.json and comparison.csv
QUIET = False  # True: say nothing but warnings and errors


def main():
    """Load the results, check that they can be compared, compare, print and write."""
    settings = read_settings(globals(), positional="RUNS")
    if len(settings.RUNS) < 2:
        example = "python Fine_tuning/compare_runs.py RUN_DIR/baseline_... RUN_DIR/finetune_..."
        raise InputError(f"--runs needs at least two folders with results: {example}")
    results = [load_seeds(word) for word in settings.RUNS]  # one list of runs, a seed each, per result
    baseline = results[0]
    check(results, settings.PAIRS)
    names = [seeds[0]["name"] for seeds in results]
    if len(set(names)) < len(names):  # the same variant of several run directories
        names = [f"{seeds[0]['path'].parents[1].name}/{name}" for seeds, name in zip(results, names, strict=True)]
    values = [[comparison.scores(run, settings.SCORE, settings.PAIRS) for run in seeds] for seeds in results]
    kind, overlap = comparison.design(baseline), 0.0
    if settings.PAIRS == "folds":  # which share training data
        if not all("n_train" in fold for fold in baseline[0]["folds"]):
            what = "does not have the number of training windows, which --pairs folds needs"
            raise InputError(baseline[0]["path"], what, "use --pairs subjects")
        n_test, n_train = (sum(fold[name] for fold in baseline[0]["folds"]) for name in ("n_test", "n_train"))
        overlap = n_test / n_train
    rows = [
        {"name": name, **comparison.compare(seeds, values[0], crossed=kind == "same people", overlap=overlap)}
        for name, seeds in zip(names[1:], values[1:], strict=True)
    ]
    comparison.add_holm(rows)
    result = {
        "baseline": names[0],
        "baseline_mean": float(np.mean([np.mean(list(seed.values())) for seed in values[0]])),
        "score": settings.SCORE,
        "pairs": settings.PAIRS,
        "seeds": kind,
        "test": comparison.in_words(baseline, settings.PAIRS),
        **{name: baseline[0][name] for name in ("dataset", "label", "protocol", "split", "manifest_hash")},
        "comparisons": rows,
    }
    print_table(result)
    keep_former(settings.OUT_DIR, result)
    write_json(settings.OUT_DIR / "comparison.json", result)
    write_csv(settings.OUT_DIR / "comparison.csv", *as_table(rows))
    print(f"wrote {settings.OUT_DIR / 'comparison.json'} and comparison.csv")


def keep_former(out_dir, result):
    """Give a comparison that exists already a number, unless it compares the same results in the same way."""
    keys = ("baseline", "score", "pairs", "seeds", "dataset", "label", "manifest_hash")

    def compared(some):
        return [some[key] for key in keys] + [row["name"] for row in some["comparisons"]]

    if not (out_dir / "comparison.json").exists():
        return
    try:
        if compared(read_json(out_dir / "comparison.json", "")) == compared(result):
            return
    except (InputError, KeyError, TypeError):  # not written by this script: all the more reason to keep it
        pass
    number = next(n for n in itertools.count(1) if not list(out_dir.glob(f"comparison_{n}.*")))
    for path in (out_dir / "comparison.json", out_dir / "comparison.csv"):
        if path.exists():
            path.rename(path.with_stem(f"comparison_{number}"))
    print(f"the former comparison is now comparison_{number}.json and comparison_{number}.csv")


def load_seeds(word):
    """The runs of one result: of one folder, or of one folder per seed with commas between."""
    folders = [word] if os.path.exists(word) else word.split(",")  # Path.exists fails on a long list
    return [comparison.load(folder.strip()) for folder in folders if folder.strip()]


def check(results, pairs):
    """Refuse what cannot be compared: within a result other methods, between results other seeds, folds, labels."""
    baseline = results[0]
    for seeds in results:
        if len(seeds) != len(baseline):
            folder, reference = seeds[0]["path"].parent, baseline[0]["path"].parent
            raise InputError(folder, f"comes with {len(seeds)} seeds, {reference} with {len(baseline)}")
        comparison.check_seeds(seeds)
    for runs in zip(*results, strict=True):
        comparison.check_comparable(runs)
    if pairs == "folds" and len(baseline) > 1:
        raise InputError("--pairs folds", "compares results of one seed", "use --pairs subjects for several")


def as_table(rows):
    """Header and rows of ``comparison.csv``: those of ``comparison.json``, with lists as columns or words."""
    flat = []
    for row in rows:
        low, high = row["ci95"] or ("", "")
        by_seed = " ".join(f"{value:.6g}" for value in row["difference_by_seed"])
        numbers = {key: value for key, value in row.items() if key not in ("ci95", "difference_by_seed")}
        flat.append(numbers | {"ci95_low": low, "ci95_high": high, "difference_by_seed": by_seed})
    return flat[0].keys(), [row.values() for row in flat]


def print_table(result):
    """The comparison for people."""
    rows = result["comparisons"]
    n, n_seeds = rows[0]["n"], rows[0]["n_seeds"]
    people = {"same people": " (the same people in all)", "other people": " (each with its own people)"}
    over = f"{n} {result['pairs']}" + (f", {n_seeds} seeds" if n_seeds > 1 else "") + people.get(result["seeds"], "")
    print(f"\n{result['dataset']}, {result['label']}: {result['protocol']}, {result['split']} split")
    print(f"{result['score'].replace('_', ' ')}, {over}, against {result['baseline']}\n")
    width = max(len(row["name"]) for row in (*rows, {"name": result["baseline"]}))
    by_seed = "  by seed" if n_seeds > 1 else ""
    print(f"{'':{width}}   mean  difference     95 % interval  better/worse  effect       p  p (Holm){by_seed}")
    print(f"{result['baseline']:{width}}  {result['baseline_mean']:.3f}")
    for row in rows:
        by_seed = " ".join(f"{value:+.3f}" for value in row["difference_by_seed"]) if n_seeds > 1 else ""
        ends = interval(row, "+.3f") or "none"
        print(
            f"{row['name']:{width}}  {row['mean']:.3f}  {row['difference']:+10.3f}  {ends:>16}  "
            f"{row['better']:>6}/{row['worse']:<5}  {row['rank_biserial']:+6.2f}  {row['p']:6.4f}  "
            f"{row['p_holm']:8.4f}  {by_seed}".rstrip()
        )
    print(f"- {result['test']}\n")


if __name__ == "__main__":
    utils.base.errors.run(main)
