"""Files as amplifiers, spreadsheets and data sets have them: read as they are meant, or refused by what is wrong."""

import os

import numpy as np
import pytest

from data_prep.amplifiers import trial_plan
from data_prep.amplifiers.recordings import need_mne, open_recording
from data_prep.amplifiers.sidecars import Physio, place
from data_prep.amplifiers.trials_table import Trial, read_rows, read_table
from data_prep.amplifiers.triggers import from_rest, marker_seconds, read_values
from data_prep.signals.channel_kinds import refuse_unknown
from data_prep.signals.resampling import at_one_rate
from tests.builders import recorded
from tests.builders.recorded import RATE
from tests.support import assert_refused, call, refused

SCRIPT = "data_prep/prepare_recordings.py"


@pytest.fixture(autouse=True)
def silent():
    need_mne()


def pulse(*parts, n=20 * RATE):
    """A trigger channel of (second, samples, value)."""
    values = np.zeros(n)
    for second, samples, value in parts:
        values[round(second * RATE) :][:samples] = value
    return values


@pytest.mark.parametrize(
    ("parts", "found", "unsettled"),
    [
        ([(2, 20, 2), (5, 20, 6), (8, 20, 2)], [(2, 2.0), (6, 5.0), (2, 8.0)], 0),
        ([(2, 20, 2), (5, 20, 6), (5, 1, 2)], [(2, 2.0), (6, 5 + 1 / RATE)], 1),  # rises through another value
        ([(2, 20, 6), (2 + 20 / RATE, 1, 4)], [(6, 2.0)], 1),  # falls through one
        ([(2, 20, 1), (2 + 20 / RATE, 20, 3)], [(1, 2.0), (3, 2 + 20 / RATE)], 0),  # no 0 in between
        ([(2, 1, 7), (5, 1, 7)], [(7, 2.0), (7, 5.0)], 0),  # an amplifier whose triggers last a sample
    ],
)
def test_values_of_a_trigger_channel(parts, found, unsettled):
    values, n, short = read_values(pulse(*parts), RATE)
    assert (values, n, short) == (found, unsettled, [])


def test_a_trigger_of_one_sample_among_longer_ones_is_no_onset(tmp_path):
    values = pulse((2, 20, 2), (5, 20, 6), (8, 1, 2), (11, 20, 2))
    assert read_values(values, RATE)[2] == [(2, 8.0)]
    write(tmp_path / "p.edf", [("TRIG", values)])
    recording = open_recording(tmp_path / "p.edf")
    with refused("trigger-write-onset-seconds", "lasts one sample at 8 s, and others of TRIG last longer"):
        marker_seconds(recording, "trigger 2#2", "t")
    assert marker_seconds(recording, "trigger 6", "t") == 5


@pytest.mark.parametrize("name", ["TRIG", "Trigger", "MARKER", "Markers", "STI 014", "Event", "DIN1", "TTL"])
@pytest.mark.parametrize("unit", ["", "uV"])
def test_trigger_channels_by_their_names(tmp_path, name, unit):
    write(tmp_path / "p.edf", [(name, pulse((2, 20, 2), (5, 20, 6)))], unit)
    assert open_recording(tmp_path / "p.edf").markers == [("trigger 2", 2.0), ("trigger 6", 5.0)]


@pytest.mark.parametrize("rate", [16, 64])
def test_a_trigger_channel_is_read_at_its_own_rate(tmp_path, rate):
    import edfio

    values = np.zeros(20 * rate)
    values[2 * rate :][:8], values[5 * rate :][:8] = 2, 67
    made = [
        edfio.EdfSignal(np.random.default_rng(0).normal(0, 9, 20 * RATE), RATE, label="Fz", physical_dimension="uV")
    ]
    made.append(edfio.EdfSignal(values, rate, label="TRIG", physical_range=(0, 255)))
    edfio.Edf(made).write(tmp_path / "p.edf")
    assert open_recording(tmp_path / "p.edf").markers == [("trigger 2", 2.0), ("trigger 67", 5.0)]


def test_counters_are_no_triggers(tmp_path):
    write(tmp_path / "p.edf", [("MARKER_HARDWARE", np.arange(20 * RATE) % 128)])
    assert open_recording(tmp_path / "p.edf").markers == []


