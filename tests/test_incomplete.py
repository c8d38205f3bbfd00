"""Incomplete designs, in which not everybody saw every stimulus: what is absent is said, and counts nowhere."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data_prep import PreparedWriter, open_prepared, write_prepared
from data_prep.folder import preparation
from data_prep.folder.prepared import checksum_of
from data_prep.formats.inputs import open_input
from tests.support import TINY, assert_refused, call, done, refused
from utils.base.errors import InputError
from utils.base.files import sha256
from utils.inputs.front_end import shared_filters
from utils.pretraining.batches import ContrastiveBatches, Recordings
from utils.protocol import audit, permutation, splits

RATE, SECONDS, FILMS = 16, 11, ["film1", "film2", "film10"]
DESCRIPTION = dict(
    name="MINE",
    sampling_rate=RATE,
    eeg_channels=["Fp1", "Cz", "Pz"],
    pps_channels=["GSR"],
    ratings=["arousal", "valence"],
    rating_range=(1, 9),
    threshold=5,
)
SEEN = np.array([[1, 1, 1], [0, 1, 1], [1, 1, 0], [1, 0, 1]], bool)


def person(number, films=3):
    rng = np.random.default_rng(number)
    return {
        "id": f"p{number}",
        "eeg": rng.standard_normal((films, 3, RATE * SECONDS)),
        "pps": rng.standard_normal((films, 1, RATE * SECONDS)),
        "ratings": rng.uniform(1, 9, (films, 2)),
    }


def only(someone, seen, order=None):
    """What a person who saw only these films brings, with their names."""
    places = order or np.flatnonzero(seen).tolist()
    cut = {key: someone[key][places] for key in ("eeg", "pps", "ratings")}
    return {"id": someone["id"], **cut, "stimuli": [FILMS[place] for place in places]}


def with_nan(someone, seen, nothing=0.0):
    """The same person with rows of NaN."""
    cut = {key: someone[key].copy() for key in ("eeg", "pps", "ratings")}
    for key, value in (("eeg", nothing), ("pps", nothing), ("ratings", np.nan)):
        cut[key][~seen] = value
    return {"id": someone["id"], **cut}


def refuse(folder, people, *message, **more):
    with refused(*message) as error:
        write_prepared(folder, people, **DESCRIPTION | {"missing": "keep"} | more)
    assert "\n" not in str(error.value)
    assert not folder.exists()


@pytest.mark.parametrize("how", ["names", "NaN and 0", "NaN and NaN"])
def test_what_somebody_did_not_see_is_marked_and_the_rest_is_as_in_the_complete_set(tmp_path, how, capsys):
    write_prepared(tmp_path / "all", map(person, range(4)), **DESCRIPTION, stimuli=FILMS)
    if how == "names":
        people = [only(person(n), seen) for n, seen in enumerate(SEEN)]
        people[0] = only(person(0), SEEN[0], [2, 0, 1])  # in another order
        write_prepared(tmp_path / "some", people, **DESCRIPTION, missing="keep")
    else:
        people = [with_nan(person(n), seen, 0 if how.endswith("0") else np.nan) for n, seen in enumerate(SEEN)]
        write_prepared(tmp_path / "some", people, **DESCRIPTION, missing="keep", stimuli=FILMS)
    assert "incomplete: 3 of 12 trials are not there (p1, p2, p3); each stimulus was seen by 3 to 3 of 4 people" in (
        capsys.readouterr().out
    )
    complete, data = open_prepared(tmp_path / "all"), open_prepared(tmp_path / "some")
    assert data.info["stimuli"] == FILMS
    assert data.info["not_seen"] == {"p1": ["film1"], "p2": ["film10"], "p3": ["film2"]}
    assert complete.seen.all()
    np.testing.assert_array_equal(data.seen, SEEN)
    for name in ("eeg", "pps", "ratings"):
        np.testing.assert_array_equal(getattr(data, name)[SEEN], getattr(complete, name)[SEEN])
        nothing = getattr(data, name)[~SEEN]
        assert np.isnan(nothing).all() if name == "ratings" else not nothing.any()
    for label in ("arousal", "four"):
        labels, names = data.labels(label)
        np.testing.assert_array_equal(labels[SEEN], complete.labels(label)[0][SEEN])
        assert (labels[~SEEN] == -1).all()
    assert "3 of 12 trials are not there" in (tmp_path / "some" / "quality.html").read_text()
    assert data.info["copies"] == []  # absent trials are alike, and no copies


def test_a_complete_set_is_the_same_whatever_was_allowed_to_be_missing(tmp_path):
    for missing in ("error", "keep"):
        (tmp_path / missing).mkdir()
        people = (only(person(n), SEEN[0]) for n in range(3))
        write_prepared(tmp_path / missing / "set", people, **DESCRIPTION, missing=missing)
    files = sorted(path.name for path in (tmp_path / "error" / "set").iterdir())
    for name in files:
        assert (tmp_path / "error" / "set" / name).read_bytes() == (tmp_path / "keep" / "set" / name).read_bytes()
    assert json.loads((tmp_path / "keep" / "set" / "dataset.json").read_text())["format_version"] == 1


def test_classes_and_quality_know_only_what_is_there(tmp_path):
    more = dict(ratings=["feeling"], classes={"feeling": ["joy", "fear", "calm"]}, rating_range=None, threshold=None)
    people = [only(person(n) | {"ratings": np.array([[0], [1], [2]])}, seen) for n, seen in enumerate(SEEN)]
    write_prepared(tmp_path / "set", people, **DESCRIPTION | more, missing="keep")
    labels, names = open_prepared(tmp_path / "set").labels("feeling")
    np.testing.assert_array_equal(labels, np.where(SEEN, [0, 1, 2], -1))
    assert "flat in some seconds" not in (tmp_path / "set" / "quality.html").read_text().split("</p>")[0]


@pytest.mark.parametrize("named", [True, False])
def test_groups_stay_with_their_stimuli(tmp_path, named):
    groups = {"groups": ["a", "a", "b"]}
    people = [with_nan(person(n), seen) | groups for n, seen in enumerate(SEEN)]
    write_prepared(tmp_path / "set", people, **DESCRIPTION | ({"stimuli": FILMS} if named else {}), missing="keep")
    assert open_prepared(tmp_path / "set").info["groups"] == groups["groups"]


def test_what_is_not_clear_is_refused(tmp_path):
    people = [with_nan(person(n), seen) for n, seen in enumerate(SEEN)]
    people[1]["ratings"][2, 0] = np.nan
    refuse(tmp_path / "set", people, "lacks-some-ratings-trial", "p1, trial 3")
    people = [with_nan(person(n), seen) for n, seen in enumerate(SEEN)]
    people[1]["eeg"][0] = 1
    refuse(tmp_path / "set", people, "has-signals-trial-without", "p1")
    people = [with_nan(person(n), seen & [True, True, False]) for n, seen in enumerate(SEEN)]
    refuse(tmp_path / "set", people, "seen-nobody", "film10", stimuli=FILMS)
    people = [with_nan(person(n), seen & (n != 2)) for n, seen in enumerate(SEEN)]
    refuse(tmp_path / "set", people, "saw-no-stimulus", "p2")
    people = [only(person(n), seen) for n, seen in enumerate(SEEN)]
    refuse(tmp_path / "set", people, "seen-not-among-data", "film10", stimuli=FILMS[:2])
    refuse(tmp_path / "set", people, "has-not-seen-which", "keep", missing="error")
    people_with_nan = [with_nan(person(n), seen) for n, seen in enumerate(SEEN)]
    refuse(tmp_path / "set", people_with_nan, "has-nan-or-infinite", 'missing="keep"', missing="error")
    refuse(tmp_path / "set", people, "missing-must-be-error", "leave", missing="leave")


def test_recordings_without_ratings_may_be_incomplete_too(tmp_path):
    prepared = preparation.make("channels", "trial", segment=None)
    made = DESCRIPTION | dict(ratings=[], rating_range=None, threshold=None, stimuli=FILMS, preparation=prepared)
    rng = np.random.default_rng(0)
    with PreparedWriter(tmp_path / "set", rated=False, missing="keep", **made) as writer:
        for number, seen in enumerate(SEEN):
            arrays = [rng.standard_normal((seen.sum(), SECONDS, n, RATE)) for n in (3, 1)]
            writer.add(f"p{number}", *arrays, np.zeros((seen.sum(), 0)), sources={}, seen=seen)
    data = open_prepared(tmp_path / "set", rated=False)
    np.testing.assert_array_equal(data.seen, SEEN)
    np.testing.assert_array_equal(data.eeg.any(axis=(2, 3, 4)), SEEN)
    assert data.info["ratings"] == []
    record, people, _ = open_input(tmp_path / "set", {})  # to predict
    for number, (subject, trials) in enumerate(people):
        assert record["seen"][subject].tolist() == SEEN[number].tolist()
        for place, trial in zip(np.flatnonzero(SEEN[number]), trials, strict=True):
            np.testing.assert_array_equal(trial["eeg"], data.eeg[number, place])


@pytest.mark.parametrize("change", [{}, {"p0": ["film1"]}, {"nobody": ["film1"]}, {"p1": []}, ["p1"]])
def test_a_folder_that_contradicts_itself_is_not_opened(tmp_path, change):
    write_prepared(tmp_path / "set", [only(person(n), s) for n, s in enumerate(SEEN)], **DESCRIPTION, missing="keep")
    path = tmp_path / "set" / "dataset.json"
    info = json.loads(path.read_text()) | {"not_seen": change}
    path.write_text(json.dumps(info | {"checksum": checksum_of(info)}))
    with pytest.raises(InputError, match=r"not_seen|format version"):
        open_prepared(tmp_path / "set")


# --- training, on data with a planted answer: high arousal is a strong alpha rhythm

N, T, HZ = 6, 5, 32
NOT_SEEN = [(0, 4), (1, 0), (2, 4), (3, 1), (3, 4), (5, 4)]  # person, film; film 5 is left to two people
THERE = np.ones((N, T), bool)
THERE[tuple(zip(*NOT_SEEN, strict=True))] = False
SIGNALS = dict(
    sampling_rate=HZ,
    eeg_channels=["Fp1", "Cz", "Pz", "Oz"],
    pps_channels=["GSR"],
    ratings=["arousal", "valence"],
    rating_range=(1, 9),
    threshold=5,
    eeg_normalise="trial",
    pps_normalise="subject",
    stimuli=[f"film{number}" for number in range(1, T + 1)],
)


def rhythmic(number):
    """A person who rates each film in an own way, and whose alpha rhythm says how."""
    rng, time = np.random.default_rng(number), np.arange(12 * HZ) / HZ
    ratings = np.stack([(np.arange(T) + number) % 2 * 6.0 + 1, rng.uniform(1, 9, T)], axis=1)
    eeg = rng.standard_normal((T, 4, len(time)))
    eeg[:, 1] += (ratings[:, :1] > 5) * 4 * np.sin(2 * np.pi * 10 * time)
    pps = np.cumsum(rng.standard_normal((T, 1, len(time))), axis=2) + 5
    return {"id": f"p{number}", "eeg": eeg, "pps": pps, "ratings": ratings}


def spoil(folder):
    """Write nonsense where nobody watched, and checksums that say that it belongs there."""
    info = json.loads((folder / "dataset.json").read_text())
    seen = open_prepared(folder).seen
    for name in ("eeg", "pps"):
        array = np.load(folder / f"{name}.npy")
        array[~seen] = np.nan if name == "eeg" else 12345
        np.save(folder / f"{name}.npy", array)
        info["arrays"][name] = sha256(folder / f"{name}.npy")
    (folder / "dataset.json").write_text(json.dumps(info | {"checksum": checksum_of(info)}))


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """A folder with the same recordings three times: all trials, some of them, and these with nonsense elsewhere."""
    folder = tmp_path_factory.mktemp("sets")
    people = [rhythmic(number) for number in range(N)]
    write_prepared(folder / "all", people, name="ALL", **SIGNALS)
    people = [with_nan(person, there) for person, there in zip(people, THERE, strict=True)]
    for name in ("some", "spoilt"):
        write_prepared(folder / name, people, name="SOME", missing="keep", **SIGNALS)
    spoil(folder / "spoilt")
    return folder


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def drawn(data, positives, n=2, stream=None, epochs=20):
    """People and moments of some epochs' pairs: (2, pairs, N) each; and the batches."""
    recordings = Recordings(data, ["eeg", "pps"], ["GSR"], torch.device("cpu"), stream=stream)
    first = torch.arange(T * 12).view(T, 12)[:, :10:5].flatten()
    batches = ContrastiveBatches(recordings, torch.arange(N), first, 5, 4, n, positives)
    torch.manual_seed(0)
    places = torch.cat([batches.shuffle()[0] for _ in range(epochs)]).transpose(0, 1).flatten(1, 2)
    return places // (T * 12), places % (T * 12), batches


