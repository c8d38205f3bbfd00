"""The band-power front end and the robust recipe: no labels, no test windows, the same road as the raw samples."""

import csv
import json

import numpy as np
import pytest
import torch

from data_prep import open_prepared
from models import Encoder
from tests.support import assert_refused, call, done
from utils.inputs.features import BANDS, block_features, block_width, log_band_power
from utils.inputs.front_end import shared_filters
from utils.inputs.normalise import standardise
from utils.inputs.recordings import Recordings
from utils.pretraining import resolve
from utils.protocol import splits

RATE = 128


def test_power_lands_in_its_band():
    seconds = np.arange(RATE) / RATE
    for number, (low, high) in enumerate(BANDS.values()):
        power = log_band_power(np.sin(2 * np.pi * (low + high) / 2 * seconds), RATE, BANDS)
        assert power.argmax() == number
        louder = log_band_power(3 * np.sin(2 * np.pi * (low + high) / 2 * seconds), RATE, BANDS)
        assert louder[number] - power[number] == pytest.approx(np.log(9), abs=1e-4)


@pytest.mark.parametrize("rate", [16, 50, 128, 256])
@pytest.mark.parametrize("modality", ["eeg", "pps"])
def test_width_of_a_block(rate, modality):
    blocks = np.random.default_rng(0).standard_normal((2, 3, 4, 5, rate)).astype(np.float32)
    features = block_features(blocks, rate, modality)
    assert features.shape == (2, 3, 4, 5, block_width("bandpower", rate, modality))
    assert np.isfinite(features).all()
    assert block_width("raw", rate, modality) == rate


def test_standardised_with_training_seconds_only():
    rng = np.random.default_rng(1)
    features = rng.normal(3, 2, (3, 4, 6, 2, 5)).astype(np.float32)
    features[:, :, :, 1, 2] = -7  # a dead channel
    training = np.zeros((3, 4, 6), bool)
    training[:2, :3] = True
    out = standardise(features, training).numpy()
    assert abs(out[0, :3].mean(axis=(0, 1))).max() < 1e-5
    assert (out[..., 1, 2] == 0).all()
    assert abs(out[2].mean(axis=(0, 1))).max() < 1e-5  # nothing of this person was seen: by their own
    changed = features.copy()
    changed[:2, 3] += 100  # what is not training must not matter to the others
    again = standardise(changed, training).numpy()
    np.testing.assert_array_equal(again[:, :3], out[:, :3])
    assert abs(again).max() <= 5


def test_filters_find_what_people_share():
    """One direction of twenty is shared; its signal to noise is 1 to 9 in variance."""
    rng = np.random.default_rng(2)
    direction = rng.standard_normal(20)
    direction /= np.linalg.norm(direction)
    course = rng.standard_normal(200)
    x = 3 * rng.standard_normal((8, 200, 20)) + course[None, :, None] * direction
    y = x @ shared_filters(x, 4)
    assert np.square(y).mean() == pytest.approx(np.square(x).mean(), rel=1e-3)
    strongest = y[:, :, np.square(y).mean(axis=(0, 1)).argmax()]
    between = [np.corrcoef(strongest[i], strongest[j])[0, 1] for i in range(8) for j in range(i)]
    plain = [np.corrcoef(x[i] @ direction, x[j] @ direction)[0, 1] for i in range(8) for j in range(i)]
    assert abs(np.mean(between)) > 0.7 * np.mean(plain) > 0.05
    np.testing.assert_array_equal(shared_filters(x[:1], 4), np.eye(20, dtype=np.float32))
    np.testing.assert_array_equal(shared_filters(np.zeros((3, 5, 4)), 4), np.eye(4, dtype=np.float32))


def test_filters_leave_gains_of_electrodes_out():
    """What moves all bands of an electrode alike weighs less, even if people seem to share it; what does not, stays."""
    rng = np.random.default_rng(3)
    n_electrodes, n_bands = 6, 4
    x = rng.standard_normal((8, 100, n_electrodes, n_bands))
    gain, tilt = rng.standard_normal((2, 100))  # of the first electrode and of the second, shared
    x[:, :, 0] += gain[None, :, None]
    x[:, :, 1] += tilt[None, :, None] * np.array([1, -1, 1, -1])
    windows = x.reshape(8, 100, -1)

    def kept(pattern, filters):
        return np.linalg.norm(pattern.ravel() @ filters)

    gains, tilts = np.zeros((2, n_electrodes, n_bands))
    gains[0], tilts[1] = 0.5, [0.5, -0.5, 0.5, -0.5]
    blind, aware = shared_filters(windows, 4), shared_filters(windows, 4, n_electrodes)
    assert kept(gains, blind) == pytest.approx(kept(tilts, blind), rel=0.2)
    assert kept(gains, aware) < 0.6 * kept(tilts, aware)


