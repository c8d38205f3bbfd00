"""Amplifiers' files, BIDS and arrays of the same people become the same prepared folder; what is wrong is refused."""

import numpy as np
import pytest

from data_prep import open_prepared, write_prepared
from data_prep.amplifiers import trial_plan, trials_table
from tests.builders import recorded
from tests.builders.recorded import ELECTRODES, FILMS, LENGTH, ONSETS, RATE, REST, SECONDS
from tests.support import ROOT, TINY, assert_refused, call, done, lines_of, refused, run

SCRIPT = "data_prep/prepare_recordings.py"
PLAIN = ["--high-pass", "none", "--low-pass", "none", "--reference", "file", "--sampling-rate", RATE]
PEOPLE = (1, 2, 3)
REAL = ROOT.parent / "shared" / "real" / "fractal" / "Data"


def make(folder, extension="fif", flags=(), people=PEOPLE, options=None, **table):
    """Files and table of some people; the prepared folder."""
    folder.mkdir(exist_ok=True)
    files = {p: recorded.write(folder, extension, p, **(options or {}).get(p, {})) for p in people}
    trials = recorded.write_table(folder / "trials.csv", files, **table)
    done(SCRIPT, "--trials", trials, "--out-dir", folder / "out", *flags)
    return open_prepared(folder / "out")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """FIF files of three people without filters, at their own rate, with rest: what others are compared with."""
    return make(tmp_path_factory.mktemp("plain") / "fif", flags=[*PLAIN, "--rest-seconds", REST])


def same(one, other, eeg=1e-5, pps=1e-5):
    np.testing.assert_allclose(one.eeg, other.eeg, atol=eeg)
    np.testing.assert_allclose(one.pps, other.pps, atol=pps)
    np.testing.assert_array_equal(one.ratings, other.ratings)
    for name in ("eeg_channels", "pps_channels", "stimuli", "sampling_rate", "seconds", "ratings"):
        assert one.info[name] == other.info[name]


@pytest.mark.parametrize("extension", ["bdf", "edf", "vhdr", "set"])
def test_formats_agree_to_their_resolution(plain, tmp_path, extension):
    made = make(tmp_path / "files", extension, [*PLAIN, "--rest-seconds", REST], markers=True)
    same(made, plain, *((5e-4, 5e-4) if extension == "edf" else ()))  # EDF has 16 bits


def test_arrays_agree(plain, tmp_path):
    def people():
        for person in PEOPLE:
            starts = [round(ONSETS[recorded.order(person).index(film)] * RATE) for film in FILMS]
            of_person = {"id": f"p{person}", "ratings": [recorded.ratings(person)[film][:2] for film in FILMS]}
            for name, signal in zip(("eeg", "pps"), recorded.signals(person), strict=True):
                of_person[name] = np.stack([signal[:, s : s + SECONDS * RATE] for s in starts])
                of_person[f"{name}_baseline"] = np.stack([signal[:, s - REST * RATE : s] for s in starts])
            yield of_person

    names = {"eeg_channels": ELECTRODES, "pps_channels": recorded.PERIPHERAL, "ratings": ["arousal", "valence"]}
    names |= {"stimuli": FILMS, "sampling_rate": RATE, "rating_range": (1, 9), "threshold": 5}
    write_prepared(tmp_path / "out", people(), name="arrays", **names)
    same(open_prepared(tmp_path / "out"), plain)


@pytest.mark.parametrize("physio_rate", [None, 16])
def test_bids_agrees_also_with_physiology_in_a_file_of_its_own(plain, tmp_path, physio_rate):
    recorded.write_bids(tmp_path / "bids", PEOPLE, physio_rate)
    flags = ["--task", "film", *PLAIN, "--rest-seconds", REST]
    done(SCRIPT, "--bids-dir", tmp_path / "bids", "--out-dir", tmp_path / "out", *flags)
    made = open_prepared(tmp_path / "out")
    same(made, plain, pps=0.02 if physio_rate else 1e-5)  # skin conductance at 16 Hz, resampled
    assert made.subjects == ["01", "02", "03"]


