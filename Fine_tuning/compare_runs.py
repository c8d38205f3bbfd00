"""Compare results of one split, pair by pair: is one really better, and by how much?

    python Fine_tuning/compare_runs.py runs/deap/baseline_arousal_lda runs/deap/finetune_arousal

Every result is compared with the first: Wilcoxon's signed-rank test over subjects or folds, its effect size
(matched-pairs rank-biserial correlation, from -1 to 1), and Holm's correction when there are several. Only results of
the same split.json, label, folds and test windows are compared.
"""

import csv
import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import utils.errors
from utils.errors import InputError
from utils.files import write_json, write_text
from utils.results.comparison import check_comparable, compare, holm, load, scores
from utils.settings import read_settings

RUNS = []  # folders with a metrics.json each, the one to compare with first; also given without a flag
SCORE = "accuracy"  # accuracy | f1 | balanced_accuracy, of windows; with trial_ in front, of trials
PAIRS = "subjects"  # what is paired: subjects | folds
OUT_DIR = "runs"  # folder for comparison.json and comparison.csv
QUIET = False  # True: say nothing but warnings and errors


def main():
    """Load the results, check that they can be compared, compare, print and write."""
    settings = read_settings(globals(), positional="RUNS")
    if len(settings.RUNS) < 2:
        raise InputError(
            "--runs needs at least two folders with results, separated by commas, or give them without a flag"
        )
    runs = [load(folder) for folder in settings.RUNS]
    check_comparable(runs)
    if len({run["name"] for run in runs}) < len(runs):  # the same variant of several run directories
        runs = [run | {"name": f"{run['path'].parents[1].name}/{run['name']}"} for run in runs]
    values = [scores(run, settings.SCORE, settings.PAIRS) for run in runs]
    rows = [compare(run, value, values[0]) for run, value in zip(runs[1:], values[1:], strict=True)]
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    first = runs[0]
    result = {
        "baseline": first["name"],
        "baseline_mean": float(np.mean(list(values[0].values()))),
        "score": settings.SCORE,
        "pairs": settings.PAIRS,
        **{name: first[name] for name in ("dataset", "label", "protocol", "split", "manifest_hash")},
        "comparisons": rows,
    }
    print_table(result)
    write_json(settings.OUT_DIR / "comparison.json", result)
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(settings.OUT_DIR / "comparison.csv", text.getvalue())
    print(f"wrote {settings.OUT_DIR / 'comparison.json'} and comparison.csv")


def print_table(result):
    """The comparison for people."""
    print(f"\n{result['dataset']}, {result['label']}: {result['protocol']}, {result['split']} split")
    n = result["comparisons"][0]["n"]
    print(f"{result['score'].replace('_', ' ')}, paired over {n} {result['pairs']}, against {result['baseline']}")
    width = max(len(row["name"]) for row in (*result["comparisons"], {"name": result["baseline"]}))
    print(f"\n{'':{width}}   mean  difference  better/worse  rank-biserial       p  p (Holm)")
    print(f"{result['baseline']:{width}}  {result['baseline_mean']:.3f}")
    for row in result["comparisons"]:
        pairs = f"{row['better']}/{row['worse']}"
        print(
            f"{row['name']:{width}}  {row['mean']:.3f}  {row['difference']:+10.3f}  {pairs:>12}  "
            f"{row['rank_biserial']:+13.2f}  {row['p']:6.4f}  {row['p_holm']:8.4f}"
        )
    if result["pairs"] == "folds":
        print("- folds share most of their training data, so these p-values are too small (Nadeau & Bengio 2003)")
    print()


if __name__ == "__main__":
    utils.errors.run(main)