def test_filters_act_on_every_block():
    torch.manual_seed(0)
    encoder = Encoder(3, 10, embed_dim=8, projector_dims=(4, 4, 4), block_samples=2).eval()
    x = torch.randn(6, 3, 10)
    before = encoder(x)
    shuffled = torch.randperm(6)
    encoder.front_end.filters.copy_(torch.eye(6)[shuffled])
    weight = encoder.embedding.linear.weight.data.unflatten(1, (5, 6))
    assert not torch.allclose(encoder(x), before, atol=1e-3)
    encoder.embedding.linear.weight.data = weight[:, :, shuffled.argsort()].flatten(1)
    assert torch.allclose(encoder(x), before, atol=1e-6)
    assert "front_end.filters" in encoder.state_dict()


def test_seconds_and_labels_of_the_training_part(prepared, tmp_path):
    data = open_prepared(prepared)
    fold = splits.Fold(
        0,
        splits.Part(np.array([0, 2]), {"1s": np.arange(5), "5s": np.array([0, 1, 5])}),
        splits.Part(np.array([1]), {"1s": np.arange(5), "5s": np.array([2])}),
    )
    seconds = splits.training_seconds(fold, data.eeg.shape[:3])  # 4 trials of 12 s: two windows each, 2 s left over
    assert seconds.sum() == 2 * 3 * 5
    assert seconds[0, 0, :10].all()
    assert not seconds[0, 0, 10:].any()
    assert seconds[2, 2].tolist() == [False] * 5 + [True] * 5 + [False] * 2
    windows = splits.windows_of(np.arange(4), np.arange(8), 2)
    some, more = (splits.labelled(windows, fraction, 3) for fraction in (0.25, 0.5))
    assert len(some) == 8
    assert len(more) == 16
    assert {tuple(w) for w in some} < {tuple(w) for w in more}
    assert len(np.unique(some[:, :2], axis=0)) == 4  # whole trials
    assert (splits.labelled(windows, 1, 3) == windows).all()
    assert not np.array_equal(splits.labelled(windows, 0.25, 4), some)


@pytest.fixture(scope="module")
def robust(prepared, tmp_path_factory):
    """A run directory of the robust recipe, across subjects."""
    run_dir = tmp_path_factory.mktemp("robust")
    where = ["--data-dir", prepared, "--run-dir", run_dir, "--split", "subject", "--recipe", "robust"]
    for script in ("main_pretrain_1s.py", "main_pretrain_5s.py"):
        done(script, *where, "--protocol", "cross-subject", "--n-folds", 2)
    return run_dir


def test_the_road_of_the_robust_recipe(robust, prepared, tmp_path):
    where = ["--data-dir", prepared, "--run-dir", robust]
    out = done("Fine_tuning/fine_tuning.py", *where)
    assert "recipe robust" in out
    assert "test people's signals were standardised with their own, unlabelled" in out
    metrics = json.loads((robust / "finetune_arousal" / "metrics.json").read_text())
    assert metrics["transductive"] is True
    assert metrics["settings"]["FRONT_END"] == "bandpower"
    assert metrics["settings"]["EMBED_DIM_1S"] == 32
    assert metrics["settings"]["EPOCHS"] == 9
    assert "fold 0: complete" in done("Fine_tuning/fine_tuning.py", *where)
    entry = torch.load(robust / "pretrain_5s" / "fold_00" / "checkpoint.pt", weights_only=True)["encoders"]["eeg"]
    assert not torch.equal(entry["weights"]["front_end.filters"], torch.eye(32 * 5))
    out = done("Fine_tuning/fine_tuning.py", *where, "--init", "random", "--label-fraction", 0.5)
    fraction = json.loads((robust / "finetune_arousal_random_labels-0.5" / "metrics.json").read_text())
    assert 2 * fraction["folds"][0]["n_train"] == metrics["folds"][0]["n_train"]
    done("Fine_tuning/baseline.py", *where, "--models", "lda", "--standardise", "subject", "--label-fraction", 0.5)
    baseline = json.loads((robust / "baseline_arousal_lda_standardised_labels-0.5" / "metrics.json").read_text())
    assert baseline["transductive"] is True
    assert baseline["folds"][0]["n_train"] == fraction["folds"][0]["n_train"]
    features = tmp_path / "features.npz"
    checkpoint = robust / "pretrain_1s" / "fold_00" / "checkpoint.pt"
    done("Fine_tuning/extract_features.py", "--checkpoint", checkpoint, "--data-dir", prepared, "--out-file", features)
    with np.load(features) as file:
        assert file["features"].shape == (4 * 4 * 12, 4 * 32)
    done("Fine_tuning/report.py", "--run-dir", robust)
    assert_refused(
        call("Fine_tuning/fine_tuning.py", *where, "--front-end", "raw"),
        "trained-with-not-leave",
        "--front-end bandpower",
        "raw",
    )


