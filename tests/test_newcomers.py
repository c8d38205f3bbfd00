"""What a newcomer with recordings and a table stumbles over: nothing silent, one line each, that says what to do."""

import os

import edfio
import numpy as np
import pytest

from data_prep import open_prepared
from data_prep.amplifiers import trial_plan, trials_table
from tests.builders import recorded
from tests.builders.recorded import ELECTRODES, LENGTH, RATE
from tests.support import assert_refused, call, done, lines_of, refused

SCRIPT = "data_prep/prepare_recordings.py"
HEADER = ["subject", "file", "stimulus", "onset", "duration", "arousal", "valence"]
QUICK = ["--high-pass", "none", "--low-pass", "none"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """EDF files of three people."""
    folder = tmp_path_factory.mktemp("study")
    for person in (1, 2, 3):
        recorded.write(folder, "edf", person)
    return folder


def rows(files=("p1.edf", "p2.edf"), films=("film_a", "film_b"), more=()):
    """Rows of as many people as files: both films, rated."""
    return [
        [f"p{n}", name, film, onset, 6, n + 2, 8 - n, *more]
        for n, name in enumerate(files, 1)
        for film, onset in zip(films, (3, 13), strict=True)
    ]


def write(path, lines, header=HEADER):
    path.write_text("\n".join(",".join(map(str, line)) for line in [header, *lines]) + "\n")
    return path


def prepare(folder, lines, *flags, header=HEADER, out="out"):
    return call(SCRIPT, "--trials", write(folder / "t.csv", lines, header), "--out-dir", folder / out, *QUICK, *flags)


def edf(path, channels):
    """A file of (name, rate, amplitude in uV) channels, each a rhythm of its own."""
    signals = []
    for number, (name, rate, amplitude) in enumerate(channels):
        times = np.arange(LENGTH * rate) / rate
        signals.append(
            edfio.EdfSignal(amplitude * np.sin(8.3 * (1 + number) * times), rate, label=name, physical_dimension="uV")
        )
    edfio.Edf(signals).write(path)


@pytest.mark.parametrize("where", ["beside", "above", "elsewhere"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_relative_table_from_anywhere(study, tmp_path, monkeypatch, where, linked):
    (tmp_path / "real" / "tables").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for person in (1, 2):
        os.link(study / f"p{person}.edf", tmp_path / "real" / f"p{person}.edf")
    write(tmp_path / "real" / "tables" / "t.csv", rows(("../p1.edf", "../tables/../p2.edf")))
    if linked:
        (tmp_path / "link").symlink_to(tmp_path / "real")
    root = tmp_path / ("link" if linked else "real")
    monkeypatch.chdir({"beside": root / "tables", "above": root.parent, "elsewhere": tmp_path / "elsewhere"}[where])
    table = {"beside": "t.csv", "above": f"{root.name}/tables/t.csv", "elsewhere": f"../{root.name}/tables/t.csv"}
    done(SCRIPT, "--trials", table[where], "--out-dir", "out", *QUICK)
    made = open_prepared("out")
    assert sorted(made.info["sources"]) == ["../p1.edf", "../p2.edf", "t.csv"]
    assert "complete, from these files" in done(SCRIPT, "--trials", table[where], "--out-dir", "out", *QUICK)


@pytest.mark.parametrize("here", [".", "sub"])
def test_a_relative_bids_folder(tmp_path, monkeypatch, here):
    recorded.write_bids(tmp_path / "bids", (1, 2))
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / here)
    flags = ["--bids-dir", os.path.relpath(tmp_path / "bids"), "--task", "film", "--out-dir", "out", *QUICK]
    done(SCRIPT, *flags)
    assert "participants.tsv" not in open_prepared("out").info["sources"]
    assert any(name.startswith("sub-01/eeg/") for name in open_prepared("out").info["sources"])
    assert "complete, from these files" in done(SCRIPT, *flags)


def test_common_channels_name_what_is_left_out(study, tmp_path):
    recorded.write_edf(tmp_path / "p1.edf", 1)
    recorded.write_edf(tmp_path / "p2.edf", 2, names=[name for name in ELECTRODES if name != "O2"])
    recorded.write_edf(tmp_path / "p3.edf", 3, names=[*ELECTRODES[3:]])
    lines = rows(("p1.edf", "p2.edf", "p3.edf"))
    outcome = prepare(tmp_path, lines, "--eeg-channels", "common")
    assert outcome.status == 0, outcome.err
    assert "--eeg-channels common leaves out: Fp1, Fp2, F3 (not in p3.edf); O2 (not in p2.edf)" in outcome.out
    assert open_prepared(tmp_path / "out").info["eeg_channels"] == ELECTRODES[3:-1]
    assert "leaves out" not in prepare(study, rows(), "--eeg-channels", "common").out


def test_files_of_one_name_are_two_files(tmp_path):
    for person, names, rate in ((1, ELECTRODES, 200), (2, ELECTRODES[1:], 256)):
        (tmp_path / f"p{person}").mkdir()
        edf(tmp_path / f"p{person}" / "run.edf", [(name, rate, 20 + person) for name in names])
    outcome = prepare(tmp_path, rows(("p1/run.edf", "p2/run.edf")), "--eeg-channels", "common")
    assert outcome.status == 0, outcome.err
    assert "leaves out: Fp1 (not in p2/run.edf)" in outcome.out
    assert "200 Hz (p1/run.edf), 256 Hz (p2/run.edf)" in outcome.out


def test_nothing_in_common_is_refused(study, tmp_path):
    recorded.write_edf(tmp_path / "p1.edf", 1)
    edf(tmp_path / "p2.edf", [("E1", RATE, 20), ("E2", RATE, 20), ("E3", RATE, 20), ("ECG", RATE, 20)])
    outcome = prepare(tmp_path, rows(), "--eeg-channels", "common", "--pps-channels", "common")
    assert_refused(outcome, "eeg-which-no-electrodes", "p2.edf", "E1, E2, E3", "--eeg-channels")
    edf(tmp_path / "p2.edf", [("Pz", RATE, 20), ("Oz", RATE, 20), ("ECG", RATE, 20)])
    outcome = prepare(tmp_path, rows(), "--eeg-channels", "common", "--pps-channels", "common")
    parts = ["common-no-channel-everybody", "p1.edf has Fp1, Fp2", "p2.edf has Pz, Oz", "--eeg-channels none"]
    assert_refused(outcome, *parts)
    flags = ["--eeg-channels", "none", "--pps-channels", "common"]
    outcome = prepare(tmp_path, rows(), *flags)
    assert outcome.status == 0, outcome.err
    assert "--pps-channels common leaves out: GSR (not in p2.edf)" in outcome.out
    info = open_prepared(tmp_path / "out").info
    assert (info["eeg_channels"], info["pps_channels"]) == ([], ["ECG"])
    assert_refused(prepare(tmp_path, rows(), *flags[:2], "--pps-channels", "none"), "no-eeg-no-peripheral")
    assert prepare(tmp_path, rows(("p1.edf", "p1.edf")), "--pps-channels", "none").status == 2


def test_no_peripheral_channels_where_none_are_wanted(study, tmp_path):
    outcome = call(
        SCRIPT, "--trials", write(study / "t.csv", rows()), "--out-dir", tmp_path / "out", "--pps-channels", "none"
    )
    assert outcome.status == 0, outcome.err
    info = open_prepared(tmp_path / "out").info
    assert (info["eeg_channels"], info["pps_channels"]) == (ELECTRODES, [])


@pytest.mark.parametrize("reference", ["average", "file"])
def test_an_electrode_of_a_hundred_times_the_others_is_warned_of_and_marked(tmp_path, reference):
    for person in (1, 2):
        loud = 2000 if person == 2 else 20
        channels = [(name, RATE, loud if name == "C3" else 20 + n) for n, name in enumerate(ELECTRODES)]
        edf(tmp_path / f"p{person}.edf", [*channels, ("ECG", RATE, 4000 * person)])
    outcome = prepare(tmp_path, rows(), "--reference", reference)
    assert outcome.status == 0, outcome.err
    warnings = outcome.err.splitlines()
    assert len(warnings) == 1
    assert "p2.edf: C3 has " in warnings[0]
    assert len(lines_of(warnings[0], "times-amplitude-other-eeg")) == (reference == "average")
    assert len(warnings[0]) < 300
    page = (tmp_path / "out" / "quality.html").read_text(encoding="utf-8")
    marked = [line for line in page.split("<tr>") if "class=f" in line]
    assert [line[: line.index("<td")] for line in marked] == ["<th>C3"]
    assert "x the others" in marked[0]
    assert "1 of more than 10 times the amplitude of the other electrodes" in outcome.out


def test_the_page_says_what_its_values_are(study, tmp_path):
    call(SCRIPT, "--trials", write(study / "t.csv", rows()), "--out-dir", tmp_path / "out")
    page = (tmp_path / "out" / "quality.html").read_text(encoding="utf-8")
    assert "before filters, reference and resampling" in page
    units = {line[4:].split("<td")[0]: line.split("<td")[1].split()[-1] for line in page.split("<tr>")[2:]}
    assert (units["Fp1"], units["ECG"], units["GSR"]) == ("uV", "uV", "uS")


def test_what_is_taken_as_a_rating_is_said(study, tmp_path):
    lines = [[*row, "f" if row[0] == "p1" else "m"] for row in rows()]
    header = [*HEADER, "sex"]
    outcome = prepare(study, lines, header=header, out="sex")
    assert "ratings: arousal, valence (1 to 9, high from 5 on); sex (2 classes: f, m); --ratings" in outcome.out
    outcome = prepare(study, lines, "--ratings", "valence", header=header, out="valence")
    assert "ratings: valence (1 to 9, high from 5 on)\n" in outcome.out
    lines = [[*row[:-1], 20 + number] for number, row in enumerate(lines)]
    outcome = prepare(study, lines, header=[*HEADER, "age"], out="age")
    assert_refused(outcome, "off-scale-to", "row 2: age", "20", "1 to 9", "--ratings arousal,valence")
    lines = [[*row[:-1], "only"] for row in lines]
    outcome = prepare(study, lines, header=[*HEADER, "cohort"], out="cohort")
    assert_refused(outcome, "not-to-has-classes", "cohort", "1 classes", "only", "--ratings arousal,valence")


def test_the_threshold_is_the_middle_of_the_scale(study):
    outcome = prepare(study, rows(), "--rating-min", 0, "--rating-max", 10, out="ten")
    assert "(0 to 10, high from 5 on)" in outcome.out
    for name, flags, threshold in (("nine", [], 5), ("hundred", ["--rating-min", 1, "--rating-max", 100], 50.5)):
        outcome = prepare(study, rows(), *flags, out=name)
        assert f"high from {threshold:g} on" in outcome.out
        assert open_prepared(study / name).info["threshold"] == threshold
    assert_refused(prepare(study, rows(), "--rating-max", 100), "say-both-ends-scale", "--rating-max", "--rating-min")
    assert_refused(prepare(study, rows(), "--threshold", 20), "lies-outside-scale-to", "--threshold 20", "1 to 9")


@pytest.mark.parametrize("duration", [45, 450, 4500])
@pytest.mark.parametrize("flags", [[], ["--seconds", 5]])
def test_a_duration_beyond_the_end_is_refused(study, duration, flags):
    lines = rows()
    lines[1][4] = duration
    outcome = prepare(study, lines, *flags, out="long")
    assert_refused(
        outcome,
        "correct-duration-or-leave",
        "t.csv, row 3",
        "film_b",
        f"{duration} s",
        "p1.edf",
    )
    lines[1][3:5] = [26, 6.015]  # rounded, and no more
    assert prepare(study, lines, *flags, out=f"rounded{duration}{len(flags)}").status == 0


def test_files_of_different_rates_are_said(tmp_path):
    for person, rate in ((1, 200), (2, 256), (3, 200)):
        edf(tmp_path / f"p{person}.edf", [(name, rate, 20 + person) for name in ELECTRODES])
    outcome = prepare(tmp_path, rows(("p1.edf", "p2.edf", "p3.edf")))
    assert outcome.status == 0, outcome.err
    assert "sampling rates differ: 200 Hz (p1.edf, p3.edf), 256 Hz (p2.edf); all are brought to 128 Hz" in outcome.out
    assert outcome.out.count("sampling rates differ") == 1
    assert "rates differ" not in prepare(tmp_path, rows(("p1.edf", "p3.edf")), out="same").out


@pytest.mark.parametrize(
    ("change", "meant"),
    [
        ({"subject": "participant"}, ["participant to subject"]),
        ({"stimulus": "film", "onset": "start_s"}, ["film to stimulus", "start_s to onset"]),
        ({"stimulus": "video", "duration": "length"}, ["video to stimulus", "length to duration"]),
        ({"stimulus": "stimuli"}, ["stimuli to stimulus"]),
        ({"file": "clip"}, ["add file"]),
        ({"file": "film", "stimulus": "nr"}, ["film to stimulus"]),
    ],
)
def test_other_words_for_columns(study, change, meant):
    header = [change.get(name, name) for name in HEADER]
    outcome = prepare(study, rows(), header=header)
    there = ", ".join(name for name in header)
    assert_refused(outcome, "has-no-column", ", ".join(change), there, *meant)
    assert "film to file" not in outcome.err


@pytest.mark.parametrize("name", ["film3", "Film03", "film 03", "film03x"])
def test_a_film_that_one_person_writes_otherwise(study, name):
    lines = rows(("p1.edf", "p2.edf", "p3.edf"), ("film02", "film03"))
    lines[3][2] = name
    outcome = prepare(study, lines)
    assert_refused(outcome, "not-seen", "'film03'", "p2", f"'{name}'", "--missing drop")
    assert "more" not in outcome.err
    assert len(outcome.err) < 300


def test_of_two_people_neither_is_right():
    def own(*names):
        return dict.fromkeys(names)

    with refused("not-seen-more-not", "'B1'", "'b1'", "one", "2 more"):
        trial_plan.find_stimuli({"one": own("a", "b1", "x"), "two": own("a", "B1", "c")}, "error")
    with refused("not-seen", "b", "two", "--missing"):
        trial_plan.find_stimuli({"one": own("a", "b"), "two": own("a")}, "error")


@pytest.mark.parametrize(("cell", "said"), [("", "empty"), ("n/a", "n/a")])
def test_an_empty_cell_is_called_what_it_is(study, cell, said):
    lines = rows()
    lines[0][5] = cell
    assert_refused(prepare(study, lines), "row-is", f"row 2: arousal is {said};")


def test_a_recording_is_no_table(study):
    assert_refused(call(SCRIPT, "--trials", study / "p1.edf"), "is-recording", "p1.edf")
    with refused("is-recording"):
        trials_table.read_table(study / "P.FIF.GZ")


def test_messages_name_flags(tmp_path):
    for person in (1, 2):
        edf(tmp_path / f"p{person}.edf", [("Fp1", RATE, 20), ("Fp2", RATE, 20 * person)])
    assert_refused(prepare(tmp_path, rows()), "eeg-channels-cannot-be", "2 EEG channels", "--eeg-normalise trial")
    assert_refused(prepare(tmp_path, rows(films=("a", "b"))[:3]), "not-seen", "b", "p2", "--missing drop")
