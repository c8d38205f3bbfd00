"""What a recording holds, through MNE-Python: channels with kinds, rates and units, markers, breaks.

MNE-Python: Gramfort et al., "MEG and EEG data analysis with MNE-Python", Frontiers in Neuroscience 7, 2013.
"""

import contextlib
import importlib.util
import re
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.amplifiers.edf_header import is_edf, read_header
from data_prep.amplifiers.sidecars import (
    compare_header,
    is_clock,
    place,
    read_lines,
    read_sidecar,
    refuse_absent,
    refuse_other_names,
)
from data_prep.amplifiers.trials_table import FORMATS, is_recording
from data_prep.amplifiers.triggers import TRIGGER, find_markers
from data_prep.formats.matlab_limits import MAX_ITEMS, OTHER_KIND, Budget, RefusedError, variables
from data_prep.signals.channel_kinds import PERIPHERAL, UNKNOWN, Channel, kind
from data_prep.signals.units import EEGLAB_SCALE, NO_UNIT, SCALES, factor, to_kept
from utils.base.errors import InputError
from utils.base.progress import warn
from utils.base.surroundings import at_end

try:
    import mne
except ImportError:  # said by need_mne()
    mne = None

CUTS = ("boundary", "new segment")  # annotations of EEGLAB and BrainVision where a recording was paused or cut
BREAKS = ("edge", "bad_acq_skip", *CUTS)  # and MNE's, at which its filters are restarted
BAD = "bad"  # what an annotation of a part that somebody found bad begins with
HARMLESS = (  # warnings of MNE without a remedy
    "annotation(s) that were",
    "'boundary' events",
    "naming conventions",
    "Estimated head radius",
    "coordinate frame",
    "mixed sampling frequencies",  # each channel is read at its own
)
IN_VOLTS = 1e-3  # EEG without a unit whose deviation is below: volts, as no EEG has a nanovolt
LOOKED_AT = 10  # s of it
MOST_PACKED = 1000  # times that a compressed file unpacks to
MESSAGE_CHARACTERS = 150  # of MNE's words in ours


@dataclass
class Recording:
    """What a file holds, without its signals."""

    path: Path
    files: list  # that it was read from
    signals: Path  # the one of them that holds the signals
    channels: list  # of `Channel`
    seconds: float
    markers: list  # of (name, seconds from the first sample)
    breaks: list  # seconds at which the recording was paused
    spoiled: list  # (name, first, last second) of parts that are marked as bad
    bads: list
    physio: list
    notes: list = field(default_factory=list)  # what is to be said of it, without its name
    doubtful: dict = field(default_factory=dict)  # markers whose number is in doubt, and why
    durations: dict = field(default_factory=dict)  # of markers, in s


def need_mne():
    """One line where the package is missing; MNE's own warnings reach us, and nothing else is printed."""
    if mne is None:
        raise InputError("MNE-Python is not installed; python -m pip install -r requirements-recordings.txt")
    at_end(mne.set_log_level, mne.set_log_level("WARNING", return_old_level=True))


