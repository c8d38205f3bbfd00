"""Incomplete designs, in which not everybody saw every stimulus: what is absent is said, and counts nowhere."""

import json

import numpy as np
import pytest

from data_prep import PreparedWriter, open_prepared, write_prepared
from utils.base.errors import InputError

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


def refuse(folder, people, part, **more):
    with pytest.raises(InputError, match=part) as error:
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


def test_what_is_not_clear_is_refused(tmp_path):
    people = [with_nan(person(n), seen) for n, seen in enumerate(SEEN)]
    people[1]["ratings"][2, 0] = np.nan
    refuse(tmp_path / "set", people, "p1, trial 3 lacks some of its ratings")
    people = [with_nan(person(n), seen) for n, seen in enumerate(SEEN)]
    people[1]["eeg"][0] = 1
    refuse(tmp_path / "set", people, "p1 has signals in a trial without ratings")
    people = [with_nan(person(n), seen & [True, True, False]) for n, seen in enumerate(SEEN)]
    refuse(tmp_path / "set", people, "film10 was seen by nobody", stimuli=FILMS)
    people = [with_nan(person(n), seen & (n != 2)) for n, seen in enumerate(SEEN)]
    refuse(tmp_path / "set", people, "p2")
    people = [only(person(n), seen) for n, seen in enumerate(SEEN)]
    refuse(tmp_path / "set", people, "film10 was seen and is not among", stimuli=FILMS[:2])
    refuse(tmp_path / "set", people, "keep", missing="error")
    refuse(tmp_path / "set", [with_nan(person(n), seen) for n, seen in enumerate(SEEN)], "NaN", missing="error")
    refuse(tmp_path / "set", people, "error, drop or keep", missing="leave")


def test_recordings_without_ratings_may_be_incomplete_too(tmp_path):
    made = DESCRIPTION | dict(ratings=[], rating_range=None, threshold=None, stimuli=FILMS, preparation={})
    rng = np.random.default_rng(0)
    with PreparedWriter(tmp_path / "set", rated=False, missing="keep", **made) as writer:
        for number, seen in enumerate(SEEN):
            arrays = [rng.standard_normal((seen.sum(), SECONDS, n, RATE)) for n in (3, 1)]
            writer.add(f"p{number}", *arrays, np.zeros((seen.sum(), 0)), sources={}, seen=seen)
    data = open_prepared(tmp_path / "set", rated=False)
    np.testing.assert_array_equal(data.seen, SEEN)
    np.testing.assert_array_equal(data.eeg.any(axis=(2, 3, 4)), SEEN)
    assert data.info["ratings"] == []


@pytest.mark.parametrize("change", [{}, {"p0": ["film1"]}, {"nobody": ["film1"]}, {"p1": []}, ["p1"]])
def test_a_folder_that_contradicts_itself_is_not_opened(tmp_path, change):
    from data_prep.folder.prepared import checksum_of

    write_prepared(tmp_path / "set", [only(person(n), s) for n, s in enumerate(SEEN)], **DESCRIPTION, missing="keep")
    path = tmp_path / "set" / "dataset.json"
    info = json.loads(path.read_text()) | {"not_seen": change}
    path.write_text(json.dumps(info | {"checksum": checksum_of(info)}))
    with pytest.raises(InputError, match=r"not_seen|format version"):
        open_prepared(tmp_path / "set")
