"""Every script on data that are not DEAP's: classes, odd names of ratings, one modality, slow sensors."""

import csv
import json
import re
import shutil

import numpy as np
import pytest

from data_prep import open_prepared, write_prepared
from data_prep.folder.prepared import checksum_of
from tests.support import TINY, assert_refused, call, done, lines_of

PRETRAIN = ("main_pretrain_1s.py", "main_pretrain_5s.py")
FINETUNE, BASELINE, PREDICT = "Fine_tuning/fine_tuning.py", "Fine_tuning/baseline.py", "Fine_tuning/predict.py"
EMOTIONS = ["negative", "neutral", "positive"]
SCALE = dict(rating_range=(1, 9), threshold=5)


def data_of(folder, rate=16, n_trials=6, eeg=3, pps=1, values=None, ratings=("arousal",), **description):
    """A prepared folder of four people who share a pattern for each value of the first rating."""
    rng = np.random.default_rng(0)
    values = np.tile([2.0, 8.0], n_trials // 2) if values is None else np.array(values, float)
    patterns = rng.standard_normal((10, eeg + pps, 10 * rate))

    def people():
        for number in range(4):
            signals = patterns[values.astype(int)] + 0.3 * rng.standard_normal((n_trials, eeg + pps, 10 * rate))
            arrays = {"eeg": signals[:, :eeg]} if eeg else {}
            arrays |= {"pps": signals[:, eeg:] + values[:, None, None]} if pps else {}
            yield {"id": f"p{number}", "ratings": np.repeat(values[:, None], len(ratings), 1)} | arrays

    names = dict(eeg_channels=["Fp1", "Cz", "Pz"][:eeg], pps_channels=["GSR", "PPG"][:pps], ratings=list(ratings))
    write_prepared(folder, people(), name="MINE", sampling_rate=rate, **names, **description)
    return folder


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def test_three_classes_through_every_script(tmp_path):
    classes = {"emotion": EMOTIONS}
    names = dict(ratings=["emotion"], classes=classes, pps_normalise="none")
    data = data_of(tmp_path / "data", n_trials=9, values=[0, 1, 2] * 3, **names)
    where = ["--data-dir", data, "--run-dir", tmp_path / "run"]
    for script in PRETRAIN:
        done(script, *where, "--n-folds", 3, "--epochs", 1, *TINY)
    done(FINETUNE, *where, "--label", "emotion", "--epochs", 2, "--permutations", 2)
    done(BASELINE, *where, "--label", "emotion")
    result, baseline = (metrics(tmp_path / "run" / name) for name in ("finetune_emotion", "baseline_emotion_lda"))
    for one in (result, baseline):
        assert one["class_names"] == EMOTIONS
        assert one["settings"]["THRESHOLD"] is None
        assert one["majority"] == pytest.approx(1 / 3)
        counts = np.array(one["folds"][0]["confusion"])
        assert counts.shape == (3, 3)
        shares = counts.sum(axis=1) / counts.sum()
        f1 = 2 * counts.diagonal() / np.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1)
        assert one["folds"][0]["f1"] == pytest.approx((f1 * shares).sum())
    assert baseline["accuracy"]["mean"] > 0.6  # the patterns are plain
    assert 0 < result["permutation"]["p_value"] <= 1
    done("Fine_tuning/report.py", "--run-dir", tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "finetune_emotion" in page
    model = tmp_path / "run" / "finetune_emotion" / "fold_00" / "model.pt"
    done(PREDICT, "--model", model, "--input", data, "--out-file", tmp_path / "p.csv")
    with open(tmp_path / "p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    probabilities = [[float(row[f"probability of {name}"]) for name in EMOTIONS] for row in rows]
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, atol=1e-5)
    for script in (FINETUNE, BASELINE):
        assert_refused(
            call(script, *where, "--label", "emotion", "--threshold", 1), "has-classes", "--threshold", "negative"
        )
        assert_refused(call(script, *where, "--label", "four"), "has-labels", "emotion")


def test_a_class_that_nobody_has_seen(tmp_path):
    """The highest class does not occur, or only in the test fold: probabilities have a column for it."""
    data = data_of(
        tmp_path / "data", n_trials=4, values=[0, 1, 0, 1], ratings=["emotion"], classes={"emotion": EMOTIONS}
    )
    flags = ["--data-dir", data, "--run-dir", tmp_path / "run", "--label", "emotion", "--folds", 0]
    done(BASELINE, *flags)
    done(FINETUNE, *flags, "--init", "random", "--epochs", 1, "--embed-dim-1s", 8, "--embed-dim-5s", 8)
    for name in ("baseline_emotion_nearest", "finetune_emotion_random"):
        assert np.shape(metrics(tmp_path / "run" / name)["folds"][0]["confusion"]) == (3, 3)


def test_four_needs_numbers(tmp_path):
    classes = {"arousal": ["low", "high"]}
    names = ["arousal", "valence"]
    data = data_of(
        tmp_path / "data", values=[0, 1] * 3, ratings=names, classes=classes, rating_range=(0, 9), threshold=1
    )
    outcome = call(BASELINE, "--data-dir", data, "--run-dir", tmp_path / "run", "--label", "four")
    assert_refused(outcome, "has-labels", "--label four", "arousal, valence")
    assert not (tmp_path / "run").exists()
    made = open_prepared(data)
    assert made.labels("arousal")[1] == ["low", "high"]
    assert made.labels("valence")[1] == ["low valence", "high valence"]


def test_classes_are_checked_when_a_folder_is_opened(tmp_path):
    data = data_of(tmp_path / "data", values=[0, 1] * 3, ratings=["emotion"], classes={"emotion": EMOTIONS})
    path = data / "dataset.json"
    info = json.loads(path.read_text())
    for classes, part in (
        ({"emotion": "ab"}, ["must-be-list-names", "classes of 'emotion'"]),
        ({"emotion": ["a", "a"]}, ["has-no-valid", "description (classes of 'emotion"]),
    ):
        changed = info | {"classes": classes}
        path.write_text(json.dumps(changed | {"checksum": checksum_of(changed)}))
        outcome = call(BASELINE, "--data-dir", data, "--run-dir", tmp_path / "run", "--label", "emotion")
        assert_refused(outcome, *part, "dataset.json")


def test_folders_of_before_there_were_classes_open(tmp_path):
    data = data_of(tmp_path / "data", **SCALE)
    path = data / "dataset.json"
    info = json.loads(path.read_text())
    del info["classes"]
    path.write_text(json.dumps(info | {"checksum": checksum_of(info)}))
    done(BASELINE, "--data-dir", data, "--run-dir", tmp_path / "run", "--models", "lda")


@pytest.mark.parametrize(
    ("values", "warned"),
    [
        ([-1, 0, 1] * 2, "-1 low, 0, 1 high"),
        ([0, 1, 2, 3, 4, 0], "0, 1 low, 2, 3, 4 high"),
        ([2, 8] * 3, ""),
        ([1, 2, 3, 4, 5, 6], ""),
        ([1.5, 2.25, 3, 7, 8, 8.5], ""),
    ],
    ids=str,
)
def test_numbers_that_may_be_classes_are_warned_about(tmp_path, values, warned):
    scale = dict(rating_range=(-1, 9), threshold={-1: 0, 0: 2}.get(values[0], 5))
    data = data_of(tmp_path / "data", values=values, **scale)
    outcome = call(BASELINE, "--data-dir", data, "--run-dir", tmp_path / "run", "--models", "lda")
    assert outcome.status == 0, outcome.err
    lines = lines_of(outcome.err, "values-cut-two-low")
    assert len(lines) == bool(warned), outcome.err
    assert all(warned in line and len(line) < 300 for line in lines)


# --- names of ratings


NAMES = ["a/b", "..", "a b", "a-b", "Erregung é", "興奮", "x" * 180, "a:b*?", "-rf", "arousal", "arousal_lda", "$x$"]


def test_names_of_ratings_make_safe_folders(tmp_path):
    data = data_of(tmp_path / "data", ratings=NAMES, **SCALE)
    where = [
        "--data-dir",
        data,
        "--run-dir",
        tmp_path / "run",
        "--folds",
        0,
        "--models",
        "lda",
        "--standardise",
        "none",
    ]
    folders = {}
    for name in NAMES:
        done(BASELINE, *where, f"--label={name}")
        new = {path.name for path in (tmp_path / "run").iterdir() if path.is_dir()} - set(folders.values())
        assert len(new) == 1, name
        folders[name] = new.pop()
        assert re.fullmatch(r"baseline_[A-Za-z0-9_+.-]{1,60}_lda", folders[name])
        assert metrics(tmp_path / "run" / folders[name])["label"] == name
    assert folders["arousal"] == "baseline_arousal_lda"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "run"]
    out = done("Fine_tuning/report.py", "--run-dir", tmp_path / "run")
    assert all(folder in out for folder in folders.values())
    assert len(list((tmp_path / "run" / "figures").rglob("*.png"))) == len(NAMES)
    runs = [tmp_path / "run" / folders[name] for name in ("a/b", "a b")]
    assert_refused(call("Fine_tuning/compare_runs.py", *runs, "--out-dir", tmp_path), "differ-their-2", "label")