def test_films_are_in_one_order_whoever_saw_which_first(plain):
    assert plain.info["stimuli"] == FILMS
    for person in PEOPLE:
        wanted = [recorded.ratings(person)[film][:2] for film in FILMS]
        np.testing.assert_array_equal(plain.ratings[person - 1], wanted)
    assert recorded.order(1) != recorded.order(2)


def test_every_step_is_recorded(plain, tmp_path):
    assert plain.info["preparation"] == {
        "eeg": "channels",
        "pps": "trial",
        "baseline_seconds": REST,
        "segment": None,
        "filters": None,
        "reference": "as recorded",
        "resampling": f"to {RATE} Hz",
        "bad_channels": "interpolate",
    }
    flags = ["--notch", "50", "--seconds", "5", "--eeg-normalise", "trial", "--pps-normalise", "none"]
    other = make(tmp_path / "files", flags=flags).info["preparation"]
    assert other["filters"] == "1-45 Hz, notch 50 Hz"
    assert (other["reference"], other["resampling"], other["segment"]) == ("average", "to 128 Hz", "first 5 s")
    assert (other["eeg"], other["pps"], other["baseline_seconds"]) == ("trial", "none", None)


def test_electrodes_in_another_order_and_spelling(plain, tmp_path):
    others = list(reversed(ELECTRODES))
    made = make(tmp_path / "files", flags=[*PLAIN, "--rest-seconds", REST], options={2: {"names": others}})
    same(made, plain)


def test_old_names_and_upper_case_are_the_same_electrodes(tmp_path):
    names = ["Fp1", "Cz", "T7", "T8"]
    files = {}
    for person, spelled in ((1, names), (2, ["EEG T3-Ref", "EEG t4-Ref", "EEG FP1-Ref", "EEG CZ-Ref"])):
        files[person] = tmp_path / f"p{person}.edf"
        order = [0, 1, 2, 3] if person == 1 else [2, 3, 0, 1]
        write_channels(files[person], [(spelled[i], 10.0 * (order[i] + 1), "uV") for i in range(4)])
    films = list(zip(FILMS, ONSETS, strict=True))
    rows = [row(p, f"p{p}.edf", film, onset) for p in files for film, onset in films]
    recorded.write_table(tmp_path / "t.csv", files, rows=rows)
    flags = [*PLAIN, "--eeg-normalise", "trial"]
    done(SCRIPT, "--trials", tmp_path / "t.csv", "--out-dir", tmp_path / "out", *flags)
    made = open_prepared(tmp_path / "out")
    assert made.info["eeg_channels"] == names
    np.testing.assert_allclose(made.eeg[0], made.eeg[1], atol=0.01)  # each channel has a rhythm of its own


def write_channels(path, channels):
    """An EDF file; (name, frequency of its sine in Hz, unit) of each channel. Amplitude 20 uV."""
    import edfio

    times = np.arange(LENGTH * RATE) / RATE
    scale = {"uV": 1, "mV": 1e-3, "V": 1e-6, "": 1}
    edfio.Edf(
        [
            edfio.EdfSignal(20 * scale[unit] * np.sin(2.1 * f * times), RATE, label=name, physical_dimension=unit)
            for name, f, unit in channels
        ]
    ).write(path)


@pytest.mark.parametrize("unit", ["mV", "V", ""])
def test_all_units_end_in_microvolts(tmp_path, unit):
    from data_prep.amplifiers.recording_signals import Steps, read_trials
    from data_prep.amplifiers.recordings import open_recording

    recorded.write_edf(tmp_path / "p1.edf", 1, unit=unit)
    recording = open_recording(tmp_path / "p1.edf")
    steps = Steps(None, None, None, "file", "keep", RATE, SECONDS, 0)
    arrays, looks = read_trials(recording, [ONSETS[0]], ELECTRODES, ["GSR"], steps)
    start = round(ONSETS[0] * RATE)
    eeg, (_, gsr) = recorded.signals(1)
    np.testing.assert_allclose(arrays["eeg"][0], eeg[:, start : start + SECONDS * RATE], atol=0.01)
    np.testing.assert_allclose(arrays["pps"][0, 0], gsr[start : start + SECONDS * RATE], atol=0.001)
    np.testing.assert_allclose(looks[0][2][0], arrays["eeg"][0])


