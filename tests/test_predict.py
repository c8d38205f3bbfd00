"""Prediction: the same probabilities from every kind of input, as fine-tuning had them; clear words for misfits."""

import pickle

import numpy as np
import pytest
import scipy.io
import torch

from data_prep.formats import deap
from tests.builders.predictions import read, recording, table
from tests.support import assert_refused, call, done, says

PREDICT = "Fine_tuning/predict.py"
FINETUNE = "Fine_tuning/fine_tuning.py"


@pytest.mark.parametrize("variant", ["finetune_arousal", "finetune_arousal_eeg_1s"])
def test_all_inputs_agree_with_fine_tuning(run_dir, prepared, raw, tmp_path, variant):
    flags = ["--model", run_dir / variant / "fold_00" / "model.pt", "--batch-size", 5]
    done(PREDICT, *flags, "--input", prepared, "--out-file", tmp_path / "all.csv")
    everything = table(tmp_path / "all.csv")
    tested = table(run_dir / variant / "predictions.csv")
    assert tested
    for key, values in tested.items():
        assert everything[key] == pytest.approx(values, abs=1e-5)
    outcome = call(PREDICT, *flags, "--input", raw / "s01.dat", "--out-file", tmp_path / "one.csv")
    assert outcome.status == 0
    says(outcome.err, "among-recordings-model-made", "s01.dat")
    one = table(tmp_path / "one.csv")
    for key, values in one.items():
        assert everything[key] == pytest.approx(values, abs=1e-5)
    assert len(one) == len(everything) / 4
    with open(raw / "s01.dat", "rb") as file:
        person = pickle.load(file, encoding="latin1")  # our own file
    scipy.io.savemat(tmp_path / "somebody.MAT", person | {"note": "mine"}, do_compression=True, appendmat=False)
    outcome = call(PREDICT, *flags, "--input", tmp_path / "somebody.MAT", "--out-file", tmp_path / "mat.csv")
    assert "made with" not in outcome.err  # another file, as far as anybody can tell
    assert [list(row.values())[1:] for row in read(tmp_path / "mat.csv")] == [
        list(row.values())[1:] for row in read(tmp_path / "one.csv")
    ]
    arrays = recording(raw)
    order = np.random.default_rng(0).permutation(32)
    for name in ("eeg", "eeg_baseline"):
        arrays[name] = arrays[name][:, order]
    arrays["eeg_channels"] = [arrays["eeg_channels"][i] for i in order]
    np.savez(tmp_path / "s01.npz", **arrays)
    done(PREDICT, *flags, "--input", tmp_path / "s01.npz", "--out-file", tmp_path / "npz.csv")
    for key, values in table(tmp_path / "npz.csv").items():
        assert one[key] == pytest.approx(values, abs=1e-4)
    assert (tmp_path / "npz.png").read_bytes().startswith(b"\x89PNG")


