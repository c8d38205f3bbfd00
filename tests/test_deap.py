"""DEAP's reader: the preparation against the golden file, and what it refuses."""

import pickle
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from data_prep import open_prepared
from data_prep.formats import deap
from data_prep.signals.transforms import prepare_trials
from tests.builders.deap import GOOD, recording, write
from tests.builders.matlab import mat, matrix
from tests.golden.weights import raw_deap
from tests.support import assert_refused, call, done, says

SCRIPT = "data_prep/prepare_deap.py"
GOLDEN = np.load(Path(__file__).parent / "golden" / "prep_deap.npz", allow_pickle=False)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def test_preparation_equals_golden():
    data, _ = raw_deap(GOLDEN["raw_seed"], int(GOLDEN["trials"]))
    eeg, pps = prepare_trials(deap.signals(data), deap.RATE, {"eeg": "channels", "pps": "none"}, "s01")
    windows = eeg.reshape(-1, 5, 32, 128).swapaxes(1, 2).reshape(-1, 32, 640)
    gsr = pps[:, :, deap.PPS_CHANNELS.index("GSR")]
    close(eeg.reshape(-1, 32, 128)[GOLDEN["eeg_1s_rows"]], GOLDEN["eeg_1s"][:, 0, 0])
    close(windows[GOLDEN["eeg_5s_rows"]], GOLDEN["eeg_5s"][:, 0, 0])
    close(gsr.reshape(-1, 128)[GOLDEN["eeg_1s_rows"]], GOLDEN["gsr_1s"][:, 0, 0, 0])
    close(gsr.reshape(-1, 640)[GOLDEN["eeg_5s_rows"]], GOLDEN["gsr_5s"][:, 0, 0, 0])


NAN, INF, OFF = recording()[0], recording()[0], recording()[1]
NAN[1, 3, 100], INF[0, 39, 5], OFF[0, 2] = np.nan, np.inf, 9.5


def test_labels_and_ratings(tmp_path):
    """A rating at the threshold is high; four agrees with arousal and valence, unlike the authors' program."""
    data, labels = raw_deap(GOLDEN["raw_seed"], int(GOLDEN["trials"]))
    folder = write(tmp_path / "raw", s01=(data, labels), s02=(data[..., ::-1], labels))
    done(SCRIPT, "--raw-dir", folder, "--out-dir", tmp_path / "out")
    prepared = open_prepared(tmp_path / "out")
    for name, golden in (("arousal", "A"), ("valence", "V")):
        values, classes = prepared.labels(name)
        assert values[0].tolist() == GOLDEN[f"labels_5s_{golden}"][::12, 0].tolist()
        assert classes == [f"low {name}", f"high {name}"]
    four, classes = prepared.labels("four")
    assert four[0].tolist() == [0, 0]
    assert GOLDEN["labels_5s_Four"][::12, 0].tolist() == [3, 0]
    assert len(classes) == 4
    assert prepared.labels("arousal", threshold=7)[0][0].tolist() == [0, 0]


def test_python_3_files_and_lengths_of_all_kinds(tmp_path):
    """Pickles of Python 3, a capital ending, 66 s, three subjects in the order of their numbers."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for i, name in ((10, "S10.DAT"), (2, "s02.dat"), (1, "s1.dat")):
        data, labels = recording(i, trials=5, seconds=3 + 66)
        (folder / name).write_bytes(pickle.dumps({"data": data.astype("f4"), "labels": labels}))
    done(SCRIPT, "--raw-dir", folder, "--out-dir", tmp_path / "out")
    prepared = open_prepared(tmp_path / "out")
    assert prepared.eeg.shape == (3, 5, 66, 32, 128)
    assert prepared.pps.shape == (3, 5, 66, 8, 128)
    assert prepared.subjects == ["s01", "s02", "s10"]
    assert prepared.info["sources"].keys() == {"s1.dat", "s02.dat", "S10.DAT"}


def write_matlab(folder, compressed=True, **files):
    """The same for MATLAB, with what DEAP's files do not have."""
    folder.mkdir(exist_ok=True)
    for name, (data, labels) in files.items():
        variables = {"note": "mine", "labels": labels, "z": np.array([1j]), "data": data, "more": np.eye(2)}
        scipy.io.savemat(folder / f"{name}.mat", variables, do_compression=compressed)
    return folder


