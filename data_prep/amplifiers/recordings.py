"""What a recording holds, through MNE-Python (Gramfort et al., Frontiers in Neuroscience 7, 2013)."""

import contextlib
import functools
import importlib.util
import re
import struct
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from data_prep.amplifiers.edf_header import is_edf, read_header
from data_prep.amplifiers.sidecars import add_physio, compare_header, match_names, read_sidecar, refuse_absent
from data_prep.amplifiers.trials_table import FORMATS, is_missing, is_recording
from data_prep.amplifiers.triggers import TRIGGER, annotations, find_markers, is_break
from data_prep.formats.matlab_limits import MAX_ITEMS, OTHER_KIND, Budget, RefusedError, variables
from data_prep.signals.channel_kinds import UNKNOWN, Channel
from data_prep.signals.channel_kinds import kind as kind_of
from data_prep.signals.channels import shorten
from data_prep.signals.units import EEGLAB_SCALE, KEPT, NO_UNIT, SCALES, factor
from utils.base.errors import InputError
from utils.base.errors import shorten as shorten_text
from utils.base.progress import warn
from utils.base.surroundings import at_end

try:
    import mne
except ImportError:  # said by need_mne()
    mne = None

BAD = "bad"  # what an annotation of a part that somebody found bad begins with
TYPES = {"heog": "eog", "veog": "eog", "temp": "temperature", "trig": "stim", "ref": "ground"}  # BIDS's words to MNE's
TYPES |= {"audio": "misc", "hr": "misc"}
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
    notes: list  # what there is to say of it, without its name
    doubtful: dict  # markers whose number is in doubt, and why
    durations: dict  # of markers, in s
    spoiled: list = field(default_factory=list)  # (name, first, last second) of parts that are marked as bad
    bads: list = field(default_factory=list)  # names of channels
    physio: list = field(default_factory=list)  # of `Physio`


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
    return shorten_text(" ".join(f"{error}".split()) or type(error).__name__, MESSAGE_CHARACTERS)


class Sayings(dict):
    """What there is to say, and of which files or people it is true: everything is said once."""

    def add(self, text, who):
        """Note it of one of them."""
        self.setdefault(text, []).append(who)

    def lines(self):
        """Of all."""
        return [f"{shorten(list(dict.fromkeys(who)), 80)}: {text}" for text, who in self.items()]


def say_notes(recordings):
    """Warn of what was noted of recordings."""
    sayings = Sayings()
    for recording in recordings:
        for note in recording.notes:
            sayings.add(note, recording.path.name)
    for line in sayings.lines():
        warn(line)


def open_recording(path, sidecar=None):
    """The `Recording` of a file and its sidecar files, or of a `Sidecar` that is given; or an `InputError`."""
    path = Path(path)
    if not is_recording(path):
        raise InputError(path, f"is none of {' '.join(FORMATS)}", "export the recording as one of these")
    for file in path.parent.glob("*"):
        if file.stem == path.stem:
            refuse_absent(file)
    named = named_by(path)
    refuse_other_files(path, named)
    if check := {".fif": refuse_loops, ".set": refuse_damaged}.get(path.suffix.lower()):
        check(path)
    sidecar, notes = sidecar or read_sidecar(path), []
    with through_mne(path, notes):
        raw = read_raw(path)
        seconds = raw.n_times / raw.info["sfreq"]
        notes += compare_header(path, raw.info["sfreq"], seconds)
        channels, factors = find_channels(path, raw, sidecar, notes)
        triggers = {}
        for channel in [channel for channel in channels if channel.name in factors]:
            source = raw if channel.rate == raw.info["sfreq"] else read_channels(path, channels, [channel])
            values = source.get_data(picks=[source.ch_names.index(channel.name)])[0]
            triggers[channel.name] = values / factors[channel.name], channel.rate
        markers, durations, doubtful, said = find_markers(raw, triggers)
    notes += said
    files, by_mne = {}, [Path(file) for file in raw.filenames if file]
    for file in (path, *by_mne, *filter(Path.is_file, named), *sidecar.files):
        files.setdefault(file.resolve(), file)
    signals = files[by_mne[0].resolve()] if by_mne else path
    refuse_other_files(path, [signals])
    twin = signals.with_suffix(path.suffix)
    if signals.stem != path.stem and twin.is_file():
        note = f"its signals are in {signals.name}, which is {twin.name}'s by its name: is it renamed, or a copy?"
        notes.append(note)
    recording = Recording(path, list(files.values()), signals, channels, seconds, markers, notes, doubtful, durations)
    recording.spoiled = find_spoiled(raw)
    rows, _ = match_names(path, sidecar.channels, raw.ch_names)
    bads = [name for name, row in (sidecar.channels | rows).items() if row.get("status", "").lower() == "bad"]
    recording.bads = list(dict.fromkeys([*raw.info["bads"], *bads]))
    began = raw.info["meas_date"].timestamp() if raw.info["meas_date"] else None
    for physio in sidecar.physio:
        add_physio(recording, physio, began)
    return recording


