"""What makes a number believable: permutations, baselines, predictions, provenance."""

import csv
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import metrics as sk

from data_prep import open_prepared
from tests.support import ROOT, TINY, assert_refused, call, done
from utils.finetuning import baselines
from utils.protocol import permutation, splits
from utils.results.results import FoldResult, _threshold, summarise

PRETRAIN = ("main_pretrain_1s.py", "main_pretrain_5s.py")
FINETUNE, BASELINE = "Fine_tuning/fine_tuning.py", "Fine_tuning/baseline.py"
FAST = ["--epochs", 1]


def metrics(run_dir, name):
    return json.loads((run_dir / name / "metrics.json").read_text())


@pytest.fixture
def run_dir(pretrained, tmp_path):
    return shutil.copytree(pretrained, tmp_path / "run")


# --- permutations


def test_permuted_labels_keep_each_persons_classes():
    labels = np.random.default_rng(0).integers(0, 4, (6, 20))
    shuffled = permutation.permuted_labels(labels, 0)
    np.testing.assert_array_equal(np.sort(shuffled), np.sort(labels))
    assert not np.array_equal(shuffled, labels)
    assert not np.array_equal(shuffled, permutation.permuted_labels(labels, 1))
    assert not np.array_equal(shuffled, permutation.permuted_labels(labels, 0, 1))


def test_p_value_counts_the_observed_order():
    assert permutation.p_value(0.9, [0.1, 0.2, 0.3]) == 0.25
    assert permutation.p_value(0.2, [0.1, 0.2, 0.3]) == 0.75
    assert permutation.p_value(0.0, [0.1]) == 1


def test_probe_of_many_labellings_equals_one_at_a_time():
    rng = np.random.default_rng(0)
    keys = np.stack(np.meshgrid(range(4), range(10), indexing="ij"), axis=-1).reshape(-1, 2)
    x = rng.standard_normal((40, 30))
    labels = rng.integers(0, 2, (5, 4, 10))
    train, test = (keys[::2], x[::2]), (keys[1::2], x[1::2])
    together = permutation.probe_accuracy(train, test, labels, 2)
    alone = [permutation.probe_accuracy(train, test, labels[k : k + 1], 2)[0] for k in range(5)]
    np.testing.assert_allclose(together, alone)


def test_probe_finds_what_is_there():
    """Features that carry the label of each trial, and features that do not."""
    rng = np.random.default_rng(1)
    keys = np.stack(np.meshgrid(range(6), range(20), indexing="ij"), axis=-1).reshape(-1, 2)
    labels = rng.integers(0, 2, (6, 20))
    null = np.stack([permutation.permuted_labels(labels, 0, k) for k in range(1, 200)])
    both = np.concatenate([labels[None], null])
    fold = keys[:, 1] % 4 == 0
    for strength, low, high in ((2.0, 0, 0.02), (0.0, 0.03, 1)):
        x = rng.standard_normal((120, 15))
        x[:, 0] += strength * labels[keys[:, 0], keys[:, 1]]
        accuracy = permutation.probe_accuracy((keys[~fold], x[~fold]), (keys[fold], x[fold]), both, 2)
        assert low <= permutation.p_value(accuracy[0], accuracy[1:]) <= high
        assert abs(accuracy[1:].mean() - 0.5) < 0.05


def test_stimuli_change_places_for_all_people_alike():
    labels = np.random.default_rng(0).integers(0, 4, (6, 20))
    moved = permutation.permuted_stimuli(labels, 0, 1)
    assert sorted(map(tuple, moved.T)) == sorted(map(tuple, labels.T))  # columns keep together
    assert not np.array_equal(moved, labels)
    assert not np.array_equal(moved, permutation.permuted_stimuli(labels, 0, 2))
    labels[2, 5:8] = -1  # stimuli that a person did not see
    moved = permutation.permuted_stimuli(labels, 0, 1)
    np.testing.assert_array_equal(moved < 0, labels < 0)
    np.testing.assert_array_equal(np.sort(moved), np.sort(labels))