def test_a_wrong_unit_is_warned_of(tmp_path):
    import mne

    files = {}
    for person in (1, 2):
        raw = recorded.raw(person)
        files[person] = tmp_path / f"p{person}_raw.fif"
        scaled = mne.io.RawArray(raw.get_data() * 1e6, raw.info, verbose="ERROR")  # microvolts given as volts
        scaled.set_annotations(raw.annotations).save(files[person], verbose="ERROR")
    trials = recorded.write_table(tmp_path / "t.csv", files)
    outcome = call(SCRIPT, "--trials", trials, "--out-dir", tmp_path / "out", *PLAIN)
    assert outcome.status == 0, outcome.err
    assert "p1_raw.fif: EEG of 2e+07 uV" in lines_of(outcome.err, "eeg-of")[0]


def test_bids_says_the_unit_that_the_file_does_not(tmp_path):
    from data_prep.amplifiers.recordings import open_recording
    from data_prep.amplifiers.sidecars import Sidecar

    recorded.write_edf(tmp_path / "p1.edf", 1, unit="")
    recording = open_recording(tmp_path / "p1.edf", Sidecar({"Fp1": {"units": "V"}}))
    said = {channel.name: channel.factor for channel in recording.channels}
    assert (said["Fp1"], said["Fp2"]) == (1e6, 1)
    assert "the file does not say the unit of its EEG; taken as microvolts" in recording.notes


