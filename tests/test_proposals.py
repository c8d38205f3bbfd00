"""From files to a prepared folder by way of tables: what is planted in each film is found there, or a doubt is told."""

import csv
import datetime
import gzip
import json
import re
import shlex
from pathlib import Path

import edfio
import numpy as np
import pytest

from data_prep import open_prepared
from data_prep.amplifiers.bids import subject_of
from data_prep.amplifiers.sidecars import read_sidecar
from tests.builders import recorded
from tests.support import ROOT, assert_refused, call, done, refused

PROPOSE, PREPARE = "data_prep/propose_trials.py", "data_prep/prepare_recordings.py"
NAMES = "Fp1 Fp2 F3 F4 C3 C4 T7 T8 P3 P4 O1 O2".split()
OLD = {"T7": "T3", "T8": "T4"}
FILMS, LENGTH, EVERY = 4, 8, 12  # films of 8 s, one every 12 s
DATE = 1719397487
PLAIN = ["--low-pass", "none", "--high-pass", "none", "--reference", "file", "--eeg-normalise", "trial"]


def order(person):
    return [(film + person) % FILMS for film in range(FILMS)]


def signals(person, rate, names=NAMES, last=None):
    """(channels, samples) in uV: in film v a tone of 10 Hz on channel v, in its second k of 20 Hz on channel 4 + k."""
    times = np.arange((FILMS * EVERY + 10) * rate) / rate
    values = np.random.default_rng(person).normal(0, 5, (len(names), len(times)))
    for place, film in enumerate(order(person)):
        local = times - (5 + place * EVERY)
        inside = (local >= 0) & (local < LENGTH)
        values[film, inside] += 50 * np.sin(2 * np.pi * 10 * local[inside])
        at = local - (LENGTH - last if last else 0)
        inside &= at >= 0
        values[4 + at[inside].astype(int), inside] += 80 * np.sin(2 * np.pi * 20 * at[inside])
    return values


def write(path, values, rate, names=NAMES, unit="uV", marks=(), more=(), start=None):
    scale = {"uV": 1, "": 1e-6}[unit]
    made = [
        edfio.EdfSignal(v * scale, rate, label=n, physical_dimension=unit) for n, v in zip(names, values, strict=True)
    ]
    made += [edfio.EdfSignal(v, rate, label=n, physical_range=(0, 255)) for n, v in more]
    date = {}
    if start:
        at = datetime.datetime.fromtimestamp(start, datetime.UTC)
        date = {"starttime": at.time(), "recording": edfio.Recording(startdate=at.date())}
    path.parent.mkdir(parents=True, exist_ok=True)
    edfio.Edf(made, annotations=[edfio.EdfAnnotation(t, None, text) for t, text in marks], **date).write(path)


def rating(person, film):
    return (person * 3 + film * 2) % 8, (person + film) % 8


def wrong(folder, names=NAMES, films=lambda name: int(name)):
    """Trials of a prepared folder whose film, seconds or ratings are not those that were planted."""
    made, found = open_prepared(folder), []
    names = [{b: a for a, b in OLD.items()}.get(n, n) for n in made.info["eeg_channels"]]
    for place, who in enumerate(made.subjects):
        for trial, stimulus in enumerate(made.info["stimuli"]):
            film = films(stimulus)
            if np.isnan(made.ratings[place, trial]).any():
                continue
            power = np.abs(np.fft.rfft(np.asarray(made.eeg[place, trial], float), axis=-1)) ** 2  # (s, channels, Hz)
            seconds = [names[i] for i in power[:, :, 20].argmax(axis=1)]
            right = (
                names[power[:, :, 10].mean(axis=0).argmax()] == NAMES[film] and seconds == NAMES[4 : 4 + len(seconds)]
            )
            if not right or tuple(made.ratings[place, trial]) != rating(int(who), film):
                found.append((who, stimulus))
    return found


