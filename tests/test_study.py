"""The studies, tiny: the real scripts on the smallest recordings, then the tables of what they wrote."""

import json

import numpy as np
import pytest
import torch
from scipy import stats

from benchmarks import study, study_real, study_tables
from tests.builders import stress
from tests.support import assert_refused, call, done
from utils.pretraining.moments import top1
from utils.results import comparison

pytestmark = pytest.mark.slow
SIZES = ["--subjects", 4, "--trials", 4, "--seconds", 10, "--n-folds", 2]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    flags = ["--out-dir", folder, "--seeds", "1,2", "--formats", "deap", "--splits", "trial"]
    flags += ["--noise-splits", "window", *SIZES]
    return folder, flags, done("benchmarks/study.py", *flags)


def test_every_row_is_there(simulated):
    folder, _, out = simulated
    table = (folder / "table.md").read_text(encoding="utf-8")
    assert table in out
    names = {line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[2:]}
    assert names == {*study.rows, study_tables.MAJORITY} | ({""} & names)
    runs = [json.loads((folder / f"deap_trial_{s}" / "robust/finetune_arousal/metrics.json").read_text()) for s in "12"]
    mean = np.mean([run["accuracy"]["mean"] for run in runs])
    assert f"| pre-trained | {mean:.3f} ± " in table
    comparisons = json.loads((folder / "study.json").read_text())["comparisons"]
    against = {entry["against"]: entry for entry in comparisons["deap, `trial`"]}
    assert against["random weights"]["name"] == "pre-trained"
    assert against["random weights, EEG over trials, 25% of labels"]["name"].endswith("EEG over trials, 25% of labels")
    assert {entry["n_seeds"] for entry in against.values()} == {2}
    assert all(entry["p"] <= entry["p_holm"] <= 1 for entry in against.values())
    nearest = next(line for line in table.splitlines() if line.startswith("| nearest neighbour"))
    assert nearest.split(" | ")[1] == ""
    assert 0 <= float(nearest.split(" | ")[2][:5]) <= 1  # on noise alone
    prepared = [json.loads((folder / name / "dataset.json").read_text()) for name in ("deap_1", "deap_1_trial")]
    assert [made["preparation"]["eeg"] for made in prepared] == ["channels", "trial"]


def test_what_is_complete_is_not_run_again(simulated):
    folder, flags, _ = simulated
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("result.pt")}
    assert before
    done("benchmarks/study.py", *flags)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("result.pt")}


def test_recordings_of_another_size_are_refused(simulated):
    _, flags, _ = simulated
    assert_refused(call("benchmarks/study.py", *flags, "--trials", 6), "has-recordings", "--out-dir", "TRIALS 4, not 6")


def test_seeds_are_what_is_independent(tmp_path):
    """Three seeds, in each of which a lucky training lifts everybody: not 24 people of whom 16 gain."""
    results = {"finetune_arousal": (0.1, 0.12, -0.05), "finetune_arousal_random": (0, 0, 0)}
    for seed in range(3):
        for name, lifts in results.items():
            people = {f"s{n}": {"accuracy": 0.6 + lifts[seed] + (n - 3.5) / 1000} for n in range(8)}
            folder = tmp_path / str(seed) / "robust" / name
            folder.mkdir(parents=True)
            metrics = {"accuracy": {"mean": 0.6 + lifts[seed]}, "majority": 0.5, "folds": [{"subjects": people}]}
            (folder / "metrics.json").write_text(json.dumps(metrics))
    columns = {"deap": ([tmp_path / str(seed) for seed in range(3)], "accuracy")}
    table, comparisons = study_tables.make_table(columns, study.rows)
    entry = next(entry for entry in comparisons["deap"] if entry["against"] == "random weights")
    assert (entry["n"], entry["n_seeds"], entry["better"]) == (24, 3, 16)
    assert entry["p"] == pytest.approx(stats.ttest_1samp([0.1, 0.12, -0.05], 0).pvalue)
    assert f"0.600 ± 0.000; +0.057 ({study_tables.interval(entry)}), p {entry['p']:.2g}" in table


def test_real_recordings(tmp_path):
    """The same people with every seed: people and seeds both vary."""
    for number in range(1, 7):
        marks = np.array([30, 43, 56, 69, 82, 93, 106]) + number % 3
        stress.write_person(tmp_path / "raw" / f"S{number:02d}", marks, seed=number, length=130)
    flags = ["--n-folds", 2, "--permutations", 21, "--seconds", 10, "--delay", 1, "--baseline-before", 12]
    out = done(
        "benchmarks/study_real.py", "--raw-dir", tmp_path / "raw", "--out-dir", tmp_path, "--seeds", "1,2", *flags
    )
    table, found = (tmp_path / "table.md").read_text(), json.loads((tmp_path / "study.json").read_text())
    assert "A stage is a stimulus" in out
    assert all(f"| {name} | " in table for name in (*study_real.rows, study_tables.MAJORITY))
    assert len(found["permutation"]["pre-trained"]) == 2
    entries = found["comparisons"]["per window"]
    assert {(entry["n"], entry["n_seeds"]) for entry in entries} == {(6, 2)}
    entry = next(entry for entry in entries if entry["against"] == "LDA")
    folders = [tmp_path / "subject_1", tmp_path / "subject_2"]
    runs = [study_tables.load(folders, study_real.rows[name][0]) for name in ("pre-trained", "LDA")]
    ours, theirs = ([comparison.scores(run, "accuracy", "subjects") for run in of_row] for of_row in runs)
    people = [np.mean([a[name] - b[name] for a, b in zip(ours, theirs, strict=True)]) for name in ours[0]]
    assert entry["difference"] == pytest.approx(np.mean(people))
    alone = stats.ttest_1samp(people, 0).confidence_interval().high - np.mean(people)
    assert (entry["ci95"][1] - entry["ci95"][0]) / 2 > 0.99 * alone  # seeds vary, too


def test_top_1_by_hand():
    a = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    assert top1(a, 3 * a) == 1
    assert top1(a, a.roll(1, 0)) == 0
