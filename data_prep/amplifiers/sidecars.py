"""The sidecar files of a recording in BIDS (Pernet et al., "EEG-BIDS", Scientific Data 6, 2019)."""

import functools
import gzip
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.amplifiers.trials_table import decode, read_rows
from data_prep.signals.channel_kinds import PERIPHERAL, Channel, key
from data_prep.signals.channel_kinds import kind as kind_of
from data_prep.signals.channels import shorten
from data_prep.signals.units import NO_UNIT, to_kept
from utils.base.errors import InputError

LEVELS = 4  # folders from a recording up to its data set
UNIX = 1e8  # s; a start beyond it (1973) is a date
ZONES = [
    [0],
    *(range(-14 * 3600, 14 * 3600 + 1, step) for step in (3600, 900)),
]  # s between clocks of two places


@dataclass
class Physio:
    """Physiology of a run: (columns, samples), the first ``start`` seconds after the EEG's first."""

    path: Path
    columns: list
    rate: float
    start: float
    units: dict = field(default_factory=dict)
    header: Path | None = None  # the JSON that this is from


@dataclass
class Sidecar:
    """The contents of a recording's sidecar files."""

    channels: dict = field(default_factory=dict)  # name -> row of channels.tsv
    physio: list = field(default_factory=list)  # of `Physio`
    files: list = field(default_factory=list)  # that all this was read from


def refuse_absent(path):
    """Refuse a file of a data set whose content was not downloaded: a link to nothing, or a text that stands for it."""
    absent = path.is_symlink() and not path.exists()
    if path.is_file() and path.stat().st_size < 1000:
        head = path.read_bytes()
        absent = b"/annex/objects/" in head or head.startswith(b"version https://git-lfs")
    if absent:
        what = "stands for a file whose content is not here"
        raise InputError(path, what, "download it (datalad get, git lfs pull)")


def entities(path):
    """BIDS entities of a file's name, in lower case, and its suffix: ``{"sub": "01", "task": "film"}``, ``eeg``."""
    *pairs, suffix = Path(path).name.split(".")[0].casefold().split("_")
    named = dict(pair.split("-", 1) for pair in pairs if "-" in pair)
    return named | {k: named[k].lstrip("0") for k in ("run",) if k in named}, suffix


def beside(path, suffix, *extensions):
    """Files with this suffix that are a recording's: no entity of theirs differs; those of the nearest folder."""
    own, of = entities(path)
    for folder in (path.parent, path.parent.parent / "beh", *list(path.parents)[1:LEVELS]):
        n_entities = {}  # by file
        for file in sorted(folder.glob("*_*")) if of in ("eeg", "physio") else ():
            its, kind = entities(file)
            if of == "eeg":  # physiology may have several files
                its.pop("recording", None)
            if its and kind == suffix and file.name.lower().endswith(extensions) and its.items() <= own.items():
                refuse_absent(file)
                n_entities[file] = len(its)
        if n_entities:
            return [file for file, n in n_entities.items() if n == max(n_entities.values())]
        if (folder / "dataset_description.json").exists():
            break
    return []


def only_beside(path, suffix, extension):
    """The one file with this suffix that is a recording's, or None; several are refused."""
    files = beside(path, suffix, extension)
    if len(files) > 1:
        raise InputError(f"{files[0]} and {files[1].name}", f"may both belong to {path.name}", "keep one of them")
    return files[0] if files else None


def read_sidecar(path):
    """The `Sidecar` of a recording: what channels.tsv and the headers of physiological recordings say."""
    physio = beside(path, "physio", ".tsv.gz", ".tsv")
    physio = [file for file in physio if file.with_name(file.name + ".gz") not in physio]
    sidecar = Sidecar(physio=[read_physio_header(file) for file in physio])
    sidecar.files += [file for physio in sidecar.physio for file in (physio.path, physio.header)]
    if table := only_beside(path, "channels", ".tsv"):
        header, rows = read_rows(table)
        if not {"name", "type"} <= set(header):
            raise InputError(f"{table} has no column name, or no type")
        sidecar.files.append(table)
        sidecar.channels = {row["name"]: row for _, row in rows}
    return sidecar


def match_names(path, table, names):
    """The row of channels.tsv of each channel, however it is spelled, and notes; a table of other names is refused."""
    by_key, in_table = {key(name): name for name in table}, {}
    for name in names:
        for spelling in (name, re.sub(r"-\d+$", "", name)):  # MNE numbers channels of one name: GSR-0
            if key(spelling) in by_key:
                in_table.setdefault(name, by_key[key(spelling)])
    strange = [name for name in table if name not in in_table.values()]
    missing = [name for name in names if name not in in_table]
    said = f"channels.tsv names {shorten(strange, 40)}, "
    if strange and missing:
        what = f"its {said}the file has {shorten(missing, 40)}"
        raise InputError(f"{path}:", what, "write the same names in both")
    rows = {name: table[other] for name, other in in_table.items()}
    return rows, [f"{said}which the file has not"] if strange else []


def read_json(path):
    """The dictionary in a JSON file."""
    try:
        return dict(json.loads(decode(path)))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is no JSON of a recording ({error})") from None