def test_fine_tuning_finds_the_results_of_an_odd_name(tmp_path):
    data = data_of(tmp_path / "data", ratings=["a/b", "a b"], **SCALE)
    flags = ["--data-dir", data, "--run-dir", tmp_path / "run", "--folds", 0, "--init", "random", "--epochs", 1]
    flags += ["--embed-dim-1s", 8, "--embed-dim-5s", 8]
    done(BASELINE, *flags[:6], "--label", "a/b", "--models", "lda", "--standardise", "none")
    done(BASELINE, *flags[:6], "--label", "a b", "--models", "lda", "--standardise", "none")
    out = done(FINETUNE, *flags, "--label", "a/b")
    assert out.count("to compare with: baseline_a-b-") == 1
    assert "fold 0: complete" in done(FINETUNE, *flags, "--label", "a/b")
    done(FINETUNE, *flags, "--label", "a b")
    assert len(list((tmp_path / "run").glob("finetune_*"))) == 2


# --- one modality


@pytest.mark.parametrize("recipe", ["paper", "robust"])
@pytest.mark.parametrize("there", ["eeg", "pps"])
def test_modalities_follow_from_the_data(tmp_path, there, recipe):
    sizes = dict(eeg=3, pps=0) if there == "eeg" else dict(eeg=0, pps=2)
    data, other = data_of(tmp_path / "data", **sizes, **SCALE), {"eeg": "pps", "pps": "eeg"}[there]
    where = ["--data-dir", data, "--run-dir", tmp_path / "run"]
    for script in (*PRETRAIN, FINETUNE, BASELINE):
        wanted = ["--recipe", recipe] if script != BASELINE else []
        for asked in ("eeg+pps", other):
            outcome = call(script, *where, *wanted, "--modalities", asked)
            assert_refused(outcome, "has-no-channels", other.upper(), f"--modalities {there}")
    assert not (tmp_path / "run").exists()
    for script in PRETRAIN:
        out = done(script, *where, "--folds", 0, "--recipe", recipe, "--epochs", 1, *TINY)
    assert "--pretrain-variant" not in out.splitlines()[-1]
    done(FINETUNE, *where, "--folds", 0, "--epochs", 1)
    done(BASELINE, *where, "--folds", 0, "--models", "lda")
    run = tmp_path / "run"
    assert metrics(run / "finetune_arousal")["settings"]["MODALITIES"] == there
    assert metrics(run / "baseline_arousal_lda")["settings"]["MODALITIES"] == there
    done("Fine_tuning/report.py", "--run-dir", run)
    checkpoint = run / "pretrain_5s" / "fold_00" / "checkpoint.pt"
    flags = ["--checkpoint", checkpoint, "--data-dir", data]
    done("Fine_tuning/extract_features.py", *flags, "--out-file", tmp_path / "f.npz")
    refused = call("Fine_tuning/extract_features.py", *flags, "--modality", other, "--out-file", tmp_path / "g.npz")
    assert_refused(refused, "holds-no-encoder", other)
    model = run / "finetune_arousal" / "fold_00" / "model.pt"
    array = np.random.default_rng(1).standard_normal((2, 3 if there == "eeg" else 2, 160))
    names = ["Fp1", "Cz", "Pz"] if there == "eeg" else ["GSR", "PPG"]
    np.savez(tmp_path / "in.npz", **{there: array, f"{there}_channels": names}, sampling_rate=16)
    done(PREDICT, "--model", model, "--input", tmp_path / "in.npz", "--out-file", tmp_path / "p.csv")
    shutil.copytree(data, tmp_path / "copy")
    done(PREDICT, "--model", model, "--input", tmp_path / "copy", "--out-file", tmp_path / "q.csv")
    np.savez(tmp_path / "no.npz", **{other: array, f"{other}_channels": names}, sampling_rate=16)
    refused = call(PREDICT, "--model", model, "--input", tmp_path / "no.npz", "--out-file", tmp_path / "r.csv")
    assert_refused(refused, "lacks-channels-which-model", there)


