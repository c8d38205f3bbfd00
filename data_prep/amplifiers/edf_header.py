"""What the header of an EDF or BDF file says of its channels, which MNE gives at one rate, and of its pauses.

Kemp and Olivan, "European data format 'plus' (EDF+), an EDF alike standard format for the exchange of physiological
data", Clinical Neurophysiology 114(9), 2003.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.base.errors import InputError

SAMPLE_BYTES = {".edf": 2, ".bdf": 3}
FIELDS = (("label", 16), (None, 80), ("unit", 8), (None, 8 * 4 + 80), ("n_samples", 8), (None, 32))  # of every channel
ANNOTATIONS = ("EDF Annotations", "BDF Annotations")  # labels of what is no channel
TIME_OF_RECORD = re.compile(rb"^([+-]\d+(?:\.\d*)?)\x14")  # what an EDF+ record begins with: its start in s
TIME_BYTES = 24  # at most
JITTER = 0.05  # s between records whose times are no whole seconds
ROUNDED = 1.05  # s; amplifiers that write EDF+C may round the times of records to whole seconds


@dataclass
class EdfChannel:
    """A channel as the header has it."""

    label: str
    unit: str
    rate: float  # Hz


def is_edf(path):
    """Whether a file is called like one of EDF or BDF."""
    return Path(path).suffix.lower() in SAMPLE_BYTES


def read_header(path):
    """Channels of an EDF or BDF file, in their order, without annotations; empty where there is no such header.

    A recording that was paused is refused, where only the times of its records say so: MNE joins the parts, and all
    times after the pause would be wrong.
    """
    if not is_edf(path):
        return []
    try:
        header, fields, start = _fields(path)
        seconds = float(header[244:252].replace(b",", b".")) or 1.0  # of a record; 0 in a file of annotations alone
        n_samples = [int(text) for text in fields["n_samples"]]
        labels, units = ([text.decode("latin-1") for text in fields[name]] for name in ("label", "unit"))
        made = [EdfChannel(*of, n / seconds) for *of, n in zip(labels, units, n_samples, strict=True)]
    except (ValueError, IndexError):
        return []
    annotations = [channel.label in ANNOTATIONS for channel in made]
    if any(annotations) and min(n_samples) > 0:
        before = sum(n_samples[: annotations.index(True)])
        times = times_of_records(path, start, sum(n_samples), before)
        refuse_pauses(path, times, seconds, header[192:197] in (b"EDF+D", b"BDF+D"))
    return [channel for channel, other in zip(made, annotations, strict=True) if not other]


def _fields(path):
    """The header's first 256 bytes, the fields of all channels as lists of bytes, and where the records begin."""
    with open(path, "rb") as file:
        header = file.read(256)
        n_channels, fields = int(header[252:256]), {}
        for name, width in FIELDS:
            cells = file.read(n_channels * width)
            if name is not None:
                fields[name] = [cells[i * width : (i + 1) * width].strip(b" \x00") for i in range(n_channels)]
    return header, fields, int(header[184:192])


def times_of_records(path, start, n_samples, before):
    """When each record (``n_samples``, from byte ``start`` on; ``before`` of them precede its annotations) begins, or
    None where one does not say it.
    """
    width = SAMPLE_BYTES[Path(path).suffix.lower()]
    if Path(path).stat().st_size - start < n_samples * width:
        return np.zeros(0)
    data = np.memmap(path, np.uint8, "r", offset=start)
    n_records = len(data) // (n_samples * width)
    records = data[: n_records * n_samples * width].reshape(n_records, n_samples * width)
    found = [TIME_OF_RECORD.match(row.tobytes()) for row in records[:, before * width : before * width + TIME_BYTES]]
    return np.array([float(match[1]) for match in found]) if all(found) else None


def refuse_pauses(path, times, seconds, discontinuous):
    """Refuse a file whose records of so many seconds do not follow each other, whatever its header says of that."""
    if times is None and discontinuous:
        raise InputError(f"{path} is discontinuous (EDF+D) and does not say when its parts begin; export it as EDF+C")
    if times is None or len(times) < 2 or (times[-1] <= times[0] and not discontinuous):  # not written
        return
    late = times - times[0] - seconds * np.arange(len(times))  # s, where all before have no pause 0
    allowed, pauses = 1e-3 * max(seconds, 1) if discontinuous else ROUNDED, np.diff(times) - seconds
    exact = bool((times % 1).any())  # the amplifier rounds nothing
    if late.max() - late.min() > allowed or (exact and np.abs(pauses).max() > JITTER):
        first = np.flatnonzero(np.abs(pauses) >= min(allowed, np.abs(pauses).max() / 2))[0]
        at = times[first] - times[0] + seconds
        what = f"is discontinuous (EDF+D): at {at:.6g} s {pauses[first]:.4g} s are missing, so later times are wrong"
        raise InputError(f"{path} {what}; export every part as a file of its own (EDF+C)")