def find_channels(path, raw, sidecar, notes):
    """Channels of MNE's object; and by name of its trigger channels, what MNE multiplied their numbers by."""
    suffix, header = path.suffix.lower(), read_header(path, raw)
    units = dict(zip(raw.ch_names, [unit for unit, _ in header], strict=False)) or raw._orig_units
    rates = dict(zip(raw.ch_names, [rate for _, rate in header], strict=False))
    rows, said = match_names(path, sidecar.channels, raw.ch_names)
    notes += said
    channels, factors = [], {}
    for name, declared, info in zip(raw.ch_names, raw.get_channel_types(), raw.info["chs"], strict=True):
        cells = [rows.get(name, {}).get(column, "") for column in ("type", "units")]
        by_table, unit = (None if is_missing(cell) else cell for cell in cells)
        by_table = TYPES.get((by_table or declared).lower(), (by_table or declared).lower())
        kind = kind_of(name, by_table, raw.ch_names)
        in_volts, kept = info["unit"] == mne.io.constants.FIFF.FIFF_UNIT_V, "eeg" if kind == UNKNOWN else kind
        unit_as = functools.partial(factor, suffix, unit_of_mne=in_volts, in_header=units.get(name), in_sidecar=unit)
        scale, said = unit_as(kept)
        notes += [f"{name} {said}"] if said not in (None, NO_UNIT) and kind != UNKNOWN else []
        rate = rates.get(name, raw.info["sfreq"])
        channels.append(Channel(name, kind, rate, scale, unitless=said == NO_UNIT, unit_as=unit_as))
        if kind == "stim" and ("stim" in (declared, by_table) or TRIGGER.fullmatch("".join(name.split()))):
            scale = SCALES.get(suffix, {}).get(units.get(name), EEGLAB_SCALE if suffix == ".set" else 1.0)
            factors[name] = 1.0 if declared == "stim" else scale
    unitless = [place for place, channel in enumerate(channels) if channel.unitless and channel.kind == "eeg"]
    if unitless:  # volts, where no EEG is so small
        some = raw.get_data(unitless, 0, min(raw.n_times, round(LOOKED_AT * raw.info["sfreq"])))
        volts = 0 < np.median(some.std(axis=1)) < IN_VOLTS
        notes.append(f"the file does not say the unit of its EEG; taken as {'volts' if volts else 'microvolts'}")

        def as_volts(kind):
            return 1e6 if kind in KEPT["V"] else 1.0, None

        channels = [replace(c, factor=1e6, unit_as=as_volts) if volts and c.unitless else c for c in channels]
    return channels, factors


def read_channels(path, channels, chosen):
    """MNE's object with chosen ones of the file's channels, in this order; of an EDF file at their own rate."""
    names = [channel.name for channel in chosen]
    several = len({channel.rate for channel in channels if channel.physio is None}) > 1
    raw = read_raw(path, **({"include": names, "exclude_after_unique": True} if several else {}))
    return raw.pick([raw.ch_names.index(name) for name in names])  # also orders them; a name may be that of a type


def read_raw(path, **options):
    """MNE's object of a recording; annotations of EDF files are UTF-8, or else those of older programs."""
    try:
        return mne.io.read_raw(path, preload=False, **options)
    except Exception as error:
        if not is_edf(path) or "latin1" not in str(error):
            raise
        return mne.io.read_raw(path, preload=False, encoding="latin1", **options)


def named_by(path):
    """The files that a BrainVision header names; none of other formats."""
    if path.suffix.lower() != ".vhdr":
        return []
    names = re.findall(rb"(?mi)^(?:data|marker)file\s*=\s*(.+?)\s*$", path.read_bytes())
    return [path.parent / name.decode("utf-8", "replace").replace("$b", path.stem) for name in names]


def refuse_other_files(path, files):
    """Refuse a header that names other files than those which are called like it: whose signals are meant?"""
    for file in files:
        alike = path.with_suffix(file.suffix)
        if file.stem != path.stem and alike.is_file() and not (file.is_file() and alike.samefile(file)):
            named = f"names {file.name}" + (" as its own" if file.is_file() else ", which is not there")
            remedy = "write the right name into it (was it renamed?), or remove the one that is not meant"
            raise InputError(path, f"{named}; {alike.name} is in the same folder", remedy)


def find_spoiled(raw):
    """(name, first, last second) of annotations that say a part is bad, as MNE has it: ``BAD_movement``."""
    marked = [marker for marker in annotations(raw) if marker[0].lower().startswith(BAD) and not is_break(marker[0])]
    return [(name, onset, onset + length) for name, onset, length in marked]


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