@pytest.fixture(scope="module")
def faced(tmp_path_factory):
    """Films of one name, two rates, volts without a unit, older names, electrodes that are not everybody's."""
    root = tmp_path_factory.mktemp("faced")
    for person, rate in ((0, 250), (1, 500), (2, 250)):
        names = [OLD.get(name, name) for name in NAMES] + ["A1"] if person else [*NAMES, "HEOR"]
        eeg = root / f"sub-00{person}" / "eeg"
        values = np.vstack([signals(person, rate), np.zeros((1, (FILMS * EVERY + 10) * rate))])
        stem = f"sub-00{person}_task-clips"
        write(eeg / f"{stem}_eeg.edf", values, rate, names, "" if person == 2 else "uV")
        lines = [
            "onset\tduration\ttrial_type\tvalue\tvideo_index\tValence\tArousal",
            "1.0\t0.0\tstart\t5\tn/a\tn/a\tn/a",
        ]
        for place, film in enumerate(order(person)):
            title = "The Shining" if film < 2 else f"film {film}"
            one, other = rating(person, film)
            lines.append(f"{5.0 + place * EVERY}\t{LENGTH}.0\t{title}\t{film % 2 + 1}\t{film}\t{one}.0\t{other}.0")
        (eeg / f"{stem}_events.tsv").write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
        rows = "".join(f"{name}\tEEG\t{'n/a' if person == 2 else 'µV'}\n" for name in names)
        (eeg / f"{stem.upper()}_Channels.tsv").write_text("name\ttype\tunits\n" + rows, encoding="latin-1")
    return root