def test_a_bad_electrode_is_made_from_its_neighbours(plain, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    files = {}
    for person in PEOPLE:
        made = recorded.raw(person, bad=["C3"] if person == 2 else ())
        if person == 2:
            made.apply_function(lambda x: x * 1000, picks=["C3"])
        files[person] = folder / f"p{person}_raw.fif"
        made.save(files[person], verbose="ERROR")
    trials = recorded.write_table(folder / "trials.csv", files)
    flags = ["--trials", trials, *PLAIN, "--eeg-normalise", "trial"]
    out = done(SCRIPT, *flags, "--out-dir", folder / "out")
    assert "p2_raw.fif: interpolated C3" in out
    kept = open_prepared(make(tmp_path / "other", flags=[*PLAIN, "--eeg-normalise", "trial"]).folder)
    repaired, others = open_prepared(folder / "out").eeg, [i for i in range(12) if ELECTRODES[i] != "C3"]
    np.testing.assert_allclose(repaired[:, :, :, others], kept.eeg[:, :, :, others], atol=1e-5)
    c3 = ELECTRODES.index("C3")
    assert np.abs(repaired[1, :, :, c3] - kept.eeg[1, :, :, c3]).max() > 0.1
    refused = call(SCRIPT, *flags, "--out-dir", folder / "no", "--bad-channels", "refuse")
    assert_refused(refused, "marked-bad", "p2_raw.fif: C3", "--bad-channels interpolate")


def test_bids_status_bad(tmp_path):
    recorded.write_bids(tmp_path / "bids", (1, 2), bad=["O1"])
    out = done(SCRIPT, "--bids-dir", tmp_path / "bids", "--task", "film", "--out-dir", tmp_path / "out")
    assert out.count("interpolated O1") == 2


def test_a_film_that_somebody_did_not_see(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    files = {p: recorded.write(folder, "fif", p) for p in PEOPLE}
    trials = recorded.write_table(folder / "trials.csv", files, leave_out=[(2, "film_b")])
    flags = ["--trials", trials, "--out-dir", tmp_path / "out", *PLAIN]
    assert_refused(call(SCRIPT, *flags), "not-seen", "film_b", "p2", "--missing drop")
    assert "film_b is dropped for all: not seen by p2" in done(SCRIPT, *flags, "--missing", "drop")
    made = open_prepared(tmp_path / "out")
    assert made.info["stimuli"] == ["film_a", "film_c"]
    wanted = [[recorded.ratings(p)[film][:2] for film in ("film_a", "film_c")] for p in PEOPLE]
    np.testing.assert_array_equal(made.ratings, wanted)


def test_a_sensor_of_4_hz_within_an_edf_file_is_resampled_and_never_swings_over(tmp_path):
    flags = [*PLAIN, "--pps-normalise", "none"]
    slow = make(tmp_path / "slow", "bdf", flags, options={p: {"gsr_rate": 4} for p in PEOPLE})
    fast = make(tmp_path / "fast", "bdf", flags)
    np.testing.assert_allclose(slow.pps, fast.pps, atol=0.05)
    assert fast.pps[:, :, :, 1].min() > 2.9  # uS
    edges = [fast.pps[:, :, :, 1].min(), fast.pps[:, :, :, 1].max()]
    assert edges[0] - 1e-3 <= slow.pps[:, :, :, 1].min() <= slow.pps[:, :, :, 1].max() <= edges[1] + 1e-3


def test_a_wristband_without_eeg(tmp_path):
    import edfio

    files = {}
    for person in (1, 2):
        files[person] = tmp_path / f"p{person}.edf"
        _, (ecg, gsr) = recorded.signals(person)
        channels = [
            edfio.EdfSignal(values, rate, label=name, physical_dimension=unit)
            for name, values, rate, unit in (
                ("BVP", ecg[::4], 64, ""),
                ("EDA", gsr[::64], 4, "uS"),
                ("TEMP", 33 + gsr[::256] / 10, 1, "degC"),
            )
        ]
        marks = [edfio.EdfAnnotation(t, None, f) for t, f in zip(ONSETS, recorded.order(person), strict=True)]
        edfio.Edf(channels, annotations=marks).write(files[person])
    trials = recorded.write_table(tmp_path / "t.csv", files, markers=True)
    flags = ["--sampling-rate", 64, "--pps-normalise", "none"]
    done(SCRIPT, "--trials", trials, "--out-dir", tmp_path / "out", *flags)
    made = open_prepared(tmp_path / "out")
    assert (made.info["eeg_channels"], made.info["pps_channels"]) == ([], ["BVP", "EDA", "TEMP"])
    assert made.info["preparation"]["filters"] is None
    start = ONSETS[recorded.order(2).index("film_a")]
    ecg, gsr = (signal[round(start * RATE) : round((start + SECONDS) * RATE) : 4] for signal in recorded.signals(2)[1])
    np.testing.assert_allclose(made.pps[1, 0, :, 0].ravel(), ecg, atol=0.02)
    np.testing.assert_allclose(made.pps[1, 0, :, 1].ravel(), gsr, atol=0.01)
    np.testing.assert_allclose(made.pps[1, 0, :, 2].ravel(), 33 + gsr / 10, atol=0.02)


def test_filters_see_the_whole_recording(tmp_path):
    from data_prep.amplifiers.recording_signals import Steps, read_trials
    from data_prep.amplifiers.recordings import open_recording

    names = ["Fp1", "Cz", "Pz", "Oz"]
    write_channels(tmp_path / "p.edf", [(name, f, "uV") for name, f in zip(names, (0.1, 5, 23.94, 29), strict=True)])
    recording = open_recording(tmp_path / "p.edf")  # 0.03, 1.7, 8.0 and 9.7 Hz

    def level(*filters):
        steps = Steps(*filters, "file", "keep", 128, SECONDS, 0)
        return read_trials(recording, [10.0], names, [], steps)[0]["eeg"][0].std(axis=1)

    kept = level(None, None, None)
    np.testing.assert_allclose(level(1.0, 45.0, None)[1:], kept[1:], rtol=0.05)
    assert level(1.0, None, None)[0] < 0.05 * kept[0]
    assert level(None, 5.0, None)[3] < 0.05 * kept[3]
    notched = level(None, None, 23.94 * 2.1 / (2 * np.pi))
    assert notched[2] < 0.3 * kept[2]
    assert notched[1] > 0.95 * kept[1]


def test_names_of_classes_are_a_categorical_rating(plain, tmp_path):
    made = make(tmp_path / "files", flags=[*PLAIN, "--rest-seconds", REST], mood=True)
    assert made.info["ratings"] == ["arousal", "valence", "mood"]
    assert made.info["classes"] == {"mood": ["glad", "sad"]}
    wanted = [[["glad", "sad"].index(recorded.ratings(p)[film][2]) for film in FILMS] for p in PEOPLE]
    np.testing.assert_array_equal(made.ratings[:, :, 2], wanted)
    np.testing.assert_array_equal(made.ratings[:, :, :2], plain.ratings)


def test_only_names_of_classes(tmp_path):
    files = {p: recorded.write(tmp_path, "fif", p) for p in (1, 2)}
    trials = recorded.write_table(tmp_path / "t.csv", files, mood=True)
    done(SCRIPT, "--trials", trials, "--out-dir", tmp_path / "out", *PLAIN, "--ratings", "mood")
    made = open_prepared(tmp_path / "out")
    assert made.info["ratings"] == ["mood"]
    assert made.info["classes"] == {"mood": ["glad", "sad"]}


def test_a_spreadsheets_table(plain, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    files = {p: recorded.write(folder, "fif", p) for p in PEOPLE}
    trials = recorded.write_table(folder / "t.csv", files, delimiter=";", encoding="utf-8-sig")
    trials.write_bytes(
        trials.read_bytes().replace(b"24.25", b"24,25").replace(b"valence", b"Valence") + b"\r\n;;;;;;\r\n"
    )
    done(SCRIPT, "--trials", trials, "--out-dir", folder / "out", *PLAIN, "--rest-seconds", REST)
    same(open_prepared(folder / "out"), plain)


def test_the_same_command_goes_on_after_an_interruption(plain, tmp_path, monkeypatch):
    import data_prep.folder.writer

    folder = tmp_path / "files"
    folder.mkdir()
    files = {p: recorded.write(folder, "fif", p) for p in PEOPLE}
    flags = ["--trials", recorded.write_table(folder / "t.csv", files), "--out-dir", folder / "out", *PLAIN]
    flags += ["--rest-seconds", REST]
    add = data_prep.folder.writer.PreparedWriter.add

    def stop(self, subject, *rest, **more):
        if subject == "p3":
            raise KeyboardInterrupt
        return add(self, subject, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(data_prep.folder.writer.PreparedWriter, "add", stop)
        assert call(SCRIPT, *flags).status == 130
    assert not (folder / "out").exists()
    kept = sorted((folder / ".out.parts.partial").glob("*.npz"))
    assert len(kept) == 3
    times = [path.stat().st_mtime_ns for path in kept]
    kept[0].write_bytes(b"damaged")
    with monkeypatch.context() as patch:
        patch.setattr(data_prep.folder.writer.PreparedWriter, "add", stop)
        assert call(SCRIPT, *flags).status == 130
    assert [path.stat().st_mtime_ns for path in kept][1:] == times[1:]
    done(SCRIPT, *flags)
    same(open_prepared(folder / "out"), plain)
    assert not (folder / ".out.parts.partial").exists()
    assert "complete, from these files" in done(SCRIPT, *flags)
    assert_refused(call(SCRIPT, *flags, "--eeg-channels", "Fp1,Fp2,C3"), "already-exists")
    files[1].write_bytes(files[1].read_bytes() + b" ")
    assert_refused(call(SCRIPT, *flags), "already-exists")


def row(person=1, file="p1_raw.fif", film="film_a", onset=3, duration=6, *ratings):
    return [f"p{person}", file, film, onset, duration, *(ratings or (3, 4))]


GOOD = [row(p, f"p{p}_raw.fif", film, onset) for p in (1, 2) for film, onset in (("film_a", 3), ("film_b", 13))]
BAD_TABLES = {  # rows in place of p1's first, and what the message says
    "marker": (
        [row(onset="x")],
        ["no-marker", "row 2", "x", "p1_raw.fif", "film_b', 'film_c', 'film_a"],
    ),
    "occurrence": ([row(onset="film_a#2")], ["times-marker-comes", "row 2", "film_a", "1 times"]),
    "same file": ([row(file="p2_raw.fif")], ["but-in-it-is", "p2_raw.fif", "p2", "t.csv, row 2", "p1"]),
    "same trial": ([row(), row()], ["already-has", "t.csv, row 3: p1", "film_a", "t.csv, row 2"]),
    "overlap": ([row(onset=9)], ["begins-other-lasts-to", "'film_b' of p1", "t.csv, row 2", "15 s"]),
    "past the end": ([row(onset=28)], ["leave-out-or-take", "row 2", "film_a", "34 s", "p1_raw.fif", "32 s"]),
    "before the start": ([row(onset=-1)], ["trial-begins-before-does", "row 2", "1 s", "p1_raw.fif"]),
    "no file": (
        [row(file="elsewhere.fif")],
        ["does-not-exist", "elsewhere.fif"],
    ),
    "rating": (
        [row(1, "p1_raw.fif", "film_a", 3, 6, "high", 3)],
        ["not-number-elsewhere-column", "row 2: arousal", "high"],
    ),
    "empty rating": ([row(1, "p1_raw.fif", "film_a", 3, 6, "", 3)], ["row-is", "row 2: arousal is empty;"]),
    "off the scale": (
        [row(1, "p1_raw.fif", "film_a", 3, 6, 12, 3)],
        ["off-scale-to", "row 2: arousal", "12", "1 to 9"],
    ),
    "duration": ([row(duration="long")], ["duration-must-be-seconds", "row 2"]),
    "no duration": ([row(duration="")], ["without-duration-must-say", "row 2", "--seconds"]),
    "short": ([row(duration=4)], ["least-needed", "row 2", "4 s"]),
    "cells": ([[*row(), 1, 2]], ["cells-header-row-has", "row 2", "9 cells", "header 7"]),
    "not a recording": ([row(file="broken.bdf")], ["cannot-be-read-mne", "broken.bdf"]),
    "other format": ([row(file="t.csv")], ["is-none-of", "t.csv", ".edf .bdf"]),
    "copy": (
        [row(file="copy_raw.fif"), row(film="film_b", file="copy_raw.fif", onset=13)],
        ["holds-same-signals"],
    ),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two people's files, and one that is none."""
    folder = tmp_path_factory.mktemp("recordings")
    for person in (1, 2):
        recorded.write(folder, "fif", person)
    (folder / "broken.bdf").write_bytes(b"\xffBIOSEMI" + b"x" * 2000)
    (folder / "copy_raw.fif").write_bytes((folder / "p2_raw.fif").read_bytes())
    return folder


def prepare(folder, rows, *flags, out="out"):
    trials = recorded.write_table(folder / "t.csv", {}, rows=rows)
    return call(SCRIPT, "--trials", trials, "--out-dir", folder / out, *PLAIN, *flags)


@pytest.mark.parametrize("name", BAD_TABLES)
def test_what_is_wrong_in_a_table_is_one_line(files, name):
    rows, parts = BAD_TABLES[name]
    outcome = prepare(files, [*rows, *GOOD[2 if name in ("same file", "copy") else 1 :]])
    assert_refused(outcome, *parts)
    assert len(outcome.err) < 300 + len(str(files))
    assert not (files / "out").exists()


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--rest-seconds", 4], ["rest-begin-before-does", "row 2: 4", "--rest-seconds", "1 s", "p1_raw.fif"]),
        (["--rest-seconds", 1.5], ["must-be-whole-seconds", "--rest-seconds"]),
        (["--seconds", 7], ["trial-lasts-less-than", "6 s", "--seconds 7"]),
        (["--eeg-channels", "Cz,Fp1"], ["has-no-more-files", "p1_raw.fif", "Cz", "1 more", "Fp1, Fp2"]),
        (["--pps-channels", "temperature"], ["has-no-more-files", "temperature"]),
        (
            ["--eeg-channels", "Fp1,ECG", "--pps-channels", "ECG"],
            ["is-in-and-in", "ECG", "--eeg-channels", "--pps-channels"],
        ),
        (["--eeg-channels", "T7,T3"], ["names-channel-twice"]),
        (["--low-pass", 128], ["recorded-must-be-less", "256 Hz", "--low-pass", "than 128"]),
        (["--high-pass", 50, "--low-pass", 40], ["must-be-less-than-2", "--high-pass 50 must", "--low-pass 40"]),
        (["--reference", "average", "--eeg-channels", "Fp1"], ["average-reference-one-eeg", "--reference file"]),
        (["--ratings", "dominance"], ["no-such-column-2", "--ratings dominance", "arousal, valence"]),
        (["--bids-dir", "elsewhere", "--task", "film"], ["give-one-them-2", "--trials", "--bids-dir"]),
    ],
)
def test_what_the_settings_cannot_do_is_one_line(files, flags, parts):
    assert_refused(prepare(files, GOOD, *flags), *parts)
    assert not (files / "out").exists()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["is-empty"]),
        ("subject,file,stimulus,onset,duration,arousal\n\n,,,,,\n", ["has-no-trials"]),
        ("subject,file,stimulus,duration,arousal\np,f,s,1,2\n", ["has-no-column-onset"]),
        ("subject,file,stimulus,onset,duration\np,f,s,1,2\n", ["has-no-rating-2"]),
        ("subject,file,stimulus,onset,duration,a,a\np,f,s,1,2,3,4\n", ["has-column-twice-or", "a"]),
        ("subject,file,stimulus,onset,duration,\xe4\n".encode("latin-1"), ["has-no-trials", "ä"]),
        (b"subject,file\0,stimulus\n", ["no-text"]),
    ],
)
def test_tables_that_are_none(files, text, parts):
    (files / "wrong.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert_refused(call(SCRIPT, "--trials", files / "wrong.csv", "--out-dir", files / "out"), *parts, "wrong.csv")


def test_markers_that_come_again_are_numbered(tmp_path):
    import mne

    from data_prep.amplifiers.recordings import open_recording
    from data_prep.amplifiers.triggers import marker_seconds

    raw = recorded.raw(1, markers=False)
    raw.set_annotations(mne.Annotations([1.0, 2.0, 5.0], [0, 0, 0], ["film", "film", "Stimulus/S  1"]))
    raw.crop(0.5).save(tmp_path / "p_raw.fif", verbose="ERROR")  # the first sample is not sample 0
    recording = open_recording(tmp_path / "p_raw.fif")
    assert marker_seconds(recording, "stimulus/s 1", "t") == 4.5
    assert marker_seconds(recording, "film#2", "t") == 1.5
    raw.annotations.description[0] = "2"
    raw.save(tmp_path / "p_raw.fif", verbose="ERROR", overwrite=True)
    recording = open_recording(tmp_path / "p_raw.fif")
    trial = trials_table.Trial("t", "p", tmp_path, "film", 2.0, None, onset_text="2")
    with refused("may-be-seconds-or", "2 may", "2", "p_raw.fif"):
        trial_plan.onset_of(trial, recording)
    recording = open_recording(tmp_path / "p_raw.fif")
    recording.markers[0] = recording.markers[1]
    with refused("times-marker-comes", "2 times"):
        marker_seconds(recording, "film", "t")


def test_triggers_of_a_status_channel_are_markers(tmp_path):
    import mne

    from data_prep.amplifiers.recordings import open_recording

    raw = recorded.raw(1, markers=False)
    trigger = np.zeros((1, raw.n_times))
    trigger[0, 512:520] = 32
    raw.add_channels([mne.io.RawArray(trigger, mne.create_info(["STI"], RATE, "stim"), verbose="ERROR")])
    raw.save(tmp_path / "p_raw.fif", verbose="ERROR")
    assert open_recording(tmp_path / "p_raw.fif").markers == [("trigger 32", 2.0)]


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"--task": "music"}, ["has-no-eeg", "--task music", "film"]),
        ({"--sessions": "02"}, ["has", "--sessions 02"]),
        ({"--ratings": "dominance"}, ["no-such-column-2", "--ratings dominance"]),
    ],
)
def test_bids_that_is_not_there(tmp_path, change, parts):
    recorded.write_bids(tmp_path / "bids", (1, 2))
    flags = {"--bids-dir": tmp_path / "bids", "--task": "film", "--out-dir": tmp_path / "out"} | change
    assert_refused(call(SCRIPT, *(word for flag in flags.items() for word in flag)), *parts)


