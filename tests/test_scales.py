"""A scale and a threshold per rating, from arrays and tables to results; labels of one class, said everywhere."""

import json

import numpy as np
import pytest

from data_prep import open_prepared, write_prepared
from tests.support import assert_refused, call, done, refused
from utils.base.errors import InputError
from utils.base.settings import read_settings
from utils.results.overview import above_majority

NAMES = dict(name="X", sampling_rate=32, eeg_channels=list("wxyz"), ratings=["arousal", "valence", "stress"])
RANGES = {"arousal": [1, 9], "valence": [1, 9], "stress": [0, 1]}
CUTS = {"arousal": 5, "valence": 6, "stress": 0.5}


def people(n_trials=8):
    for number in range(4):
        rng = np.random.default_rng(number)
        ratings = np.stack([np.arange(1, 9) % 9 + 1, 9 - np.arange(8), [0.9] + [0.1] * 7], 1).astype(float)
        yield {"id": f"p{number}", "eeg": rng.standard_normal((n_trials, 4, 320)), "ratings": ratings[:n_trials]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scales") / "data"
    write_prepared(folder, people(), rating_range=RANGES, threshold=CUTS, **NAMES)
    return folder


def test_each_rating_is_cut_at_its_own_threshold(folder):
    data = open_prepared(folder)
    assert data.info["threshold"] == CUTS
    assert data.info["rating_range"] == RANGES
    for name, cut in CUTS.items():
        labels, classes = data.labels(name)
        np.testing.assert_array_equal(labels, data.ratings[:, :, NAMES["ratings"].index(name)] >= cut)
        assert classes == [f"low {name}", f"high {name}"]
    arousal, valence = (data.labels(name)[0] for name in ("arousal", "valence"))
    np.testing.assert_array_equal(data.labels("four")[0], 2 * (1 - arousal) + (1 - valence))
    given = data.labels("four", {"valence": 3})[0]
    np.testing.assert_array_equal(given, 2 * (1 - arousal) + ~(data.ratings[:, :, 1] >= 3))
    with refused("not-one-ratings", "nausea"):
        data.labels("four", {"nausea": 3})


@pytest.mark.parametrize(
    ("ranges", "cuts", "part"),
    [
        (RANGES, {"arousal": 5, "valence": 5}, ["has-none-for-give", "threshold", "stress"]),
        ({**RANGES, "joy": [0, 1]}, CUTS, ["which-not-one-numeric", "rating_range", "joy"]),
        (RANGES, 5, ["lies-outside-rating-range", "5", "0", "to 1"]),
        (RANGES, {**CUTS, "stress": "high"}, ["must-be-number-not", "threshold"]),
        ({**RANGES, "stress": [1, 0]}, CUTS, ["rating-range-must-begin"]),
        ({**RANGES, "stress": [0, 0.5]}, CUTS, ["ratings-outside-to-subject", "stress", "0", "to 0.5"]),
    ],
)
def test_scales_that_do_not_fit(ranges, cuts, part, tmp_path):
    with refused(*part):
        write_prepared(tmp_path / "x", people(), rating_range=ranges, threshold=cuts, **NAMES)
    assert list(tmp_path.iterdir()) == []


def test_a_result_says_where_each_rating_is_cut(folder, tmp_path):
    where = ["--data-dir", folder, "--run-dir", tmp_path, "--models", "lda", "--standardise", "none", "--n-folds", 2]
    out = done("Fine_tuning/baseline.py", *where, "--label", "four")
    assert "high: rated arousal 5, valence 6 or more" in out
    result = json.loads((tmp_path / "baseline_four_lda" / "metrics.json").read_text())
    assert result["high_from"] == {"arousal": 5, "valence": 6}
    again = ["--label", "four", "--tag", "x", "--threshold", "arousal=4,valence=4"]
    assert "high: rated 4 or more" in done("Fine_tuning/baseline.py", *where, *again)
    out = done("Fine_tuning/report.py", "--run-dir", tmp_path, "--no-feature-maps")
    assert "high from arousal 5, valence 6 on" in out
    done("Fine_tuning/baseline.py", *where, "--label", "valence", "--threshold", "valence=3,stress=.2")
    assert json.loads((tmp_path / "baseline_valence_lda" / "metrics.json").read_text())["high_from"] == 3
    refused = call("Fine_tuning/baseline.py", *where, "--label", "valence", "--tag", "y", "--threshold", "joy=3")
    assert_refused(refused, "not-one-ratings", "--threshold", "joy", "arousal, valence, stress")


def test_a_label_of_one_class_is_said_everywhere(tmp_path, capsys):
    """7 of 8 trials are calm: in the preparation, beside the result, and first in the report."""
    write_prepared(tmp_path / "data", people(), rating_range=RANGES, threshold=CUTS, **NAMES)
    said = capsys.readouterr().out
    assert "88% of the trials are 'low stress (below 0.5)'" in said
    assert "arousal" not in said  # 5 of 8: nothing to say
    where = ["--data-dir", tmp_path / "data", "--run-dir", tmp_path / "run", "--models", "nearest,stimulus"]
    out = done("Fine_tuning/baseline.py", *where, "--label", "stress", "--split", "window")
    assert "88% of the test windows are 'low stress'" in out
    assert "88% of the test windows are 'low stress'" in done("Fine_tuning/report.py", "--run-dir", tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "88% of the test windows" in page


def test_a_report_of_nothing_says_so_first(tmp_path):
    write_prepared(tmp_path / "data", people(), rating_range=RANGES, threshold=CUTS, **NAMES)
    where = ["--data-dir", tmp_path / "data", "--run-dir", tmp_path / "run", "--models", "nearest", "--split", "trial"]
    out = done("Fine_tuning/baseline.py", *where, "--label", "stress", "--standardise", "none")
    sentence = "The result is not above the majority class: nothing here predicts stress."
    assert sentence in out
    out = done("Fine_tuning/report.py", "--run-dir", tmp_path / "run")
    assert out.split("\n\n", 1)[1].startswith(sentence)  # after the settings
    page = (tmp_path / "run" / "report.html").read_text()
    body = page[page.index("</h1>") :]
    assert body.index(sentence) < 100
    better = {"accuracy": {"mean": 0.6, "pooled": 0.61}, "majority": 0.6, "settings": {}, "label": "stress"}
    assert above_majority([better]) is None
    assert above_majority([better | {"majority": 0.7}, better | {"settings": {"PERMUTE_LABELS": True}}])


@pytest.mark.parametrize("value", ["arousal=5,stress=.5", {"arousal": 5, "stress": 0.5}])
def test_numbers_by_name_as_a_flag_and_as_a_constant(value, tmp_path):
    script = tmp_path / "script.py"
    script.write_text('"""A script."""\nTHRESHOLD = None  # x\nQUIET = False  # y\n')
    constants = {"__file__": str(script), "__doc__": "A script.", "THRESHOLD": value, "QUIET": False}
    expected = {"arousal": 5.0, "stress": 0.5}
    assert read_settings(constants, []).THRESHOLD == expected
    if isinstance(value, str):
        settings = read_settings(constants | {"THRESHOLD": None}, ["--threshold", value])
        assert settings.THRESHOLD == expected
        assert "THRESHOLD" in settings.given
        assert read_settings(constants | {"THRESHOLD": None}, settings.words["THRESHOLD"]).THRESHOLD == expected
    for wrong in ("arousal=", "=5", "arousal=5,arousal=6", "arousal=high", "arousal=nan"):
        with pytest.raises(InputError, match="--threshold"):
            read_settings(constants, ["--threshold", wrong])