@contextlib.contextmanager
def through_mne(path, notes):
    """MNE's warnings join the notes, in one line each; what it refuses is an `InputError`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except InputError:
            raise
        except MemoryError:
            raise InputError(f"{path} does not fit into memory; choose fewer --eeg-channels, or cut the file") from None
        except FileNotFoundError as error:
            raise InputError(f"{path}: a part of it is missing ({_words(error)}); copy all its files") from None
        except Exception as error:  # a reader of so many formats stumbles in as many ways
            small = path.with_suffix(path.suffix.lower())
            remedy = "export it again" if small == path else f"call it {small.name}"
            raise InputError(f"{path} cannot be read by MNE-Python ({_words(error)}); {remedy}") from None
    for warning in caught:
        words = _words(warning.message)
        if "Omitted" in words and path.suffix.lower() != ".set":  # EEGLAB marks a file's end as a boundary
            words += " Is the file cut short?"
        technical = issubclass(warning.category, DeprecationWarning | FutureWarning | ResourceWarning)
        harmless = "cut short" not in words and any(part in words for part in HARMLESS)
        if not technical and not harmless and words not in notes:
            notes.append(words)


def _words(error):
    words = " ".join(f"{error}".split()) or type(error).__name__
    return words if len(words) <= MESSAGE_CHARACTERS else words[: MESSAGE_CHARACTERS - 3] + "..."


def say_notes(recordings):
    """Warn of what was noted of recordings, once for all of which it is true."""
    said = {}
    for recording in recordings:
        for note in recording.notes:
            said.setdefault(note, []).append(recording.path.name)
    for note, names in said.items():
        warn(f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {note}")


def open_recording(path, sidecar=None):
    """The `Recording` of a file and of what stands beside it, or of a `Sidecar` that is given; or an `InputError`."""
    path = Path(path)
    if not is_recording(path):
        raise InputError(f"{path} is none of {' '.join(FORMATS)}; export the recording as one of these")
    for file in (path, *(file for file in path.parent.glob("*") if file.stem == path.stem)):
        refuse_absent(file)
    check = {".fif": refuse_loops, ".set": refuse_damaged, ".vhdr": refuse_renamed}.get(path.suffix.lower())
    if check:
        check(path)
    sidecar, notes, channels, placed = sidecar or read_sidecar(path), [], [], []
    with through_mne(path, notes):
        in_header = read_header(path)
        raw = read_raw(path)
        seconds = raw.n_times / raw.info["sfreq"]
        notes += compare_header(path, raw.info["sfreq"], seconds)
        notes += refuse_other_names(path, sidecar, raw.ch_names) if sidecar.types else []
        units = {n: c.unit for n, c in zip(raw.ch_names, in_header, strict=False)} or raw._orig_units
        rates = {n: c.rate for n, c in zip(raw.ch_names, in_header, strict=False)}
        declared = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
        suffix, stim = path.suffix.lower(), {}
        scales, other = SCALES.get(suffix, {}), EEGLAB_SCALE if suffix == ".set" else 1.0
        for name, info in zip(raw.ch_names, raw.info["chs"], strict=True):
            unit, of = units.get(name), declared[name]
            found = kind(name, sidecar.types.get(name, of), raw.ch_names)
            in_volts, kept = info["unit"] == mne.io.constants.FIFF.FIFF_UNIT_V, "eeg" if found == UNKNOWN else found
            scale, said = factor(suffix, kept, in_volts, unit, sidecar.units.get(name))
            notes += [f"{name} {said}"] if said not in (None, NO_UNIT) and found != UNKNOWN else []
            channels.append(Channel(name, found, rates.get(name, raw.info["sfreq"]), scale, unitless=said == NO_UNIT))
            if found == "stim" and (of == "stim" or TRIGGER.fullmatch("".join(name.split()))):
                stim[name] = 1.0 if of == "stim" else scales.get(unit, other)
        markers, durations, doubtful, said = find_markers(raw, stim)
        channels = find_units(raw, channels, notes)
    notes += said
    began = raw.info["meas_date"].timestamp() if raw.info["meas_date"] else None
    for physio in sidecar.physio:
        start, said = place(physio, len(read_lines(physio)), seconds, began)
        notes += said
        if start is None:
            continue
        physio.start = start
        placed.append(physio)
        for name in physio.columns:
            found = kind(name, "misc")
            found = "clock" if found in PERIPHERAL and is_clock(physio, name) else found
            scale, said = to_kept(found, physio.units.get(name))
            notes += [f"{name} of {physio.path.name} {said}"] if said not in (None, NO_UNIT) else []
            channels.append(Channel(name, found, physio.rate, scale, len(placed) - 1))
    bads = [*raw.info["bads"], *(name for name in sidecar.bads if name not in raw.info["bads"])]
    by_mne = [Path(file) for file in raw.filenames if file]  # absolute: the same file must not have two names
    parts = [path if file.resolve() == path.resolve() else file for file in by_mne]
    named = [file for file in named_by(path).values() if file.is_file()]
    files, signals = {}, parts[0] if parts else path
    for file in (path, *parts, *named, *sidecar.files):
        files.setdefault(file.resolve(), file)
    refuse_taken(path, signals)
    twin = signals.with_suffix(path.suffix)
    if signals.stem != path.stem and twin.is_file():
        notes.append(
            f"its signals are in {signals.name}, which is {twin.name}'s by its name: is it renamed, or a copy?"
        )
    starts = [at for name, at in markers if name.lower().startswith(BREAKS)]
    of_markers = {"notes": notes, "doubtful": doubtful, "durations": durations}
    files, parts = list(files.values()), find_spoiled(raw)
    return Recording(path, files, signals, channels, seconds, markers, starts, parts, bads, placed, **of_markers)


def find_units(raw, channels, notes):
    """The channels, where the file says no unit of its EEG: microvolts, or volts where no EEG is so small."""
    unitless = [place for place, channel in enumerate(channels) if channel.unitless and channel.kind == "eeg"]
    if not unitless:
        return channels
    stop = min(raw.n_times, round(LOOKED_AT * raw.info["sfreq"]))
    level = np.median(raw.get_data(unitless, 0, stop).std(axis=1))
    volts = 0 < level < IN_VOLTS
    notes.append(f"the file does not say the unit of its EEG; taken as {'volts' if volts else 'microvolts'}")
    return [Channel(c.name, c.kind, c.rate, 1e6) if volts and c.unitless else c for c in channels]


def read_raw(path, **options):
    """MNE's object of a recording; annotations of EDF files are UTF-8, or else those of older programs."""
    try:
        return mne.io.read_raw(path, preload=False, **options)
    except Exception as error:
        if not is_edf(path) or "latin1" not in str(error):
            raise
        return mne.io.read_raw(path, preload=False, encoding="latin1", **options)