@pytest.mark.parametrize(("together", "low", "high"), [(True, 0, 0.1), (False, 0.3, 1)])
def test_who_recognises_stimuli_does_not_pass_the_permutation_test(together, low, high):
    """New people at known stimuli, whose marks and ratings agree across people and have nothing to do with each other.

    Share of 60 such experiments with p <= .05. With each person's labels shuffled apart it is far too large.
    """
    rng, alarms = np.random.default_rng(3), []
    keys = np.stack(np.meshgrid(range(8), range(12), indexing="ij"), axis=-1).reshape(-1, 2)
    test = keys[:, 0] % 2 == 0
    shuffle = permutation.permuted_stimuli if together else permutation.permuted_labels
    for seed in range(60):
        x = rng.standard_normal((96, 20)) + rng.standard_normal((12, 20))[keys[:, 1]]
        labels = (rng.standard_normal(12) + rng.standard_normal((8, 12)) > 0).astype(int)
        both = np.stack([labels, *(shuffle(labels, seed, k) for k in range(1, 20))])
        accuracy = permutation.probe_accuracy((keys[~test], x[~test]), (keys[test], x[test]), both, 2)
        alarms.append(permutation.p_value(accuracy[0], accuracy[1:]) <= 0.05)
    assert low <= np.mean(alarms) <= high


def test_permutations_by_fine_tuning(run_dir, prepared):
    flags = ["--data-dir", prepared, "--run-dir", run_dir, "--folds", "0,1", *FAST]
    out = done(FINETUNE, *flags, "--permutations", 3)
    test = metrics(run_dir, "finetune_arousal")["permutation"]
    assert (test["method"], test["n"]) == ("finetune", 3)
    assert test["p_value"] in (0.25, 0.5, 0.75, 1)
    assert f"p = {test['p_value']:.4f}" in out
    accuracy = np.mean([fold["accuracy"] for fold in metrics(run_dir, "finetune_arousal")["folds"]])
    assert test["score"] == pytest.approx(accuracy)
    file = run_dir / "finetune_arousal" / "fold_01" / "permutations.json"
    stored = json.loads(file.read_text())["accuracy"]
    assert len(stored) == 3
    file.write_text(file.read_text().replace(str(stored[0]), "0.123"))
    done(FINETUNE, *flags, "--permutations", 4)  # goes on: the first three are kept
    assert json.loads(file.read_text())["accuracy"][:3] == [0.123, *stored[1:]]
    assert len(json.loads(file.read_text())["accuracy"]) == 4
    path = run_dir / "finetune_arousal" / "fold_00" / "permutations.json"
    old = json.loads(path.read_text())
    path.write_text(json.dumps({"identity": old["identity"], "accuracy": [0.0] * 4}))  # of an earlier version
    done(FINETUNE, *flags, "--permutations", 4)
    assert json.loads(path.read_text()) == old
    done(FINETUNE, *flags, "--permutations", 2, "--no-resume")
    assert json.loads(file.read_text())["accuracy"] == stored[:2]


def test_many_permutations_by_a_probe(run_dir, prepared):
    out = done(FINETUNE, "--data-dir", prepared, "--run-dir", run_dir, "--permutations", 100, *FAST)
    test = metrics(run_dir, "finetune_arousal")["permutation"]
    assert (test["method"], test["n"], test["score_name"]) == ("probe", 100, "accuracy per trial")
    assert "a linear probe of the frozen encoders' features" in out


# --- baselines


def test_baselines_write_the_same_files_as_fine_tuning(run_dir, prepared):
    out = done(BASELINE, "--data-dir", prepared, "--run-dir", run_dir, "--label", "four")
    done(FINETUNE, "--data-dir", prepared, "--run-dir", run_dir, "--label", "four", *FAST)
    network = metrics(run_dir, "finetune_four")
    for model in ("logistic", "lda", "nearest"):
        result = metrics(run_dir, f"baseline_four_{model}")
        assert set(network) - set(result) == set()
        assert set(result["folds"][0]) == set(network["folds"][0])
        assert result["manifest_hash"] == network["manifest_hash"]
        assert result["audit"]["classifier"] == network["audit"]["classifier"]
        assert result["audit"]["encoder_1s"] is None
        assert f"classical baseline: {model}" in out


def test_fine_tuning_names_the_baseline_beside_it(run_dir, prepared):
    done(BASELINE, "--data-dir", prepared, "--run-dir", run_dir, "--models", "lda", "--folds", 0)
    value = metrics(run_dir, "baseline_arousal_lda")["accuracy"]["mean"]
    out = done(FINETUNE, "--data-dir", prepared, "--run-dir", run_dir, "--folds", 0, *FAST)
    assert f"to compare with: baseline_arousal_lda, accuracy per window {value:.3f}" in out


def test_baseline_needs_no_pretraining_and_both_or_one_modality(tmp_path, prepared):
    flags = ["--data-dir", prepared, "--run-dir", tmp_path, "--split", "subject", "--models", "logistic"]
    for modalities, width in (("eeg+pps", 4 * 32 + 6 * 2), ("eeg", 4 * 32), ("pps", 6 * 2)):
        done(BASELINE, *flags, "--modalities", modalities, "--pps-channels", "GSR,zEMG")
        name = "baseline_arousal_logistic" + ("" if "+" in modalities else f"_{modalities}")
        assert len(metrics(tmp_path, name)["folds"]) == 4
        features = baselines.window_features(open_prepared(prepared), modalities.split("+"), ["GSR", "zEMG"])
        assert features.shape == (4, 4, 2, width)