def test_prediction_is_that_of_the_test(robust, prepared, tmp_path):
    """A test person across subjects is standardised with all of their own signals, in the test and in prediction."""
    where = ["--data-dir", prepared, "--run-dir", robust]
    done("Fine_tuning/fine_tuning.py", *where, "--folds", 0)
    out = tmp_path / "all.csv"
    model = robust / "finetune_arousal" / "fold_00" / "model.pt"
    done("Fine_tuning/predict.py", "--model", model, "--input", prepared, "--out-file", out)
    with open(out) as file:
        predicted = {(r["subject"], r["trial"], int(r["start_second"]) // 5): r for r in csv.DictReader(file)}
    with open(robust / "finetune_arousal" / "predictions.csv") as file:
        tested = [row for row in csv.DictReader(file) if row["fold"] == "0"]
    assert len(tested) == 2 * 4 * 2
    for row in tested:
        other = predicted[row["subject"], row["trial"], int(row["window"])]
        name = "probability of high arousal"
        assert float(row[name]) == pytest.approx(float(other[name]), abs=1e-4)


def test_filters_of_a_fold(robust, prepared):
    """The filters come from the training people's signals alone, and nothing but signals goes into them."""
    entry = torch.load(robust / "pretrain_5s" / "fold_00" / "checkpoint.pt", weights_only=True)
    data = open_prepared(prepared)
    trained = entry["trained_on"]["subjects"].tolist()
    recordings = Recordings(data, ["eeg"], [], torch.device("cpu"), "bandpower")
    mask = np.zeros(data.eeg.shape[:3], bool)
    mask[trained, :, :10] = True
    x = recordings.standardised(mask).blocks["eeg"].numpy()[trained][:, :, :10]
    windows = x.reshape(len(trained), 4 * 2, 5, -1).mean(axis=2)
    expected = shared_filters(windows, entry["settings"]["SUBJECTS_PER_GROUP"], data.eeg.shape[3])
    np.testing.assert_allclose(entry["encoders"]["eeg"]["weights"]["front_end.filters"].numpy(), expected, atol=1e-4)


def test_fine_tuning_takes_as_many_epochs_as_are_enough_steps():
    """What small data need, and a third or less of it for large data."""
    assert resolve.enough_epochs(9, 768, 64) == 9  # 12 steps each, as where the recipe was chosen
    assert resolve.enough_epochs(9, 3094, 64) == 3
    assert resolve.enough_epochs(9, 13824, 64) == 2
    assert resolve.enough_epochs(1, 13824, 64) == 1
    assert resolve.enough_epochs(9, 10, 64) == 9


def test_positives_by_augmentation_use_nothing_that_people_share(prepared, tmp_path):
    where = ["--data-dir", prepared, "--run-dir", tmp_path, "--folds", 0, "--recipe", "robust", "--epochs", 1]
    done("main_pretrain_5s.py", *where, "--positives", "augmentation")
    path = tmp_path / "pretrain_5s_augmentation" / "fold_00" / "checkpoint.pt"
    encoders = torch.load(path, weights_only=True)["encoders"]
    assert all(
        torch.equal(e["weights"]["front_end.filters"], torch.eye(len(e["weights"]["front_end.filters"])))
        for e in encoders.values()
    )


def test_a_missing_second_is_no_signal():
    """A channel that is 0 throughout a second does not become the lowest power that there is."""
    x = np.random.default_rng(0).standard_normal((2, 4, 10, 3, RATE)).astype("f4")
    x[0, 1, 3, 2] = 0
    x[1, :, :, 0] = 0
    for modality in ("eeg", "pps"):
        out = standardise(block_features(x, RATE, modality), np.ones((2, 4, 10), bool)).numpy()
        assert np.isfinite(out).all()
        assert not out[0, 1, 3, 2].any()
        assert not out[1, :, :, 0].any()
        others = np.delete(out[0, :, :, 2].reshape(40, -1), 13, axis=0)
        np.testing.assert_allclose(others.mean(axis=0), 0, atol=0.05)  # but for what is clipped
        np.testing.assert_allclose(others.std(axis=0), 1, atol=0.05)


def test_features_in_any_unit():
    """Skin conductance in siemens: its mean and slope are no less a signal than in microsiemens."""
    x = np.random.default_rng(0).normal(5, 0.1, (1, 4, 10, 1, RATE))
    features = [block_features(x * unit, RATE, "pps")[..., :2] for unit in (1.0, 1e-6)]
    one, other = (standardise(part, np.ones((1, 4, 10), bool)).numpy() for part in features)
    np.testing.assert_allclose(one, other, atol=1e-2)
