"""DREAMER's reader: against SciPy, the ECG that must survive, and what is refused."""

import sys

import numpy as np
import pytest
import scipy.io
import scipy.signal

from data_prep import open_prepared
from data_prep.formats import dreamer
from data_prep.make_synthetic import cells
from tests.builders.dreamer import save, small, to_hdf5
from tests.support import assert_refused, call, done, lines_of, says

SCRIPT = "data_prep/prepare_dreamer.py"


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A synthetic DREAMER.mat: 3 people, 4 clips of 60, 67, 61 and 68 s."""
    folder = tmp_path_factory.mktemp("dreamer") / "raw"
    sizes = ["--subjects", 3, "--trials", 4, "--seconds", 60]
    done("data_prep/make_synthetic.py", "--format", "dreamer", "--out-dir", folder, *sizes)
    return folder / "DREAMER.mat"


@pytest.fixture(scope="module")
def loaded(raw):
    """The same by SciPy."""
    return scipy.io.loadmat(raw)["DREAMER"][0, 0]


def test_the_reader_equals_scipy(raw, loaded):
    people = dreamer.read_file(raw)
    assert len(people) == 3
    for number, person in enumerate(people):
        theirs = loaded["Data"][0, number]
        for trial, clip in enumerate(person.clips):
            for name, (stimulus, baseline) in clip.items():
                part = theirs[name][0, 0]
                np.testing.assert_array_equal(stimulus, part["stimuli"][0, 0][trial, 0])
                np.testing.assert_array_equal(baseline, part["baseline"][0, 0][trial, 0])
        for column, name in enumerate(("ScoreValence", "ScoreArousal", "ScoreDominance")):
            np.testing.assert_array_equal(person.ratings[:, column], theirs[name][0, 0][:, 0])
    assert number == 2


def test_preparation(tmp_path, raw, loaded):
    done(SCRIPT, "--raw-file", raw, "--out-dir", tmp_path / "out")
    data = open_prepared(tmp_path / "out")
    assert data.eeg.shape == (3, 4, 60, 14, 128)
    assert data.pps.shape == (3, 4, 60, 2, 128)
    assert data.ratings.shape == (3, 4, 3)
    assert data.subjects == ["s01", "s02", "s03"]
    assert (data.rate, data.info["threshold"], data.info["eeg_channels"]) == (128, 3, dreamer.EEG_CHANNELS)
    part = loaded["Data"][0, 1]["EEG"][0, 0]
    stimulus, baseline = (part[name][0, 0][1, 0].T for name in ("stimuli", "baseline"))
    blocks = stimulus[:, : 60 * 128].reshape(14, 60, 128) - baseline.reshape(14, 61, 128).mean(1, keepdims=True)
    expected = (blocks - blocks.mean(0)) / blocks.std(0)
    np.testing.assert_allclose(data.eeg[1, 1], expected.swapaxes(0, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("segment", ["first", "last"])
def test_the_heart_rate_survives(tmp_path, raw, loaded, segment):
    """Beats in the prepared ECG are those of the raw ECG, in both leads; the authors' program puts EEG there."""
    done(SCRIPT, "--raw-file", raw, "--out-dir", tmp_path / "out", "--segment", segment)
    data = open_prepared(tmp_path / "out")
    for subject in range(3):
        for trial in range(4):
            leads = loaded["Data"][0, subject]["ECG"][0, 0]["stimuli"][0, 0][trial, 0]
            kept = leads[: 60 * 256] if segment == "first" else leads[-60 * 256 :]
            for lead in range(2):
                planted, _ = scipy.signal.find_peaks(kept[:, lead], height=0.6 * kept[:, lead].max(), distance=80)
                ecg = data.pps[subject, trial, :, lead].ravel()
                found, _ = scipy.signal.find_peaks(ecg, height=0.5 * ecg.max(), distance=40)
                assert 55 <= len(planted) <= 95
                assert len(found) == len(planted)
                assert np.abs(found / 128 - planted / 256).max() < 0.02  # s
    assert abs(data.pps.mean()) < 1e-3
    assert data.pps.std() == pytest.approx(1, rel=1e-3)


