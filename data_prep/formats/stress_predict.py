"""Stress-Predict's raw format: what a wristband writes for each person, and where the experiment's stages lie in it.

Authors   Iqbal, Simpkin, Roshan, Glynn, Killilea, Walsh, Molloy, Ganly, Ryman, Coen, Elahi, Wijns, Shahzad
Source    "Stress Monitoring Using Wearable Sensors: A Pilot Study and Stress-Predict Dataset", Sensors 22(21), 2022
Link      https://github.com/italha-d/Stress-Predict-Dataset (MIT licence, no agreement needed)
People    35, an hour each: baseline, Stroop test, rest, interview, rest, hyperventilation, rest
Signals   Empatica E4 wristband: pulse wave (BVP) 64 Hz, skin conductance (EDA, uS) and temperature (TEMP, degrees C)
          4 Hz, heart rate (HR, beats/min) 1 Hz, acceleration (ACC, three axes, 1/64 g) 32 Hz
Files     Raw_data/S01 ... S35, each with BVP.csv, EDA.csv, TEMP.csv, HR.csv, ACC.csv: first row the start (s since
          1970, UTC), second row the rate (Hz), then samples; tags_S01.csv: when tasks began and ended (s, UTC)
Quirks    Found in the files: S01's first mark comes after 79 s, with no baseline before it; S06 lacks a mark; S17, S18
          and S30 have marks that are 12 hours off; hyperventilation lasts from 89 s on; three people have more marks
"""

from dataclasses import dataclass

import numpy as np

from data_prep.folder.stimuli import natural
from data_prep.folder.writer import Recorded
from data_prep.signals.resampling import resample
from utils.base.errors import InputError
from utils.base.progress import Progress, warn

RATE = 64  # Hz, of the fastest signal; all are brought to it
SIGNALS = {  # of each file: its rate in Hz, and the names of its columns
    "BVP": (64, ["BVP"]),
    "EDA": (4, ["EDA"]),
    "TEMP": (4, ["TEMP"]),
    "HR": (1, ["HR"]),
    "ACC": (32, ["ACC1", "ACC2", "ACC3"]),
}
CHANNELS = [name for _, names in SIGNALS.values() for name in names]
CLASSES = ["no stress", "stress"]
STAGES = {  # in their order, and the class of each
    "baseline": 0,
    "Stroop test": 1,
    "rest after Stroop test": 0,
    "interview": 1,
    "rest after interview": 0,
    "hyperventilation": 1,
    "rest after hyperventilation": 0,
}
CARD = {
    "name": "Stress-Predict",
    "sampling_rate": RATE,
    "eeg_channels": [],
    "pps_channels": CHANNELS,
    "ratings": ["stress"],
    "classes": {"stress": CLASSES},
    "stimuli": list(STAGES),
}
SHORTEST = 5  # the stage that is shorter than all others but the baseline, which has no mark: hyperventilation
HALF_DAY = 12 * 3600  # s by which some marks are off
MAX_FILE_BYTES = 256 << 20  # 150 times a file of an hour
REMEDY = "use the file as it was published"


class LeftOutError(Exception):
    """A person is left out because the recording does not follow the protocol; the message says why."""


@dataclass
class Recording:
    """One person's files."""

    signals: dict  # of each of `SIGNALS` the time of its first sample (s) and its samples (channels, n_samples)
    begin: float  # time (s) at which the last signal begins
    end: float  # time at which the first signal ends
    marks: list  # times at which tasks began and ended
    mended: list  # numbers from 1 of the marks that were 12 h off


