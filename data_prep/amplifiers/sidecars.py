"""What stands beside a recording, as BIDS has it: events, channels, behaviour and physiology, whatever their capitals.

BIDS: Pernet et al., "EEG-BIDS, an extension to the brain imaging data structure for electroencephalography",
Scientific Data 6, 2019.
"""

import gzip
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.amplifiers.trials_table import MISSING, read_rows
from data_prep.signals.channel_kinds import key
from data_prep.signals.channels import shorten
from utils.base.errors import InputError

TYPES = {  # BIDS's words for channels to MNE's
    "heog": "eog",
    "veog": "eog",
    "temp": "temperature",
    "trig": "stim",
    "ref": "ground",
    "audio": "misc",
    "hr": "misc",
}
LEVELS = 4  # folders from a recording up to its data set
UNIX = 1e8  # s; a start beyond it (1973) is a date
ZONES = (3600, 900)  # s that clocks of two places differ by, or multiples of it


@dataclass
class Physio:
    """Physiology of a run: (columns, samples), the first ``start`` seconds after the EEG's first."""

    path: Path
    columns: list
    rate: float
    start: float
    units: dict = field(default_factory=dict)
    header: Path | None = None  # the JSON that all this is from


@dataclass
class Sidecar:
    """What stands beside a recording in a BIDS data set."""

    types: dict = field(default_factory=dict)  # channel name -> MNE's type
    units: dict = field(default_factory=dict)  # channel name -> unit of the file's numbers
    bads: list = field(default_factory=list)
    physio: list = field(default_factory=list)  # of `Physio`
    files: list = field(default_factory=list)  # that all this was read from


def refuse_absent(path):
    """Refuse a file of a data set whose content was not downloaded: a link to nothing, or a text that stands for it."""
    path = Path(path)
    absent = path.is_symlink() and not path.exists()
    if path.is_file() and path.stat().st_size < 1000:
        head = path.read_bytes()
        absent = b"/annex/objects/" in head or head.startswith(b"version https://git-lfs")
    if absent:
        raise InputError(f"{path} stands for a file whose content is not here; download it (datalad get, git lfs pull)")


def entities(path):
    """BIDS entities of a file's name, in lower case, and its suffix: ``{"sub": "01", "task": "film"}``, ``eeg``."""
    *pairs, suffix = Path(path).name.split(".")[0].casefold().split("_")
    found = dict(pair.split("-", 1) for pair in pairs if "-" in pair)
    return found | {k: found[k].lstrip("0") for k in ("run",) if k in found}, suffix


def beside(path, suffix, *extensions):
    """Files with this suffix that are a recording's: no entity of theirs differs; those of the nearest folder."""
    own, of = entities(path)
    if of != "eeg":
        return []
    for folder in (path.parent, path.parent.with_name("beh"), *list(path.parents)[1:LEVELS]):
        found = {}  # file -> how many entities it names
        for file in sorted(folder.iterdir()) if folder.is_dir() else []:
            its, kind = entities(file)
            its.pop("recording", None)
            if (
                kind == suffix
                and file.name.lower().endswith(extensions)
                and "_" in file.name
                and its.items() <= own.items()
            ):
                refuse_absent(file)
                found[file] = len(its)
        if found:
            return [file for file in found if found[file] == max(found.values())]
        if (folder / "dataset_description.json").exists():
            break
    return []


def read_sidecar(path):
    """What channels.tsv and the physiological recordings of a run say."""
    path = Path(path)
    physio = beside(path, "physio", ".tsv.gz", ".tsv")
    physio = [file for file in physio if file.with_name(file.name + ".gz") not in physio]
    sidecar = Sidecar(physio=[read_physio_header(file) for file in physio])
    sidecar.files += [file for physio in sidecar.physio for file in (physio.path, physio.header)]
    for channels in beside(path, "channels", ".tsv")[:1]:
        sidecar.files.append(channels)
        header, rows = read_rows(channels)
        if "name" not in header or "type" not in header:
            raise InputError(f"{channels} has no column name, or no type")
        for _, row in rows:
            declared = row["type"].lower()
            sidecar.types[row["name"]] = TYPES.get(declared, declared)
            if row.get("units", "") not in MISSING:
                sidecar.units[row["name"]] = row["units"]
            if row.get("status", "").lower() == "bad":
                sidecar.bads.append(row["name"])
    return sidecar