@pytest.mark.parametrize("positives", ["stimulus", "augmentation"])
def test_nobody_is_drawn_for_what_they_did_not_see(sets, positives):
    data = open_prepared(sets / "some")
    people, moments, batches = drawn(data, positives)
    assert data.seen[people, moments // 12].all()
    if positives == "stimulus":
        assert set((moments // 12).unique().tolist()) == {
            0,
            1,
            2,
            3,
        }  # film 5 has two viewers, and two groups of two four
        both = people.transpose(0, 1).flatten(1)
        assert all(len(set(row)) == 4 for row in both.tolist())
        counts = torch.stack([torch.bincount(people[:, (moments[0, :, 0] // 12) == t].flatten()) for t in (0, 1)])
        expected = counts.sum(1, keepdim=True) / 5  # equally often, those who saw it
        assert (counts[0, 1], counts[1, 3]) == (0, 0)
        assert ((counts / expected - 1).abs() < 0.2).sum() == 10
    else:
        pairs = {(p, m) for p, m in zip(people.flatten().tolist(), moments.flatten().tolist(), strict=True)}
        assert pairs == {(p, t * 12 + s) for p, t in np.argwhere(THERE).tolist() for s in (0, 5)}
        assert batches.n_items == 2 * THERE.sum()


def test_groups_of_one_reach_what_two_people_saw(sets):
    _, moments, _ = drawn(open_prepared(sets / "some"), "stimulus", n=1)
    assert set((moments // 12).unique().tolist()) == {0, 1, 2, 3, 4}


def test_batches_of_complete_data_are_those_of_before(sets):
    """Asked step by step: the random numbers of an epoch, in this order, make it what it always was."""
    people, moments, batches = drawn(open_prepared(sets / "all"), "stimulus", epochs=1)
    torch.manual_seed(0)
    passes, _ = torch.rand(6, 10).argsort(1), torch.rand(6, 10)
    order = torch.rand(15, 4, N).argsort(-1)[..., :4]
    assert torch.equal(people, order.unflatten(-1, (2, 2)).permute(2, 0, 1, 3).flatten(1, 2))
    assert torch.equal(moments[0, :, 0], batches.first_seconds[passes.flatten()])


def encoders(run_dir, window):
    for path in sorted(run_dir.glob(f"pretrain_{window}*/fold_*/checkpoint.pt")):
        made = torch.load(path, weights_only=True)
        yield (
            made["trained_on"],
            {
                (modality, name): tensor
                for modality, entry in made["encoders"].items()
                for name, tensor in entry["weights"].items()
            },
        )


FLAGS = {
    "trial": ["--recipe", "paper", "--keep", "best", "--subjects-per-group", 2],
    "subject": ["--recipe", "robust"],
    "subject+trial": ["--recipe", "robust", "--subjects-per-group", 2],
    "window": ["--positives", "augmentation", "--batch-size", 64],
    "authors": ["--subjects-per-group", 2],
}


@pytest.mark.parametrize(
    "split", [pytest.param(s, marks=[pytest.mark.slow] if s in ("subject", "authors") else []) for s in FLAGS]
)
def test_what_was_not_seen_changes_nothing_from_pretraining_to_report(sets, tmp_path, split):
    """The whole way with every split; where trials are not there, nonsense or 0 makes no difference to anything."""
    variant, folds = ["--pretrain-variant", "augmentation"] if split == "window" else [], ["--folds", "0,1"]
    for name in ("some", "spoilt"):
        where = ["--data-dir", sets / name, "--run-dir", tmp_path / name]
        for window in ("1s", "5s"):
            out = done(
                f"main_pretrain_{window}.py", *where, "--split", split, *FLAGS[split], *folds, "--epochs", 1, *TINY
            )
            left_out = "are left out of contrast: fewer than" in out
            assert left_out == (split != "window"), out
        tuning = ["--label", "arousal", *variant, *folds, "--epochs", 1]
        tuning += ["--permutations", 25] if split == "trial" else []
        done("Fine_tuning/fine_tuning.py", *where, *tuning)
        out = done("Fine_tuning/baseline.py", *where, "--label", "arousal", *folds)
        assert "incomplete design: 6 of 30 trials were not seen, and count nowhere" in out
    for window in ("1s", "5s"):
        for (seen, one), (_, other) in zip(*(encoders(tmp_path / n, window) for n in ("some", "spoilt")), strict=True):
            assert all(torch.equal(one[key], other[key]) and one[key].isfinite().all() for key in one)
            assert len(seen["rows"]) > 0
    results = sorted(path.parent.name for path in (tmp_path / "some").glob("*/metrics.json"))
    assert len(results) == (7 if "trial" in split else 8)  # the baseline "stimulus" needs stimuli that training knows
    manifest = json.loads((tmp_path / "some" / "split.json").read_text())
    for name in results:
        rows = rows_of(tmp_path / "some" / name / "predictions.csv")
        assert rows == rows_of(tmp_path / "spoilt" / name / "predictions.csv")
        arousal = open_prepared(sets / "all").labels("arousal")[0]
        tested = [(int(row["subject"][1:]), int(row["trial"]), int(row["window"])) for row in rows]
        assert all(THERE[person, trial] for person, trial, _ in tested)
        assert [int(row["truth"]) for row in rows] == [arousal[person, trial] for person, trial, _ in tested]
        wanted = [
            (person, row // 2, row % 2)
            for fold in manifest["folds"][:2]
            for person in fold["test"]["subjects"]
            for row in fold["test"]["rows"]["5s"]
            if THERE[person, row // 2]
        ]
        assert sorted(tested) == sorted(wanted)
        metrics = json.loads((tmp_path / "some" / name / "metrics.json").read_text())
        assert all(fold["n_test"] > 0 for fold in metrics["folds"])
        if name.startswith("baseline_arousal_lda"):
            assert metrics["accuracy"]["pooled"] == 1.0  # the rhythm says it
        assert metrics["audit"]["classifier"]["window"] == 0
    model = next((tmp_path / "some").glob("finetune_*/fold_00/model.pt"))
    done("Fine_tuning/predict.py", "--model", model, "--input", sets / "some", "--out-file", tmp_path / "p.csv")
    there = {(row["subject"], row["trial"], row["stimulus"]) for row in rows_of(tmp_path / "p.csv")}
    assert there == {(f"p{p}", str(t), f"film{t + 1}") for p, t in np.argwhere(THERE).tolist()}
    checkpoint = next((tmp_path / "some").glob("pretrain_5s*/fold_00/checkpoint.pt"))
    where = ["--checkpoint", checkpoint, "--out-file"]
    for name in ("some", "spoilt"):
        done("Fine_tuning/extract_features.py", *where, tmp_path / f"{name}.npz", "--data-dir", sets / name)
    one, other = (np.load(tmp_path / f"{name}.npz") for name in ("some", "spoilt"))
    assert len(one["features"]) == 2 * THERE.sum()
    of_the_encoder = {"seen_in_training"}  # was trained on the one folder, not on the other
    assert all(np.array_equal(one[name], other[name]) for name in set(one.files) - of_the_encoder)
    assert one["seen_in_training"].any()
    assert np.isfinite(one["features"]).all()
    assert np.isfinite(one["ratings"]).all()
    done("Fine_tuning/compare_runs.py", *(tmp_path / "some" / name for name in results[:2]), "--out-dir", tmp_path)
    out = done(
        "Fine_tuning/report.py", "--run-dir", tmp_path / "some", *(() if split == "trial" else ["--no-feature-maps"])
    )
    assert "6 of 30 trials were not seen" in out
    assert "6 of 30 trials were not seen" in (tmp_path / "some" / "report.html").read_text()


def test_the_trials_that_are_there_are_predicted_as_in_the_complete_set(sets, tmp_path):
    """Nearest neighbours of one person each: what others lack does not matter to them."""
    for name in ("all", "some"):
        where = ["--data-dir", sets / name, "--run-dir", tmp_path / name, "--split", "window", "--n-folds", 2]
        done("Fine_tuning/baseline.py", *where, "--label", "arousal", "--models", "logistic,stimulus")
    complete = {
        (row["fold"], row["subject"], row["trial"], row["window"]): row["truth"]
        for row in rows_of(tmp_path / "all" / "baseline_arousal_logistic" / "predictions.csv")
    }
    rows = rows_of(tmp_path / "some" / "baseline_arousal_logistic" / "predictions.csv")
    assert len(complete) == 2 * N * T
    assert len(rows) == 2 * THERE.sum()
    assert all(complete[row["fold"], row["subject"], row["trial"], row["window"]] == row["truth"] for row in rows)
    metrics = json.loads((tmp_path / "some" / "baseline_arousal_logistic" / "metrics.json").read_text())
    people = {name: sum(fold["subjects"][name]["n_test"] for fold in metrics["folds"]) for name in of_folds(metrics)}
    assert people == {f"p{number}": 2 * there.sum() for number, there in enumerate(THERE)}


def of_folds(metrics):
    return {name for fold in metrics["folds"] for name in fold["subjects"]}


def test_what_cannot_be_contrasted_is_said(sets, tmp_path):
    where = ["--data-dir", sets / "some", "--run-dir", tmp_path / "run", "--epochs", 0, *TINY]
    out = done("main_pretrain_5s.py", *where, "--split", "trial", "--recipe", "robust")
    assert "SUBJECTS_PER_GROUP 1: half the people who saw a stimulus, for 90% of the stimuli" in out
    assert "left out" not in out
    out = done("main_pretrain_5s.py", *where, "--subjects-per-group", 2, "--tag", "two")
    words = "2 of 8 stimulus windows are left out of contrast: fewer than 4 training people saw them, and two groups"
    assert out.count(words) == 4  # the fifth fold tests that film
    trained = [seen for seen, _ in encoders(tmp_path / "run", "5s")]
    assert all(len(seen["rows"]) == 0 for seen in trained)  # no epochs


@pytest.fixture
def sparse(tmp_path):
    """Film 1 to 4 belong to p0 to p3 alone, film 5 to p0, p4 and p5."""
    seen = np.eye(N, T, dtype=bool)
    seen[[0, 4, 5], 4] = True
    people = [with_nan(rhythmic(number), there) for number, there in enumerate(seen)]
    write_prepared(tmp_path / "set", people, name="SOME", missing="keep", **SIGNALS)
    return tmp_path / "set"


def test_what_leaves_nothing_to_contrast_is_refused(sparse, tmp_path):
    data = open_prepared(sparse)
    manifest = splits.load_or_create(Settings(tmp_path / "run", "trial"), data)
    fold = next(fold.index for fold in manifest.folds if 8 in fold.test.rows["5s"])  # which tests film 5
    where = ["--data-dir", sparse, "--run-dir", tmp_path / "run", "--folds", fold, *TINY]
    outcome = call("main_pretrain_1s.py", *where)
    assert_refused(outcome, "windows-two-groups-people", f"fold {fold}", "0 windows", "1 people", "--positives")
    done("main_pretrain_1s.py", *where, "--positives", "augmentation", "--epochs", 1, "--batch-size", 64)


def test_encoders_say_what_they_were_trained_on(sets, tmp_path):
    where = ["--data-dir", sets / "some", "--run-dir", tmp_path / "run", "--folds", "0", "--split", "window"]
    done("main_pretrain_5s.py", *where, "--epochs", 1, *TINY, "--subjects-per-group", 2, "--batch-size", 64)
    ((seen, _),) = encoders(tmp_path / "run", "5s")
    fold = json.loads((tmp_path / "run" / "split.json").read_text())["folds"][0]
    assert seen["rows"].tolist() == [row for row in fold["train"]["rows"]["5s"] if row // 2 != 4]


class Settings(SimpleNamespace):
    """Of a split."""

    def __init__(self, folder, split):
        super().__init__(RUN_DIR=folder, PROTOCOL=None, SPLIT=split, N_FOLDS=None, SEED=0)


def test_every_fold_tests_and_trains_on_something(sparse, tmp_path):
    """A fold of p1 that held out another film than the only one that p1 saw would test nothing."""
    data = open_prepared(sparse)
    seen = data.seen
    for split in ("subject+trial", "subject", "trial", "window"):
        manifest = splits.load_or_create(Settings(tmp_path / split, split), data)
        for fold in manifest.folds:
            train, test = (splits.windows_of(p.subjects, p.rows["5s"], 2, seen) for p in (fold.train, fold.test))
            assert len(train)
            assert len(test)
            if split == "subject+trial":
                assert set(audit.count(test, train).values()) == {0.0}
    where = ["--data-dir", sparse, "--run-dir", tmp_path / "trial"]
    done("Fine_tuning/baseline.py", *where, "--label", "valence", "--models", "lda,nearest")
    for row in rows_of(tmp_path / "trial" / "baseline_valence_lda" / "predictions.csv"):
        assert seen[int(row["subject"][1:]), int(row["trial"])]


def test_permuted_labels_stay_with_those_who_saw():
    labels = np.random.default_rng(0).integers(0, 2, (40, 9))
    seen = np.random.default_rng(1).random((40, 9)) < 0.8
    some = np.where(seen, labels, -1)
    for number in range(1, 6):
        moved = permutation.permuted_labels(some, 3, number)
        assert ((moved >= 0) == seen).all()
        assert (np.sort(moved, axis=1) == np.sort(some, axis=1)).all()
        assert (moved != some).any()
        films = np.where(seen, np.arange(9), -1)  # which film's label a person gets where
        source = permutation.permuted_stimuli(films, 3, number)
        assert ((source >= 0) == seen).all()
        assert (np.sort(source, axis=1) == np.sort(films, axis=1)).all()
        complete = permutation.permuted_stimuli(np.tile(np.arange(9), (40, 1)), 3, number)
        both = seen & np.take_along_axis(seen, complete, axis=1)
        assert (source[both] == complete[both]).all()  # all people alike, where they saw both films


def test_filters_are_fitted_to_those_who_saw():
    """People share the third feature; who was not there holds nonsense."""
    rng = np.random.default_rng(0)
    windows = rng.standard_normal((8, 60, 6)).astype(np.float32)
    windows[..., 2] += 2 * rng.standard_normal(60)
    there = rng.random((8, 60)) < 0.7
    complete = shared_filters(windows, 2)
    np.testing.assert_array_equal(shared_filters(windows, 2, seen=np.ones((8, 60), bool)), complete)
    windows[~there] = np.nan
    some = shared_filters(windows, 2, seen=there)
    for filters in (complete, some):
        power = np.square(filters).sum(axis=1)  # of each feature in what is kept
        assert power[2] > 10 * np.delete(power, 2).max()


@pytest.mark.parametrize("front_end", ["raw", "bandpower"])
def test_standardised_with_what_a_person_saw(sets, front_end):
    """Also who has no training seconds, as a test person, and who has some."""
    some, spoilt, complete = (open_prepared(sets / name) for name in ("some", "spoilt", "all"))
    training = np.zeros((N, T, 12), bool)
    training[:3, 1:3] = True  # p0, p1 and p2
    device, blocks = torch.device("cpu"), []
    for data in (some, spoilt):
        recordings = Recordings(data, ["eeg", "pps"], ["GSR"], device, front_end).standardised(training)
        subjects, first = (torch.from_numpy(part) for part in np.argwhere(THERE).T)
        blocks.append({name: recordings.take(name, subjects, first * 12, 12) for name in ("eeg", "pps")})
    assert all(torch.equal(blocks[0][name], blocks[1][name]) for name in ("eeg", "pps"))
    whole = Recordings(complete, ["pps"], ["GSR"], device, front_end).standardised(training)
    own = whole.take("pps", torch.tensor([2]), torch.tensor([12]), 12)  # p2 has all films of training
    assert torch.equal(
        own,
        Recordings(some, ["pps"], ["GSR"], device, front_end)
        .standardised(training)
        .take("pps", torch.tensor([2]), torch.tensor([12]), 12),
    )
