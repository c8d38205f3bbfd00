"""Which result is better: pairs of people, what is independent, an honest test; and what cannot be compared."""

import csv
import json
import shutil

import numpy as np
import pytest
from scipy import stats

from tests.support import assert_refused, call, done
from utils.results.comparison import compare, holm, t_test

BASELINE, COMPARE = "Fine_tuning/baseline.py", "Fine_tuning/compare_runs.py"
OTHERWISE = ["--pps-normalise", "none"]  # another preparation of the same recordings


def metrics(run_dir, name):
    return json.loads((run_dir / name / "metrics.json").read_text())


@pytest.fixture
def compared(tmp_path, prepared):
    done(BASELINE, "--data-dir", prepared, "--run-dir", tmp_path / "run", "--split", "trial")
    return tmp_path / "run"


def test_comparison(compared, tmp_path):
    names = ["baseline_arousal_nearest", "baseline_arousal_lda", "baseline_arousal_logistic"]
    out = done(COMPARE, *(compared / name for name in names), "--pairs", "folds", "--out-dir", tmp_path / "out")
    result = json.loads((tmp_path / "out" / "comparison.json").read_text())
    values = {n: np.array([fold["accuracy"] for fold in metrics(compared, n)["folds"]]) for n in names}
    assert result["baseline"] == names[0]
    for row, name in zip(result["comparisons"], names[1:], strict=True):
        assert row["name"] == name
        assert row["n"] == 4
        assert row["difference"] == pytest.approx((values[name] - values[names[0]]).mean())
        assert row["p"] <= row["p_holm"] <= 1
        assert name in out
    with open(tmp_path / "out" / "comparison.csv") as file:
        assert [row["name"] for row in csv.DictReader(file)] == names[1:]


def plant(compared, name, shift):
    """Copy a result and move every person's accuracy."""
    result = metrics(compared, "baseline_arousal_lda")
    for fold in result["folds"]:
        for number, person in enumerate(fold["subjects"].values()):
            person["accuracy"] += shift(number)
    (compared / name).mkdir()
    (compared / name / "metrics.json").write_text(json.dumps(result))
    return compared / name


@pytest.mark.parametrize("base", np.linspace(0.3, 0.7, 41))
def test_equal_steps_are_ties_at_every_accuracy(base):
    subjects = dict(enumerate((base, base, base, base)))
    moved = {name: value + step for (name, value), step in zip(subjects.items(), (-0.1, 0, 0.1, 0.2), strict=True)}
    assert compare([moved], [subjects])["rank_biserial"] == pytest.approx((-1.5 + 1.5 + 3) / 6)


def test_effect_size_and_its_sign(compared, tmp_path):
    base = compared / "baseline_arousal_lda"
    better, mixed = plant(compared, "better", lambda n: 0.1 + n / 100), plant(compared, "mixed", lambda n: n / 10 - 0.1)
    same = plant(compared, "same", lambda n: 0)
    done(COMPARE, base, better, mixed, same, "--out-dir", tmp_path)
    rows = {
        row["name"].split("/")[-1]: row for row in json.loads((tmp_path / "comparison.json").read_text())["comparisons"]
    }
    assert rows["better"]["rank_biserial"] == 1
    assert (rows["better"]["better"], rows["better"]["worse"]) == (4, 0)
    by_hand = stats.ttest_1samp(0.1 + np.arange(4) / 100, 0)
    assert rows["better"]["p"] == pytest.approx(by_hand.pvalue)
    assert rows["better"]["ci95"] == pytest.approx([*by_hand.confidence_interval()])
    assert rows["mixed"]["rank_biserial"] == pytest.approx((-1.5 + 1.5 + 3) / 6)  # moves -0.1, 0, 0.1, 0.2
    assert (rows["same"]["p"], rows["same"]["rank_biserial"], rows["same"]["ci95"]) == (1, 0, None)


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])


def test_what_cannot_be_compared(compared, tmp_path, prepared):
    base = compared / "baseline_arousal_lda"
    done(BASELINE, "--data-dir", prepared, "--run-dir", tmp_path / "other", "--split", "window", "--models", "lda")
    done(BASELINE, "--data-dir", prepared, "--run-dir", compared, "--label", "valence", "--models", "lda")
    done(
        BASELINE,
        "--data-dir",
        prepared,
        "--run-dir",
        compared,
        "--models",
        "nearest",
        "--folds",
        "0,2",
        "--tag",
        "some",
    )
    for folder, part in (
        (tmp_path / "other" / "baseline_arousal_lda", ["differ-their", "split"]),
        (compared / "baseline_valence_lda", ["differ-their-2", "label"]),
        (compared / "baseline_arousal_nearest_some", ["differ-their-2", "folds"]),
        (compared / "nothing", ["does-not-exist"]),
        (compared, ["does-not-exist"]),
    ):
        assert_refused(call(COMPARE, base, folder, "--out-dir", tmp_path / "out"), *part, folder)
    assert_refused(call(COMPARE, base), "needs-least-two-folders")
    assert not (tmp_path / "out").exists()


# --- several seeds


