"""What a recording holds, through MNE-Python: channels with kinds, rates and units, markers, breaks.

MNE-Python: Gramfort et al., "MEG and EEG data analysis with MNE-Python", Frontiers in Neuroscience 7, 2013.
"""

import contextlib
import re
import struct
import warnings
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.amplifiers.edf_header import is_edf, read_header
from data_prep.amplifiers.trials_table import FORMATS, is_recording
from data_prep.formats.matlab_limits import OTHER_KIND, Budget, RefusedError, variables
from data_prep.signals.channel_kinds import Channel, kind
from data_prep.signals.channels import shorten
from data_prep.signals.units import factor, to_kept
from utils.base.errors import InputError
from utils.base.progress import warn
from utils.base.surroundings import at_end

try:
    import mne
except ImportError:  # said by need_mne()
    mne = None

CUTS = ("boundary", "new segment")  # annotations of EEGLAB and BrainVision where a recording was paused or cut
BREAKS = ("edge", "bad_acq_skip", *CUTS)  # and MNE's, at which its filters stop and begin anew
BAD = "bad"  # what an annotation of a part that somebody found bad begins with
HARMLESS = (  # what MNE warns of and nobody can change
    "annotation(s) that were",
    "'boundary' events",
    "naming conventions",
    "Estimated head radius",
    "coordinate frame",
)
MOST_PACKED = 1000  # times that a compressed file unpacks to
MESSAGE_CHARACTERS = 150  # of MNE's words in ours


@dataclass
class Sidecar:
    """What stands beside a recording in a BIDS data set."""

    types: dict = field(default_factory=dict)  # channel name -> MNE's type
    units: dict = field(default_factory=dict)  # channel name -> unit of the file's numbers
    bads: list = field(default_factory=list)
    physio: list = field(default_factory=list)  # of `Physio`
    files: list = field(default_factory=list)  # that all this was read from


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


def need_mne():
    """One line where the packages are missing.

    Raises
    ------
    InputError
    """
    if mne is None:
        raise InputError("MNE-Python is not installed; python -m pip install -r requirements-recordings.txt")
    at_end(
        mne.set_log_level, mne.set_log_level("WARNING", return_old_level=True)
    )  # so that warnings reach us and nothing else is printed


@contextlib.contextmanager
def through_mne(path, said):
    """MNE's warnings become one line each, once per run (``said``: those so far); what it refuses, an `InputError`."""
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
            raise InputError(f"{path} cannot be read by MNE-Python ({_words(error)}); export it again") from None
    for warning in caught:
        words = _words(warning.message)
        if issubclass(warning.category, DeprecationWarning | FutureWarning | ResourceWarning) or words in said:
            continue
        said.add(words)
        if not any(part in words for part in HARMLESS):
            warn(f"{path.name}: {words}")


def _words(error):
    words = " ".join(f"{error}".split()) or type(error).__name__
    return words if len(words) <= MESSAGE_CHARACTERS else words[: MESSAGE_CHARACTERS - 3] + "..."


def open_recording(path, sidecar=None, said=None):
    """Read what a file holds.

    Parameters
    ----------
    path : path
    sidecar : Sidecar, optional
        What a BIDS data set says of it.
    said : set of str, optional
        MNE's warnings that were printed already.

    Returns
    -------
    Recording

    Raises
    ------
    InputError
        If MNE cannot read it.
    """
    path, sidecar, said = Path(path), sidecar or Sidecar(), set() if said is None else said
    if not is_recording(path):
        raise InputError(f"{path} is none of {' '.join(FORMATS)}; export the recording as one of these")
    check = {".fif": refuse_loops, ".set": refuse_damaged}.get(path.suffix.lower())
    if check:
        check(path)
    with through_mne(path, said):
        in_header = read_header(path)
        raw = read_raw(path)
        markers = find_markers(raw)
        starts = [seconds for name, seconds in markers if name.lower().startswith(BREAKS)]
        units = {n: c.unit for n, c in zip(raw.ch_names, in_header, strict=False)} or raw._orig_units
        rates = {n: c.rate for n, c in zip(raw.ch_names, in_header, strict=False)}
        channels = []
        for name, declared, info in zip(raw.ch_names, raw.get_channel_types(), raw.info["chs"], strict=True):
            found = kind(name, sidecar.types.get(name, declared), raw.ch_names)
            in_volts = info["unit"] == mne.io.constants.FIFF.FIFF_UNIT_V
            scale = factor(path, name, found, in_volts, units.get(name), sidecar.units.get(name), said)
            channels.append(Channel(name, found, rates.get(name, raw.info["sfreq"]), scale))
    for number, physio in enumerate(sidecar.physio):
        for name in physio.columns:
            found = kind(name, "misc")
            scale = to_kept(physio.path, name, found, physio.units.get(name), said)
            channels.append(Channel(name, found, physio.rate, scale, number))
    bads = [*raw.info["bads"], *(name for name in sidecar.bads if name not in raw.info["bads"])]
    seconds = raw.n_times / raw.info["sfreq"]
    by_mne = [Path(file) for file in raw.filenames if file]  # absolute: the same file must not have two names
    parts = [path if file.resolve() == path.resolve() else file for file in by_mne]
    files, signals = list(dict.fromkeys([path, *parts, *marker_file(path)])), parts[0] if parts else path
    spoiled = find_spoiled(raw)
    files += sidecar.files
    return Recording(path, files, signals, channels, seconds, markers, starts, spoiled, bads, sidecar.physio)