def test_bids_people_without_trials_are_named(tmp_path):
    recorded.write_bids(tmp_path / "bids", (1, 2))
    participants = tmp_path / "bids" / "participants.tsv"
    participants.write_text(
        participants.read_text() + "sub-09" + "\tn/a" * participants.read_text().split("\n")[0].count("\t") + "\n"
    )
    outcome = call(SCRIPT, "--bids-dir", tmp_path / "bids", "--task", "film", "--out-dir", tmp_path / "out")
    assert outcome.status == 0, outcome.err
    assert "sub-09, who have no trial" in outcome.err


def test_from_bids_to_a_report_in_four_commands(tmp_path):
    recorded.write_bids(tmp_path / "bids", (1, 2, 3, 4))
    data, where = tmp_path / "FILM", ["--run-dir", tmp_path / "run"]
    done(SCRIPT, "--bids-dir", tmp_path / "bids", "--task", "film", "--out-dir", data)
    where += ["--data-dir", data]
    done("main_pretrain_1s.py", *where, "--split", "trial", "--recipe", "robust", "--epochs", 1, *TINY)
    done("Fine_tuning/fine_tuning.py", *where, "--label", "arousal", "--resolutions", "1s", "--epochs", 1)
    done("Fine_tuning/report.py", *where[:2])
    assert "arousal" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_damage_that_would_hang_or_crash_the_readers_is_refused(tmp_path):
    from data_prep.amplifiers.recordings import open_recording

    fif = recorded.write(tmp_path, "fif", 1)
    content = bytearray(fif.read_bytes())
    second = 16 + int.from_bytes(content[8:12], "big")
    content[second + 12 : second + 16] = second.to_bytes(4, "big")  # the second tag is followed by itself
    fif.write_bytes(content)
    with refused("damaged-list-contents-runs"):
        open_recording(fif)

    eeglab = recorded.write(tmp_path, "set", 1)
    content = bytearray(eeglab.read_bytes())
    place = content.index(b"data") + 4
    assert content[place] == 7  # the type of the numbers, which SciPy looks up in a table
    content[place] = 200
    eeglab.write_bytes(content)
    with refused("damaged-or-cut-short"):
        open_recording(eeglab)