def test_films_of_one_name_rates_units_and_older_names(faced, tmp_path):
    flags = ["--bids-dir", faced, "--task", "clips", "--ratings", "valence,AROUSAL"]
    out = done(PROPOSE, *flags, "--stimulus", "video_index", "--out-file", tmp_path / "p/trials.csv")
    assert "12 trials of 3 people, 4 to 4 each" in out
    assert "--rating-min 0 --rating-max 7" in out
    tables = ["--trials", tmp_path / "p/trials.csv", "--channels", tmp_path / "p/channels.csv"]
    flags_of_scale = ["--rating-min", 0, "--rating-max", 7, *PLAIN]
    out = done(PREPARE, *tables, *flags_of_scale, "--out-dir", tmp_path / "out")
    assert wrong(tmp_path / "out") == []
    assert f"EEG: {', '.join(NAMES)}\nPPS: none" in out
    with open(tmp_path / "p/channels.csv", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert (rows["HEOR"]["kind"], rows["A1"]["kind"], rows["T3"]["kind"], rows["T7"]["kind"]) == (
        "no",
        "no",
        "eeg",
        "eeg",
    )
    out = done(PROPOSE, *flags, "--out-file", tmp_path / "q/trials.csv")
    assert "doubt: 000: trial_type names two trials 'The Shining'; video_index tells them apart and is taken" in out
    assert (tmp_path / "q/trials.csv").read_bytes() == (tmp_path / "p/trials.csv").read_bytes()
    page = (tmp_path / "p/trials.html").read_text(encoding="utf-8")
    assert page.count('<rect class="t"') == 12
    assert "http" not in page


def test_the_short_way_ends_with_the_proposal_where_something_is_in_doubt(faced, tmp_path):
    flags = [
        "--bids-dir",
        faced,
        "--task",
        "clips",
        "--ratings",
        "valence,arousal",
        "--rating-min",
        0,
        "--rating-max",
        7,
    ]
    outcome = call(PREPARE, *flags, "--out-dir", tmp_path / "out")
    lines = [line for line in outcome.err.splitlines() if not line.startswith("warning")]
    assert outcome.status == 2
    assert len(lines) == 1
    assert "'The Shining'" in lines[0]
    assert str(tmp_path / "out_proposal/trials.html") in lines[0]
    assert sorted(path.name for path in (tmp_path / "out_proposal").iterdir()) == [
        "channels.csv",
        "trials.csv",
        "trials.html",
    ]
    assert not (tmp_path / "out").exists()


def dens(root, unit=1.0, rows_of_1=FILMS):
    """Onsets in samples (or what ``unit`` says), durations that are not true, ratings in beh.tsv, a film unseen."""
    for person in (1, 2, 3):
        rate, eeg = 256, root / f"sub-0{person}" / "eeg"
        seen = [film for film in order(person) if (person, film) != (2, 3)]
        marks, lines = [], ["onset\tduration\ttrial_type\tlabel"]
        for place, film in enumerate(order(person)):
            if film not in seen:
                continue
            for at, name, label in (
                (5, "stm", f"v{film}_{place}"),
                (5 + LENGTH, "vlnc", "Valence"),
                (14, "trno", "Next"),
            ):
                seconds = at + place * EVERY
                marks.append((seconds, name))
                lines.append(f"{seconds * rate * unit:.3f}\t1000.0\t{name}\t{label}")
        names = [f"E{number}" for number in range(1, len(NAMES) + 1)]
        values = np.vstack([signals(person, rate), np.zeros((1, (FILMS * EVERY + 10) * rate))])
        write(eeg / f"sub-0{person}_task-Film_eeg.edf", values, rate, [*names, "Cz"], marks=marks)
        (eeg / f"sub-0{person}_task-film_events.tsv").write_text("\n".join(lines) + "\n")
        rows = ["\t".join(map(str, (f"v{film}.mp4", *rating(person, film)))) for film in seen]
        beh = root / f"sub-0{person}" / "beh" / f"sub-0{person}_task-Film_beh.tsv"
        beh.parent.mkdir(parents=True)
        beh.write_text("\n".join(["stimuliName\tvalence\tarousal", *rows[: rows_of_1 if person == 1 else None]]) + "\n")
    return ["--bids-dir", root, "--task", "film", "--trial", "trial_type=stm", "--stimulus", "stimuliName"]


@pytest.mark.parametrize(("unit", "words"), [(1.0, "samples at 256 Hz"), (1000 / 256, "milliseconds"), (1 / 256, None)])
@pytest.mark.parametrize("until", [True, False])
def test_onsets_in_another_unit_false_durations_and_ratings_of_behaviour(tmp_path, unit, words, until):
    flags = [*dens(tmp_path / "d", unit), "--ratings", "valence,arousal", "--out-file", tmp_path / "p/trials.csv"]
    out = done(PROPOSE, *flags, *(["--until", "trial_type=vlnc"] if until else []))
    assert ("onsets are not in seconds" in out) == bool(words)
    assert not words or f"taken as {words} (all agree with the markers in the file)" in out
    assert ("1000.0 in every row: taken from each trial's beginning to 'vlnc'" in out) != until
    assert "E1, E2, E3" in out
    assert "are all of them electrodes?" in out
    tables = ["--trials", tmp_path / "p/trials.csv", "--channels", tmp_path / "p/channels.csv", *PLAIN]
    flags = ["--rating-min", 0, "--rating-max", 7, "--missing", "keep", "--out-dir", tmp_path / "out"]
    done(PREPARE, *tables, *flags)
    made = open_prepared(tmp_path / "out")
    assert made.info["eeg_channels"] == [f"E{number}" for number in range(1, 13)]  # Cz does not change: the reference
    assert np.isnan(made.ratings).any(axis=2).sum() == 1
    numbered = {name: f"E{number}" for number, name in enumerate(NAMES, 1)}
    power = np.abs(np.fft.rfft(np.asarray(made.eeg, float), axis=-1)) ** 2  # (people, films, s, channels, Hz)
    for place, who in enumerate(made.subjects):
        for trial, name in enumerate(made.info["stimuli"]):
            film = int(re.search(r"\d", name)[0])
            if (int(who), film) != (2, 3):
                found = power[place, trial, :, :, 10].mean(axis=0).argmax()
                assert made.info["eeg_channels"][found] == numbered[NAMES[film]]
                assert tuple(made.ratings[place, trial]) == rating(int(who), film)


def test_rows_that_do_not_agree_leave_a_person_out(tmp_path):
    flags = [
        *dens(tmp_path / "d", rows_of_1=3),
        "--ratings",
        "valence,arousal",
        "--out-file",
        tmp_path / "p/trials.csv",
    ]
    outcome = call(PROPOSE, *flags)
    assert "doubt: 01: 4 trials in events, 3 rows in beh.tsv: left out" in outcome.out
    assert "01," not in (tmp_path / "p/trials.csv").read_text()


def test_annotations_by_person_two_runs_and_physiology_by_date(tmp_path):
    root, zone = tmp_path / "e", 8 * 3600
    codes = {1: "11", 2: "21", 3: "101"}
    for person, code in codes.items():
        eeg, rate = root / f"sub-0{person}" / "eeg", 256
        values, marks = signals(person, rate, last=5), []
        for place in range(FILMS):
            marks += [(5 + place * EVERY, code), (5 + place * EVERY + LENGTH, str(int(code) + 1))]
        half = round((5 + 2 * EVERY - 2) * rate) if person == 3 else values.shape[1]
        parts = [(values[:, :half], 0), (values[:, half:], half / rate)][: 1 + (person == 3)]
        for run, (part, at) in enumerate(parts, 1):
            name = f"sub-0{person}_task-film" + (f"_run-{run}" if len(parts) > 1 else "")
            own = [(t - at, text) for t, text in marks if 0 <= t - at < part.shape[1] / rate]
            part = part[:, : part.shape[1] // rate * rate]
            write(eeg / f"{name}_eeg.edf", part, rate, marks=own, start=DATE + zone + at)
        films = [f"{film}\t" + "\t".join(map(str, rating(person, film))) for film in order(person)]
        (root / f"sub-0{person}" / "beh").mkdir()
        beh = root / f"sub-0{person}" / "beh" / f"sub-0{person}_task-film_beh.tsv"
        beh.write_text("\n".join(["video_name\tscore_7\tscore_8", *films]) + "\n")
        times = np.arange(values.shape[1] // rate * 32) / 32 + 2  # begins 2 s after the EEG
        level = np.zeros(len(times))
        for place, film in enumerate(order(person)):
            level[(times >= 5 + place * EVERY) & (times < 5 + place * EVERY + LENGTH)] = 1 + film
        stem = eeg / f"sub-0{person}_task-film_recording-GSR_physio"
        with gzip.open(f"{stem}.tsv.gz", "wt") as file:
            file.write(
                "".join(f"{v + 0.01 * np.sin(t):.4f}\t{DATE + t:.3f}\n" for v, t in zip(level, times, strict=True))
            )
        header = {"SamplingFrequency": 32, "StartTime": DATE + 2, "Columns": ["GSR", "csv_time_GSR"]}
        stem.with_suffix(".json").write_text(json.dumps(header))
    (tmp_path / "begin.csv").write_text("subject,value\n" + "".join(f"sub-0{p},{code}\n" for p, code in codes.items()))
    flags = ["--trial", tmp_path / "begin.csv", "--stimulus", "video_name", "--ratings", "score_7,score_8", "--last", 5]
    outcome = call(PROPOSE, "--bids-dir", root, "--task", "film", *flags, "--out-file", tmp_path / "p/trials.csv")
    assert outcome.status == 0, outcome.err
    assert "annotations of the others" in outcome.out
    assert "GSR/csv_time_GSR begins 2 s after the EEG by their dates (their clocks are -8 h apart)" in outcome.err
    tables = ["--trials", tmp_path / "p/trials.csv", "--channels", tmp_path / "p/channels.csv", *PLAIN]
    scale = ["--rating-min", 0, "--rating-max", 7, "--pps-normalise", "none"]
    done(PREPARE, *tables, *scale, "--out-dir", tmp_path / "out")
    assert wrong(tmp_path / "out") == []
    made = open_prepared(tmp_path / "out")
    assert (made.info["seconds"], made.info["pps_channels"]) == (5, ["GSR"])
    found = np.median(np.asarray(made.pps), axis=(2, 3, 4))
    np.testing.assert_allclose(found, np.tile([1, 2, 3, 4], (3, 1)), atol=0.05)


def folder_of_files(folder):
    """EDF files with triggers, and no table."""
    rate = 256
    for person in (1, 2, 3):
        trigger = np.zeros((FILMS * EVERY + 10) * rate)
        for place in range(FILMS):
            trigger[(5 + place * EVERY) * rate :][:13] = 2
            trigger[(5 + place * EVERY + LENGTH) * rate :][:13] = 4
        write(folder / f"p{person}.edf", signals(person, rate), rate, more=[("TRIG", trigger)])


def fill(table):
    """What a person writes into a table that only triggers made: stimuli in the order of each person, and ratings."""
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        person = int(row["subject"][1:])
        film = order(person)[number % FILMS]
        row["stimulus"], (row["arousal"], row["valence"]) = f"film{film}", (1 + v for v in rating(person, film))
    with open(table, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_a_folder_of_files_and_no_table(tmp_path):
    folder_of_files(tmp_path / "eeg")
    table = tmp_path / "p/trials.csv"
    flags = ["--files", f"{tmp_path}/eeg/*.edf", "--out-file", table]
    assert_refused(
        call(PROPOSE, *flags), "has-no-rating-2", "trial_type: trigger 2 (4), trigger 4 (4)", "--trial COLUMN=VALUE"
    )
    flags += ["--trial", "marker=2", "--until", "value=4", "--ratings", "arousal,valence"]
    out = done(PROPOSE, *flags)
    assert "fill in the column stimulus" in out
    tables = ["--trials", table, "--channels", table.with_name("channels.csv"), "--out-dir", tmp_path / "out", *PLAIN]
    assert_refused(call(PREPARE, *tables), "row-is", "row 2: stimulus is empty;")
    fill(table)
    before = table.read_bytes()
    assert_refused(call(PROPOSE, *flags), "there-with-other-rows")
    assert table.read_bytes() == before
    done(PREPARE, *tables)
    made = open_prepared(tmp_path / "out")
    assert made.info["eeg_channels"] == NAMES
    power = np.abs(np.fft.rfft(np.asarray(made.eeg, float), axis=-1)) ** 2
    np.testing.assert_array_equal(power[..., 10].mean(axis=2).argmax(axis=2), np.tile(range(FILMS), (3, 1)))


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--stimulus", "film"], ["no-such-column", "--stimulus film", "video_index"]),
        (["--ratings", "joy"], ["no-such-column-2", "--ratings joy"]),
        (["--group", "x"], ["no-such-column", "--group x"]),
        (["--trial", "code=3"], ["no-such-column", "--trial code", "trial_type"]),
        (
            ["--trial", "value=77"],
            ["no-row-any-recording", "--trial value=77", "trial_type: The Shining (2), start (1)"],
        ),
        (["--trial", "value"], ["write-column-value-or", "--trial value"]),
        (["--until", "value2=3"], ["no-such-column", "--until value2"]),
        (["--until", "valence"], ["trial-ends-before-begins-onset", "valence"]),
        (["--task", "music"], ["has-no-eeg", "--task music", "clips"]),
        (["--files", "x/*.edf"], ["with-or-dir-bdf", "--bids-dir", "--task", "--files"]),
    ],
)
def test_what_is_wrong_is_one_line(faced, tmp_path, flags, parts):
    flags = ["--bids-dir", faced, "--task", "clips", "--ratings", "valence", *flags]
    assert_refused(call(PROPOSE, *flags, "--out-file", tmp_path / "p/trials.csv"), *parts)
    assert not (tmp_path / "p").exists()


def test_channels_csv_decides(faced, tmp_path):
    done(PROPOSE, "--bids-dir", faced, "--task", "clips", "--ratings", "valence", "--out-file", tmp_path / "trials.csv")
    channels = tmp_path / "channels.csv"
    flags = ["--trials", tmp_path / "trials.csv", "--channels", channels, "--rating-min", 0, "--rating-max", 7, *PLAIN]
    text = channels.read_text()
    for changed, parts in (
        (text.replace("O2,eeg", "O2,brain"), ["kind is 'brain', not eeg, eog"]),
        (text.replace("O2,eeg", "O9,eeg"), ["does not name O2 of"]),
        (text.replace("HEOR,no", "HEOR,eog"), ["has no HEOR and 1 more files lack", "write no as its kind"]),
        (text.replace("T3,eeg", "T3,no"), ["above"]),
        (text.replace("kind", "sort"), ["has no column name, or no kind"]),
    ):
        assert changed != text
        channels.write_text(changed)
        outcome = call(PREPARE, *flags, "--out-dir", tmp_path / "out")
        lines = [line for line in outcome.err.splitlines() if not line.startswith("warning")]
        assert outcome.status == 2
        assert len(lines) == 1
        assert all(part in lines[0] for part in parts), lines
    channels.write_text(text.replace("O2,eeg", "O2,no").replace("O1,eeg", "O1,eog"))
    done(PREPARE, *flags, "--out-dir", tmp_path / "out")
    info = open_prepared(tmp_path / "out").info
    assert (info["eeg_channels"], info["pps_channels"]) == (NAMES[:-2], ["O1"])
    assert_refused(call(PREPARE, *flags, "--eeg-channels", "Fp1"), "says-which-channels-taken", "--channels")


def test_a_kind_in_channels_csv_brings_its_unit(tmp_path):
    """Skin conductance that its name does not give away, in mS, is that in uS once a person says what it is."""
    pps = []
    for name, unit in (("GSR", "uS"), ("Hand", "mS")):
        folder = tmp_path / name
        folder.mkdir()
        for person in (1, 2):
            recorded.write_edf(folder / f"p{person}.edf", person, skin=(name, unit))
        table = folder / "trials.csv"
        recorded.write_table(table, {person: folder / f"p{person}.edf" for person in (1, 2)})
        kinds = dict.fromkeys(recorded.ELECTRODES, "eeg") | {"ECG": "no", name: "gsr"}
        rows = "".join(f"{channel},{kind}\n" for channel, kind in kinds.items())
        (folder / "channels.csv").write_text(f"name,kind\n{rows}")
        tables = ["--trials", table, "--channels", folder / "channels.csv", "--pps-normalise", "none"]
        done(PREPARE, *tables, "--out-dir", folder / "out", *PLAIN)
        pps.append(open_prepared(folder / "out").pps)
    assert np.abs(pps[0]).max() > 0.1
    np.testing.assert_allclose(pps[0], pps[1], atol=1e-3 * np.abs(pps[0]).max())


@pytest.mark.parametrize(
    ("names", "people"),
    [
        (["a.edf", "b.edf"], ["a", "b"]),
        (["p1/eeg.edf", "p2/eeg.edf"], ["p1", "p2"]),
        (["p1/rec/eeg.edf", "p2/rec/eeg.edf"], ["p1", "p2"]),
        (["ses-1/sub-01_eeg.edf", "ses-2/sub-01_eeg.edf", "ses-1/sub-02_eeg.edf"], ["01", "01", "02"]),
    ],
)
def test_whose_a_file_is(names, people):
    paths = [Path("study") / name for name in names]
    assert [subject_of(path, paths) for path in paths] == people


def test_folders_that_name_nobody_are_refused():
    paths = [Path("study") / name for name in ("p1/s1/eeg.edf", "p1/s2/eeg.edf", "p2/s1/eeg.edf", "p2/s2/eeg.edf")]
    with refused("has-name-other-files", paths[0]):
        subject_of(paths[0], paths)


def test_sidecars_of_another_recording_are_not_taken(tmp_path):
    """In a folder of files that BIDS did not name, channels.tsv of one are not those of all."""
    for name in ("anna_eeg.edf", "bob_eeg.edf"):
        (tmp_path / name).touch()
    (tmp_path / "bob_channels.tsv").write_text("name\tstatus\nFp1\tbad\n")
    assert read_sidecar(tmp_path / "anna_eeg.edf").channels == {}


def test_every_example_of_the_page_runs_as_it_stands(tmp_path, monkeypatch):
    """In a folder with the data that docs/recordings.md speaks of; installing is left out."""
    monkeypatch.chdir(tmp_path)
    recorded.write_bids(tmp_path / "my_study", (1, 2, 3, 4))
    folder_of_files(tmp_path / "eeg")
    recorded.write_edf(tmp_path / "p5.edf", 5)
    onset, film = recorded.ONSETS[0], recorded.order(5)[0]
    (tmp_path / "new.csv").write_text(f"subject,file,stimulus,onset,duration\np5,p5.edf,{film},{onset},6\n")
    page = (ROOT / "docs/recordings.md").read_text(encoding="utf-8")
    commands = [line for block in re.findall(r"(?s)```\n(.*?)```", page) for line in block.splitlines()]
    scripts = [shlex.split(line)[1:] for line in commands if "pip install" not in line]
    assert len(scripts) >= 11
    for script, *flags in scripts:
        done(script, *flags)
    assert (tmp_path / "runs/film/report.html").exists()
    assert (tmp_path / "predictions.csv").exists()


def change(text, **columns):
    """A table's text with cells changed: of a column, by a function of its row's number and its cell."""
    header, *rows = [line.split("\t") for line in text.splitlines()]
    for name, how in columns.items():
        for number, row in enumerate(rows):
            row[header.index(name)] = str(how(number, row[header.index(name)]))
    return "\n".join("\t".join(row) for row in [header, *rows]) + "\n"


@pytest.mark.parametrize(
    ("columns", "doubt"),
    [
        ({"valence": lambda number, cell: 999 if number == 1 else cell}, "valence: 999 is far from all others"),
        ({"valence": lambda number, cell: -1 if number == 1 else cell}, "valence: -1 is far from all others"),
        (
            {"valence": lambda number, cell: number + 1},
            "valence: goes 1, 2, 3 for everybody, each number once: is that a rating?",
        ),
        ({"stimuliName": lambda number, cell: number + 1}, "stimulus: goes 1, 2, 3 in time for everybody"),
        ({}, None),
    ],
)
def test_cells_that_are_no_ratings_and_no_films(tmp_path, columns, doubt):
    flags = [*dens(tmp_path / "d"), "--ratings", "valence,arousal", "--until", "trial_type=vlnc"]
    for file in (tmp_path / "d").rglob("*_beh.tsv"):
        file.write_text(change(file.read_text(), **columns))
    out = done(PROPOSE, *flags, "--out-file", tmp_path / "p/trials.csv")
    assert doubt in out if doubt else "far from" not in out and "goes 1, 2, 3" not in out


@pytest.mark.parametrize("how", ["sorted", "turned"])
def test_ratings_in_another_order_than_the_films(tmp_path, how):
    flags = [*dens(tmp_path / "d"), "--ratings", "valence,arousal", "--until", "trial_type=vlnc"]
    right = done(PROPOSE, *flags, "--out-file", tmp_path / "right/trials.csv")
    assert "another order" not in right
    for events in (tmp_path / "d").rglob("*_events.tsv"):  # names that the ratings have, too
        events.write_text(change(events.read_text(), label=lambda _, cell: cell.replace("_", " at ")))
    for file in (tmp_path / "d").rglob("*_beh.tsv"):
        header, *rows = file.read_text().splitlines()
        rows = sorted(rows) if how == "sorted" else rows[::-1]
        file.write_text("\n".join([header, *rows]) + "\n")
    out = done(PROPOSE, *flags, "--out-file", tmp_path / "p/trials.csv")
    assert "beh.tsv is in another order than the trials: joined by label and stimuliname" in out
    assert (tmp_path / "p/trials.csv").read_text().replace("_at_", "_") == (tmp_path / "right/trials.csv").read_text()


def test_a_number_that_means_two_markers_is_a_doubt(tmp_path):
    for person in (1, 2):
        marks = [(5 + place * EVERY, "Stimulus/S  2") for place in range(FILMS)] + [(7, "Response/R  2")]
        write(tmp_path / f"p{person}.edf", signals(person, 256), 256, marks=marks)
    flags = ["--files", f"{tmp_path}/*.edf", "--no-rated", "--out-file", tmp_path / "p/trials.csv"]
    out = done(PROPOSE, *flags, "--trial", "marker=2")
    assert "p1, p2: --trial 2 means 'Stimulus/S  2', 'Response/R  2': write the whole name" in out
    out = done(PROPOSE, *flags[:-1], tmp_path / "q/trials.csv", "--trial", "marker=stimulus/s2")
    assert "write the whole name" not in out
    assert "8 trials of 2 people" in out


def test_files_of_one_name_are_of_the_people_of_their_folders(tmp_path):
    (tmp_path / "begin.csv").write_text("subject,value\n1,2\n2,2\n")  # a spreadsheet took the zeros
    for person in (1, 2):
        marks = [(5 + place * EVERY, "2") for place in range(FILMS)]
        write(tmp_path / f"d/0{person}/eeg.edf", signals(person, 256), 256, marks=marks)
    flags = ["--files", f"{tmp_path}/d/*/*.edf", "--no-rated", "--trial", tmp_path / "begin.csv"]
    assert "8 trials of 2 people, 4 to 4 each" in done(PROPOSE, *flags, "--out-file", tmp_path / "p/trials.csv")


def test_files_in_other_capitals_are_no_files_less(tmp_path):
    for name in ("p1.edf", "P2.EDF"):
        marks = [(5 + place * EVERY, "2") for place in range(FILMS)]
        write(tmp_path / name, signals(1, 256), 256, marks=marks)
    flags = ["--files", f"{tmp_path}/*.edf", "--no-rated", "--trial", "marker=2"]
    assert "8 trials of 2 people" in done(PROPOSE, *flags, "--out-file", tmp_path / "p/trials.csv")


def test_a_person_without_a_value_is_named(tmp_path):
    marks = [(5 + place * EVERY, "2") for place in range(FILMS)]
    for person in (1, 2):
        write(tmp_path / f"p{person}.edf", signals(person, 256), 256, marks=marks)
    (tmp_path / "begin.csv").write_text("subject,value\np1,2\np2,\n")
    flags = ["--files", f"{tmp_path}/*.edf", "--no-rated", "--trial", tmp_path / "begin.csv"]
    assert_refused(call(PROPOSE, *flags, "--out-file", tmp_path / "p/trials.csv"), "has-no-row-for", "begin.csv", "p2")


def test_channels_that_not_all_have_are_said(tmp_path):
    for person in (1, 2):
        marks = [(5 + place * EVERY, "2") for place in range(FILMS)]
        more = [("GSR", np.arange(58 * 256) % 200)] if person == 1 else []
        write(tmp_path / f"p{person}.edf", signals(person, 256), 256, marks=marks, more=more)
    flags = ["--files", f"{tmp_path}/*.edf", "--no-rated", "--trial", "marker=2"]
    out = done(PROPOSE, *flags, "--out-file", tmp_path / "p/trials.csv")
    assert "doubt: GSR: gsr, but in 1 of 2 files only; left out" in out


def decimal_commas(text, separator):
    return re.sub(r"(?<=\d)\.(?=\d)", ",", text.replace("\t", separator))


@pytest.mark.parametrize(
    "spelling",
    [
        lambda text: ("\ufeff" + decimal_commas(text, ";")).encode(),
        lambda text: decimal_commas(text, "\t").replace("\n", "\r\n").encode(),
        lambda text: text.encode("utf-16"),
        lambda text: re.sub(r"^.*", lambda line: line[0].upper(), text).encode(),  # the header alone
        lambda text: "\n".join("\t".join(f'"{c}"' for c in line.split("\t")) for line in text.splitlines()).encode(),
        lambda text: text.replace("\t", ",").encode(),
        lambda text: re.sub(r"(?m)(^\d.*?\t)1000\.0", r"\1n/a", text).encode(),
        lambda text: re.sub(r"(?m)(^\d.*?\t)1000\.0", r"\g<1>0", text).encode(),
        lambda text: (text + text.splitlines()[0].count("\t") * "\t" + "\n\n").encode(),  # rows of a spreadsheet
    ],
)
def test_tables_of_data_sets_in_many_spellings(tmp_path, spelling):
    for name, change_it in (("right", None), ("other", spelling)):
        flags = [*dens(tmp_path / name), "--ratings", "valence,arousal", "--until", "trial_type=vlnc"]
        for file in [*(tmp_path / name).rglob("*_events.tsv"), *(tmp_path / name).rglob("*_beh.tsv")]:
            if change_it:
                file.write_bytes(change_it(file.read_text()))
        done(PROPOSE, *flags, "--out-file", tmp_path / f"p_{name}/trials.csv")
    tables = [(tmp_path / f"p_{name}/trials.csv").read_text().replace(f"/{name}/", "/") for name in ("right", "other")]
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("edit", "doubt"),
    [
        (lambda row: ["57.5", row[1]], "trials lie beyond the recording, which ends at 58 s"),
        (lambda row: ["6.0", row[1]], "durations reach into the next trial: left empty"),
        (lambda row: [row[0], "90"], "durations reach into the next trial: left empty"),
        (lambda row: ["-3", row[1]], "trials lie beyond the recording"),
    ],
)
def test_trials_that_cannot_be_where_a_table_says(tmp_path, edit, doubt):
    for person in (1, 2):
        eeg = tmp_path / f"d/sub-0{person}/eeg/sub-0{person}_task-film"
        write(eeg.with_name(f"{eeg.name}_eeg.edf"), signals(person, 256), 256)
        rows = [[str(5.0 + place * EVERY), "8", f"film{film}", "5"] for place, film in enumerate(order(person))]
        rows[1] = [*edit(rows[1]), *rows[1][2:]]
        lines = ["onset\tduration\ttrial_type\tarousal", *map("\t".join, rows)]
        eeg.with_name(f"{eeg.name}_events.tsv").write_text("\n".join(lines) + "\n")
    flags = ["--bids-dir", tmp_path / "d", "--task", "film"]
    assert doubt in done(PROPOSE, *flags, "--out-file", tmp_path / "p/trials.csv")
    outcome = call(PREPARE, *flags, "--out-dir", tmp_path / "out")
    assert (outcome.status, (tmp_path / "out").exists()) == (2, False)