def experiments(rng, n, n_seeds, n_people, of_person, of_seed, crossed):
    """Differences (n, seeds, people) of two methods that are equal; a person and a seed's training each move some."""
    person = rng.standard_normal((n, 1 if crossed else n_seeds, n_people))
    seed, rest = rng.standard_normal((n, n_seeds, 1)), rng.standard_normal((n, n_seeds, n_people))
    return of_person * person + of_seed * seed + rest


def false_alarms(differences, crossed):
    """Share of experiments with p < .05."""
    rows = [[dict(enumerate(seed)) for seed in one] for one in differences]
    zero = [dict.fromkeys(range(differences.shape[2]), 0.0)] * differences.shape[1]
    return np.mean([compare(row, zero, crossed)["p"] < 0.05 for row in rows])


@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize(("of_person", "of_seed"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_false_alarms_are_as_rare_as_they_should_be(crossed, of_person, of_seed):
    """400 experiments without any difference, 3 seeds of 8 people: at most .08 are significant at .05."""
    drawn = experiments(np.random.default_rng(0), 400, 3, 8, of_person, of_seed, crossed)
    assert false_alarms(drawn, crossed) <= 0.08


def test_people_of_a_seed_are_not_independent():
    """The same experiments by tests that take them for it: the test above can fail."""
    drawn = experiments(np.random.default_rng(0), 400, 3, 8, 0, 1, False)
    of_all = stats.wilcoxon(drawn.reshape(400, -1), axis=1).pvalue  # 24 people, as if each had a training of their own
    assert np.mean(of_all < 0.05) > 0.3
    drawn = experiments(np.random.default_rng(1), 400, 3, 8, 1, 1, True)
    averaged = stats.ttest_1samp(drawn.mean(axis=1), 0, axis=1).pvalue  # over people alone
    assert np.mean(averaged < 0.05) > 0.15


@pytest.mark.parametrize("crossed", [False, True])
def test_a_real_difference_is_found(crossed):
    drawn = 2.5 + experiments(np.random.default_rng(2), 100, 5, 8, 1, 0.5, crossed)
    assert false_alarms(drawn, crossed) > 0.8


def test_seeds_and_people_by_hand():
    people, seeds = np.array([0.1, 0.2, 0.3, 0.2]), np.array([0.1, 0.2, 0.3])
    f_people, f_seeds = (stats.ttest_1samp(values, 0).statistic ** 2 for values in (people, seeds))
    min_f = f_people * f_seeds / (f_people + f_seeds)  # Clark 1973
    df = (f_people + f_seeds) ** 2 / (f_people**2 / 2 + f_seeds**2 / 3)
    row = t_test([people, seeds])
    assert row["df"] == pytest.approx(df)
    assert row["p"] == pytest.approx(stats.f.sf(min_f, 1, df))
    low, high = row["ci95"]
    assert (low + high) / 2 == pytest.approx(row["difference"]) == pytest.approx(0.2)
    assert (low > 0) == (row["p"] < 0.05)


def test_where_nothing_varies_signs_count():
    same = [{"a": 0.5, "b": 0.6}] * 2
    better = [{"a": 0.6, "b": 0.7}] * 2
    row = compare(better, same)
    assert (row["p"], row["ci95"], row["n"], row["n_seeds"]) == (0.5, None, 4, 2)
    assert compare([{"a": 0.6}], [{"a": 0.5}])["p"] == 1  # one person proves nothing


def test_folds_share_training_data():
    """Of 5 folds: a variance of (1/5 + 1/4) of that between folds, in place of 1/5."""
    values = np.array([0.1, 0.2, 0.1, 0.3, 0.2])
    naive, corrected = t_test([values]), t_test([values], overlap=1 / 4)
    widths = [np.diff(row["ci95"])[0] for row in (naive, corrected)]
    assert widths[1] / widths[0] == pytest.approx(np.sqrt((1 / 5 + 1 / 4) / (1 / 5)))
    assert corrected["p"] > naive["p"]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory, prepared):
    """Baselines: three seeds of one data set (``same_0`` to ``_2``), and two other data sets (``other_1``, ``_2``)."""
    folder = tmp_path_factory.mktemp("seeds")
    for seed in range(3):
        flags = ["--run-dir", folder / f"same_{seed}", "--split", "subject", "--seed", seed]
        done(BASELINE, "--data-dir", prepared, *flags, "--n-folds", 2, "--models", "lda,nearest")
    for seed in (1, 2):
        raw, data = folder / f"raw_{seed}", folder / f"data_{seed}"
        sizes = ["--subjects", 4, "--trials", 4, "--seconds", 12]
        done("data_prep/make_synthetic.py", "--out-dir", raw, *sizes, "--seed", seed)
        done("data_prep/prepare_deap.py", "--raw-dir", raw, "--out-dir", data)
        flags = ["--run-dir", folder / f"other_{seed}", "--split", "subject", "--n-folds", 2]
        done(BASELINE, "--data-dir", data, *flags, "--models", "lda,nearest")
    return folder


def word(folder, runs, name):
    return ",".join(str(folder / run / f"baseline_arousal_{name}") for run in runs)


@pytest.mark.parametrize(
    ("runs", "kind", "n", "said"),
    [
        (["same_0", "same_1", "same_2"], "same people", 4, "min F'"),
        (["same_0", "other_1", "other_2"], "other people", 12, "over the seeds' means"),
        (["same_0", "same_1"], "same people", 4, "two seeds are few"),
        (["same_0"], "one seed", 4, "these trained models; it does not know"),
    ],
)
def test_several_seeds(seeds, tmp_path, runs, kind, n, said):
    out = done(COMPARE, word(seeds, runs, "lda"), word(seeds, runs, "nearest"), "--out-dir", tmp_path)
    result = json.loads((tmp_path / "comparison.json").read_text())
    (row,) = result["comparisons"]
    assert (result["seeds"], row["n"], row["n_seeds"]) == (kind, n, len(runs))
    assert said in result["test"]
    assert result["test"] in out
    people = []
    for run in runs:
        both = [metrics(seeds / run, f"baseline_arousal_{name}")["folds"] for name in ("lda", "nearest")]
        accuracy = [{s: v["accuracy"] for fold in folds for s, v in fold["subjects"].items()} for folds in both]
        people.append([accuracy[1][s] - accuracy[0][s] for s in sorted(accuracy[0])])
    assert row["difference_by_seed"] == pytest.approx(np.mean(people, axis=1).tolist(), abs=1e-9)
    assert row["difference"] == pytest.approx(np.mean(people))
    if kind == "other people":
        assert row["p"] == pytest.approx(stats.ttest_1samp(np.mean(people, axis=1), 0).pvalue)
    with open(tmp_path / "comparison.csv") as file:
        (line,) = csv.DictReader(file)
    assert len(line["difference_by_seed"].split()) == len(runs)


def test_what_are_no_seeds_of_a_result(seeds, tmp_path, prepared):
    copy = shutil.copytree(seeds / "same_0", tmp_path / "copy")
    shutil.copytree(copy / "baseline_arousal_lda", copy / "baseline_arousal_lda_again")
    flags = ["--data-dir", prepared, "--run-dir", tmp_path / "some", "--seed", 7, "--split", "subject", "--n-folds", 2]
    done(BASELINE, *flags, "--folds", 0, "--models", "lda")
    done(
        "data_prep/prepare_deap.py", "--raw-dir", prepared.with_name("raw"), "--out-dir", tmp_path / "last", *OTHERWISE
    )
    again = ["--data-dir", tmp_path / "last", "--run-dir", tmp_path / "again", "--split", "subject", "--n-folds", 2]
    done(BASELINE, *again, "--models", "lda")
    a, b = seeds / "same_0" / "baseline_arousal_lda", seeds / "same_1" / "baseline_arousal_lda"
    nearest = seeds / "same_1" / "baseline_arousal_nearest"
    other = [seeds / f"other_{seed}" / "baseline_arousal_lda" for seed in (1, 2)]
    good = f"{a},{b}"
    for first, second, part in (
        (good, a, ["comes-with-seeds-with", "1 seeds"]),
        (good, f"{b},{a}", ["differ-their", "split"]),  # the same seeds in another order
        (f"{a},{nearest}", good, ["no-other-seed-for", "model", "nearest", "lda"]),
        (f"{a},{copy / 'baseline_arousal_lda'}", good, ["one-seed-same-data"]),
        (f"{copy / 'baseline_arousal_lda'},{copy / 'baseline_arousal_lda_again'}", good, ["every-seed-needs-run"]),
        (f"{a},{tmp_path / 'some' / 'baseline_arousal_lda'}", good, ["test-other-people-run"]),
        (f"{a},{b},{other[0]}", good, ["seeds-must-all-be"]),
        (f"{a},{tmp_path / 'again' / 'baseline_arousal_lda'}", good, ["same-people-prepared-otherwise"]),
    ):
        assert_refused(call(COMPARE, first, second, "--out-dir", tmp_path / "out"), *part)
    folds = call(COMPARE, good, good.replace("lda", "nearest"), "--pairs", "folds", "--out-dir", tmp_path / "out")
    assert_refused(folds, "folds-compares-results-one")
    assert not (tmp_path / "out").exists()


def test_comparison_that_is_there_is_kept(compared, tmp_path):
    """Under a number, unless it is the same comparison."""
    out = tmp_path / "out"
    names = [compared / f"baseline_arousal_{name}" for name in ("lda", "logistic", "nearest")]
    done(COMPARE, *names[:2], "--out-dir", out)
    first = (out / "comparison.json").read_bytes()
    done(COMPARE, *names[:2], "--out-dir", out)
    assert {path.name for path in out.iterdir()} == {"comparison.json", "comparison.csv"}
    assert "comparison_1.json" in done(COMPARE, names[0], names[2], "--out-dir", out)
    assert (out / "comparison_1.json").read_bytes() == first
    done(COMPARE, *names[:2], "--score", "f1", "--out-dir", out)
    assert {path.stem for path in out.iterdir()} == {"comparison", "comparison_1", "comparison_2"}
