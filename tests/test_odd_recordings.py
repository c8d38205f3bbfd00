"""Recordings and tables as laboratories have them: what is planted is found to the number, or is refused."""

import gzip
import json
import warnings

import numpy as np
import pytest

from data_prep import open_prepared
from data_prep.amplifiers import trial_plan
from data_prep.amplifiers.recording_signals import Steps, read_trials
from data_prep.amplifiers.recordings import find_spoiled, need_mne, open_recording, say_notes
from data_prep.amplifiers.sidecars import Sidecar
from data_prep.amplifiers.trials_table import read_table
from data_prep.amplifiers.triggers import marker_seconds
from data_prep.signals.channel_kinds import clean, key, kind
from data_prep.signals.units import read_unit
from tests.builders import recorded
from tests.builders.recorded import ELECTRODES, FILMS, LENGTH, ONSETS, RATE, SECONDS
from tests.support import assert_refused, call, done, lines_of, refused

SCRIPT = "data_prep/prepare_recordings.py"
CUT = (RATE, SECONDS, 0)
AS_IT_IS = Steps(None, None, None, "file", "keep", *CUT)
NO_CHANGE = ["--high-pass", "none", "--low-pass", "none", "--reference", "file", "--sampling-rate", RATE]
NO_CHANGE += ["--eeg-normalise", "trial", "--pps-normalise", "none"]


@pytest.fixture(autouse=True)
def silent():
    need_mne()


def write_edf(path, signals, marks=((3.0, "film_a"),)):
    """EDF or BDF of (name, values, rate, unit); marks: (seconds, text)."""
    import edfio

    signal, file = (edfio.BdfSignal, edfio.Bdf) if path.suffix == ".bdf" else (edfio.EdfSignal, edfio.Edf)
    made = [signal(values, rate, label=name, physical_dimension=unit) for name, values, rate, unit in signals]
    file(made, annotations=[edfio.EdfAnnotation(at, None, text) for at, text in marks]).write(path)
    return path


def write_fif(path, eeg, annotations=((), (), ()), crop=0.0):
    """FIF of EEG in uV; annotations: onsets, durations, texts."""
    import mne

    raw = mne.io.RawArray(eeg * 1e-6, mne.create_info(ELECTRODES, RATE, "eeg"), verbose="ERROR")
    raw.set_annotations(mne.Annotations(*annotations))
    raw.crop(crop).save(path, overwrite=True, verbose="ERROR")
    return path


def read(path, eeg=(), pps=(), onset=3.0, steps=AS_IT_IS, sidecar=None):
    """The one trial of a recording, by the names of its channels."""
    arrays, _ = read_trials(open_recording(path, sidecar), [onset], list(eeg), list(pps), steps)
    return dict(zip([*eeg, *pps], [*arrays["eeg"][0], *arrays["pps"][0]], strict=True))


def part(signal, onset=3.0):
    return signal[..., round(onset * RATE) : round((onset + SECONDS) * RATE)]


