"""Stress-Predict's reader, on a tiny imitation of its raw format and, where they are there, on the real files."""

import json
import re
import zipfile

import numpy as np
import pytest

from data_prep import open_prepared
from data_prep.formats import stress_predict
from tests.builders.stress import FILES, LENGTH, MARKS, SIZES, START, write_person
from tests.support import ROOT, TINY, assert_refused, call, done, lines_of, says

SCRIPT = "data_prep/prepare_stress_predict.py"
REAL = ROOT.parent / "shared" / "real" / "Stress-Predict-Dataset.zip"


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "Raw_data"
    for number, marks in ((1, MARKS), (2, MARKS + 1), (10, MARKS)):
        write_person(folder / f"S{number:02d}", marks, seed=number)
    (folder / ".DS_Store").write_bytes(b"\x00")
    (folder / "__MACOSX").mkdir()
    return folder


def prepare(raw, *flags):
    return call(SCRIPT, "--raw-dir", raw, "--out-dir", raw.parent / "out", *SIZES, *flags)


def people_of(raw):
    return open_prepared(raw.parent / "out").subjects


def test_each_stage_lies_where_its_mark_says(raw):
    """Signals that count seconds: every sample shows where it was cut from, at any rate."""
    outcome = prepare(raw, "--pps-normalise", "none")
    assert outcome.status == 0, outcome.err
    assert outcome.err == ""
    data = open_prepared(raw.parent / "out")
    assert data.pps.shape == (3, 7, 6, 7, 64)
    assert data.eeg.shape == (3, 7, 6, 0, 64)
    assert data.subjects == ["S01", "S02", "S10"]
    assert data.info["stimuli"] == list(stress_predict.STAGES)
    labels, classes = data.labels("stress")
    assert classes == ["no stress", "stress"]
    assert labels.tolist() == [[0, 1, 0, 1, 0, 1, 0]] * 3
    for person, shift in ((0, 0), (1, 1)):
        starts = np.array([MARKS[0] - 15, *(MARKS[:6] + 1)]) + shift
        expected = (starts[:, None] + np.arange(6 * 64) / 64).reshape(7, 6, 64)
        for channel in ("BVP", "EDA", "TEMP", "HR"):
            stored = data.pps[person, :, :, data.info["pps_channels"].index(channel)]
            np.testing.assert_allclose(stored, expected, atol=1e-3)
    assert data.pps_names(["ACC"]) == ["ACC1", "ACC2", "ACC3"]
    assert {"S01/BVP.csv", "S10/tags_S10.csv"} <= data.info["sources"].keys()
    assert len(data.info["sources"]) == 18


def test_again_and_with_other_settings(raw):
    """Complete is complete; another part of the stages, or another file, is another folder."""
    assert prepare(raw).status == 0
    assert "complete, from these files" in prepare(raw).out
    assert_refused(prepare(raw, "--delay", 2), "already-exists")
    with open(raw / "S02" / "HR.csv", "a", encoding="utf-8") as file:
        file.write("70\n")
    assert_refused(prepare(raw), "already-exists")


def test_quality_is_of_the_signals_as_recorded(raw):
    text = (raw / "S02" / "EDA.csv").read_text(encoding="utf-8").splitlines()
    text[2 + 33 * 4 : 2 + 36 * 4] = ["0.001"] * 12  # in the Stroop test
    (raw / "S02" / "EDA.csv").write_text("\n".join(text), encoding="utf-8")
    out = prepare(raw).out
    assert re.search(r"quality: of 21 signals, .*out of the range of a human body", out)
    page = (raw.parent / "out" / "quality.html").read_text(encoding="utf-8")
    assert "<th>EDA<td>0.001 to" in page


def test_who_is_left_out_and_why(raw):
    """By what is found in the files: no room for a baseline, a mark that is missing, too few of them, an early end."""
    write_person(raw / "S03", MARKS - 20)
    write_person(raw / "S04", [*MARKS[1:], 105])
    write_person(raw / "S05", MARKS[:5])
    write_person(raw / "S06", HR="\n".join(good("HR")[: 2 + 90]))
    write_person(raw / "S07", [*MARKS, 100, 104])  # marks behind the last rest do no harm
    outcome = prepare(raw)
    assert outcome.status == 0
    assert people_of(raw) == ["S01", "S02", "S07", "S10"]
    lines = outcome.err.splitlines()
    says(lines[0], "first-mark-comes-after", "S03", "0 s")
    says(lines[1], "stages-last-but-hyperventilation", "S04")
    says(lines[2], "has-marks-begin-end", "S05", "5 marks of the 7")
    says(lines[3], "signal-ends-before-last", "S06")
    assert len(lines) == 4
    page = (raw.parent / "out" / "quality.html").read_text(encoding="utf-8")
    assert page.count("is left out") == 4