def test_band_power_and_statistics():
    times = np.arange(640) / 128
    window = np.stack([3 * np.sin(2 * np.pi * 10 * times), 2 + 0.5 * times])
    power = baselines.band_power(window, 128).reshape(4, 2)
    assert power[:, 0].argmax() == 1  # 10 Hz is alpha
    half = baselines.band_power(window / 2, 128).reshape(4, 2)
    np.testing.assert_allclose(power[1, 0] - half[1, 0], np.log(4), rtol=1e-4)
    mean, std, low, high, slope, step = baselines.statistics(window, 128).reshape(6, 2)[:, 1]
    np.testing.assert_allclose([mean, low, high, slope, step], [3.248, -1.248, 1.248, 0.5, 0.5], rtol=1e-3)
    assert std == pytest.approx(window[1].std(), rel=1e-5)


def test_baseline_features_are_of_the_right_windows(prepared):
    data = open_prepared(prepared)
    features = baselines.window_features(data, ["pps"], ["GSR"])
    gsr = data.pps[2, 3, 5:10, 4].ravel()  # second window of a trial
    np.testing.assert_allclose(features[2, 3, 1, :2], [gsr.mean(), gsr.std()], rtol=1e-4)


def test_baseline_with_one_class_in_training():
    fold = splits.Fold(
        0,
        splits.Part(np.array([0]), {"5s": np.array([0, 1])}),
        splits.Part(np.array([0]), {"5s": np.array([2, 3])}),
    )
    features = np.random.default_rng(0).standard_normal((1, 2, 2, 3))
    settings = SimpleNamespace(LABEL_FRACTION=1, SEED=0, STANDARDISE="none")
    result = baselines.evaluate_fold("lda", fold, features, np.array([[1, 0]]), settings)
    assert result.probability.argmax(axis=1).tolist() == [1, 1]


def test_baseline_without_signals():
    """People agree on stimuli 0 and 1; a person is told by them what each is, and by all of them what 2 is."""
    labels = np.array([[1, 0, 1], [1, 0, 0], [1, 1, 0], [0, 0, 0]])
    train = splits.Part(np.array([0, 1, 2]), {"5s": np.array([0, 1])})
    fold = splits.Fold(0, train, splits.Part(np.array([3]), {"5s": np.array([0, 1, 2])}))
    settings = SimpleNamespace(LABEL_FRACTION=1, SEED=0, STANDARDISE="none")
    result = baselines.evaluate_fold("stimulus", fold, np.zeros((4, 3, 1, 2)), labels, settings)
    np.testing.assert_allclose(result.probability[:, 1], [1, 1 / 3, 4 / 6])


def test_baselines_with_both_kinds_of_features(tmp_path, prepared):
    """What is standardised per person stands beside what is not: the robust recipe standardises, too."""
    flags = ["--data-dir", prepared, "--models", "lda,stimulus"]
    done(BASELINE, *flags, "--run-dir", tmp_path / "known", "--split", "subject")
    done(BASELINE, *flags, "--run-dir", tmp_path / "new", "--split", "trial")
    names = {"baseline_arousal_lda": "none", "baseline_arousal_lda_standardised": "subject"}
    for run_dir, more in (("known", {"baseline_arousal_stimulus": "none"}), ("new", {})):
        folders = [folder.name for folder in (tmp_path / run_dir).glob("base*")]
        kinds = {name: metrics(tmp_path / run_dir, name)["settings"]["STANDARDISE"] for name in folders}
        assert kinds == names | more  # where the stimuli are new, nobody can have rated them
    outcome = call(BASELINE, *flags[:2], "--models", "stimulus", "--run-dir", tmp_path / "new")
    assert_refused(outcome, "split-no-test-stimulus", "--models stimulus")