def drop_records(path, first, last):
    """Leave out records of an EDF file, whose others keep their times: EDF+D."""
    content = bytearray(path.read_bytes())
    start, n = int(content[184:192]), int(content[236:244])
    records = [content[start + i * (len(content) - start) // n :][: (len(content) - start) // n] for i in range(n)]
    del records[first:last]
    content[192:197] = b"BDF+D" if path.suffix == ".bdf" else b"EDF+D"
    content[236:244] = str(len(records)).ljust(8).encode()
    path.write_bytes(bytes(content[:start]) + b"".join(map(bytes, records)))


@pytest.mark.parametrize("extension", ["edf", "bdf"])
def test_a_pause_that_only_the_times_of_records_tell_is_refused(tmp_path, extension):
    eeg, (_, gsr) = recorded.signals(1)
    signals = [("Fz", eeg[0], RATE, "uV"), ("GSR", gsr[:: RATE // 4], 4, "uS")]
    path = write_edf(tmp_path / f"p.{extension}", signals, [(20.5, "late")])
    drop_records(path, 0, 0)
    assert open_recording(path).markers == [("late", 20.5)]  # said to be discontinuous, and is not
    drop_records(path, 8, 12)
    with refused("discontinuous-edf-missing-later", "8 s", "4 s"):
        open_recording(path)


def test_two_channels_of_one_name_keep_their_units_and_rates(tmp_path):
    eeg, (_, gsr) = recorded.signals(1)
    signals = [("Fz", eeg[0], RATE, "uV"), ("GSR", gsr[:: RATE // 4], 4, "uS"), ("GSR", 2 * gsr[:: RATE // 4], 4, "uS")]
    path = write_edf(tmp_path / "p.bdf", signals)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read(path, ["Fz"], ["GSR-0", "GSR-1"])
    np.testing.assert_allclose(found["Fz"], part(eeg[0]), atol=1e-3)
    np.testing.assert_allclose(found["GSR-0"], part(gsr), atol=0.02)
    np.testing.assert_allclose(found["GSR-1"], 2 * part(gsr), atol=0.04)
    rates = {channel.name: channel.rate for channel in open_recording(path).channels}
    assert rates == {"Fz": RATE, "GSR-0": 4, "GSR-1": 4}


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        *((text, ("V", 1)) for text in ("uV", "UV", "\u00b5V", "\u03bcV", "\x83\xcaV", "microV", "microvolts", " u V")),
        *((text, ("V", 1e3)) for text in ("mV", "mv", "MV", "millivolt")),
        *((text, ("V", 1e6)) for text in ("V", "v", "Volts")),
        *((text, ("S", 1)) for text in ("uS", "US", "\u00b5S", "microsiemens", "\u00b5mho", "uSiemens")),
        ("nV", ("V", 1e-3)),
        ("mS", ("S", 1e3)),
        *((text, None) for text in ("", None, "kOhm", "degC", "n/a", "bpm", "Vs", "%")),
    ],
)
def test_units_in_all_their_spellings(text, unit):
    assert read_unit(text) == unit


@pytest.mark.parametrize("extension", ["edf", "bdf"])
@pytest.mark.parametrize(("volts", "siemens"), [("uV", "uS"), ("mv", "mS"), ("V", "nS"), ("\xb5V", "\xb5S")])
def test_units_of_a_header_end_in_micro(tmp_path, extension, volts, siemens):
    eeg, (ecg, gsr) = recorded.signals(1)
    scales = {"uV": 1, "mv": 1e-3, "V": 1e-6, "\xb5V": 1}, {"uS": 1, "mS": 1e-3, "nS": 1e3, "\xb5S": 1}
    ascii_names = {text: text.replace("\xb5", "u") for text in (volts, siemens)}
    signals = [
        ("Fz", eeg[0] * scales[0][volts], RATE, ascii_names[volts]),
        ("ECG", ecg * scales[0][volts], RATE, ascii_names[volts]),
        ("EDA", gsr * scales[1][siemens], RATE, ascii_names[siemens]),
        ("SKT", 33 + gsr / 10, RATE, "degC"),
    ]
    path = write_edf(tmp_path / f"p.{extension}", signals)
    content = path.read_bytes()
    for text, plain in ascii_names.items():
        content = content.replace(plain.encode().ljust(8), text.encode("latin-1").ljust(8))
    path.write_bytes(content)
    found = read(path, ["Fz"], ["ECG", "EDA", "SKT"])
    for name, signal in (("Fz", eeg[0]), ("ECG", ecg), ("EDA", gsr), ("SKT", 33 + gsr / 10)):
        np.testing.assert_allclose(found[name], part(signal), atol=2e-4 * np.abs(signal).max())


def test_a_unit_that_cannot_be_converted_is_said_once(tmp_path, capsys):
    eeg, (_, gsr) = recorded.signals(1)
    opened = []
    for person in (1, 2):
        path = write_edf(tmp_path / f"p{person}.bdf", [("Fz", eeg[0], RATE, "uV"), ("GSR", 300 / gsr, RATE, "kOhm")])
        opened.append(open_recording(path))
        assert [channel.factor for channel in opened[-1].channels] == [1e6, 1]
    say_notes(opened)
    said = "p1.bdf, p2.bdf: GSR (gsr) is in 'kOhm', not in siemens; its numbers are kept"
    assert capsys.readouterr().err.count(said) == 1


@pytest.mark.parametrize("unit", ["V", "uV", "microV", None])
def test_eeglab_in_bids_is_in_microvolts_though_mne_bids_writes_volts(tmp_path, unit):
    path = recorded.write(tmp_path, "set", 1)
    sidecar = Sidecar({name: {"units": unit or ""} for name in (*ELECTRODES, "ECG")})
    found = read(path, ["Fp1"], ["ECG", "GSR"], sidecar=sidecar)
    eeg, (ecg, gsr) = recorded.signals(1)
    for name, signal in (("Fp1", eeg[0]), ("ECG", ecg), ("GSR", gsr)):
        np.testing.assert_allclose(found[name], part(signal), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["EOG left", "EOG Fp1", "HEOG", "VEO", "HEOR", "LO1", "SO2", "LOC", "EOG-L"], "eog"),
        (["ECG II", "ECG V2-V1", "ekg1", "EKG-REF", "ECG F3"], "ecg"),
        (["EMG Chin", "EMG 1", "Zygomaticus", "corrugator_L", "tEMG"], "emg"),
        (["SC", "SCR", "SCL1", "GSR2", "Galvanic Skin", "Skin conductance", "EDA100C", "ElectrodermalActivity"], "gsr"),
        (["RSP", "RESP", "Resp chest", "Thorax", "abdomen", "Airflow"], "resp"),
        (["SKT", "Skin temperature", "Temp rectal"], "temperature"),
        (["PPG", "BVP", "Pleth", "Pulse", "pulse2"], "ppg"),
        (["Response", "Button Box", "Status", "TRIGGER", "Photodiode"], "stim"),
        (["Fp1", "EEG Fp1-Ref", "EEG 1", "eeg_ch12"], "eeg"),
        (["SpO2", "HR", "Acc X", "E12", "COUNTER_2", "EEG quality"], "eeg?"),
        (["TIME_STAMP_s", "csv_time_GSR", "clock"], "clock"),
    ],
)
@pytest.mark.parametrize("declared", ["eeg", "misc"])
def test_kinds_by_name(names, wanted, declared):
    assert {kind(name, declared, names) for name in names} == {
        "misc" if declared == "misc" and "eeg" in wanted else wanted
    }


def test_two_sensors_of_one_word_stay_two():
    assert len({key(name) for name in ("EOG left", "EMG left", "ECG left")}) == 3
    assert (clean("EEG Fp1-Ref"), clean("EOG HEOG"), clean("EOG Fp1")) == ("Fp1", "HEOG", "EOG Fp1")


def test_channels_that_are_called_like_a_type(tmp_path):
    eeg, _ = recorded.signals(1)
    names = ["eeg", "ecg", "eog", "emg", "gsr", "misc"]
    path = write_edf(tmp_path / "p.bdf", [(name, eeg[i], RATE, "uV") for i, name in enumerate(names)])
    found = read(path, ["misc", "eeg"], ["gsr", "eog", "ecg", "emg"], steps=Steps(None, 90, None, "file", "keep", *CUT))
    for name, signal in zip(names, eeg, strict=False):
        np.testing.assert_allclose(found[name], part(signal), atol=0.1)
    assert read(path, ["ecg"]).keys() == {"ecg"}


def test_triggers_that_follow_each_other_without_a_zero_are_all_counted(tmp_path):
    import mne

    raw = recorded.raw(1, markers=False)
    trigger = np.zeros((1, raw.n_times))
    for second, value in ((2, 1), (4, 2), (6, 1), (8, 2), (10, 0), (12, 1)):
        trigger[0, second * RATE :] = value
    raw.add_channels([mne.io.RawArray(trigger, mne.create_info(["STI"], RATE, "stim"), verbose="ERROR")])
    raw.save(tmp_path / "p_raw.fif", verbose="ERROR")
    recording = open_recording(tmp_path / "p_raw.fif")
    assert [marker_seconds(recording, f"trigger 1#{n}", "t") for n in (1, 2, 3)] == [2, 6, 12]


@pytest.mark.parametrize(("text", "length"), [("boundary", 0), ("boundary", 4.0), ("New Segment/", 0), ("EDGE cut", 0)])
@pytest.mark.parametrize("crop", [0.0, 1.5])
def test_a_jump_where_a_recording_was_cut_does_not_ring_into_the_trial(tmp_path, text, length, crop):
    eeg, _ = recorded.signals(1)
    jump = eeg.copy()
    jump[:, 10 * RATE :] += 5000
    path = write_fif(tmp_path / "p_raw.fif", jump, ([10.0], [length], [text]), crop=crop)
    steps = Steps(1.0, 45.0, None, "file", "keep", RATE, SECONDS, 0)
    found = read(path, ["C3"], onset=10 - crop, steps=steps)["C3"]
    assert np.abs(found - part(eeg[ELECTRODES.index("C3")], 10)).max() < 40  # uV; it was 2000


@pytest.mark.parametrize("crop", [0.0, 0.5])
@pytest.mark.parametrize("dated", [False, True])
def test_parts_that_are_marked_as_bad_are_warned_of_where_they_are(tmp_path, crop, dated):
    import mne

    spans = ([5.0, 20.0, 1.0], [1.0, 0.5, 0.5], ["BAD_move", "bad blink", "fine"])
    files = {}
    for person in (1, 2):
        raw = recorded.raw(person, markers=False)
        raw.set_meas_date(1e9 if dated else None)
        raw.set_annotations(mne.Annotations(*spans) if person == 1 else None)
        files[person] = tmp_path / f"p{person}_raw.fif"
        raw.crop(crop).save(files[person], verbose="ERROR")
    found = open_recording(files[1]).spoiled
    assert [(name, round(a, 3), round(b, 3)) for name, a, b in found] == [
        ("BAD_move", 5 - crop, 6 - crop),
        ("bad blink", 20 - crop, 20.5 - crop),
    ]
    rows = [[f"p{p}", files[p].name, film, onset, 6, 3, 4] for p in (1, 2) for film, onset in (("a", 3), ("b", 24))]
    trials = recorded.write_table(tmp_path / "t.csv", {}, rows=rows)
    outcome = call(SCRIPT, "--trials", trials, "--out-dir", tmp_path / "out", *NO_CHANGE)
    assert outcome.status == 0, outcome.err
    said = f"t.csv, row 2: BAD_move marks {5 - crop:g} to {6 - crop:g} s, and nothing is left out because of it"
    assert said in outcome.err
    assert "blink" not in outcome.err


def test_find_spoiled_has_no_pauses(tmp_path):
    import mne

    raw = recorded.raw(1, markers=False)
    raw.set_annotations(mne.Annotations([3.0, 4.0], [1.0, 1.0], ["BAD_ACQ_SKIP", "Bad"]))
    assert find_spoiled(raw) == [("Bad", 4.0, 5.0)]


def test_gaps_beside_a_trial_do_not_reach_into_it(tmp_path):
    recorded.write_bids(tmp_path / "bids", (1,), physio_rate=4)
    (file,) = (tmp_path / "bids").rglob("*_physio.tsv.gz")
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    last = (3 + SECONDS + 1) * 4  # the first sample after film 1; the file begins 1 s before the EEG
    lines[last : last + 8] = ["n/a\tn/a"] * 8
    with gzip.open(file, "wt") as out:
        out.write("\n".join(lines) + "\n")
    flags = ["--bids-dir", tmp_path / "bids", "--task", "film", "--no-rated", *NO_CHANGE]
    done(SCRIPT, *flags, "--out-dir", tmp_path / "out")
    made = open_prepared(tmp_path / "out", rated=False)
    first = made.info["stimuli"].index(recorded.order(1)[0])
    gsr = made.pps[0, first, :, made.info["pps_channels"].index("GSR")].ravel()
    np.testing.assert_allclose(gsr, part(recorded.signals(1)[1][1], ONSETS[0]), atol=0.1)


def test_physiology_that_is_not_packed_is_read(tmp_path):
    recorded.write_bids(tmp_path / "bids", (1, 2), physio_rate=16)
    for file in list((tmp_path / "bids").rglob("*_physio.tsv.gz")):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    flags = ["--bids-dir", tmp_path / "bids", "--task", "film", "--out-dir", tmp_path / "out", *NO_CHANGE]
    done(SCRIPT, *flags)
    made = open_prepared(tmp_path / "out")
    film = made.info["stimuli"].index(recorded.order(2)[0])
    gsr = made.pps[1, film, :, made.info["pps_channels"].index("GSR")].ravel()
    np.testing.assert_allclose(gsr, part(recorded.signals(2)[1][1], ONSETS[0]), atol=0.02)


def test_a_change_of_a_file_beside_the_recording_is_a_change(tmp_path):
    recorded.write_bids(tmp_path / "bids", (1, 2), physio_rate=16)
    flags = ["--bids-dir", tmp_path / "bids", "--task", "film", "--out-dir", tmp_path / "out"]
    done(SCRIPT, *flags)
    assert "complete, from these files" in done(SCRIPT, *flags)
    header = next((tmp_path / "bids").rglob("*_physio.json"))
    before = header.read_text()
    header.write_text(json.dumps(json.loads(before) | {"StartTime": -1.5}))
    assert_refused(call(SCRIPT, *flags), "already-exists")
    header.write_text(before)
    assert "complete, from these files" in done(SCRIPT, *flags)
    markers = next((tmp_path / "bids").rglob("*.vmrk"))
    markers.write_text(markers.read_text() + "; corrected\n")
    assert_refused(call(SCRIPT, *flags), "already-exists")


def test_one_file_of_markers_for_two_recordings_is_refused(tmp_path):
    files = {person: recorded.write(tmp_path, "vhdr", person) for person in (1, 2)}
    header = files[2].read_text(encoding="utf-8")
    assert "MarkerFile=p2.vmrk" in header
    files[2].write_text(header.replace("MarkerFile=p2.vmrk", "MarkerFile=p1.vmrk"), encoding="utf-8")
    trials = recorded.write_table(tmp_path / "t.csv", files, markers=True)
    outcome = call(SCRIPT, "--trials", trials, "--out-dir", tmp_path / "out", *NO_CHANGE)
    assert_refused(outcome, "own-beside-names", "p2.vhdr", "p1.vmrk", "p2.vmrk")
    (tmp_path / "p2.vmrk").unlink()
    outcome = call(SCRIPT, "--trials", trials, "--out-dir", tmp_path / "out", *NO_CHANGE)
    assert_refused(outcome, "names-markers-own", "p2.vhdr", "p1.vhdr", "p1.vmrk")


def test_an_electrode_that_records_nothing_is_warned_of(tmp_path):
    files = {}
    for person in (1, 2):
        eeg, _ = recorded.signals(person)
        eeg[ELECTRODES.index("C4")] *= person == 1
        files[person] = write_fif(tmp_path / f"p{person}_raw.fif", eeg)
    trials = recorded.write_table(tmp_path / "t.csv", files)
    for reference, n in (("average", 1), ("file", 0)):
        flags = ["--reference", reference, "--out-dir", tmp_path / reference]
        outcome = call(SCRIPT, "--trials", trials, *flags)
        assert outcome.status == 0, outcome.err
        assert len(lines_of(outcome.err, "constant-average-reference-turns")) == n
    assert "p2_raw.fif: C4 is constant" in call(SCRIPT, "--trials", trials, "--out-dir", tmp_path / "again").err


def test_annotations_of_older_programs(tmp_path):
    eeg, _ = recorded.signals(1)
    path = write_edf(tmp_path / "p.edf", [("Fz", eeg[0], RATE, "uV")], [(3, "glXck"), (5, "b")])
    path.write_bytes(path.read_bytes().replace(b"glXck", "gl\xfcck".encode("latin-1")))
    assert open_recording(path).markers == [("gl\xfcck", 3.0), ("b", 5.0)]
    np.testing.assert_allclose(read(path, ["Fz"])["Fz"], part(eeg[0]), atol=0.01)


HEADER = "subject,file,stimulus,onset,duration,arousal"


def table(folder, *rows, header=HEADER, separator=","):
    (folder / "p.edf").touch()
    text = "\n".join([header.replace(",", separator), *rows]) + "\n"
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return folder / "t.csv"


def test_numbers_with_a_decimal_comma(tmp_path):
    rows = [f'p,p.edf,f{i},"{onset}",60,"6,{i}"' for i, onset in enumerate(("3,5", "95,25"))]
    trials = read_table(table(tmp_path, *rows))
    assert [(trial.onset, trial.ratings["arousal"]) for trial in trials] == [(3.5, "6.0"), (95.25, "6.1")]
    rows = [f"p;p.edf;f{i};{onset};60;6" for i, onset in enumerate(("3,5", "95,25", "1100,125"))]
    assert [trial.onset for trial in read_table(table(tmp_path, *rows, separator=";"))] == [3.5, 95.25, 1100.125]


@pytest.mark.parametrize("cell", ["1,100", "-1,100", "12,100"])
def test_a_separator_of_thousands_is_not_taken_for_a_decimal_comma(tmp_path, cell):
    rows = [f"p;p.edf;f{i};{onset};60;6" for i, onset in enumerate(("3.5", "95.25", cell))]
    with refused("row-has-decimal-point", "row 4", cell, "row 2"):
        read_table(table(tmp_path, *rows, separator=";"))


@pytest.mark.parametrize("cell", ["", "NA", "n/a", "N/A", "NaN", "nan", "#N/A", "-", ".", "null", "?", "#DIV/0!"])
@pytest.mark.parametrize("others", ["5", "sad"])
def test_a_missing_rating_is_no_class(tmp_path, cell, others):
    rows = [f"p,p.edf,f{i},{10 * i},6,{value}" for i, value in enumerate((others, cell, others))]
    with refused("row-is", f"row 3: arousal is {cell or 'empty'};"):
        read_table(table(tmp_path, *rows))
    assert read_table(table(tmp_path, f"p,p.edf,f,1,{cell},5"))[0].duration is None


def test_a_name_with_an_underscore_is_no_number(tmp_path):
    (trial,) = read_table(table(tmp_path, "p,p.edf,f,1_2,6,5"))
    assert trial.onset == "1_2"


def test_names_with_accents_and_what_nobody_sees(tmp_path):
    (tmp_path / "bjo\u0308rn.edf").touch()
    rows = ["bj\u00f6rn,bj\u00f6rn.edf,e\u0301t\u00e9,1,6,5", "bjo\u0308rn\u200b,bjo\u0308rn.edf,f\ufeff,10,6,5"]
    trials = read_table(table(tmp_path, *rows))
    assert {trial.subject for trial in trials} == {"bj\u00f6rn"}
    assert [trial.stimulus for trial in trials] == ["\u00e9t\u00e9", "f"]
    assert all(trial.file.exists() for trial in trials)


@pytest.mark.parametrize(
    ("one", "other"), [("anna", "Anna"), ("01", "1"), ("1", "1.0"), ("p 1", "P01"), ("s1-02", "s1-2")]
)
def test_one_person_in_two_spellings_is_refused(tmp_path, one, other):
    (tmp_path / "q.edf").touch()
    trials = read_table(table(tmp_path, f"{one},p.edf,a,1,6,5", f"{other},q.edf,a,1,6,5"))
    with refused("look-like-one-person-2", f"row 3: '{other}'", f"'{one}' (t.csv, row 2)"):
        trial_plan.by_person(trials)


@pytest.mark.parametrize(("one", "other"), [("1", "10"), ("1-2", "12"), ("p1", "p11"), ("a", "b"), ("100", "1")])
def test_two_people_are_two(tmp_path, one, other):
    (tmp_path / "q.edf").touch()
    trials = read_table(table(tmp_path, f"{one},p.edf,a,1,6,5", f"{other},q.edf,a,1,6,5"))
    assert len(trial_plan.by_person(trials)) == 2


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    return {person: recorded.write(folder, "fif", person) for person in range(1, 8)}


def rated(people, name, values, lengths=None):
    """A table of all people with these ratings, one after the other, and lengths in seconds."""
    folder, rows = people[1].parent, []
    for person, file in people.items():
        for onset, film in zip(ONSETS, recorded.order(person), strict=True):
            length = (lengths or {}).get((person, film), SECONDS)
            rows.append([f"p{person}", file.name, film, onset, length, values[len(rows) % len(values)], 5])
    return recorded.write_table(folder / name, {}, rows=rows)


def test_a_class_in_two_spellings_is_refused(people, tmp_path):
    trials = rated(people, "classes.csv", ["sad", "glad", "Sad "])
    outcome = call(SCRIPT, "--trials", trials, "--out-dir", tmp_path / "out")
    assert_refused(outcome, "is-elsewhere", "classes.csv, row 4: arousal", "Sad", "sad")


def test_ratings_of_another_scale_are_warned_of(people, tmp_path):
    flags = ["--out-dir", tmp_path / "out", "--no-rated"]
    for values, n in (([1, 2, 3, 4, 5], 1), ([1, 5, 9], 0), ([6, 7, 8], 1), ([4, 5, 6], 0)):
        trials = rated(people, "scale.csv", values)
        outcome = call(SCRIPT, "--trials", trials, "--ratings", "arousal", *flags[:2], "--eeg-channels", "Xx")
        assert len(lines_of(outcome.err, "all-ratings-lie-from")) == n, outcome.err
        assert outcome.status == 2


def test_trials_of_other_lengths_are_said(people, tmp_path):
    trials = rated(people, "lengths.csv", [3, 7], {(2, FILMS[0]): 8, (3, FILMS[1]): 5.5})
    out = done(SCRIPT, "--trials", trials, "--out-dir", tmp_path / "out", *NO_CHANGE)
    assert "trials last 5.5 to 8 s: of each the first 5 s are taken, as lengths.csv, row" in out
    assert open_prepared(tmp_path / "out").info["seconds"] == 5
    assert LENGTH > 8 + max(ONSETS) - 1


@pytest.mark.parametrize("onset", ["nan", "inf", "n/a", "soon"])
def test_bids_onsets_that_are_none(tmp_path, onset):
    recorded.write_bids(tmp_path / "bids", (1, 2))
    events = next((tmp_path / "bids").rglob("*_events.tsv"))
    events.write_text(events.read_text().replace(f"{ONSETS[0]}\t", f"{onset}\t"))
    flags = ["--bids-dir", tmp_path / "bids", "--task", "film", "--out-dir", tmp_path / "out"]
    assert_refused(call(SCRIPT, *flags), "onset-must-be-seconds", "row 3", onset)


@pytest.mark.parametrize("zero", ["0", "0.0", "0.000", "n/a", "NaN"])
def test_bids_events_that_only_begin(tmp_path, zero):
    recorded.write_bids(tmp_path / "bids", (1, 2))
    for events in (tmp_path / "bids").rglob("*_events.tsv"):
        events.write_text(events.read_text().replace(f"\t{SECONDS}\t", f"\t{zero}\t"))
    flags = ["--bids-dir", tmp_path / "bids", "--task", "film", "--out-dir", tmp_path / "out"]
    assert_refused(call(SCRIPT, *flags), "without-duration-must-say", "--seconds")
    done(SCRIPT, *flags, "--seconds", 5)
    assert open_prepared(tmp_path / "out").info["seconds"] == 5


@pytest.mark.parametrize("column", ["onset_ms", "onset (ms)", "onset_samples", "onset [samples]"])
def test_no_onset_in_another_unit_is_called_seconds(tmp_path, column):
    with refused("has-no-column-onset") as error:
        read_table(table(tmp_path, "p,p.edf,f,1000,6,5", header=HEADER.replace("onset", column)))
    assert "to onset" not in str(error.value)
    with refused("has-no-column-onset", "onset_s to onset"):
        read_table(table(tmp_path, "p,p.edf,f,1,6,5", header=HEADER.replace("onset", "onset_s")))


def bids(folder, change):
    """A BIDS data set of two people with skin conductance in files of its own, changed; what preparing it says."""
    recorded.write_bids(folder / "bids", (1, 2), physio_rate=16)
    change(folder / "bids")
    return call(SCRIPT, "--bids-dir", folder / "bids", "--task", "film", "--out-dir", folder / "out", *NO_CHANGE)


@pytest.mark.parametrize("where", ["derivatives/clean", "sourcedata", "code/old"])
def test_copies_beside_a_bids_data_set_are_not_read(tmp_path, where):
    def change(root):
        for file in list(root.rglob("sub-*/eeg/*")):
            copy = root / where / file.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())

    outcome = bids(tmp_path, change)
    assert outcome.status == 0, outcome.err
    assert not [name for name in open_prepared(tmp_path / "out").info["sources"] if not name.startswith("sub-")]


def test_a_run_in_two_formats_is_refused(tmp_path):
    def change(root):
        recorded.write(tmp_path, "edf", 1).rename(next(root.rglob("sub-01*_eeg.vhdr")).with_suffix(".edf"))

    assert_refused(bids(tmp_path, change), "one-run-two-formats", "_eeg.vhdr", "sub-01_task-film_run-1_eeg.edf")


def test_physiology_of_another_name_is_warned_of(tmp_path):
    def change(root):
        for file in list(root.rglob("*physio*")):
            file.rename(file.with_name(file.name.replace("_run-1", run)))

    run = "_run-2"
    outcome = bids(tmp_path, change)
    assert outcome.status == 0, outcome.err
    assert "not read, as no run of EEG has the same name: sub-01_task-film_run-2_physio.tsv.gz" in outcome.err
    assert open_prepared(tmp_path / "out").info["pps_channels"] == ["ECG"]


def test_physiology_without_a_run_is_that_of_the_only_run(tmp_path):
    def change(root):
        for file in list(root.rglob("*physio*")):
            file.rename(file.with_name(file.name.replace("_run-1", "")))

    outcome = bids(tmp_path, change)
    assert outcome.status == 0, outcome.err
    assert "not read" not in outcome.err
    assert open_prepared(tmp_path / "out").info["pps_channels"] == ["ECG", "GSR"]


def test_physiology_with_a_header_is_read(tmp_path):
    def change(root):
        for file in root.rglob("*physio.tsv.gz"):
            file.write_bytes(gzip.compress(b"GSR\ttrigger\n" + gzip.decompress(file.read_bytes())))

    outcome = bids(tmp_path, change)
    assert outcome.status == 0, outcome.err
    made = open_prepared(tmp_path / "out")
    gsr = made.pps[0, 0, :, made.info["pps_channels"].index("GSR")].ravel()
    start = ONSETS[recorded.order(1).index(made.info["stimuli"][0])]
    np.testing.assert_allclose(gsr, part(recorded.signals(1)[1][1], start), atol=0.02)


def test_a_column_that_is_no_rating_is_named(tmp_path):
    def change(root):
        for file in root.rglob("*events.tsv"):
            header, *lines = file.read_text().splitlines()
            file.write_text("\n".join([f"{header}\tblock", *(f"{line}\t{i}" for i, line in enumerate(lines))]) + "\n")

    assert_refused(
        bids(tmp_path, change), "trial-needs-all-ratings", "row 2: arousal", "n/a", "block", "is 0", "--ratings"
    )