def refuse_other_names(path, sidecar, names):
    """Refuse a channels.tsv that speaks of other channels than the file has: what it says would be dropped."""
    its = {key(re.sub(r"-\d+$", "", name)) for name in names} | set(map(key, names))
    strange = [name for name in sidecar.types if key(name) not in its]
    said = set(map(key, sidecar.types))
    unsaid = [name for name in names if not {key(name), key(re.sub(r"-\d+$", "", name))} & said]
    if strange and unsaid:
        names = f"its channels.tsv names {shorten(strange, 40)}, the file has {shorten(unsaid, 40)}"
        raise InputError(f"{path}: {names}; write the same names in both")
    return [f"channels.tsv names {shorten(strange, 40)}, which the file has not"] if strange else []


def compare_header(path, rate, seconds):
    """What is to be said where the eeg.json beside a recording speaks of another rate (Hz) or length (s)."""
    for file in beside(path, "eeg", ".json")[:1]:
        try:
            header = json.loads(file.read_text(encoding="utf-8-sig"))
            said = {"SamplingFrequency": rate, "RecordingDuration": seconds}
            found = {name: float(header[name]) for name in said if isinstance(header.get(name), int | float)}
        except (ValueError, AttributeError) as error:
            raise InputError(f"{file} is no JSON of a recording ({error})"[:290]) from None
        wrong = [name for name in found if abs(found[name] - said[name]) > 0.02 * said[name] + 1]
        return [
            f"its eeg.json says {name} {found[name]:g}, the file {said[name]:g}; the file is right" for name in wrong
        ]
    return []


def read_physio_header(file):
    """Columns, rate and start of a physiological recording, from its JSON: beside it, or further up for many."""
    stem, own = file.name.removesuffix(".gz").removesuffix(".tsv"), entities(file)[0].items()
    found = [other for other in [file.with_name(f"{stem}.json")] if other.exists()]
    for folder in list(file.parents)[:LEVELS]:
        found += [other for other in sorted(folder.glob("*physio.json")) if entities(other)[0].items() <= own]
    if not found:
        raise InputError(f"{file} has no {stem}.json beside it; it says SamplingFrequency, StartTime and Columns")
    try:
        header = json.loads(found[0].read_text(encoding="utf-8-sig"))
        columns, rate = [str(name) for name in header["Columns"]], float(header["SamplingFrequency"])
        units = {name: header[name].get("Units") for name in columns if isinstance(header.get(name), dict)}
        start = float(header["StartTime"])
    except (KeyError, TypeError, ValueError) as error:
        what = "does not say SamplingFrequency, StartTime and Columns as BIDS asks"
        raise InputError(f"{found[0]} {what} ({error})") from None
    if not 0 < rate < 1e6:
        raise InputError(f"{found[0]}: SamplingFrequency is {rate:g}; it must be more than 0")
    return Physio(file, columns, rate, start, units, found[0])


def read_lines(physio):
    """Rows of a physiological recording as texts."""
    try:
        with (gzip.open if physio.path.suffix == ".gz" else open)(physio.path, "rt", encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{physio.path} is no table of numbers ({error})"[:290]) from None
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
        raise InputError(f"{physio.path} is no table of numbers ({error})"[:290]) from None


def is_clock(physio, name):
    """Whether a column only counts: a clock, whatever it is called."""
    (values,) = read_physio(physio, [name])
    steps = np.diff(values[np.isfinite(values)])
    return len(steps) > 20 and bool((steps > 0).all() and np.median(np.abs(steps / np.median(steps) - 1)) < 0.2)


def place(physio, n_samples, seconds, began):
    """Where physiology lies beside an EEG of so many seconds that began then (Unix time, or None), and what to say.

    A start that is a date is compared with the EEG's. Clocks of two programs may differ by a time zone: by whole hours,
    or where these do not fit, by quarters. Returns (seconds after the EEG's first sample or None, notes).
    """
    length, name = n_samples / physio.rate, "/".join(physio.columns)
    if physio.start < UNIX:
        end = physio.start + length
        wrong = end < seconds - max(2, 0.05 * seconds) or end > seconds + max(5, 0.1 * seconds)
        note = f"{name} lasts {length:.4g} s, the EEG {seconds:.4g} s: is its SamplingFrequency {physio.rate:g} right?"
        return physio.start, [note] if wrong else []
    if began is None:
        return None, [f"{name} begins at a date (StartTime), and the EEG has none: not read"]
    for step in ZONES:
        starts = [physio.start - began - zone for zone in range(-14 * 3600, 14 * 3600 + 1, step)]
        fits = [t for t in starts if min(seconds, t + length) - max(0, t) > 0.9 * min(seconds, length)]
        if physio.start - began in fits or len(fits) == 1:
            start = physio.start - began if physio.start - began in fits else fits[0]
            zone = round((physio.start - began - start) / 3600, 2)
            told = f" (their clocks are {zone:g} h apart)" if zone else ""
            return start, [f"{name} begins {start:.4g} s after the EEG by their dates{told}"]
    return None, [f"{name} and the EEG do not lie at one time by their dates: not read"]