def write_matlab_7_3(folder, **files):
    """As MATLAB's -v7.3 saves them: HDF5, all axes reversed."""
    folder.mkdir(exist_ok=True)
    for name, (data, labels) in files.items():
        with h5py.File(folder / f"{name}.mat", "w", userblock_size=512) as file:
            file["data"], file["labels"], file["z"] = data.T, labels.T, np.array([1j])
        with open(folder / f"{name}.mat", "r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return folder


@pytest.mark.parametrize("version", ["6", "7", "7.3"])
def test_files_for_matlab_give_the_same(tmp_path, version):
    people = {f"s{number:02d}": recording(number) for number in (1, 2, 10)}
    write(tmp_path / "raw", **people)
    done(SCRIPT, "--raw-dir", tmp_path / "raw", "--out-dir", tmp_path / "want")
    folder = tmp_path / "data_preprocessed_matlab"
    write_matlab_7_3(folder, **people) if version == "7.3" else write_matlab(folder, version == "7", **people)
    (folder / "s02.mat").rename(folder / "S2.MAT")
    for raw_dir, out in ((folder, "a"), (tmp_path, "b")):
        done(SCRIPT, "--raw-dir", raw_dir, "--out-dir", tmp_path / out)
        for name in ("eeg", "pps", "ratings"):
            content = (tmp_path / out / f"{name}.npy").read_bytes()
            assert content == (tmp_path / "want" / f"{name}.npy").read_bytes()
    assert open_prepared(tmp_path / "a").subjects == ["s01", "s02", "s10"]
    (tmp_path / "raw").rename(tmp_path / "Data_Preprocessed_Python")
    out = done(SCRIPT, "--raw-dir", tmp_path, "--out-dir", tmp_path / "c")
    assert f"{tmp_path / 'Data_Preprocessed_Python'} is used" in out
    assert open_prepared(tmp_path / "c").info["sources"].keys() == {"s01.dat", "s02.dat", "s10.dat"}
    (folder / "S2.MAT").write_bytes((tmp_path / "Data_Preprocessed_Python" / "s02.dat").read_bytes())
    assert_refused(call(SCRIPT, "--raw-dir", folder, "--out-dir", tmp_path / "d"), "not-matlab-file-or", "S2.MAT")


BAD_MATLAB = {
    "other variables": (dict(eeg=np.eye(3), label=1.0), ["not-deap-file-has", "eeg, label"]),
    "no labels": (dict(data=recording()[0], x=1.0), ["not-deap-file-has", "data, x"]),
    "of another shape": (
        dict(data=np.ones((2, 32, 1024)), labels=np.ones((2, 4))),
        ["has-data-shape-not", "40 channels"],
    ),
    "cells": (dict(data=np.array([[1, "a"]], object), labels=np.ones((2, 4))), ["not-deap-file-not", "data"]),
    "complex": (dict(data=recording()[0] * 1j, labels=np.ones((2, 4))), ["not-deap-file-not", "data"]),
    "NaN": (dict(data=NAN, labels=np.ones((2, 4))), ["has-nan-or-infinite-values"]),
    "DREAMER": (dict(DREAMER={"Data": 1.0}), ["not-deap-file-has", "DREAMER"]),
    "too large": (
        mat(matrix(6, (1 << 28, 1), struct.pack("<II", 9, 1 << 31), b"data")),
        ["declares-more-data-than"],
    ),
}


@pytest.mark.parametrize("name", BAD_MATLAB)
def test_bad_file_for_matlab(tmp_path, name):
    variables, part = BAD_MATLAB[name]
    folder = write_matlab(tmp_path / "raw", s01=recording())
    if isinstance(variables, bytes):
        (folder / "s02.mat").write_bytes(variables)
    else:
        scipy.io.savemat(folder / "s02.mat", variables, do_compression=True)
    assert_refused(call(SCRIPT, "--raw-dir", folder, "--out-dir", tmp_path / "out"), *part, folder / "s02.mat")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_zeros_and_constant_channels(tmp_path):
    data, labels = recording()
    data[:, 5] = 0  # an EEG channel that is off
    data[0, 36] = 7  # GSR that does not change in one trial
    folder = write(tmp_path / "raw", s01=(data, labels), s02=recording(1))
    outcome = call(SCRIPT, "--raw-dir", folder, "--out-dir", tmp_path / "out")
    assert outcome.status == 0
    assert "FC1, GSR" in outcome.err
    prepared = open_prepared(tmp_path / "out")
    assert (prepared.eeg[0, :, :, 5] == 0).all()
    rest = np.delete(prepared.eeg[0], 5, axis=2)
    np.testing.assert_allclose(rest.mean(axis=2), 0, atol=1e-6)
    np.testing.assert_allclose(rest.std(axis=2), 1, rtol=1e-5)
    assert (prepared.pps[0, 0, :, 4] == 0).all()
    np.testing.assert_allclose(prepared.pps[0, 1].std(axis=(0, 2)), 1, rtol=1e-5)


def test_pps_as_the_paper_leaves_it(tmp_path):
    data, labels = recording()
    folder = write(tmp_path / "raw", s01=(data, labels), s02=recording(1))
    done(SCRIPT, "--raw-dir", folder, "--out-dir", tmp_path / "out", "--pps-normalise", "none")
    blocks = data[:, 36].reshape(2, 8, 128)
    close(open_prepared(tmp_path / "out").pps[0, :, :, 4], blocks[:, 3:] - blocks[:, :3].mean(1, keepdims=True))


def test_files_without_their_rest(tmp_path):
    """Trials of 60 s have lost DEAP's 3 s of rest: never are 3 s of the film taken for it without a word."""
    folder = write(tmp_path / "raw", s01=recording(0, seconds=60), s02=recording(1, seconds=60))
    flags = ["--raw-dir", folder, "--out-dir"]
    assert_refused(
        call(SCRIPT, *flags, tmp_path / "out"), "has-trials-deap-without", "s01.dat", "60 s", "--rest-seconds 0"
    )
    assert not (tmp_path / "out").exists()
    done(SCRIPT, *flags, tmp_path / "out", "--rest-seconds", 0, "--pps-normalise", "none")
    made = open_prepared(tmp_path / "out")
    assert made.info["preparation"]["baseline_seconds"] is None
    blocks = recording(0, seconds=60)[0].reshape(2, 40, 60, 128)
    np.testing.assert_allclose(made.pps[0], blocks[:, 32:].swapaxes(1, 2), rtol=1e-6)
    done(SCRIPT, *flags, tmp_path / "rest", "--rest-seconds", 3)
    assert open_prepared(tmp_path / "rest").eeg.shape[2] == 57


def test_rest_of_another_length_is_said_or_given(tmp_path):
    folder = write(tmp_path / "raw", s01=recording(0, seconds=13), s02=recording(1, seconds=13))
    flags = ["--raw-dir", folder, "--out-dir"]
    says(call(SCRIPT, *flags, tmp_path / "a").err, "trials-not-deap-63", "warning", "first 3 s")
    assert call(SCRIPT, *flags, tmp_path / "b", "--rest-seconds", 2).err == ""
    assert open_prepared(tmp_path / "b").eeg.shape[2] == 11
    assert_refused(call(SCRIPT, *flags, tmp_path / "c", "--rest-seconds", 0.5), "least-rest-needed-to")
    assert_refused(call(SCRIPT, *flags, tmp_path / "c", "--rest-seconds", 9), "has-trials", "9 s", "5 s")


@pytest.mark.parametrize("seconds", [126, 120])
def test_deap_at_another_rate_is_refused(tmp_path, seconds):
    """63 and 60 s at 256 Hz: samples at 128 Hz they are not, unless somebody says so."""
    data, labels = recording(0, trials=2, seconds=1)
    data = np.tile(data, (1, 1, 126))[:, :, : round(seconds * 128)]
    folder = write(tmp_path / "raw", s01=(data, labels), s02=(data[:, :, ::-1], labels))
    flags = ["--raw-dir", folder, "--out-dir", tmp_path / "out"]
    assert_refused(call(SCRIPT, *flags), "samples-trial-deap-trials", "s01.dat", "256 Hz", "--rest-seconds")
    assert not (tmp_path / "out").exists()
    done(SCRIPT, *flags, "--rest-seconds", 3)


def test_eeg_over_each_trial(tmp_path):
    folder = write(tmp_path / "raw", s01=recording(0), s02=recording(1))
    done(SCRIPT, "--raw-dir", folder, "--out-dir", tmp_path / "out", "--eeg-normalise", "trial")
    made = open_prepared(tmp_path / "out")
    assert made.info["preparation"]["eeg"] == "trial"
    np.testing.assert_allclose(made.eeg.mean(axis=(2, 4)), 0, atol=1e-6)
    np.testing.assert_allclose(made.eeg.std(axis=(2, 4)), 1, rtol=1e-5)


BAD_FILES = {
    "empty": (b"", ["damaged-cut-short-or"]),
    "truncated": (GOOD[: len(GOOD) // 2], ["damaged-cut-short-or"]),
    "foreign": (b"PK\x03\x04 not a pickle at all", ["damaged-cut-short-or"]),
    "evil": (b"cposix\nsystem\n(S'echo ran'\ntR.", ["asks-for-which-no", "posix.system"]),
    "wrong keys": (pickle.dumps({"eeg": np.zeros(3)}, 2), ["not-deap-file-has"]),
    "wrong shape": (recording(channels=32), ["has-data-shape-not", "40 channels"]),
    "one trial": (recording(trials=1), ["has-data-shape-not", "at least 2 trials"]),
    "too short": (recording(seconds=7), ["has-data-shape-not", "at least 1024 samples"]),
    "labels of another shape": ((recording()[0], recording()[1][:, :3]), ["has-labels-shape-not"]),
    "NaN": ((NAN, recording()[1]), ["has-nan-or-infinite-values", "data"]),
    "infinite": ((INF, recording()[1]), ["has-nan-or-infinite-values", "data"]),
    "off the scale": ((recording()[0], OFF), ["has-ratings-outside-to", "1 to 9"]),
    "other number of trials": (recording(trials=3), ["shape-trials-first-but"]),
    "other length": (recording(seconds=9), ["shape-trials-first-but"]),
    "objects": (pickle.dumps({"data": np.array([None]), "labels": np.zeros(2)}, 2), ["holds-array-type-which"]),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file(tmp_path, name):
    content, part = BAD_FILES[name]
    folder = write(tmp_path / "raw", s01=recording(), s02=content)
    outcome = call(SCRIPT, "--raw-dir", folder, "--out-dir", tmp_path / "out")
    assert_refused(outcome, *part, folder / "s02.dat")
    assert "ran" not in outcome.out
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_bad_folders(tmp_path):
    out = ["--out-dir", tmp_path / "out"]
    assert_refused(
        call(SCRIPT, "--raw-dir", tmp_path / "nowhere", *out), "not-folder-3", "--raw-dir", tmp_path / "nowhere"
    )
    folder = write(tmp_path / "raw", s01=recording())
    assert_refused(call(SCRIPT, "--raw-dir", folder, *out), "files-s01-dat-or")
    write(folder, s2=recording(), s02=recording())
    assert_refused(call(SCRIPT, "--raw-dir", folder, *out), "same-subject", "s02.dat", "s2.dat")
    (folder / "s2.dat").rename(folder / "notes.dat")
    assert_refused(call(SCRIPT, "--raw-dir", folder, *out), "not-named-like-subject", "notes.dat")
    (folder / "notes.dat").unlink()
    write_matlab(folder, s2=recording())
    assert_refused(call(SCRIPT, "--raw-dir", folder, *out), "same-subject", "s02.dat", "s2.mat")
    (tmp_path / "original").mkdir()
    (tmp_path / "original" / "s01.bdf").write_bytes(b"")
    assert_refused(call(SCRIPT, "--raw-dir", tmp_path / "original", *out), "files-s01-dat-or", "s01.mat", "s01.bdf")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path):
    folder = write(tmp_path / "raw", s01=recording(), s02=recording(1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    assert_refused(call(SCRIPT, "--raw-dir", folder, "--out-dir", tmp_path / "out"), "already-exists")
    assert (tmp_path / "out" / "thesis.tex").read_text() == "precious"


def test_folder_of_the_archive_is_found(tmp_path):
    folder = write(tmp_path / "data_preprocessed_python", s01=recording(), s02=recording(1))
    assert list(deap.find_files(tmp_path).values()) == [folder / "s01.dat", folder / "s02.dat"]