@pytest.mark.parametrize("extension", ["fif", "bdf", "edf", "vhdr", "set"])
def test_damaged_recordings_are_read_or_refused(tmp_path, extension):
    from data_prep.amplifiers.recordings import open_recording
    from utils.base.errors import InputError

    path, rng = recorded.write(tmp_path, extension, 1), np.random.default_rng(0)
    content, refused = path.read_bytes(), []
    for number in range(20):
        damaged = bytearray(content[: rng.integers(len(content))] if number % 4 == 0 else content)
        for place in rng.integers(min(4000, len(damaged)), size=8):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            open_recording(path)
        except InputError as error:
            refused.append(len(str(error)) - len(str(path)))
    assert 0 < max(refused) < 290


def test_without_mne_one_line_says_what_to_install(tmp_path, files):
    (tmp_path / "mne.py").write_text("raise ImportError")
    outcome = run(SCRIPT, "--trials", files / "t.csv", env={"PYTHONPATH": str(tmp_path)})
    assert_refused(outcome, "mne-python-not-installed", "pip install -r requirements-recordings.txt")


def test_nothing_is_written_into_the_home_folder_and_mne_is_silent(tmp_path, files):
    films = (("film_a", 3), ("film_b", 13.27))  # whole seconds apart, these signals would be the same
    rows = [row(person, f"p{person}_raw.fif", *film) for person in (1, 2) for film in films]
    recorded.write_table(files / "t.csv", {}, rows=rows)
    flags = ["--trials", files / "t.csv", "--out-dir", tmp_path / "out", "--quiet"]
    outcome = run(SCRIPT, *flags, env={"HOME": str(tmp_path / "home")})
    assert outcome == (0, "", "")
    assert not (tmp_path / "home").exists()


@pytest.mark.skipif(not REAL.exists(), reason="needs the real recordings beside the repository")
def test_a_real_set_of_eeglab_files(tmp_path):
    rows = [
        [f"p{n}", REAL / f"T5-{n}.set", ("joy", "fear")[part], part * 10, 10, (n + part) % 9 + 1, 5]
        for n in (1, 2, 3)
        for part in (0, 1)
    ]
    trials = recorded.write_table(tmp_path / "t.csv", {}, rows=rows)
    outcome = call(SCRIPT, "--trials", trials, "--out-dir", tmp_path / "out")
    assert outcome.status == 0, outcome.err
    made = open_prepared(tmp_path / "out")
    assert made.eeg.shape == (3, 2, 10, 31, 128)
    assert "GND" not in made.info["eeg_channels"]
    assert {"T3", "Fcz", "Cpz"} <= set(made.info["eeg_channels"])
    assert "left out: GND (ground)" in outcome.out
    said = outcome.err.splitlines()  # the two trials of each file do adjoin
    assert "\n".join(said) == "\n".join(lines_of("\n".join(said), "may-be-parts-one"))
