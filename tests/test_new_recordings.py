"""Recordings that nobody has rated: prepared without ratings, one person too, predicted, and never trained on."""

import csv
import shutil

import numpy as np
import pytest

from data_prep import open_prepared
from tests.builders import recorded
from tests.support import TINY, assert_refused, call, done, lines_of, refused

SCRIPT, PREDICT, FEATURES = (
    "data_prep/prepare_recordings.py",
    "Fine_tuning/predict.py",
    "Fine_tuning/extract_features.py",
)
HEADER = "subject,file,stimulus,onset,duration"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three rated people with a model each of two splits, and an unrated fourth."""
    folder = tmp_path_factory.mktemp("study")
    files = {person: recorded.write(folder, "edf", person) for person in (1, 2, 3, 4)}
    trials = recorded.write_table(folder / "trials.csv", {person: files[person] for person in (1, 2, 3)})
    done(SCRIPT, "--trials", trials, "--out-dir", folder / "FILM")
    for split in ("trial", "subject"):
        where = ["--data-dir", folder / "FILM", "--run-dir", folder / split]
        done("main_pretrain_1s.py", *where, "--split", split, "--recipe", "robust", "--epochs", 1, *TINY)
        flags = ["--label", "arousal", "--resolutions", "1s", "--epochs", 1, "--folds", 0]
        done("Fine_tuning/fine_tuning.py", *where, *flags)
    (folder / "new.csv").write_text(f"{HEADER}\np4,p4.edf,film_a,3,6\n")
    out = done(SCRIPT, "--trials", folder / "new.csv", "--no-rated", "--out-dir", folder / "NEW")
    assert "1 subjects x 1 trials x 6 s, 12 EEG and 2 PPS channels, 128 Hz; no ratings: to predict" in out
    assert "Fine_tuning/predict.py --model" in out
    return folder


def model(study, split="trial"):
    return study / split / "finetune_arousal_1s" / "fold_00" / "model.pt"


def test_one_person_and_one_film_without_any_rating_are_predicted(study, tmp_path):
    outcome = call(PREDICT, "--model", model(study), "--input", study / "NEW", "--out-file", tmp_path / "x.csv")
    assert outcome.status == 0, outcome.err
    with open(tmp_path / "x.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["subject"], row["trial"], row["stimulus"], row["start_second"]) for row in rows] == [
        ("p4", "0", open_prepared(study / "NEW", rated=False).info["stimuli"][0], "0")
    ]
    assert rows[0]["stimulus"].startswith("film_")
    names = open_prepared(study / "FILM").info["stimuli"]
    with open(study / "trial" / "finetune_arousal_1s" / "predictions.csv", newline="") as file:
        tested = list(csv.DictReader(file))
    assert {(row["trial"], row["stimulus"]) for row in tested} <= {(str(i), name) for i, name in enumerate(names)}
    assert float(rows[0]["probability of low arousal"]) + float(rows[0]["probability of high arousal"]) == (
        pytest.approx(1, abs=1e-5)
    )


def test_a_person_prepared_alone_is_the_same_as_among_others(study, tmp_path):
    (study / "one.csv").write_text(f"{HEADER},arousal\np2,p2.edf,film_b,{recorded.ONSETS[2]},6,\n")
    assert recorded.order(2)[2] == "film_b"
    out = done(SCRIPT, "--trials", study / "one.csv", "--no-rated", "--out-dir", tmp_path / "out")
    assert "not read (--no-rated): arousal" in out
    alone, among = open_prepared(tmp_path / "out", rated=False), open_prepared(study / "FILM")
    np.testing.assert_array_equal(alone.eeg[0, 0], among.eeg[1, 1])
    np.testing.assert_array_equal(alone.pps[0, 0], among.pps[1, 1])
    assert (alone.ratings.shape, alone.info["ratings"], alone.label_names) == ((1, 1, 0), [], [])
    outcome = call(PREDICT, "--model", model(study), "--input", tmp_path / "out", "--out-file", tmp_path / "x.csv")
    assert outcome.status == 0
    assert lines_of(outcome.err, "among-recordings-model-made")
    assert "people it knows" not in outcome.err


def test_features_of_what_nobody_rated(study, tmp_path):
    checkpoint = study / "trial" / "pretrain_1s" / "fold_00" / "checkpoint.pt"
    done(FEATURES, "--checkpoint", checkpoint, "--data-dir", study / "NEW", "--out-file", tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as made:
        assert made["features"].shape == (6, 4 * 8)
        assert made["ratings"].shape == (6, 0)
        assert made["rating_names"].shape == (0,)


@pytest.mark.parametrize("script", ["main_pretrain_1s.py", "Fine_tuning/fine_tuning.py", "Fine_tuning/baseline.py"])
def test_nothing_is_trained_on_it(study, tmp_path, script):
    flags = ["--data-dir", study / "NEW", "--run-dir", tmp_path / "run"]
    assert_refused(call(script, *flags), "has-no-ratings-for", study / "NEW", "predict.py")
    assert not (tmp_path / "run").exists()


def test_a_model_that_was_tested_on_people_it_knows_says_so(study, tmp_path):
    said = "model.pt was trained and tested on people it knows (trial split)"
    for split, new in (("trial", "NEW"), ("subject", "NEW"), ("trial", "FILM")):
        flags = ["--model", model(study, split), "--input", study / new, "--out-file", tmp_path / f"{split}{new}.csv"]
        outcome = call(PREDICT, *flags)
        assert outcome.status == 0
        assert (said in outcome.err) == (split == "trial" and new == "NEW")


def test_a_model_alone_knows_its_split(study, tmp_path):
    """Away from its run directory it predicts as well, and says as much about new people."""
    shutil.copy(model(study), tmp_path / "model.pt")
    flags = ["--model", tmp_path / "model.pt", "--input", study / "NEW", "--out-file", tmp_path / "x.csv"]
    outcome = call(PREDICT, *flags)
    assert outcome.status == 0
    assert "trained and tested on people it knows (trial split)" in outcome.err


def test_bids_without_ratings_takes_what_lasts(tmp_path):
    recorded.write_bids(tmp_path / "bids", (1,))
    (events,) = (tmp_path / "bids").rglob("*_events.tsv")
    lines = [line.split("\t")[:3] for line in events.read_text().splitlines()]
    events.write_text("\n".join("\t".join(line) for line in lines) + "\n")
    flags = ["--bids-dir", tmp_path / "bids", "--task", "film"]
    assert_refused(call(SCRIPT, *flags, "--out-dir", tmp_path / "no"), "has-no-rating-2", "--no-rated")
    done(SCRIPT, *flags, "--out-dir", tmp_path / "out", "--no-rated")
    assert open_prepared(tmp_path / "out", rated=False).info["stimuli"] == recorded.FILMS
    with refused("has-no-ratings-for"):
        open_prepared(tmp_path / "out")


def test_rated_recordings_still_need_two_people_and_two_films(study):
    flags = ["--trials", study / "new.csv", "--out-dir", study / "no"]
    assert_refused(call(SCRIPT, *flags), "has-no-rating-2", "new.csv", "--no-rated")
    assert_refused(
        call(SCRIPT, *flags, "--no-rated", "--ratings", "arousal"), "give-one-them", "--ratings", "--no-rated"
    )
    (study / "one.csv").write_text(f"{HEADER},arousal\np4,p4.edf,film_a,3,6,3\np4,p4.edf,film_b,13,6,7\n")
    assert_refused(call(SCRIPT, "--trials", study / "one.csv", "--out-dir", study / "no"), "all-trials", "--no-rated")


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (["s01.dat", "s02.dat"], ["not-prepared-folder", "s01.dat"]),
        (["sub/p1.npz"], ["not-prepared-folder", "sub/p1.npz"]),
        (["p1.edf", "notes.txt"], ["not-prepared-folder", "prepare_recordings.py", "--no-rated"]),
        ([], ["not-prepared-folder"]),
    ],
)
def test_folders_of_raw_files_are_no_input(study, tmp_path, names, part):
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    flags = ["--model", model(study), "--out-file", tmp_path / "x.csv"]
    assert_refused(call(PREDICT, *flags, "--input", folder), *part, f"--input {folder}")


def test_a_recording_is_no_input_either(study, tmp_path):
    flags = ["--model", model(study), "--out-file", tmp_path / "x.csv"]
    assert_refused(call(PREDICT, *flags, "--input", study / "p4.edf"), "is-recording-2", "p4.edf", "--no-rated")