def compare_header(path, rate, seconds):
    """Notes where the eeg.json beside a recording has another rate (Hz) or length (s)."""
    file, notes = only_beside(path, "eeg", ".json"), []
    header = read_json(file) if file else {}
    allowed = ("SamplingFrequency", rate, 0.005 * rate), ("RecordingDuration", seconds, 0.02 * seconds + 1)
    for name, value, tolerance in allowed:
        said = header.get(name)
        if isinstance(said, int | float) and abs(said - value) > tolerance:
            notes.append(f"its eeg.json says {name} {said:g}, the file {value:g}; the file is right")
    return notes


def read_physio_header(file):
    """The `Physio` that the JSON of a physiological recording describes: beside it, or further up for many."""
    path = only_beside(file, "physio", ".json")
    if not path:
        remedy = "it says SamplingFrequency, StartTime and Columns"
        raise InputError(file, f"has no {file.name.split('.')[0]}.json beside it", remedy)
    header = read_json(path)
    try:
        columns, rate = [str(name) for name in header["Columns"]], float(header["SamplingFrequency"])
        units = {name: header[name].get("Units") for name in columns if isinstance(header.get(name), dict)}
        start = float(header["StartTime"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            path, f"does not say SamplingFrequency, StartTime and Columns as BIDS asks ({error})"
        ) from None
    if not 0 < rate < 1e6:
        raise InputError(f"{path}: SamplingFrequency is {rate:g}; it must be more than 0")
    return Physio(file, columns, rate, start, units, path)


def read_lines(physio):
    """Rows of a physiological recording as texts."""
    try:
        with (gzip.open if physio.path.suffix == ".gz" else open)(physio.path, "rt", encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{physio.path} is no table of numbers ({error})") from None
    if lines and lines[0].split("\t") == physio.columns:  # which BIDS has in the JSON
        del lines[0]
    n = len(lines[0].split("\t")) if lines else 0
    if n != len(physio.columns):
        raise InputError(f"{physio.path} has {n} columns, its JSON names {len(physio.columns)} in Columns")
    return lines


def read_physio(physio, names):
    """Some columns (columns, samples) of a physiological recording."""
    places = [physio.columns.index(name) for name in names]
    try:
        lines = [line.replace("n/a", "nan") for line in read_lines(physio)]
        return np.loadtxt(lines, delimiter="\t", ndmin=2, usecols=places).T
    except ValueError as error:
        raise InputError(f"{physio.path} is no table of numbers ({error})") from None


def is_clock(physio, name):
    """Whether a column only counts: a clock, whatever it is called."""
    (values,) = read_physio(physio, [name])
    steps = np.diff(values[np.isfinite(values)])
    return len(steps) > 20 and bool((steps > 0).all() and np.median(np.abs(steps / np.median(steps) - 1)) < 0.2)


def place(physio, n_samples, seconds, began):
    """Seconds from the EEG's first sample, which was ``began`` (Unix time, or None), to that of physiology; and notes.

    Dates are compared. Clocks of two programs may differ by a time zone: whole hours, or where none fits, quarters.
    """
    length, name = n_samples / physio.rate, "/".join(physio.columns)
    if physio.start < UNIX:
        end = physio.start + length
        wrong = end < seconds - max(2, 0.05 * seconds) or end > seconds + max(5, 0.1 * seconds)
        note = f"{name} lasts {length:.4g} s, the EEG {seconds:.4g} s: is its SamplingFrequency {physio.rate:g} right?"
        return physio.start, [note] if wrong else []
    if began is None:
        return None, [f"{name} begins at a date (StartTime), and the EEG has none: not read"]
    apart = physio.start - began
    for zones in ZONES:
        starts = [apart - zone for zone in zones]
        fits = [at for at in starts if min(seconds, at + length) - max(0, at) > 0.9 * min(seconds, length)]
        if len(fits) == 1:
            hours = round((apart - fits[0]) / 3600, 2)
            clocks = f" (their clocks are {hours:g} h apart)" if hours else ""
            return fits[0], [f"{name} begins {fits[0]:.4g} s after the EEG by their dates{clocks}"]
    return None, [f"{name} and the EEG do not lie at one time by their dates: not read"]


def add_physio(recording, physio, began):
    """Add the channels of a physiological recording where it lies beside the EEG, which began then (Unix time)."""
    start, notes = place(physio, len(read_lines(physio)), recording.seconds, began)
    recording.notes += notes
    if start is None:
        return
    physio.start = start
    recording.physio.append(physio)
    for name in physio.columns:
        kind = kind_of(name, "misc")
        kind = "clock" if kind in PERIPHERAL and is_clock(physio, name) else kind
        unit_as = functools.partial(to_kept, text=physio.units.get(name))
        scale, said = unit_as(kind)
        recording.notes += [f"{name} of {physio.path.name} {said}"] if said not in (None, NO_UNIT) else []
        recording.channels.append(Channel(name, kind, physio.rate, scale, len(recording.physio) - 1, unit_as=unit_as))