def write(path, more=(), unit="", marks=()):
    """An EDF file of two electrodes and other channels."""
    import edfio

    rng = np.random.default_rng(0)
    made = [edfio.EdfSignal(rng.normal(0, 9, 20 * RATE), RATE, label=n, physical_dimension="uV") for n in ("Fz", "Cz")]
    made += [
        edfio.EdfSignal(v, RATE, label=n, physical_dimension=unit, physical_range=(0, max(255, v.max())))
        for n, v in more
    ]
    edfio.Edf(made, annotations=[edfio.EdfAnnotation(t, None, text) for t, text in marks]).write(path)


@pytest.mark.parametrize("mark", ["67", "S 67", "Stimulus/S 67", None])
def test_a_number_that_is_also_a_marker_is_no_onset(tmp_path, mark):
    more = [] if mark else [("TRIG", pulse((3, 20, 67)))]
    write(tmp_path / "p.edf", more, marks=[(3, mark)] if mark else ())
    recording = open_recording(tmp_path / "p.edf")
    trial = Trial("row 2", "p", tmp_path / "p.edf", "film", 67.0, 6, onset_text="67")
    with refused("may-be-seconds-or", "row 2", "67.000"):
        trial_plan.onset_of(trial, recording)
    trial.onset_text = "67.0"  # as programs write a whole number among others
    with refused("may-be-seconds-or", "row 2", "onset 67.0"):
        trial_plan.onset_of(trial, recording)
    trial.onset_text = "67.000"
    assert trial_plan.onset_of(trial, recording) == 67


@pytest.mark.parametrize("name", ["Accel X", "CQ_F3", "COUNTER", "TIME_STAMP_s", "GYROX", "F3-M2", "EXG1", "E12"])
def test_what_is_called_eeg_and_no_electrode_is_named_or_known_as_another(tmp_path, name):
    write(tmp_path / "p.edf", [(name, np.random.default_rng(1).uniform(0, 200, 20 * RATE))], "uV")
    channels = {"p.edf": open_recording(tmp_path / "p.edf").channels}
    if {channel.kind for channel in channels["p.edf"]} <= {"eeg", "clock", "stim"}:
        assert [channel.name for channel in channels["p.edf"] if channel.kind == "eeg"] == ["Fz", "Cz"]
    else:
        with refused("eeg-which-no-electrodes", name):
            refuse_unknown(channels)


@pytest.mark.parametrize(("rate", "right"), [(8, True), (8.2, True), (4, False), (16, False), (7, False)])
def test_rates_that_do_not_fit_the_lengths_are_refused(rate, right):
    person = {"id": "p", "eeg": np.zeros((1, 2, 20 * 128)), "pps": {"GSR": np.zeros((1, 20 * 8))}}
    if right:
        assert at_one_rate(person, ["GSR"], 128, {"GSR": rate})["pps"].shape[1] == 1
    else:
        with refused("rate-sampling-rates-wrong", "lasts"):
            at_one_rate(person, ["GSR"], 128, {"GSR": rate})


@pytest.mark.parametrize(
    ("start", "length", "began", "found"),
    [
        (-1.0, 101, None, -1),
        (2e9 + 5, 100, 2e9, 5),
        (2e9 + 5, 100, 2e9 + 8 * 3600, 5),  # clocks of two time zones
        (2e9 + 5, 100, 2e9 - 5.5 * 3600, 5),
        (2e9 + 5, 100, 2e9 + 30 * 86400, None),
        (2e9 + 5, 100, None, None),
        (2e9, 3000, 2e9 + 1400 + 8 * 3600, -1400),  # the second of two runs
        (2e9, 9000, 2e9 + 5400 + 8 * 3600, None),  # which hour of 2.5 is it?
        (2e9, 9000, 2e9 + 5400, -5400),  # clocks of one time zone
    ],
)
def test_physiology_by_date(tmp_path, start, length, began, found):
    at, notes = place(Physio(tmp_path / "x_physio.tsv.gz", ["GSR"], 4.0, start), length * 4, 100, began)
    assert at == found
    assert bool(notes) == (start > 1e9)


