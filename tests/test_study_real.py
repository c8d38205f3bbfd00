"""The study of real recordings, tiny: the real scripts on an imitation of the raw files, then the tables."""

import json

import numpy as np
import pytest
from scipy import stats

from benchmarks import study_fractal, study_real_tables
from tests.support import done
from tests.test_stress_predict import write_person
from utils.base.errors import InputError

N_PEOPLE = 6
MARKS = np.array([30, 43, 56, 69, 82, 93, 106])  # s after the start
SIZES = ["--seconds", 10, "--delay", 1, "--baseline-before", 12]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study_real")
    for number in range(1, N_PEOPLE + 1):
        write_person(folder / "Raw_data" / f"S{number:02d}", MARKS + number % 3, seed=number, length=130)
    flags = ["--raw-dir", folder / "Raw_data", "--out-dir", folder / "out", "--seeds", "1,2"]
    flags += ["--n-folds", 2, "--permutations", 21, *SIZES]
    return folder / "out", flags, done("benchmarks/study_real.py", *flags)


def test_every_row_is_there(study):
    folder, _, out = study
    table = (folder / "table.md").read_text(encoding="utf-8")
    assert table in out
    assert "A stage is a stimulus here" in table
    first = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()]
    assert {*study_real_tables.rows, "majority class"} <= set(first)
    assert all(first.count(name) >= 2 for name in study_real_tables.both_levels)
    means = [
        json.loads((folder / f"subject_{seed}" / "finetune_stress" / "metrics.json").read_text()) for seed in (1, 2)
    ]
    mean = np.mean([run["accuracy"]["mean"] for run in means])
    assert f"| pre-trained | {mean:.3f} ± " in table
    assert means[0]["permutation"]["n"] == 21
    assert means[0]["audit"]["classifier"]["stimulus"] == 1


def test_the_same_people_in_all_seeds(study):
    found = json.loads((study[0] / "study.json").read_text())
    compared = {entry["against"]: entry for entry in found["comparisons"]}
    assert set(study_real_tables.rows) - set(compared) == {
        "pre-trained",
        "pre-trained, 25% of labels",
        "pre-trained, 10% of labels",
    }
    assert all((entry["n"], entry["n_seeds"]) == (N_PEOPLE, 2) for entry in found["comparisons"] + found["levels"])
    assert all(entry["p"] <= entry["p_holm"] <= 1 for entry in found["comparisons"] + found["levels"])
    assert compared["LDA, standardised, 25% of labels"]["name"] == "pre-trained, 25% of labels"
    values = [
        study_real_tables.people(study_real_tables.load([study[0] / f"{level}_{s}" for s in (1, 2)], name))
        for level, name in (
            ("subject", study_real_tables.rows["pre-trained"]),
            ("subject", study_real_tables.rows["LDA"]),
        )
    ]
    people = [np.mean([a[name] - b[name] for a, b in zip(*values, strict=True)]) for name in values[0][0]]
    assert compared["LDA"]["difference"] == pytest.approx(np.mean(people))
    alone = stats.ttest_1samp(people, 0).confidence_interval().high - np.mean(people)
    assert (compared["LDA"]["ci95"][1] - compared["LDA"]["ci95"][0]) / 2 > 0.99 * alone  # seeds vary, too


def test_what_is_complete_is_not_run_again(study):
    folder, flags, _ = study
    before = {path: path.stat().st_mtime_ns for path in [*folder.rglob("result.pt"), *folder.rglob("checkpoint.pt")]}
    assert before
    flags = [1 if flag == "1,2" else flag for flag in flags]
    assert "people, seeds: 1;" in done("benchmarks/study_real.py", *flags)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_moment_that_all_people_share_is_found():
    rng = np.random.default_rng(0)
    shared, noise = rng.standard_normal((20, 16, 1)), rng.standard_normal((14, 20, 16, 6))
    order = np.arange(14)
    assert study_fractal.retrieved(noise + 2 * shared, order) > 0.9
    assert study_fractal.retrieved(noise, order) < 0.4


def test_a_folder_without_recordings(tmp_path):
    with pytest.raises(InputError, match=r"has 0 \.set files"):
        study_fractal.retrieval(tmp_path)