def find_people(folder):
    """Folders of all people in ``Raw_data`` by name, in the order of their numbers."""
    where = f"--raw-dir {folder}"
    if not folder.is_dir():
        what = "does not exist" if not folder.exists() else "is not a folder"
        raise InputError(where, what, "unpack the data set and give its folder Raw_data")
    if (folder / "Raw_data").is_dir():
        raise InputError(where, "has the recordings one folder deeper", f"give {folder / 'Raw_data'}")
    people = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))]
    if len(people) < 2:
        raise InputError(where, f"has {len(people)} folders of people (S01, S02, ...); at least 2 are needed")
    return {path.name: path for path in sorted(people, key=lambda path: natural(path.name))}


def files_of(folder):
    """Files of one person by name: those of `SIGNALS`, and ``"tags"``."""
    files = {name: folder / f"{name}.csv" for name in SIGNALS} | {"tags": folder / f"tags_{folder.name}.csv"}
    if not files["tags"].exists() and (folder / "tags.csv").exists():  # as the wristband itself calls it
        files["tags"] = folder / "tags.csv"
    for path in files.values():
        if not path.is_file():
            remedy = "give Raw_data of Stress-Predict with --raw-dir; download the person again, or remove the folder"
            raise InputError(folder, f"has no file {path.name}", remedy)
    return files


def read_person(folder):
    """One person's files, checked: a `Recording`."""
    files = files_of(folder)
    signals = {name: _read_signal(files[name], rate, len(names)) for name, (rate, names) in SIGNALS.items()}
    starts = [start for start, _ in signals.values()]
    ends = [start + samples.shape[1] / SIGNALS[name][0] for name, (start, samples) in signals.items()]
    if min(ends) <= max(starts):
        raise InputError(folder, "has signals that do not overlap in time", REMEDY)
    recording, begin, end = Recording(signals, max(starts), min(ends), [], []), min(starts), max(ends)
    for number, mark in enumerate(_numbers(files["tags"], _lines(files["tags"]), 1)[0].tolist(), start=1):
        where, remedy = f"{files['tags']}, mark {number} ({mark:.0f})", "repair it or remove the person's folder"
        possible = [mark + shift for shift in (0, -HALF_DAY, HALF_DAY) if begin <= mark + shift <= end]
        if not possible:
            raise InputError(where, f"is not in the recording ({begin:.0f} to {end:.0f}) or 12 hours off it", remedy)
        if possible[0] != mark:
            recording.mended.append(number)
        if recording.marks and possible[0] <= recording.marks[-1]:
            raise InputError(where, f"is not later than the one before it ({recording.marks[-1]:.0f})", remedy)
        recording.marks.append(possible[0])
    return recording


def stage_starts(recording, where, seconds, delay, baseline_before):
    """Time in s at which the kept part of each of `STAGES` begins.

    The part has ``seconds`` and begins ``delay`` s after the mark of its stage; the baseline's, ``baseline_before`` s
    before the first mark. Raises `LeftOutError` if the recording lacks the baseline, a mark or the end.
    """
    marks, n_stages = recording.marks[: len(STAGES)], len(STAGES)
    if len(marks) < n_stages:
        raise LeftOutError(f"it has {len(marks)} marks of the {n_stages} that begin and end the stages")
    if marks[0] - baseline_before < recording.begin:
        early = f"comes {marks[0] - recording.begin:.0f} s after the beginning"
        raise LeftOutError(f"its first mark {early}, so there is no baseline of {baseline_before} s before it")
    lengths = np.diff(marks)  # of all stages but the baseline
    if np.argmin(lengths) != SHORTEST - 1:
        shown = ", ".join(f"{length:.0f}" for length in lengths)
        what = f"but hyperventilation, number {SHORTEST}, is the shortest in all others"
        raise LeftOutError(f"its stages last {shown} s, {what}: a mark is missing, or one too many")
    for name, length in zip(list(STAGES)[1:], lengths, strict=True):
        if length < delay + seconds:
            what = f"{name} lasts {length:.0f} s, less than --delay {delay} + --seconds {seconds}"
            raise InputError(f"{where}:", what, "use a smaller --seconds")
    if marks[-2] + delay + seconds > recording.end:
        raise LeftOutError("a signal ends before the last stage does")
    return [marks[0] - baseline_before, *(mark + delay for mark in marks[:-1])]