def read_raw(path, **options):
    """MNE's object of a recording; annotations of EDF files are UTF-8, or else those of older programs."""
    try:
        return mne.io.read_raw(path, preload=False, **options)
    except Exception as error:
        if not is_edf(path) or "latin1" not in str(error):
            raise
        return mne.io.read_raw(path, preload=False, encoding="latin1", **options)


def marker_file(path):
    """The file of markers that a BrainVision header names, as a list; none of other formats."""
    if path.suffix.lower() != ".vhdr":
        return []
    named = re.search(rb"(?mi)^markerfile\s*=\s*(.+?)\s*$", path.read_bytes())
    file = path.with_name(named[1].decode("utf-8", "replace").replace("$b", path.stem)) if named else path
    return [file] if file.is_file() else []


def refuse_loops(path):
    """Refuse a damaged FIF file whose chain of tags leads back to where it was: MNE would follow it for ever."""
    position, seen = 0, set()
    with open(path, "rb") as file:
        while True:
            if position in seen:
                raise InputError(f"{path} is damaged (its list of contents runs in a circle); copy or export it again")
            seen.add(position)
            file.seek(position)
            header = file.read(16)
            if len(header) < 16:
                return
            _, _, size, following = struct.unpack(">iiii", header)  # kind, type, bytes, place of the next tag
            if following < 0 or size < 0:
                return
            position = following or position + 16 + size


def refuse_damaged(path):
    """Refuse a damaged EEGLAB file, at which SciPy's compiled reader of MATLAB files could crash."""
    with open(path, "rb") as file:
        order = {b"IM": "<", b"MI": ">"}.get(file.read(128)[126:])
        if order is None:  # not of MATLAB 5 to 7
            return
        budget = Budget(path.stat().st_size * MOST_PACKED)
        budget.n_items = max(budget.n_items, path.stat().st_size)  # a long recording has many events
        try:
            for variable in variables(file, order):
                variable.measure(budget)
        except (RefusedError, struct.error, zlib.error) as error:
            if OTHER_KIND not in str(error):  # functions and objects among an EEGLAB file's notes do no harm
                raise InputError(f"{path} is damaged or cut short; copy or export it again") from None


def find_markers(raw):
    """(name, seconds) of every annotation; of a file without any, of its trigger channels, as ``trigger 32``."""
    rate = raw.info["sfreq"]
    events, names = mne.events_from_annotations(raw, regexp=None)
    by_number = {number: name for name, number in names.items()}
    markers = [(by_number[number], (sample - raw.first_samp) / rate) for sample, _, number in events]
    if markers or "stim" not in raw.get_channel_types():
        return markers
    how = {"shortest_event": 1, "consecutive": True}  # also where a value follows another without 0 in between
    events = mne.find_events(raw, mask=2**16 - 1, mask_type="and", verbose="ERROR", **how)
    return [(f"trigger {number}", (sample - raw.first_samp) / rate) for sample, _, number in events]


def find_spoiled(raw):
    """(name, first, last second) of annotations that say a part is bad, as MNE has it: ``BAD_movement``."""
    onsets = raw.annotations.onset - raw.first_time
    return [
        (name, float(onset), float(onset + length))
        for name, onset, length in zip(raw.annotations.description, onsets, raw.annotations.duration, strict=True)
        if name.lower().startswith(BAD) and not name.lower().startswith(BREAKS)
    ]


def marker_seconds(recording, marker, where):
    """Seconds of a marker: its name if it comes once, ``name#2`` for the second.

    Raises
    ------
    InputError
        If there is none of this name or several.
    """

    def plain(name):
        return "".join(name.lower().split())

    for name, number in ((marker, None), (marker.rpartition("#")[0], marker.rpartition("#")[2])):
        times = [seconds for found, seconds in recording.markers if plain(found) == plain(name)]
        if not name or not times or (number is not None and not number.isdecimal()):
            continue
        if number is None and len(times) > 1:
            raise InputError(
                f"{where}: marker {name!r} comes {len(times)} times in {recording.path.name}; write {name}#1 for the "
                "first, and so on"
            )
        if number is not None and not 1 <= int(number) <= len(times):
            raise InputError(f"{where}: marker {name!r} comes {len(times)} times in {recording.path.name}")
        return times[0 if number is None else int(number) - 1]
    there = shorten([repr(name) for name in dict.fromkeys(name for name, _ in recording.markers)]) or "none"
    raise InputError(f"{where}: no marker {marker!r} in {recording.path.name}; there are {there}")
