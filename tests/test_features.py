"""Features of blocks: no band sees a level, a trend or an offset; files from before are computed as they were."""

import csv
import json

import numpy as np
import pytest
from scipy.signal import detrend

from data_prep import write_prepared
from tests.support import TINY, assert_refused, call, done
from utils.inputs.features import BANDS, SLOW, bins_of, features_of, log_band_power, statistics
from utils.pretraining.checkpoints import load_tensors, save_tensors

RATE = 64
RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal((500, 2, RATE))  # blocks, channels, samples


def by_numpy(x, first_version=False):
    """The formula in NumPy, double precision."""
    x = np.asarray(x, np.float64)
    windowed = (x if first_version else detrend(x, axis=-1)) * np.hanning(x.shape[-1])
    power = np.abs(np.fft.rfft(windowed)) ** 2
    bins = [chosen.numpy() for chosen in bins_of(x.shape[-1], RATE, BANDS)]
    return np.log(np.stack([power[..., chosen].mean(-1) for chosen in bins], -1) + 1e-6)


@pytest.mark.parametrize("first_version", [False, True])
def test_the_same_as_in_numpy(first_version):
    x = (3 * NOISE + 50 + 20 * np.linspace(0, 1, RATE)).astype("f4")
    ours = log_band_power(x, RATE, BANDS, first_version).numpy()
    np.testing.assert_allclose(ours, by_numpy(x, first_version), atol=1e-5)
    pps = features_of(x, RATE, "pps", first_version).numpy()
    x = x.astype("f8")
    slope = [np.polyfit(np.arange(RATE) / RATE, block, 1)[0] for block in x.reshape(-1, RATE)]
    step = np.abs(np.diff(x)).mean(-1) * RATE
    slow = [x.mean(-1), np.reshape(slope, x.shape[:2]), np.log(x.std(-1) + 1e-6), np.log(step + 1e-6)]
    np.testing.assert_allclose(pps[..., : len(SLOW)], np.stack(slow, -1), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(pps[..., len(SLOW) :], ours)


@pytest.mark.parametrize("modality", ["eeg", "pps"])
@pytest.mark.parametrize("offset", [5.0, -300.0, 2e5])  # uS; an amplifier's in uV, and one without a high-pass filter
def test_no_band_sees_an_offset_or_a_trend(modality, offset):
    """A slow signal whose level and slope change: its bands are those of its noise; the level is one feature only."""
    level = offset * RNG.uniform(0.5, 1.5, (500, 1, 1))
    trend = abs(offset) * 1e-3 * RNG.standard_normal((500, 1, 1)) * np.linspace(0, 1, RATE)
    noise, slow = (features_of(x, RATE, modality).numpy() for x in (NOISE, NOISE + level + trend))
    bands = slice(-len(BANDS), None)
    np.testing.assert_allclose(slow[..., bands], noise[..., bands], atol=1e-4)
    level = np.log(np.square(level + np.zeros((1, 2, 1)))).ravel()
    follows = [abs(np.corrcoef(level, feature.ravel())[0, 1]) for feature in np.moveaxis(slow, -1, 0)]
    if modality == "pps":
        assert follows[SLOW.index("mean")] > 0.9  # the level is a feature of its own, once
        del follows[SLOW.index("mean")]
    assert max(follows) < 0.15


def test_statistics_hold_the_level_once():
    windows = NOISE[:, :, :40] + 100 * RNG.uniform(0.5, 1.5, (500, 1, 1))
    values = statistics(windows, 8).numpy().reshape(500, 6, 2)
    follows = [abs(np.corrcoef(values[:, 0, 0], values[:, number, 0])[0, 1]) for number in range(6)]
    assert max(follows[1:]) < 0.15
    np.testing.assert_allclose(values[:, 0] + values[:, 3], windows.max(-1), rtol=1e-5)


def test_a_sensor_that_moves_in_steps():
    """A quantised sensor at rest says nothing: slope 0, the smallest power; a step is a slope, not power in a band."""
    still = np.full((1, 1, RATE), 33.21)
    moved = still + 0.02 * (np.arange(RATE) >= RATE // 2)
    at_rest, step = (features_of(x, RATE, "pps")[0, 0].numpy() for x in (still, moved))
    assert abs(at_rest[SLOW.index("slope")]) < 1e-9
    np.testing.assert_allclose(at_rest[2:], np.log(1e-6), atol=1e-3)
    assert step[SLOW.index("slope")] == pytest.approx(0.02 * 1.5, rel=0.01)
    assert (step[-len(BANDS) + 1 :] < step[-len(BANDS)]).all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four people whose skin conductance has an offset, as recorded."""
    folder = tmp_path_factory.mktemp("features")

    def people():
        for number in range(4):
            pps = 5 + number + RNG.standard_normal((4, 1, 320)).cumsum(-1) / 50
            ratings = RNG.permutation([[2.0], [2.0], [8.0], [8.0]])
            yield {"id": f"p{number}", "eeg": RNG.standard_normal((4, 4, 320)), "pps": pps, "ratings": ratings}

    names = dict(eeg_channels=list("abcd"), pps_channels=["GSR"], ratings=["arousal"], rating_range=[1, 9], threshold=5)
    write_prepared(folder / "data", people(), name="X", sampling_rate=32, pps_normalise="none", **names)
    return folder


def test_a_run_of_before_is_computed_as_it_was(folder, tmp_path):
    """Files of before record no version of their features: result, prediction, fine-tuning and baseline know it."""
    where = ["--data-dir", folder / "data", "--run-dir", tmp_path]
    pretrain = [*where, "--split", "trial", "--n-folds", 2, "--recipe", "robust", "--epochs", 1, *TINY]
    for window in ("1s", "5s"):
        done(f"main_pretrain_{window}.py", *pretrain, "--front-end", "bandpower-v1")
    done("Fine_tuning/fine_tuning.py", *where, "--epochs", 1)
    done("Fine_tuning/baseline.py", *where, "--models", "lda", "--standardise", "none")
    for path in [*tmp_path.glob("pretrain_*/fold_*/checkpoint.pt"), *tmp_path.glob("finetune_*/fold_*/model.pt")]:
        made = load_tensors(path, "")
        del made["features"]
        made["settings"]["FRONT_END"] = "bandpower"  # as it was called then
        save_tensors(path, made)
    for path in tmp_path.glob("*/metrics.json"):
        result = json.loads(path.read_text())
        del result["features"]
        path.write_text(json.dumps(result))
    before = (tmp_path / "finetune_arousal" / "predictions.csv").read_text()
    assert "fold 1: complete" in done("Fine_tuning/fine_tuning.py", *where, "--epochs", 1)
    assert (tmp_path / "finetune_arousal" / "predictions.csv").read_text() == before
    assert json.loads((tmp_path / "finetune_arousal" / "metrics.json").read_text())["features"] == 1
    done("Fine_tuning/fine_tuning.py", *where, "--epochs", 1, "--tag", "again")
    assert (tmp_path / "finetune_arousal_again" / "predictions.csv").read_text() == before
    model = tmp_path / "finetune_arousal" / "fold_00" / "model.pt"
    for front_end in ("bandpower-v1", "bandpower"):  # a model of before, and what it would be with today's features
        out = tmp_path / f"{front_end}.csv"
        made = load_tensors(model, "")
        if front_end == "bandpower":
            save_tensors(model, made | {"features": 2})
        done("Fine_tuning/predict.py", "--model", model, "--input", folder / "data", "--out-file", out)
    old, new = (
        np.array([float(row["probability of high arousal"]) for row in csv.DictReader(text.splitlines())])
        for text in ((tmp_path / f"{name}.csv").read_text() for name in ("bandpower-v1", "bandpower"))
    )
    assert abs(old - new).max() > 1e-4
    again = call("main_pretrain_5s.py", *pretrain[:-6], "--epochs", 1, *TINY)
    assert_refused(again, "made-with-not", "FRONT_END", "bandpower-v1", "bandpower")
    assert "complete" in done("main_pretrain_5s.py", *pretrain, "--front-end", "bandpower-v1")
    assert_refused(
        call("Fine_tuning/baseline.py", *where, "--models", "lda", "--standardise", "none"), "made-with-not", "features"
    )
