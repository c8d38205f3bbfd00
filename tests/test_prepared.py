"""The prepared folder: written whole or not at all, checked when opened."""

import json
import shutil

import numpy as np
import pytest

from data_prep import PreparedWriter, open_prepared
from data_prep.folder.prepared import checksum_of
from data_prep.signals.transforms import to_blocks, zscore_channels, zscore_trial
from tests.support import refused


def writer(folder):
    return PreparedWriter(
        folder,
        name="mine",
        sampling_rate=8,
        eeg_channels=["Cz", "Pz"],
        pps_channels=["GSR"],
        ratings=["valence"],
        rating_range=(1, 5),
        threshold=3,
        preparation={},
    )


def subject(rng, trials=2):
    return (
        rng.standard_normal((trials, 10, 2, 8)),
        rng.standard_normal((trials, 10, 1, 8)),
        rng.uniform(1, 5, (trials, 1)),
    )


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    with writer(tmp_path / "mine") as w:
        for name in ("a", "b"):
            w.add(name, *subject(rng), sources={f"{name}.dat": "0"})
    return tmp_path / "mine"


def test_what_is_written_is_read(folder):
    rng = np.random.default_rng(0)
    data = open_prepared(folder)
    for i in range(2):
        for stored, array in zip((data.eeg, data.pps, data.ratings), subject(rng), strict=True):
            np.testing.assert_array_equal(stored[i], array.astype("f4"))
    assert (data.name, data.rate, data.subjects) == ("mine", 8, ["a", "b"])
    assert {p.name for p in folder.iterdir()} == {"eeg.npy", "pps.npy", "ratings.npy", "dataset.json"}
    assert [p.name for p in folder.parent.iterdir()] == ["mine"]


def test_files_do_not_change_through_the_arrays(folder):
    data = open_prepared(folder)
    data.eeg[:] = 0
    assert open_prepared(folder).eeg.any()


def test_an_error_leaves_nothing(tmp_path):
    rng = np.random.default_rng(0)
    with refused("shape-trials-first-but"), writer(tmp_path / "mine") as w:
        w.add("a", *subject(rng), sources={})
        w.add("b", *subject(rng, trials=3), sources={})
    with refused("comes-twice-subject"), writer(tmp_path / "mine") as w:
        w.add("a", *subject(rng), sources={})
        w.add("a", *subject(rng), sources={})
    with refused("would-have-subjects", "1 subjects", "least 2"), writer(tmp_path / "mine") as w:
        w.add("a", *subject(rng), sources={})
    eeg, pps, ratings = subject(rng)
    for change, part in (
        (lambda: ratings.fill(7), "ratings-outside-to-subject"),
        (lambda: eeg.fill(np.nan), "has-nan-or-infinite"),
    ):
        change()
        with refused(part), writer(tmp_path / "mine") as w:
            w.add("a", eeg, pps, ratings, sources={})
    assert list(tmp_path.iterdir()) == []


def edit(folder, **changes):
    path = folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


BREAK = {
    "no folder": (lambda f: shutil.rmtree(f), ["not-folder-2"]),
    "no json": (lambda f: (f / "dataset.json").unlink(), ["does-not-exist"]),
    "no json at all": (lambda f: (f / "dataset.json").write_text("{"), ["not-json-file"]),
    "json of another kind": (lambda f: (f / "dataset.json").write_text("[]"), ["does-not-hold-json"]),
    "other version": (lambda f: edit(f, format_version=99), ["has-format-version-not", "version 99"]),
    "edited": (lambda f: edit(f, threshold=4), ["edited-or-damaged"]),
    "field of another type": (lambda f: edit(f, subjects="ab"), ["has-no-valid", "subjects"]),
    "no array": (lambda f: (f / "pps.npy").unlink(), ["does-not-exist"]),
    "truncated": (
        lambda f: (f / "eeg.npy").write_bytes((f / "eeg.npy").read_bytes()[:-4]),
        ["not-file-prepared-checksum"],
    ),
    "changed": (lambda f: np.save(f / "ratings.npy", np.ones((2, 2, 1), "f4")), ["not-file-prepared-checksum"]),
}


@pytest.mark.parametrize("name", BREAK)
def test_damage_is_noticed(folder, name):
    damage, part = BREAK[name]
    damage(folder)
    with refused(*part) as error:
        open_prepared(folder)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"rating_range": [5, 1]}, ["rating-range-must-begin"]),
        ({"threshold": "3"}, ["must-be-number-not", "threshold"]),
        ({"sampling_rate": 8.0}, ["has-no-valid", "sampling_rate"]),
        ({"eeg_channels": ["Cz", "CZ "]}, ["has-no-valid", "description"]),
        ({"ratings": ["valence "]}, ["has-no-valid", "ratings"]),
        ({"groups": ["a"]}, ["groups-for-trials", "1 for", "2 trials"]),
        ({"seconds": 10**400}, ["has-no-valid", "seconds"]),
        ({"threshold": 10**400}, ["has-no-valid", "description"]),
    ],
)
def test_what_the_writer_would_refuse_is_not_opened(folder, changes, part):
    """With a checksum that fits: it comes from another program."""
    info = json.loads((folder / "dataset.json").read_text()) | changes
    edit(folder, **changes, checksum=checksum_of(info))
    with refused(*part) as error:
        open_prepared(folder)
    assert "dataset.json has no valid" in str(error.value)


def test_labels_that_are_not_there(folder):
    with refused("has-labels", "valence"):
        open_prepared(folder).labels("four")
    with refused("has-labels", "fear"):
        open_prepared(folder).labels("fear")


def test_channels_by_name(folder):
    data = open_prepared(folder)
    assert data.pps_names([]) == data.pps_names(["GSR"]) == ["GSR"]
    with refused("has-2", "ECG", "GSR"):
        data.pps_names(["ECG"])
    data.info["pps_channels"] = ["ECG1", "ECG2", "GSR"]
    assert data.pps_names(["GSR", "ECG"]) == ["GSR", "ECG1", "ECG2"]
    assert data.pps_names(["ECG2", "ECG"]) == ["ECG2", "ECG1"]


def test_blocks_leave_out_what_fills_no_second():
    blocks = to_blocks(np.arange(2 * 21.0).reshape(2, 21), 8)
    assert blocks.shape == (2, 2, 8)
    assert blocks[1, 1].tolist() == list(range(29, 37))


def test_zscore_channels_skips_zeros():
    x = np.array([1.0, 0.0, 3.0])[:, None]
    assert zscore_channels(x)[:, 0].tolist() == [-1, 0, 1]  # mean 2 and deviation 1 of the two that count
    assert zscore_channels(np.full((3, 1), 5.0)).tolist() == [[0], [0], [0]]
    assert zscore_channels(np.zeros((3, 1))).tolist() == [[0], [0], [0]]


def test_zscore_trial():
    x = np.random.default_rng(0).standard_normal((3, 4, 8)) * 7 + 2
    x[1] = 5
    z = zscore_trial(x)
    np.testing.assert_allclose(z.mean(axis=(1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(axis=(1, 2)), [1, 0, 1])