def test_short_clips(tmp_path, raw):
    flags = ["--raw-file", raw, "--out-dir", tmp_path / "out", "--segment-seconds", 65]
    assert_refused(call(SCRIPT, *flags), "less-than-subject-clip", "subject 1", "clip 1", "60 s", "--short-trials drop")
    assert not (tmp_path / "out").exists()
    out = done(SCRIPT, *flags, "--short-trials", "drop")
    assert "clip 1 is dropped" in out
    assert "clip 3 is dropped" in out
    data = open_prepared(tmp_path / "out")
    assert data.eeg.shape[:3] == (3, 2, 65)
    assert data.info["stimuli"] == ["2", "4"]
    np.testing.assert_array_equal(data.ratings[0, :, 0], dreamer_ratings(raw)[[1, 3], 0])
    flags = ["--raw-file", raw, "--out-dir", tmp_path / "new", "--segment-seconds", 68, "--short-trials", "drop"]
    assert_refused(call(SCRIPT, *flags), "such-clips-has", "--segment-seconds 68", "1 such")


def dreamer_ratings(raw):
    return dreamer.read_file(raw)[0].ratings


def test_matlab_7_3(tmp_path, raw, monkeypatch):
    to_hdf5(scipy.io.loadmat(raw)["DREAMER"], tmp_path / "DREAMER.mat")
    done(SCRIPT, "--raw-file", raw, "--out-dir", tmp_path / "a")
    done(SCRIPT, "--raw-file", tmp_path / "DREAMER.mat", "--out-dir", tmp_path / "b")
    first, second = (open_prepared(tmp_path / name) for name in "ab")
    np.testing.assert_array_equal(first.eeg, second.eeg)
    np.testing.assert_array_equal(first.pps, second.pps)
    np.testing.assert_array_equal(first.ratings, second.ratings)
    monkeypatch.setitem(sys.modules, "h5py", None)  # as if it were not installed
    outcome = call(SCRIPT, "--raw-file", tmp_path / "DREAMER.mat", "--out-dir", tmp_path / "c")
    assert_refused(outcome, "matlab-hdf5-file", "pip install h5py")
    monkeypatch.undo()
    content = (tmp_path / "DREAMER.mat").read_bytes()
    (tmp_path / "DREAMER.mat").write_bytes(content[: len(content) // 2])
    outcome = call(SCRIPT, "--raw-file", tmp_path / "DREAMER.mat", "--out-dir", tmp_path / "c")
    assert_refused(outcome, "damaged-or-cut-short", tmp_path / "DREAMER.mat")


# --- what is refused


def with_nan(stimuli):
    stimuli[1, 0][3, 1] = np.nan
    return stimuli


BAD = {
    "other rate": (small(EEG_SamplingRate=256.0), ["has-not", "EEG_SamplingRate"]),
    "no rate": (small(ECG_SamplingRate=None), ["has-not", "ECG_SamplingRate", "nothing"]),
    "other electrodes": (
        small(EEG_Electrodes=cells(["Cz", *dreamer.EEG_CHANNELS[1:]], (1, 14))),
        ["has-eeg-electrodes-not", "Cz, F7"],
    ),
    "an electrode less": (small(EEG_Electrodes=cells(dreamer.EEG_CHANNELS[1:], (1, 13))), ["has-eeg-electrodes-not"]),
    "an electrode twice": (
        small(EEG_Electrodes=cells(["F7", *dreamer.EEG_CHANNELS[1:]], (1, 14))),
        ["has-channels-which-same", "EEG_Electrodes"],
    ),
    "no electrodes": (small(EEG_Electrodes=None), ["has-eeg-electrodes-not", "nothing"]),
    "electrodes as numbers": (small(EEG_Electrodes=np.arange(14.0)), ["has-eeg-electrodes-not", "an array of shape"]),
    "fewer people than it says": (small(noOfSubjects=23.0), ["has-not", "noOfSubjects"]),
    "other number of clips": (small(noOfVideoSequences=18.0), ["has-not", "noOfVideoSequences"]),
    "one person": (small(Data__1=None), ["has-subjects", "1 subjects"]),
    "no data": (small(Data=None), ["structure-has-but-no"]),
    "data of another kind": (small(Data=3.0), ["data-not-cells-one", "is 3.0"]),
    "person of another kind": (small(Data__1=4.0), ["not-structure", "subject 2", "is 4.0"]),
    "no ECG": (small(Data__1__ECG=None), ["has-no", "subject 2", "ECG.stimuli"]),
    "no baseline": (small(Data__0__EEG__baseline=None), ["has-no", "subject 1", "EEG.baseline"]),
    "no scores": (small(Data__1__ScoreValence=None), ["has-no", "subject 2", "ScoreValence"]),
    "scores missing": (
        small(Data__1__ScoreArousal=np.array([[3.0]])),
        ["has-no", "subject 2", "ScoreArousal", "2 clips"],
    ),
    "scores off the scale": (
        small(Data__0__ScoreDominance=np.array([[0.0], [3.0]])),
        ["has-scores-outside-to", "1 to 5"],
    ),
    "scores that are none": (
        small(Data__0__ScoreDominance=np.array([[np.nan], [3.0]])),
        ["has-scores-outside-to", "1 to 5"],
    ),
    "13 channels": (
        small(Data__1__EEG__stimuli=lambda s: cells([c[:, :13] for c in s.ravel()], (2, 1))),
        ["clip-not-samples", "14"],
    ),
    "transposed": (
        small(Data__1__EEG__stimuli=lambda s: cells([c.T for c in s.ravel()], (2, 1))),
        ["clip-not-samples", "14"],
    ),
    "a clip too few": (small(Data__1__ECG__stimuli=lambda s: s[:1]), ["has-different-numbers-clips"]),
    "NaN": (small(Data__1__EEG__stimuli=with_nan), ["clip-has-nan-or", "subject 2, EEG.stimuli", "clip 2"]),
    "no EEG at all": (small(Data__0__EEG=2.0), ["has-no", "subject 1", "EEG.stimuli"]),
    "stacked, samples first": (
        small(Data__0__EEG__stimuli=lambda s: np.stack(list(s.ravel()), axis=2)),
        ["not-cells-samples-or", "EEG.stimuli", "(768, 14, 2)"],
    ),
    "complex": (
        small(Data__0__EEG__stimuli=lambda s: cells([c * 1j for c in s.ravel()], (2, 1))),
        ["clip-not-samples", "not real numbers"],
    ),
    "complex scores": (small(Data__0__ScoreArousal=np.array([[1j], [2]])), ["has-no", "subject 1", "ScoreArousal"]),
    "complex rate": (small(EEG_SamplingRate=128 + 0j), ["has-not", "EEG_SamplingRate"]),
    "ECG at the EEG's rate": (
        small(Data__1__ECG__stimuli=lambda s: cells([c[::2] for c in s.ravel()], (2, 1))),
        ["clip-lasts-eeg-ecg", "subject 2: stimuli", "clip 1", "6 s", "3 s"],
    ),
    "EEG at the ECG's rate": (
        small(Data__0__EEG__stimuli=lambda s: cells([c.repeat(2, axis=0) for c in s.ravel()], (2, 1))),
        ["clip-lasts-eeg-ecg", "12 s", "6 s"],
    ),
    "hardly any baseline": (
        small(Data__0__ECG__baseline=lambda b: cells([c[:9] for c in b.ravel()], (2, 1))),
        ["clip-shorter-than"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_structure(tmp_path, name):
    structure, part = BAD[name]
    save(tmp_path / "DREAMER.mat", structure)
    flags = ["--raw-file", tmp_path / "DREAMER.mat", "--out-dir", tmp_path / "out", "--segment-seconds", 5]
    assert_refused(call(SCRIPT, *flags), *part, tmp_path / "DREAMER.mat")
    assert [path.name for path in tmp_path.iterdir()] == ["DREAMER.mat"]


def test_the_small_structure_is_fine_but_for_its_faults(tmp_path):
    save(tmp_path / "DREAMER.mat", small())
    flags = ["--raw-file", tmp_path / "DREAMER.mat", "--out-dir", tmp_path / "out", "--segment-seconds", 5]
    outcome = call(SCRIPT, *flags)
    assert outcome.status == 0
    says(outcome.err.splitlines()[0], "rest-before-clips-not", "DREAMER.mat", "1 s", "61 s")


# --- what is read: other ways of saving the same


def equal_clips(people):
    """Clips and rests of one length as one array, which SciPy makes of a list."""
    for person in people:
        for name in ("EEG", "ECG"):
            for kind in ("stimuli", "baseline"):
                person[name][kind] = np.stack(list(person[name][kind].ravel()))
    return people


def as_integers(people):
    for person in people:
        for name in ("Valence", "Arousal", "Dominance"):
            person[f"Score{name}"] = person[f"Score{name}"].astype("u1").T
    return people


def array_of_structures(people):
    kinds = [(name, object) for name in people[0]]
    return np.array([tuple(person.values()) for person in people], kinds).reshape(1, -1)


def reordered(people):
    for person in people:
        for kind in ("stimuli", "baseline"):
            person["EEG"][kind] = cells([clip[:, ::-1] for clip in person["EEG"][kind].ravel()], (2, 1))
    return people


NAMES = dreamer.EEG_CHANNELS
WAYS = {
    "equal clips": dict(Data=equal_clips),
    "scores as integers in rows": dict(Data=as_integers),
    "an array of structures": dict(Data=array_of_structures),
    "electrodes as a matrix": dict(EEG_Electrodes=np.array(NAMES)),
    "electrodes padded, in small letters": dict(EEG_Electrodes=cells([f" {n.lower()}  " for n in NAMES], (14, 1))),
    "electrodes in one text": dict(EEG_Electrodes=", ".join(NAMES)),
    "numbers as integers": dict(EEG_SamplingRate=np.int16(128), noOfSubjects=np.uint8(2)),
    "numbers as singles": dict(ECG_SamplingRate=np.float32(256), noOfVideoSequences=np.float32(2)),
    "electrodes in another order": dict(EEG_Electrodes=cells(NAMES[::-1], (1, 14)), Data=reordered),
    "more fields": dict(Note="Übung", Cell=cells([1.0, "a", np.zeros((0, 0))], (3, 1)), Nothing={}, Fft=np.array([1j])),
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("version", ["6", "7", "7.3"])
def test_other_ways_of_saving_the_same(tmp_path, name, version):
    save(tmp_path / "want.mat", small())
    save(tmp_path / "DREAMER.mat", small(**WAYS[name]), do_compression=version == "7")
    if version == "7.3":
        to_hdf5(scipy.io.loadmat(tmp_path / "DREAMER.mat", chars_as_strings=False)["DREAMER"], tmp_path / "DREAMER.mat")
    for path in ("want", "DREAMER"):
        outcome = call(
            SCRIPT, "--raw-file", tmp_path / f"{path}.mat", "--out-dir", tmp_path / path, "--segment-seconds", 5
        )
        assert outcome.status == 0, outcome.err
    assert ("another order" in name) == bool(lines_of(outcome.err, "has-electrodes-order"))
    for array in ("eeg", "pps", "ratings"):
        want, made = (np.load(tmp_path / path / f"{array}.npy") for path in ("want", "DREAMER"))
        np.testing.assert_array_equal(made, want)


@pytest.mark.filterwarnings("ignore")
def test_what_else_the_file_holds_does_not_matter(tmp_path):
    others = {
        "before": np.array([1 + 2j]),
        "text": "notes",
        "sparse": scipy.sparse.eye_array(3).tocsc(),
        "zz": np.eye(3),
    }
    scipy.io.savemat(tmp_path / "DREAMER.mat", others | {"DREAMER": small()}, oned_as="column")
    done(SCRIPT, "--raw-file", tmp_path / "DREAMER.mat", "--out-dir", tmp_path / "out", "--segment-seconds", 5)
    scipy.io.savemat(tmp_path / "DREAMER.mat", others)
    flags = ["--raw-file", tmp_path / "DREAMER.mat", "--out-dir", tmp_path / "new"]
    assert_refused(call(SCRIPT, *flags), "but-no-variable-has", "before, text, sparse, zz")


def test_no_file(tmp_path):
    assert_refused(
        call(SCRIPT, "--raw-file", tmp_path / "no.mat", "--out-dir", tmp_path / "out"),
        "not-file",
        "--raw-file",
        "no.mat",
    )
