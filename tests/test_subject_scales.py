"""PPS_NORMALISE = "subject": over a person's training seconds, in every path that leads to a number."""

import json

import numpy as np
import pytest
import torch

from data_prep import open_prepared, write_prepared
from tests.builders.predictions import table
from tests.support import TINY, call, done, says
from utils.finetuning.baselines import features_by_fold
from utils.inputs.features import statistics
from utils.inputs.normalise import Samples, fit
from utils.inputs.recordings import Recordings

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def subject(raw, tmp_path_factory):
    folder = tmp_path_factory.mktemp("subject") / "data"
    done("data_prep/prepare_deap.py", "--raw-dir", raw, "--out-dir", folder, "--pps-normalise", "subject")
    return folder


def by_hand(own, seen):
    """One person's blocks (trials, seconds, channels, rate) over the seconds that count."""
    known = own[seen]  # (n, channels, rate)
    return (own - known.mean(axis=(0, 2))[:, None]) / known.std(axis=(0, 2))[:, None]


def test_scales_are_those_of_the_training_seconds():
    blocks = RNG.normal(7, 3, (3, 4, 5, 2, 16)).astype("f4")
    training = RNG.random((3, 4, 5)) < 0.6
    training[2] = False  # a test person: all of their own
    mean, deviation = fit(map(Samples.summary, blocks), training)
    for number in range(3):
        seen = training[number] if training[number].any() else ~training[number]
        known = blocks[number][seen].astype("f8")
        np.testing.assert_allclose(mean[number], known.mean(axis=(0, 2)), rtol=1e-5)
        np.testing.assert_allclose(deviation[number], known.std(axis=(0, 2)), rtol=1e-5)
    others = np.where(training[:, :, :, None, None], blocks, 1e6)  # what may not be looked at
    again = fit(map(Samples.summary, others), training)
    assert torch.equal(again[0][:2], mean[:2])
    assert torch.equal(again[1][:2], deviation[:2])


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
def test_levels_stay_missing_seconds_do_not_count_constants_are_zero(scale, tmp_path):
    """Skin conductance in any unit: two trials of different level stay different, unlike with "trial"."""

    def people():
        for number in range(2):
            pps = RNG.normal(5, 0.1, (2, 3, 10 * 32))
            pps[1, 0] += 4  # the level of the second trial
            pps[:, 1] = 33.21  # does not change
            pps[0, 2, 64:96] = 0  # lost for a second
            ratings = [[2.0], [8.0]]
            yield {"id": f"p{number}", "eeg": RNG.standard_normal((2, 4, 320)), "pps": pps * scale, "ratings": ratings}

    names = dict(eeg_channels=list("abcd"), pps_channels=["GSR", "temperature", "PPG"], ratings=["valence"])
    sizes = dict(name="MINE", sampling_rate=32, rating_range=(1, 9), threshold=5)
    write_prepared(tmp_path / "own", people(), **names, **sizes, pps_normalise="subject")
    data = open_prepared(tmp_path / "own")
    recordings = Recordings(data, ["pps"], ["PPG", "GSR", "temperature"], CPU)
    recordings = recordings.standardised(np.ones((2, 2, 10), bool))
    first = torch.arange(20)
    for person in range(2):
        x = recordings.take("pps", torch.full((20,), person), first, 1)[:, 0].numpy()  # (20, 3, 32)
        np.testing.assert_allclose(x[:, 1].mean(), 0, atol=1e-4)
        np.testing.assert_allclose(x[:, 1].std(), 1, rtol=1e-4)
        assert x[10:, 1].mean() - x[:10, 1].mean() > 1.9
        assert not x[:, 2].any()
        assert not x[2, 0].any()
        np.testing.assert_allclose(np.delete(x[:, 0], 2, 0).std(), 1, rtol=1e-4)


def test_samples_that_no_network_sees_are_warned_about(folder_in_siemens, capsys):
    data = open_prepared(folder_in_siemens)
    Recordings(data, ["pps"], ["GSR", "PPG"], CPU)
    said = capsys.readouterr().err
    says(said, "vary-less-than-were", "GSR", "0.001")
    assert "PPG" not in said
    Recordings(data, ["eeg"], [], CPU)
    assert capsys.readouterr().err == ""


@pytest.fixture
def folder_in_siemens(tmp_path):
    """Skin conductance in S as it is, and a pulse in arbitrary units."""
    scale = np.array([1e-6, 100])[:, None]
    people = [
        {"id": f"p{n}", "eeg": RNG.standard_normal((2, 4, 320)), "pps": RNG.standard_normal((2, 2, 320)) * scale}
        | {"ratings": [[2.0], [8.0]]}
        for n in range(2)
    ]
    names = dict(eeg_channels=list("abcd"), pps_channels=["GSR", "PPG"], ratings=["valence"], pps_normalise="none")
    write_prepared(tmp_path / "own", people, name="MINE", sampling_rate=32, rating_range=(1, 9), threshold=5, **names)
    return tmp_path / "own"