@pytest.mark.parametrize("rate", [2.0, 8.0])
def test_physiology_of_another_length_is_said(tmp_path, rate):
    _, notes = place(Physio(tmp_path / "x_physio.tsv.gz", ["GSR"], rate, 0.0), 400, 100, None)
    assert "is its SamplingFrequency" in notes[0]


TABLE = "subject,file,stimulus,onset,duration,arousal\np,p.edf,caf\xe9,1,6,5\np,p.edf,b,10,6,4\n"


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode("latin-1"),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-8-sig"),
        ("sep=;\r\n" + TABLE.replace(",", ";").replace("\n", "\r\n")).encode(),
        TABLE.replace("arousal\n", "arousal,,\n").encode(),
        TABLE.replace("\n", "\r").encode(),
    ],
)
def test_tables_of_spreadsheets_are_read(tmp_path, content):
    (tmp_path / "p.edf").touch()
    (tmp_path / "t.csv").write_bytes(content)
    trials = read_table(tmp_path / "t.csv")
    assert [(t.stimulus, t.onset, t.ratings["arousal"]) for t in trials] == [("caf\xe9", 1, "5"), ("b", 10, "4")]


@pytest.mark.parametrize("name", ["nan", "N/A", "NULL"])
def test_a_stimulus_that_is_missing_has_no_name(tmp_path, name):
    (tmp_path / "p.edf").touch()
    (tmp_path / "t.csv").write_text(TABLE.replace("caf\xe9", name), encoding="utf-8")
    with refused(None, f"row 2: stimulus is {name}; fill it in"):
        read_table(tmp_path / "t.csv")