def people(writer, folders, seconds, delay, baseline_before):
    """A `Recorded` for each of these folders (by name); who did not follow the protocol is left out, with a note."""
    ratings = np.array(list(STAGES.values()), dtype=float)[:, None]

    def note(text):  # now, and on the page about the signals
        warn(text)
        writer.quality.notes.append(text)

    for person, folder in Progress(folders.items(), desc="preparing", unit="person"):
        recording = read_person(folder)
        if recording.mended:
            numbers = ", ".join(map(str, recording.mended))
            note(f"{person}: marks that were 12 hours off are mended (number {numbers})")
        try:
            starts = stage_starts(recording, folder, seconds, delay, baseline_before)
        except LeftOutError as reason:
            note(f"{person} is left out: {reason}")
            continue
        parts = cut(recording, starts, seconds)
        looks = [(names, rate, parts[name]) for name, (rate, names) in SIGNALS.items()]
        yield Recorded(person, folder, trials(parts, seconds), ratings, looks)


def cut(recording, starts, seconds):
    """The same part of every stage by file: arrays (channels, samples) at its rate, one sample more if available."""
    parts = {}
    for name, (begin, samples) in recording.signals.items():
        rate = SIGNALS[name][0]
        indices = [round((start - begin) * rate) for start in starts]
        parts[name] = [samples[:, index : index + seconds * rate + 1] for index in indices]
    return parts


def trials(parts, seconds):
    """Each stage of what `cut` returns, all channels at `RATE`, as a trial without rest and EEG."""
    for stage in zip(*parts.values(), strict=True):
        joined = [resample(part, SIGNALS[name][0], RATE, seconds) for name, part in zip(parts, stage, strict=True)]
        pps = np.concatenate(joined)
        yield {"eeg": (pps[:0], None), "pps": (pps, None)}


def _lines(path):
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InputError(path, "is larger than any file of Stress-Predict", REMEDY)
    try:
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip(" ,\t")]
    except UnicodeDecodeError:
        raise InputError(path, "is not a text file", REMEDY) from None
    if not lines:
        raise InputError(path, "is empty", REMEDY)
    return lines


def _numbers(path, lines, n_columns, row=1):
    """Numbers (columns, rows) of lines of comma-separated text; ``row``: number of the first."""
    try:
        values = np.loadtxt(lines, delimiter=",", ndmin=2, comments=None)
    except ValueError as error:
        raise InputError(path, f"is not a table of numbers ({str(error)[:100]})", REMEDY) from None
    if values.shape[1] != n_columns:
        raise InputError(path, f"has {values.shape[1]} columns, not {n_columns}", REMEDY)
    if not np.isfinite(values).all():
        row += np.flatnonzero(~np.isfinite(values).all(axis=1))[0]
        raise InputError(path, f"has NaN or infinite values, first in row {row}", "repair it or remove the folder")
    return values.T


def _read_signal(path, rate, n_columns):
    """Time of the first sample and the samples (columns, n_samples) of a file."""
    lines, header = _lines(path), []
    if len(lines) < 3:
        raise InputError(path, "has no samples below its two rows of start and rate", REMEDY)
    for line, what in zip(lines, ("start (s since 1970)", "rate (Hz)"), strict=False):
        try:
            (value,) = {float(value) for value in line.split(",")}
        except ValueError:  # not a number, or several
            value = np.nan
        if not np.isfinite(value):
            raise InputError(path, f"begins with {line[:40]!r} where its {what} should be", REMEDY)
        header.append(value)
    start, recorded_rate = header
    if recorded_rate != rate:
        raise InputError(path, f"has a rate of {recorded_rate:g} Hz, not {rate} as an E4's {path.stem}", REMEDY)
    return start, _numbers(path, lines[2:], n_columns, row=3)