# --- slow sensors


@pytest.mark.parametrize("rate", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("recipe", ["paper", "robust"])
def test_slow_sensors_run(tmp_path, rate, recipe):
    data = data_of(tmp_path / "data", rate=rate, eeg=0, pps=2, pps_normalise="none", **SCALE)
    where = ["--data-dir", data, "--run-dir", tmp_path / "run", "--folds", 0]
    for script in PRETRAIN:
        done(script, *where, "--recipe", recipe, "--epochs", 1, "--projector-dims", "8,8,8")
        log = (tmp_path / "run" / f"pretrain_{script[14:16]}" / "fold_00" / "log.jsonl").read_text()
        assert np.isfinite(json.loads(log.splitlines()[-1])["loss"])
    done(FINETUNE, *where, "--epochs", 1)
    done(BASELINE, *where, "--models", "lda")
    model = tmp_path / "run" / "finetune_arousal" / "fold_00" / "model.pt"
    done(PREDICT, "--model", model, "--input", data, "--out-file", tmp_path / "p.csv")
    assert "nan" not in (tmp_path / "p.csv").read_text()


@pytest.mark.parametrize("rate", [1, 4])
def test_slow_eeg_runs_or_is_refused_in_words(tmp_path, rate):
    data = data_of(tmp_path / "data", rate=rate, **SCALE)
    where = ["--data-dir", data, "--run-dir", tmp_path / "run"]
    assert_refused(call(BASELINE, *where), "has-eeg-hz-which", f"{rate} Hz", "--modalities")
    outcome = call(PRETRAIN[0], *where, "--folds", 0, "--recipe", "robust", "--epochs", 1, *TINY)
    if rate == 1:
        assert_refused(
            outcome, "has-eeg-hz-which-no", "--front-end bandpower", "1 Hz", "--front-end", "or --modalities pps"
        )
        done(PRETRAIN[0], *where, "--folds", 0, "--epochs", 1, "--projector-dims", "8,8,8")
    else:
        assert outcome.status == 0, outcome.err