CHANGES = {
    "other rate": (dict(sampling_rate=256), ["hz-model-has", "256 Hz"]),
    "a channel less": (dict(eeg_channels=[*deap.EEG_CHANNELS[:-1], "X1"]), ["lacks-channels-which-model", "eeg", "O2"]),
    "names of other number": (
        dict(eeg_channels=deap.EEG_CHANNELS[:-1]),
        ["has-shape-not", "(4, 31, 1536)", "eeg_channels"],
    ),
    "no GSR": (dict(pps_channels=["ECG"]), ["lacks-channels-which-model", "pps", "GSR"]),
    "no rate": (dict(sampling_rate=None), ["has-no", "sampling_rate"]),
    "objects": (dict(eeg=np.array([None])), ["cannot-be-read-holds"]),
    "short": (
        {
            name: np.ones((2, 1 if "pps" in name else 32, 512))
            for name in ("eeg", "pps", "eeg_baseline", "pps_baseline")
        },
        ["shorter-than-trial"],
    ),
    "no rest": (dict(eeg_baseline=None, pps_baseline=None), ["rest-before-each-trial", "not removed", "EEG"]),
    "rest of the EEG only": (dict(pps_baseline=None), ["rest-before-each-trial", "not removed", "PPS"]),
    "a channel twice": (dict(eeg_channels=["Fp1", *deap.EEG_CHANNELS[:-1]]), ["names-twice", "Fp1"]),
    "an electrode by both names": (
        dict(eeg_channels=["T3", *deap.EEG_CHANNELS[:-1]]),
        ["has-channels-which-same", "T3", "T7"],
    ),
    "NaN": (dict(eeg=np.full((2, 32, 1280), np.nan)), ["has-nan-or-infinite"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_does_not_fit_is_refused(run_dir, raw, tmp_path, name):
    changes, part = CHANGES[name]
    arrays = {key: value for key, value in (recording(raw) | changes).items() if value is not None}
    np.savez(tmp_path / "s01.npz", **arrays)
    flags = ["--model", run_dir / "finetune_arousal" / "fold_00" / "model.pt", "--input", tmp_path / "s01.npz"]
    assert_refused(call(PREDICT, *flags, "--out-file", tmp_path / "out.csv"), *part, "s01.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["s01.npz"]


def test_files_that_are_none_are_refused(run_dir, raw, tmp_path):
    model = run_dir / "finetune_arousal" / "fold_00" / "model.pt"
    out = ["--out-file", tmp_path / "out.csv"]
    (tmp_path / "a.npz").write_text("text")
    (tmp_path / "a.txt").write_text("text")
    for path, part in (
        (tmp_path / "a.npz", "cannot-be-read-damaged"),
        (tmp_path / "a.txt", "none-prepared-folder-dat"),
    ):
        assert_refused(call(PREDICT, "--model", model, "--input", path, *out), part, path)
    assert_refused(call(PREDICT, "--model", model, "--input", tmp_path / "no.dat", *out), "does-not-exist")
    scipy.io.savemat(tmp_path / "s01.mat", {"DREAMER": {"Data": 1.0}})  # named like DEAP's
    assert_refused(
        call(PREDICT, "--model", model, "--input", tmp_path / "s01.mat", *out), "data-not-cells-one", "is 1.0"
    )
    scipy.io.savemat(tmp_path / "s01.mat", {"eeg": 1.0, "note": "mine"})
    found = ["has-variables-neither-dreamer", "--input", "s01.mat", "eeg, note"]
    assert_refused(call(PREDICT, "--model", model, "--input", tmp_path / "s01.mat", *out), *found)
    (tmp_path / "s01.mat").write_text("text")
    assert_refused(call(PREDICT, "--model", model, "--input", tmp_path / "s01.mat", *out), "not-matlab-file-or")
    wrong = model.with_name("result.pt")
    assert_refused(call(PREDICT, "--model", wrong, "--input", raw / "s01.dat", *out), "lacks-parts-model", wrong)
    wrong = run_dir / "pretrain_1s" / "fold_00" / "checkpoint.pt"
    assert_refused(call(PREDICT, "--model", wrong, "--input", raw / "s01.dat", *out), "not-fine-tuned-model")
    (tmp_path / "out.csv").write_text("precious")
    assert_refused(call(PREDICT, "--model", model, "--input", raw / "s01.dat", *out), "already-exists")


@pytest.mark.parametrize(
    ("name", "figure"), [("x.png", "x.png.png"), ("x", "x.png"), ("x.s01", "x.s01.png"), ("x.CSV", "x.png")]
)
def test_figure_has_a_name_of_its_own(run_dir, raw, tmp_path, name, figure):
    flags = ["--model", run_dir / "finetune_arousal" / "fold_00" / "model.pt", "--input", raw / "s01.dat"]
    done(PREDICT, *flags, "--out-file", tmp_path / name)
    assert len(read(tmp_path / name)) == 8
    assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {name, figure}


def test_out_file_is_checked_before_the_work(run_dir, raw, tmp_path):
    flags = ["--model", run_dir / "finetune_arousal" / "fold_00" / "model.pt", "--input", raw / "s01.dat"]
    (tmp_path / "file").write_text("precious")
    (tmp_path / "y.png").write_text("precious")
    for name, part in (
        ("file/x.csv", ["file-not-folder"]),
        ("y.csv", ["already-exists", "figure"]),
        ("file", ["already-exists"]),
        (".", ["already-exists"]),
    ):
        assert_refused(call(PREDICT, *flags, "--out-file", tmp_path / name), *part, "--out-file")
    assert_refused(call(PREDICT, *flags, "--out-file", raw / "s01.dat"), "already-exists")
    assert_refused(call(PREDICT, *flags, "--out-file", flags[1]), "already-exists")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"precious"}
    done(PREDICT, *flags, "--out-file", tmp_path / "new" / "folder" / "x.csv")


def test_memory_that_is_short_is_not_a_damaged_file(run_dir, raw, tmp_path, monkeypatch):
    """PyTorch says both by the same kind of exception."""
    model = run_dir / "finetune_arousal" / "fold_00" / "model.pt"

    def full(*_, **__):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("torch.load", full)
    outcome = call(PREDICT, "--model", model, "--input", raw / "s01.dat", "--out-file", tmp_path / "x.csv")
    assert_refused(outcome, "out-memory", "--batch-size")


MODELS = {
    "weights that are no numbers": (
        lambda made: next(iter(made["weights"].values())).fill_(np.nan),
        ["answers-with-nan-to"],
    ),
    "a channel less": (lambda made: made["channels"]["eeg"].pop(), ["lacks-parts-model", "its encoders"]),
    "another rate": (lambda made: made.update(sampling_rate=256), ["lacks-parts-model", "its encoders"]),
    "a later version": (lambda made: made.update(format_version=2), ["whole-but-format-later", "format 2"]),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_that_cannot_answer_are_refused(run_dir, raw, tmp_path, name):
    made = torch.load(run_dir / "finetune_arousal" / "fold_00" / "model.pt", weights_only=True)
    change, part = MODELS[name]
    change(made)
    torch.save(made, tmp_path / "model.pt")
    flags = ["--model", tmp_path / "model.pt", "--input", raw / "s02.dat", "--out-file", tmp_path / "out.csv"]
    outcome = call(PREDICT, *flags)
    assert outcome.status == 2
    says(outcome.err.splitlines()[-1], *part)
    assert "Traceback" not in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_deap_at_another_rate_is_refused(run_dir, raw, tmp_path):
    with open(raw / "s01.dat", "rb") as file:
        person = pickle.load(file, encoding="latin1")  # our own file
    (tmp_path / "s09.dat").write_bytes(pickle.dumps(person | {"data": np.tile(person["data"], (1, 1, 9))[..., :16128]}))
    model = run_dir / "finetune_arousal" / "fold_00" / "model.pt"
    flags = ["--model", model, "--input", tmp_path / "s09.dat", "--out-file", tmp_path / "out.csv"]
    assert_refused(call(PREDICT, *flags), "samples-trial-deap-trials", "s09.dat", "256 Hz")