def test_marks_of_the_other_half_of_the_day(raw):
    marks = MARKS.copy()
    marks[[0, 3]] += 12 * 3600, -12 * 3600
    write_person(raw / "S03", marks, seed=1)
    outcome = prepare(raw, "--pps-normalise", "none")
    mended, copies = outcome.err.splitlines()
    says(mended, "marks-were-12-hours", "warning: S03", "1, 4")
    says(copies, "trials-with-signals-another", "S03 trial 1 is S01 trial 1")  # which they are in this test
    data = open_prepared(raw.parent / "out")
    np.testing.assert_array_equal(data.pps[2], data.pps[0])


def good(name):
    rate, columns = FILES[name]
    header = [",".join([str(START)] * columns), ",".join([str(rate)] * columns)]
    return header + [",".join(["1"] * columns)] * (LENGTH * rate)


def lines(name, **changed):
    """A sound file with some lines (``_5``) changed."""
    rows = good(name)
    for index, line in changed.items():
        rows[int(index[1:])] = line
    return "\n".join(rows)


BAD_FILES = {
    "empty": ("EDA", "", ["is-empty"]),
    "blank": ("EDA", "\n \n\n", ["is-empty"]),
    "header alone": ("BVP", "\n".join(good("BVP")[:2]), ["has-no-samples-below"]),
    "start is no number": ("BVP", lines("BVP", _0="start"), ["begins-with-where-should", "start"]),
    "rate is no number": ("HR", lines("HR", _1="one"), ["begins-with-where-should", "rate"]),
    "infinite start": ("HR", lines("HR", _0="inf"), ["begins-with-where-should", "start"]),
    "starts that differ": ("ACC", lines("ACC", _0="1,2,3"), ["begins-with-where-should", "start"]),
    "another rate": ("EDA", lines("EDA", _1="8.000000"), ["has-rate-hz-not", "8 Hz", "not 4"]),
    "NaN": ("TEMP", lines("TEMP", _9="nan"), ["has-nan-or-infinite-values-first", "row 10"]),
    "infinite": ("ACC", lines("ACC", _5="1,inf,3"), ["has-nan-or-infinite-values-first", "row 6"]),
    "a word": ("BVP", lines("BVP", _50="oops"), ["not-table-numbers"]),
    "a gap": ("ACC", lines("ACC", _50="1,,2"), ["not-table-numbers"]),
    "a column too few": ("ACC", "\n".join(["1,1", "32,32", "1,2"]), ["columns-not-has", "2 columns", "not 3"]),
    "rows that differ": ("ACC", lines("ACC", _50="1,2"), ["not-table-numbers"]),
    "no mark": ("tags", "", ["is-empty"]),
    "a mark that is no time": ("tags", "12:30\n", ["not-table-numbers"]),
    "out of order": (
        "tags",
        "".join(f"{START + m}\n" for m in (30, 42, 40, 66, 77, 86, 97)),
        ["not-later-than-one", "mark 3"],
    ),
    "of another day": ("tags", f"{START + 86400}\n", ["not-recording-to-or", "mark 1"]),
    "signals apart": ("HR", lines("HR", _0=str(START + 9999)), ["has-signals-do-not"]),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file(raw, name):
    file, content, part = BAD_FILES[name]
    write_person(raw / "S03", **{file: content})
    outcome = prepare(raw)
    assert_refused(outcome, *part, raw / "S03")
    assert len(outcome.err) < 300
    assert not (raw.parent / "out").exists()


@pytest.mark.parametrize("missing", [*FILES, "tags_S02"])
def test_missing_file(raw, missing):
    (raw / "S02" / f"{missing}.csv").unlink()
    assert_refused(prepare(raw), "has-no-file", raw / "S02", f"{missing}.csv")


def test_tags_as_the_wristband_calls_them(raw):
    (raw / "S02" / "tags_S02.csv").rename(raw / "S02" / "tags.csv")
    assert prepare(raw).status == 0


def test_binary_file(raw):
    (raw / "S02" / "EDA.csv").write_bytes(b"\x89PNG\xff\x00")
    assert_refused(prepare(raw), "not-text-file", raw / "S02" / "EDA.csv")


def test_other_folders(raw):
    """The folder above, the zip, a single person, nothing, and one of other names."""
    parent = raw.parent
    assert_refused(prepare(parent), "has-recordings-one-folder", "--raw-dir", raw)
    (parent / "set.zip").write_bytes(b"PK")
    assert_refused(prepare(parent / "set.zip"), "not-folder-3")
    assert_refused(prepare(parent / "nowhere"), "does-not-exist")
    assert_refused(prepare(raw / "S01"), "folders-people-s01-s02", "--raw-dir", "0 folders")
    (raw / "Processed_data").mkdir()
    assert_refused(prepare(raw), "has-no-file", "Processed_data", "BVP.csv")


def test_stages_that_are_too_short(raw):
    assert_refused(prepare(raw, "--seconds", 9), "less-than-lasts", "S01", "hyperventilation", "9 s", "--seconds")
    assert_refused(prepare(raw, "--baseline-before", 5), "less-than-baseline-would", "--baseline-before 5")
    assert_refused(prepare(raw, "--seconds", 4), "must-be-not", "--seconds", "at least 5")


def test_the_third_road(raw):
    """From the wristband's files to a report; a stage is a stimulus, so the audit says that all were seen."""
    for number in (11, 12):
        write_person(raw / f"S{number}", MARKS, seed=number)
    assert prepare(raw).status == 0
    run_dir = raw.parent / "run"
    common = ["--data-dir", raw.parent / "out", "--run-dir", run_dir, "--modalities", "pps", "--folds", 0]
    for script in ("main_pretrain_1s.py", "Fine_tuning/baseline.py"):
        flags = ["--label", "stress"] if "baseline" in script else []
        flags += ["--modalities", "eeg+pps"]
        assert_refused(call(script, *common[:4], *flags), "has-no-channels", "EEG", "--modalities pps")
    run_dir = raw.parent / "run 2"
    common[3] = run_dir
    for window in ("1s", "5s"):
        recipe = ["--recipe", "robust", "--protocol", "cross-subject", "--n-folds", 2, "--epochs", 1, *TINY]
        done(f"main_pretrain_{window}.py", *common, *recipe)
    tuning = [*common, "--recipe", "robust", "--label", "stress", "--epochs", 1]
    assert_refused(
        call("Fine_tuning/fine_tuning.py", *tuning), "does-not-exist", "--pretrain-variant pps", "--init random"
    )
    done("Fine_tuning/fine_tuning.py", *tuning, "--pretrain-variant", "pps")
    done("Fine_tuning/fine_tuning.py", *tuning, "--init", "random")
    done("Fine_tuning/baseline.py", *common, "--label", "stress", "--models", "lda")
    out = done("Fine_tuning/report.py", "--run-dir", run_dir, "--no-feature-maps")
    assert "Stress-Predict" in out
    results = json.loads((run_dir / "baseline_stress_lda_pps" / "metrics.json").read_text(encoding="utf-8"))
    assert results["audit"]["classifier"]["stimulus"] == 1
    assert results["audit"]["classifier"]["subject"] == 0
    assert results["majority"] == pytest.approx(4 / 7)


@pytest.mark.skipif(not REAL.exists(), reason="the real files are not there")
def test_real_files(tmp_path):
    """S06 lacks a mark, S17 has two that are 12 hours off, S25 has the shortest stage."""
    with zipfile.ZipFile(REAL) as archive:
        wanted = [name for name in archive.namelist() if re.search(r"Raw_data/(S06|S17|S25)/", name)]
        archive.extractall(tmp_path, wanted)
    raw = next(tmp_path.glob("**/Raw_data"))
    outcome = call(SCRIPT, "--raw-dir", raw, "--out-dir", tmp_path / "out", "--pps-normalise", "none")
    assert outcome.status == 0, outcome.err
    assert "S06" in lines_of(outcome.err, "stages-last-but-hyperventilation")[0]
    assert "533, 407, 293, 157, 285, 596 s" in outcome.err
    says(lines_of(outcome.err, "marks-were-12-hours")[0], None, "S17", "4, 7")
    data = open_prepared(tmp_path / "out")
    assert data.subjects == ["S17", "S25"]
    assert data.pps.shape == (2, 7, 85, 7, 64)
    ranges = {"EDA": (0, 20), "TEMP": (25, 38), "HR": (40, 180)}
    for name, (low, high) in ranges.items():
        channels = [data.info["pps_channels"].index(full) for full in data.pps_names([name])]
        assert data.pps[:, :, :, channels].min() >= low - 1
        assert data.pps[:, :, :, channels].max() <= high + 1
    acceleration = data.pps[:, :, :, [data.info["pps_channels"].index(f"ACC{axis}") for axis in (1, 2, 3)]]
    assert 60 < np.median(np.linalg.norm(acceleration, axis=3)) < 70  # 1 g
    assert "next: python main_pretrain_1s.py" in outcome.out
    assert (
        done("data_prep/prepare_stress_predict.py", "--raw-dir", raw, "--out-dir", tmp_path / "other", "--quiet") == ""
    )