def test_numbers_that_may_be_thousands_are_refused(tmp_path):
    lines = ["onset;duration", "950;60", "1,100;60", "12,500;60"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with refused(None, "row 3: onset is 1,100, and row 2 has no comma"):
        read_rows(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("\n".join([*lines, "14,5;60"]))  # a comma that is none of thousands
    assert [row["onset"] for _, row in read_rows(tmp_path / "t.csv")[1]] == ["950", "1.100", "12.500", "14.5"]


def test_cells_that_a_row_lacks_at_its_end_are_empty(tmp_path):
    (tmp_path / "t.tsv").write_text('name\ttype\tunits\nFz\tEEG\nCz\tEEG\tuV "raw\n')
    assert [row for _, row in read_rows(tmp_path / "t.tsv")[1]] == [
        {"name": "Fz", "type": "EEG", "units": ""},
        {"name": "Cz", "type": "EEG", "units": 'uV "raw'},
    ]


@pytest.mark.parametrize("how", ["link", "annex", "lfs"])
def test_content_that_was_not_downloaded(tmp_path, how):
    path = tmp_path / "sub-01_task-film_eeg.edf"
    if how == "link":
        os.symlink("../.git/annex/objects/none", path)
    else:
        path.write_text(
            "/annex/objects/MD5E-s1\n" if how == "annex" else "version https://git-lfs.github.com/spec/v1\n"
        )
    with refused("stands-for-file-whose", "sub-01_task-film_eeg.edf"):
        open_recording(path)
    (tmp_path / "t.csv").write_text(f"subject,file,stimulus,onset,duration,arousal\n1,{path.name},a,1,6,5\n")
    with open(tmp_path / "t.csv", "a") as file:
        file.write(f"1,{path.name},b,9,6,5\n2,p2_raw.fif,a,1,6,5\n2,p2_raw.fif,b,9,6,5\n")
    recorded.write(tmp_path, "fif", 2)
    assert_refused(call(SCRIPT, "--trials", tmp_path / "t.csv", "--out-dir", tmp_path / "out"), "stands-for-file-whose")


def test_eeglab_files_of_matlab_7_3_are_called_that(tmp_path):
    (tmp_path / "p.set").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n")
    with refused("matlab-hdf5", "pip install pymatreader"):
        open_recording(tmp_path / "p.set")


def test_renamed_brainvision_files(tmp_path):
    path = recorded.write(tmp_path, "vhdr", 1)
    for suffix in (".vhdr", ".eeg", ".vmrk"):
        path.with_suffix(suffix).rename(tmp_path / f"anna{suffix}")
    with refused("which-not-there-beside", "p1.eeg", "anna.eeg"):
        open_recording(tmp_path / "anna.vhdr")
    recorded.write(tmp_path, "vhdr", 1)
    with refused("own-beside-names", "p1.eeg", "anna.eeg"):
        open_recording(tmp_path / "anna.vhdr")
    (tmp_path / "anna.eeg").unlink()
    (tmp_path / "anna.vmrk").unlink()
    notes = open_recording(tmp_path / "anna.vhdr").notes
    assert "its signals are in p1.eeg, which is p1.vhdr's by its name: is it renamed, or a copy?" in notes


def bids(tmp_path, change):
    """What preparing a BIDS data set of two people says, after a change of it."""
    recorded.write_bids(tmp_path / "bids", (1, 2))
    change(tmp_path / "bids")
    return call(SCRIPT, "--bids-dir", tmp_path / "bids", "--task", "film", "--out-dir", tmp_path / "out")


def test_a_channels_tsv_of_other_channels_is_refused(tmp_path):
    def change(root):
        for file in root.rglob("*_channels.tsv"):
            file.write_text(file.read_text().replace("C3\t", "E7\t"))

    assert_refused(bids(tmp_path, change), "channels-tsv-names-file", "channels.tsv", "E7", "C3")


def test_a_json_in_latin_1_is_read(tmp_path):
    recorded.write_bids(tmp_path, (1,), physio_rate=16)
    for file in [*tmp_path.rglob("*_eeg.json"), *tmp_path.rglob("*_physio.json")]:
        file.write_text(
            file.read_text().replace('"uS"', '"\u00b5S"').replace("{", '{"Note": "m\u00fcde",', 1), "latin-1"
        )
    (path,) = tmp_path.rglob("*_eeg.vhdr")
    recording = open_recording(path)
    assert [channel.name for channel in recording.channels if channel.physio == 0] == ["GSR", "trigger"]
    assert recording.notes == []


@pytest.mark.parametrize("rate", [250, 500])
def test_an_eeg_json_of_another_rate_is_said(tmp_path, rate):
    def change(root):
        for file in root.rglob("*_eeg.json"):
            file.write_text(file.read_text().replace(f'"SamplingFrequency": {RATE}', f'"SamplingFrequency": {rate}'))

    outcome = bids(tmp_path, change)
    assert outcome.status == 0, outcome.err
    assert f"its eeg.json says SamplingFrequency {rate}, the file 256" in outcome.err


def test_a_channels_tsv_that_spells_channels_otherwise_is_heard(tmp_path):
    recorded.write_bids(tmp_path, (1,), bad=["O1"])
    (path,) = tmp_path.rglob("*_channels.tsv")
    header, *lines = path.read_text().splitlines()
    lines = [line.upper().replace("\tEEG\t", "\tEOG\t") if line.startswith("Fp1\t") else line.upper() for line in lines]
    path.write_text("\n".join([header.lower(), *lines]) + "\n")
    (path,) = tmp_path.rglob("*_eeg.vhdr")
    recording = open_recording(path)
    kinds = {channel.name: channel.kind for channel in recording.channels}
    assert (kinds["Fp1"], kinds["Fp2"], kinds["GSR"], recording.bads) == ("eog", "eeg", "gsr", ["O1"])


def test_a_channel_that_channels_tsv_calls_a_trigger_is_read_whatever_its_name(tmp_path):
    path = tmp_path / "sub-01_task-film_eeg.edf"
    write(path, [("X1", pulse((2, 20, 2), (5, 20, 6)))])
    rows = "name\ttype\nFz\tEEG\nCz\tEEG\nX1\t"
    for kind, n in (("MISC", 0), ("TRIG", 2)):
        (tmp_path / "sub-01_task-film_channels.tsv").write_text(f"{rows}{kind}\n")
        assert len(open_recording(path).markers) == n


def test_two_tables_of_events_for_one_run_are_refused(tmp_path):
    def change(root):
        (file,) = root.glob("sub-02/**/*_events.tsv")
        file.with_name(file.name.replace("task-film", "task-Film")).write_bytes(file.read_bytes())

    outcome = bids(tmp_path, change)
    assert_refused(outcome, "may-both-belong-to", "task-Film_run-1_events.tsv", "sub-02_task-film_run-1_eeg.vhdr")


def test_a_task_in_other_capitals_is_the_same_task(tmp_path):
    def change(root):
        for file in list(root.glob("sub-02/**/*_task-film*")):
            text = file.read_bytes().replace(b"task-film", b"task-Film")
            file.unlink()
            file.with_name(file.name.replace("task-film", "task-Film")).write_bytes(text)

    outcome = bids(tmp_path, change)
    assert outcome.status == 0, outcome.err
    assert "wrote" in outcome.out
    assert "2 subjects" in outcome.out


def test_a_person_without_a_rating_is_a_doubt(tmp_path):
    def change(root):
        (file,) = root.glob("sub-02/**/*_events.tsv")
        file.write_text("\n".join(line.rsplit("\t", 2)[0] + "\tn/a\tn/a" for line in file.read_text().splitlines()[1:]))
        file.write_text("onset\tduration\ttrial_type\tarousal\tvalence\n" + file.read_text() + "\n")

    outcome = bids(tmp_path, change)
    assert outcome.status == 2
    assert "no row is a trial: left out" in outcome.err


@pytest.mark.parametrize(
    ("rest", "pulses", "found"),
    [
        (65280, [65282, 65284], [("trigger 2", 3.0), ("trigger 4", 9.0)]),  # a status channel's upper bits
        (1, [0, 0], [("trigger 1", 3.0), ("trigger 1", 9.0)]),  # a line that falls
        (255, [2, 4], [("trigger 2", 3.0), ("trigger 4", 9.0)]),
        (0, [2, 4], [("trigger 2", 3.0), ("trigger 4", 9.0)]),
    ],
)
@pytest.mark.parametrize("long", [1, 4 * RATE])
def test_triggers_over_a_level_at_rest(tmp_path, rest, pulses, found, long):
    values = np.full(20 * RATE, rest)
    for second, value in zip((3, 9), pulses, strict=True):
        values[second * RATE :][:long] = value
    scaled, notes = from_rest("TRIG", values)
    assert [(f"trigger {value}", at) for value, at in read_values(scaled, RATE)[0]] == found
    assert [f"TRIG is {rest} at rest" in note for note in notes] == [True] * bool(rest)


def test_a_trigger_that_lasts_as_long_as_a_film_keeps_its_beginning():
    scaled, notes = from_rest("TRIG", pulse((2, 12 * RATE, 1)))
    assert (read_values(scaled, RATE)[0], notes) == ([(1, 2.0)], [])


def test_an_analogue_trigger_is_said(tmp_path):
    write(tmp_path / "p.edf", [("TTL", pulse((2, 20, 2.5), (5, 20, 4.4)))])
    recording = open_recording(tmp_path / "p.edf")
    assert recording.markers == []
    assert "TTL has values that are no whole numbers: no triggers are read from it" in recording.notes


def test_markers_beyond_the_end_of_a_file_are_said(tmp_path):
    path = recorded.write(tmp_path, "vhdr", 1)
    signals = path.with_suffix(".eeg")
    os.truncate(signals, signals.stat().st_size // 2)
    assert any("Omitted 1 annotation(s)" in note for note in open_recording(path).notes)


@pytest.mark.parametrize(
    ("names", "right"),
    [
        (["Film A", "film a"], False),
        (["film_1", "film_01"], False),
        (["1", "1.0"], False),
        (["film_1", "film_2"], True),
    ],
)
def test_one_stimulus_is_written_in_one_way(names, right):
    people = {who: {name: None, "b": None} for who, name in zip("pq", names, strict=True)}
    if right:
        assert trial_plan.find_stimuli(people, "keep") == ["b", *names]
    else:
        with refused("stimuli-look-like-one"):
            trial_plan.find_stimuli(people, "keep")
        people["r"] = dict.fromkeys(names)  # who saw both: they are two
        assert len(trial_plan.find_stimuli(people, "keep")) == 3