def test_folds_of_one_class_are_named():
    """Their F1 is 0 or 1, so that the mean over folds says little; the score of all folds stands beside it."""
    results = []
    for number, truth in enumerate(([1, 1], [0, 0], [0, 1], [1, 0])):
        windows = np.array([[0, 2 * number, 0], [1, 2 * number + 1, 0]])
        seen = {"classifier": dict.fromkeys(("window", "trial", "subject", "stimulus"), 0.0)}
        results.append(FoldResult(number, windows, np.array(truth), np.eye(2)[truth], 8, seen, 0.0))
    result = summarise(results, ["s01", "s02"], "subject-dependent")
    assert "2 of 4 test folds hold one class only" in result["audit_in_words"][-1]
    assert (result["f1"]["mean"], result["f1"]["pooled"]) == (0.75, 1.0)
    assert result["f1"]["ci95"] is None  # all units are alike, so that there is no error to estimate
    assert "one class" not in " ".join(summarise(results[2:], ["s01", "s02"], "subject-dependent")["audit_in_words"])


@pytest.mark.parametrize(("given", "high_from"), [(None, 5), (0.0, 0.0), (6.0, 6.0)])
def test_the_threshold_that_is_told_is_the_one_used(given, high_from):
    """Zero is a threshold, too, on a scale from -5 to 5."""
    data = SimpleNamespace(info={"classes": {"mood": ["a", "b"]}, "threshold": 5})
    assert _threshold(SimpleNamespace(LABEL="arousal", THRESHOLD=given), data) == high_from
    assert _threshold(SimpleNamespace(LABEL="mood", THRESHOLD=None), data) is None


# --- predictions


@pytest.mark.parametrize("label", ["valence", "four"])
def test_every_metric_can_be_recomputed_from_the_predictions(run_dir, prepared, label):
    done(FINETUNE, "--data-dir", prepared, "--run-dir", run_dir, "--label", label, *FAST)
    result = metrics(run_dir, f"finetune_{label}")
    with open(run_dir / f"finetune_{label}" / "predictions.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 4 * 2
    assert {(r["subject"], r["trial"], r["window"]) for r in rows} == {
        (f"s0{s}", str(t), str(w)) for s in range(1, 5) for t in range(4) for w in range(2)
    }
    columns = [name for name in rows[0] if name.startswith("probability of ")]
    assert columns == [f"probability of {name}" for name in result["class_names"]]
    truth, _ = open_prepared(prepared).labels(label)
    for fold in result["folds"]:
        own = [r for r in rows if int(r["fold"]) == fold["fold"]]
        true = np.array([int(r["truth"]) for r in own])
        assert true.tolist() == [truth[int(r["subject"][1:]) - 1, int(r["trial"])] for r in own]
        probability = np.array([[float(r[name]) for name in columns] for r in own])
        np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)
        predicted = probability.argmax(axis=1)
        average = "binary" if label != "four" else "weighted"
        assert fold["accuracy"] == pytest.approx(sk.accuracy_score(true, predicted))
        assert fold["f1"] == pytest.approx(sk.f1_score(true, predicted, average=average, zero_division=0))
        trials = {}
        for r, p in zip(own, probability, strict=True):
            trials.setdefault((r["subject"], r["trial"]), []).append((int(r["truth"]), p))
        hits = [np.mean([p for _, p in w], axis=0).argmax() == w[0][0] for w in trials.values()]
        assert fold["trial_accuracy"] == pytest.approx(np.mean(hits))


# --- provenance


def without_times(value):
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k != "seconds"}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def test_same_settings_same_bytes(tmp_path, prepared, monkeypatch):
    shutil.copytree(prepared, tmp_path / "data")
    results = []
    for name in "ab":
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        flags = ["--data-dir", "../data", "--run-dir", "run"]
        for script in PRETRAIN:
            done(script, *flags, "--folds", 0, *FAST, *TINY)
        done(FINETUNE, *flags, "--folds", 0, *FAST)
        done(BASELINE, *flags, "--models", "lda")
        results.append(tmp_path / name / "run")
    for name in ("finetune_arousal", "baseline_arousal_lda"):
        first, second = (json.dumps(without_times(metrics(run, name))) for run in results)
        assert first == second
        a, b = ((run / name / "predictions.csv").read_bytes() for run in results)
        assert a == b
    a, b = ((run / "split.json").read_bytes() for run in results)
    assert a == b


def test_provenance(run_dir, prepared):
    done(FINETUNE, "--data-dir", prepared, "--run-dir", run_dir, "--folds", 0, *FAST)
    result = metrics(run_dir, "finetune_arousal")
    made = result["provenance"]
    assert set(made) >= {"python", "torch", "numpy", "scikit_learn", "device", "threads", "git_commit"}
    if (ROOT / ".git").exists():
        assert len(made["git_commit"].rstrip("+")) == 40
    assert result["dataset_checksum"] == open_prepared(prepared).checksum
    assert len(result["manifest_hash"]) == 64
    assert result["settings"]["SEED"] == result["split_seed"] == 0
    assert result["seconds"] > 0
