"""Folds, the manifest, the audit."""

import json

import numpy as np
import pytest

from data_prep import open_prepared
from tests.support import refused
from utils.base.rules import ALL_SPLITS, RULES
from utils.base.settings import Settings
from utils.protocol import audit, splits
from utils.protocol.held_out import FOLDS


def settings(run_dir, **changes):
    return Settings(**{**dict(RUN_DIR=run_dir, PROTOCOL=None, SPLIT=None, N_FOLDS=None, SEED=0), **changes})


@pytest.fixture
def data(prepared):
    return open_prepared(prepared)


@pytest.mark.parametrize(("split", "n_folds", "expected"), [("trial", None, 4), ("trial", 3, 3), ("window", None, 8)])
def test_folds_partition_the_windows(tmp_path, data, split, n_folds, expected):
    manifest = splits.load_or_create(settings(tmp_path, SPLIT=split, N_FOLDS=n_folds), data)
    assert len(manifest.folds) == expected
    tested = np.concatenate([fold.test.rows["5s"] for fold in manifest.folds])
    assert sorted(tested) == list(range(4 * 2))  # 4 trials of 12 s have 2 windows each
    for fold in manifest.folds:
        for resolution, n in (("5s", 8), ("1s", 4 * 12)):
            train, test = (set(part.rows[resolution]) for part in (fold.train, fold.test))
            assert not train & test
            assert train | test <= set(range(n))
        for part in (fold.train, fold.test):
            assert part.subjects.tolist() == [0, 1, 2, 3]
            seconds = part.rows["1s"] // 12 * 2 + part.rows["1s"] % 12 // 5  # the 5 s window around each second
            assert (part.rows["1s"] % 12 < 10).all()
            assert sorted(set(seconds)) == sorted(part.rows["5s"])
            assert len(part.rows["1s"]) == 5 * len(part.rows["5s"])
        if split == "trial":
            assert not set(fold.train.rows["5s"] // 2) & set(fold.test.rows["5s"] // 2)


def test_manifest_is_kept_and_depends_on_the_seed(tmp_path, data):
    first = splits.load_or_create(settings(tmp_path / "a"), data)
    assert splits.load_or_create(settings(tmp_path / "a", SEED=1), data).hash == first.hash  # written once
    assert splits.load_or_create(settings(tmp_path / "b"), data).hash == first.hash
    other = splits.load_or_create(settings(tmp_path / "c", SEED=1, SPLIT="window"), data)
    assert other.hash != first.hash
    orders = {
        str([fold.test.rows["5s"].tolist() for fold in manifest.folds])
        for seed in range(5)
        for manifest in [splits.load_or_create(settings(tmp_path / f"s{seed}", SEED=seed), data)]
    }
    assert len(orders) > 1


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        (dict(SPLIT="window"), ["made-with-not", "SPLIT", "trial", "window"]),
        (dict(N_FOLDS=3), ["made-with-not", "N_FOLDS", "4", "3"]),
        (dict(SPLIT="trial", N_FOLDS=4), None),
    ],
)
def test_other_settings_than_the_run_directory_has(tmp_path, data, changes, part):
    splits.load_or_create(settings(tmp_path), data)
    (tmp_path / "pretrain_1s").mkdir()  # something was done with it
    if part is None:
        splits.load_or_create(settings(tmp_path, **changes), data)
    else:
        with refused(*part):
            splits.load_or_create(settings(tmp_path, **changes), data)


def test_every_split_that_may_be_asked_for_has_a_function():
    assert set(FOLDS) == set(ALL_SPLITS) == set(RULES["SPLIT"].choices)


def test_too_many_folds(tmp_path, data):
    with refused("more-than-to-hold", "--n-folds 5", "4 trials"):
        splits.load_or_create(settings(tmp_path, N_FOLDS=5), data)
    assert list(tmp_path.iterdir()) == []


def test_edited_manifest(tmp_path, data):
    splits.load_or_create(settings(tmp_path), data)
    path = tmp_path / "split.json"
    content = json.loads(path.read_text())
    content["folds"][0]["test"]["rows"]["5s"][0] += 1
    path.write_text(json.dumps(content))
    with refused("edited-or-damaged-hash"):
        splits.load_or_create(settings(tmp_path), data)


@pytest.mark.parametrize("rows", [[], [0, 0], [-1], [8], [0.5], "0", [[0]], [True], None, {}])
def test_manifest_with_a_valid_hash_but_senseless_rows(tmp_path, data, rows):
    splits.load_or_create(settings(tmp_path), data)
    path = tmp_path / "split.json"
    content = json.loads(path.read_text())
    content["folds"][0]["train"]["rows"]["5s"] = rows
    content["hash"] = splits._hash(content)
    path.write_text(json.dumps(content))
    with refused("does-not-describe-folds-this"):
        splits.load_or_create(settings(tmp_path), data)


def test_unknown_folds(tmp_path, data):
    manifest = splits.load_or_create(settings(tmp_path), data)
    assert splits.choose_folds(manifest, []) == manifest.folds
    assert [fold.index for fold in splits.choose_folds(manifest, [2, 0])] == [2, 0]
    with refused("folds-to", "--folds 4,9", "to 3"):
        splits.choose_folds(manifest, [4, 0, 9])


def test_audit_counts_what_was_planted():
    test = splits.windows_of(np.array([0, 1]), np.array([0, 1, 2, 3]), 2)  # 2 subjects x 2 trials x 2 windows
    nothing = np.zeros((0, 3), int)
    assert audit.count(test, nothing) == {"window": 0, "trial": 0, "subject": 0, "stimulus": 0}
    assert audit.count(test, test) == {"window": 1, "trial": 1, "subject": 1, "stimulus": 1}
    leak = np.array([[0, 0, 1]])  # one window of subject 0, trial 0
    assert audit.count(test, leak) == {"window": 1 / 8, "trial": 2 / 8, "subject": 4 / 8, "stimulus": 4 / 8}
    stranger = np.array([[7, 1, 3]])  # another person at stimulus 1
    assert audit.count(test, stranger) == {"window": 0, "trial": 0, "subject": 0, "stimulus": 4 / 8}


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("window", {"window": 0, "trial": 1, "subject": 1, "stimulus": 1}),
        ("trial", {"window": 0, "trial": 0, "subject": 1, "stimulus": 0}),
    ],
)
def test_audit_of_the_splits(tmp_path, data, split, expected):
    manifest = splits.load_or_create(settings(tmp_path, SPLIT=split), data)
    for fold in manifest.folds:
        test, train = (splits.windows_of(part.subjects, part.rows["5s"], 2) for part in (fold.test, fold.train))
        assert audit.count(test, train) == expected
        train_1s = splits.windows_of(fold.train.subjects, fold.train.rows["1s"], 12)
        assert audit.count(splits.seconds_of(test, 12), train_1s) == expected


def test_audit_in_words():
    clean = {"window": 0, "trial": 0, "subject": 0, "stimulus": 0}
    assert "share no window" in audit.in_words({"classifier": clean, "encoder_1s": None})[0]
    words = " ".join(audit.in_words({"classifier": clean, "encoder_1s": clean | {"trial": 0.5}}))
    assert "recall of the trial, not emotion" in words
    assert "worthless" in " ".join(audit.in_words({"classifier": clean | {"window": 0.1}}))