def named_by(path):
    """The files that a BrainVision header names, by suffix; none of other formats."""
    if path.suffix.lower() != ".vhdr":
        return {}
    named = re.findall(rb"(?mi)^(?:data|marker)file\s*=\s*(.+?)\s*$", path.read_bytes())
    files = [path.parent / name.decode("utf-8", "replace").replace("$b", path.stem) for name in named]
    return {file.suffix.lower(): file for file in files}


def refuse_renamed(path):
    """Refuse a BrainVision header that was renamed and still names the files of before."""
    for suffix, file in named_by(path).items():
        if not file.is_file() and path.with_suffix(suffix).is_file():
            what = f"{path} names {file.name}, which is not there, and {path.stem}{suffix} is beside it"
            raise InputError(f"{what}; write that name into its lines DataFile= and MarkerFile=")
        refuse_taken(path, file)


def refuse_taken(path, file):
    """Refuse a header that names another file than the one which is called like it: whose signals are meant?"""
    own = path.with_suffix(file.suffix)
    if file.stem != path.stem and file.is_file() and own.is_file() and not own.samefile(file):
        what = f"{path} names {file.name} as its own, and {own.name} is beside it"
        raise InputError(f"{what}; write the right name into it (was it renamed?), or remove the one that is not meant")


def refuse_loops(path):
    """Refuse a damaged FIF file whose chain of tags leads back to where it was: MNE would follow it for ever."""
    position, seen = 0, set()
    with open(path, "rb") as file:
        while position not in seen:
            seen.add(position)
            file.seek(position)
            header = file.read(16)
            _, _, size, following = struct.unpack(">iiii", header) if len(header) == 16 else (0, 0, -1, 0)
            if following < 0 or size < 0:  # kind, type, bytes, place of the next tag
                return
            position = following or position + 16 + size
    raise InputError(f"{path} is damaged (its list of contents runs in a circle); copy or export it again")


def refuse_damaged(path):
    """Refuse a damaged EEGLAB file, at which SciPy's compiled reader of MATLAB files could crash."""
    with open(path, "rb") as file:
        head = file.read(128)
        if head[124:128] == b"\x00\x02IM" or head.startswith(b"\x89HDF"):
            if importlib.util.find_spec("pymatreader") is None:
                remedy = "python -m pip install pymatreader h5py, or save it in EEGLAB without the option for 7.3"
                raise InputError(f"{path} is of MATLAB 7.3 (HDF5): {remedy}")
            return
        order = {b"IM": "<", b"MI": ">"}.get(head[126:])
        if order is None:  # not of MATLAB 5 to 7
            return
        size = path.stat().st_size
        budget = Budget(size * MOST_PACKED, max(MAX_ITEMS, size))  # a long recording has many events
        try:
            for variable in variables(file, order):
                variable.measure(budget)
        except RefusedError as error:
            if OTHER_KIND not in str(error):  # functions and objects among an EEGLAB file's notes do no harm
                raise InputError(f"{path} is damaged or cut short; copy or export it again") from None


def find_spoiled(raw):
    """(name, first, last second) of annotations that say a part is bad, as MNE has it: ``BAD_movement``."""
    parts = zip(
        raw.annotations.description, raw.annotations.onset - raw.first_time, raw.annotations.duration, strict=True
    )
    return [
        (name, float(onset), float(onset + length))
        for name, onset, length in parts
        if name.lower().startswith(BAD) and not name.lower().startswith(BREAKS)
    ]
