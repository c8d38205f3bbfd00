"""The study, tiny: the real scripts on the smallest recordings, then tables and figures of what they wrote."""

import json

import pytest
import torch
from scipy import stats

from benchmarks import study_tables
from benchmarks.study_held_out import top1
from tests.support import done


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    sizes = ["--subjects", 4, "--trials", 4, "--seconds", 10, "--n-folds", 2, "--held-out-epochs", 1]
    flags = ["--out-dir", folder, "--seeds", 1, "--formats", "deap", "--splits", "trial", "--noise-splits", "trial"]
    return folder, flags + sizes, done("benchmarks/study.py", *flags, *sizes)


def test_every_row_is_there(study):
    folder, _, out = study
    table = (folder / "table.md").read_text()
    assert table in out
    first = {line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()}
    assert set(study_tables.results) <= first
    assert {"majority class", "`trial`"} <= first
    metrics = json.loads((folder / "deap_trial_1" / "robust" / "finetune_arousal_eeg" / "metrics.json").read_text())
    assert f"| pre-trained, EEG only | {metrics['accuracy']['mean']:.3f}" in table
    found = json.loads((folder / "study.json").read_text())
    compared = {entry["against"]: entry for entry in found["comparisons"]["deap trial"]}
    assert "pre-trained" not in compared
    assert all(entry["p"] <= entry["p_holm"] <= 1 for entry in compared.values())
    question = compared["random weights"]
    assert (question["name"], question["n"], question["n_seeds"]) == ("pre-trained", 4, 1)
    assert f"| deap trial | 1 | {question['difference']:+.3f} | {study_tables.interval(question)} |" in table
    assert all((folder / f"study_{name}.png").read_bytes()[1:4] == b"PNG" for name in ("labels", "held_out"))


def test_what_is_seen_of_held_out_windows(study):
    curves = json.loads((study[0] / "study.json").read_text())["held_out"]["deap trial 1"]
    for curve in (curves["robust"], curves["paper"]):
        assert len(curve) == 2  # before training, and after the one epoch
        assert all(0 <= epoch[name] <= 1 for epoch in curve for name in ("eeg", "pps", "cross", "chance"))
        assert "training" not in curve[0]
        assert set(curve[1]["training"]) == {"eeg", "pps"}


def test_what_is_complete_is_not_run_again(study):
    folder, flags, _ = study
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("result.pt")}
    assert before
    done("benchmarks/study.py", *flags)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("result.pt")}


def test_seeds_are_what_is_independent(tmp_path):
    """Three seeds, in each of which a lucky training lifts everybody: not 24 people of whom 16 gain."""
    results = {"finetune_arousal": (0.1, 0.12, -0.05), "finetune_arousal_random": (0, 0, 0)}
    cells = {}
    for seed in range(3):
        cells["deap", "trial", seed] = tmp_path / str(seed)
        for name, lifts in results.items():
            people = {f"s{n}": {"accuracy": 0.6 + lifts[seed] + (n - 3.5) / 1000} for n in range(8)}
            folder = tmp_path / str(seed) / "robust" / name
            folder.mkdir(parents=True)
            made = {"accuracy": {"mean": 0.6 + lifts[seed]}, "majority": 0.5, "folds": [{"subjects": people}]}
            (folder / "metrics.json").write_text(json.dumps(made))
    table, comparisons = study_tables.make_table(cells)
    (entry,) = comparisons["deap trial"]
    assert (entry["n"], entry["n_seeds"], entry["better"]) == (24, 3, 16)
    assert entry["p"] == pytest.approx(stats.ttest_1samp([0.1, 0.12, -0.05], 0).pvalue)
    assert f"0.600 ± 0.000; +0.057 ({study_tables.interval(entry)})" in table
    assert "| 3 | +0.057 |" in study_tables.question_table(comparisons)


def test_the_question_alone(tmp_path):
    sizes = ["--subjects", 4, "--trials", 4, "--seconds", 10, "--n-folds", 2]
    part = ["--seeds", "1,2", "--formats", "deap", "--splits", "subject"]
    out = done("benchmarks/study.py", "--out-dir", tmp_path, "--quick", *part, *sizes)
    found = json.loads((tmp_path / "question.json").read_text())["comparisons"]["deap subject"]
    asked = {"LDA, standardised", "LDA, standardised, 25% of labels", "LDA, standardised, EEG over trials"}
    asked |= {"LDA, standardised, EEG over trials, 25% of labels", *study_tables.questions}
    assert {(entry["against"], entry["n_seeds"]) for entry in found} == {(name, 2) for name in asked}
    assert all(f"| {name} | deap subject | 2 |" in out for name in study_tables.questions)
    prepared = [json.loads((tmp_path / name / "dataset.json").read_text()) for name in ("deap_1", "deap_1_trial")]
    assert [made["preparation"]["eeg"] for made in prepared] == ["channels", "trial"]
    assert (tmp_path / "question.md").read_text() in out
    assert not (tmp_path / "table.md").exists()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("pre-trained", None),
        ("random weights", "pre-trained"),
        ("random weights, EEG only", "pre-trained, EEG only"),
        ("random weights, 10% of labels", "pre-trained, 10% of labels"),
        ("random weights, EEG only, 25% of labels", "pre-trained, EEG only, 25% of labels"),
        ("LDA, standardised, 25% of labels", "pre-trained, 25% of labels"),
        ("LDA, standardised", "pre-trained"),
        ("LDA, standardised, EEG over trials, 25% of labels", "pre-trained, EEG over trials, 25% of labels"),
        ("random weights, EEG over trials", "pre-trained, EEG over trials"),
        ("pre-trained, EEG over trials, 25% of labels", None),
        ("pre-trained, EEG only", "pre-trained"),
    ],
)
def test_rows_are_compared_with_the_same_signals_and_labels(row, expected):
    assert study_tables.reference(row) == expected


def test_top_1_by_hand():
    a = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    assert top1(a, 3 * a) == 1
    assert top1(a, a.roll(1, 0)) == 0