@pytest.mark.parametrize("front_end", ["raw", "bandpower"])
def test_windows_of_a_fold(subject, front_end):
    """Batches, with all seconds of a person and with some; a channel by name."""
    data = open_prepared(subject)
    shape = data.pps.shape[:3]
    training = np.ones(shape, bool)
    training[:, 2] = False
    recordings = Recordings(data, ["eeg", "pps"], ["GSR"], CPU, front_end).standardised(training)
    got = recordings.take("pps", torch.tensor([1, 3]), torch.tensor([0, 30]), 5)
    gsr = data.pps[:, :, :, [data.info["pps_channels"].index("GSR")]]
    own = np.stack([by_hand(gsr[number].astype("f8"), training[number]) for number in range(shape[0])])
    if front_end == "raw":
        expected = np.stack([own[1].reshape(-1, 1, 128)[:5], own[3].reshape(-1, 1, 128)[30:35]])
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)
    else:
        assert got.shape[-1] == 9
        assert torch.isfinite(got).all()


def test_statistics_of_the_baselines(subject):
    data = open_prepared(subject)
    from utils.protocol.splits import Fold, Part

    rows = {"5s": np.arange(2), "1s": np.arange(10)}
    fold = Fold(0, Part(np.arange(4), rows), Part(np.arange(4), {"5s": np.arange(2, 8), "1s": np.arange(10, 40)}))
    got = features_by_fold(data, ["pps"], ["GSR"])(fold)
    seen = np.zeros(data.pps.shape[1:3], bool)
    seen[0, :10] = True
    gsr = data.pps[2][:, :, [data.info["pps_channels"].index("GSR")]].astype("f8")
    windows = by_hand(gsr, seen)[:, :10].reshape(4, 2, 5, 1, 128).swapaxes(2, 3).reshape(4, 2, 1, 640)
    np.testing.assert_allclose(got[2], statistics(windows, 128), rtol=1e-3, atol=1e-3)


def test_from_preparation_to_prediction(subject, raw, tmp_path):
    """Test people of a cross-subject fold get the same probabilities from fine-tuning, folder and .dat file."""
    where = ["--data-dir", subject, "--run-dir", tmp_path / "run"]
    for script in ("main_pretrain_1s.py", "main_pretrain_5s.py"):
        done(script, *where, "--split", "subject", "--n-folds", 2, "--folds", 0, "--epochs", 1, *TINY)
    done("Fine_tuning/fine_tuning.py", *where, "--folds", 0, "--epochs", 2)
    folder = tmp_path / "run" / "finetune_arousal"
    summary = json.loads((folder / "metrics.json").read_text())
    assert summary["transductive"] is True
    assert any("standardised with their own" in line for line in summary["audit_in_words"])
    model = ["--model", folder / "fold_00" / "model.pt"]
    out = done("Fine_tuning/predict.py", *model, "--input", subject, "--out-file", tmp_path / "all.csv")
    assert "PPS standardised with all seconds of each person" in out
    everything, tested = table(tmp_path / "all.csv"), table(folder / "predictions.csv")
    assert tested
    for key, values in tested.items():
        assert everything[key] == pytest.approx(values, abs=1e-4)
    done("Fine_tuning/predict.py", *model, "--input", raw / "s01.dat", "--out-file", tmp_path / "one.csv")
    for key, values in table(tmp_path / "one.csv").items():
        assert everything[key] == pytest.approx(values, abs=1e-4)
    done("Fine_tuning/baseline.py", *where, "--models", "logistic", "--folds", 0)
    result = json.loads((tmp_path / "run" / "baseline_arousal_logistic" / "metrics.json").read_text())
    assert result["transductive"] is True
    done("Fine_tuning/baseline.py", *where, "--models", "logistic", "--folds", 0, "--modalities", "eeg")
    result = json.loads((tmp_path / "run" / "baseline_arousal_logistic_eeg" / "metrics.json").read_text())
    assert result["transductive"] is False
    checkpoint = tmp_path / "run" / "pretrain_1s" / "fold_00" / "checkpoint.pt"
    flags = ["--checkpoint", checkpoint, "--data-dir", subject, "--modality", "pps", "--out-file", tmp_path / "f.npz"]
    assert call("Fine_tuning/extract_features.py", *flags).err == ""
    assert np.isfinite(np.load(tmp_path / "f.npz")["features"]).all()
