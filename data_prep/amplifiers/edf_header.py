"""What MNE does not say of an EDF or BDF file: units as they are spelled, each channel's own rate, and pauses.

Kemp and Olivan, "European data format 'plus' (EDF+)", Clinical Neurophysiology 114(9), 2003.
"""

import re
from pathlib import Path

import numpy as np

from utils.base.errors import InputError

SUFFIXES = (".edf", ".bdf")
TIME_OF_RECORD = re.compile(rb"^([+-]\d+(?:\.\d*)?)\x14")  # what an EDF+ record begins with: its start in s
TIME_BYTES = 24  # at most
JITTER = 0.05  # s between records whose times are no whole seconds
ROUNDED = 1.05  # s; amplifiers that write EDF+C may round the times of records to whole seconds


def is_edf(path):
    """Whether a file is called like one of EDF or BDF."""
    return Path(path).suffix.lower() in SUFFIXES


def read_header(path, raw):
    """(unit, rate in Hz) of the channels of an EDF or BDF file, as MNE's object has them; none of other files.

    A recording that was paused is refused: MNE joins the parts, and all times after the pause would be wrong.
    """
    if not is_edf(path):
        return []
    header = raw._raw_extras[0]
    n_samples, seconds = header["n_samps"], float(header["record_length"][0])  # of a record, by channel
    with open(path, "rb") as file:
        continuity = file.read(256)[192:197]
        file.seek(256 + len(n_samples) * (16 + 80))
        units = [file.read(8).strip(b" \x00").decode("latin-1") for _ in n_samples]
    if len(header["tal_idx"]) and n_samples.min() > 0:
        times = times_of_records(path, header)
        refuse_pauses(path, times, seconds, continuity in (b"EDF+D", b"BDF+D"))
    return [(units[place], n_samples[place] / seconds) for place in header["sel"]]


def times_of_records(path, header):
    """When each record begins, as its annotations say; None where one does not."""
    n_samples, width = header["n_samps"], header["dtype_byte"]
    size, before = int(n_samples.sum()) * width, int(n_samples[: header["tal_idx"][0]].sum()) * width
    data = np.memmap(path, np.uint8, "r", offset=header["data_offset"])
    records = data[: len(data) // size * size].reshape(-1, size)
    times = [TIME_OF_RECORD.match(record.tobytes()) for record in records[:, before : before + TIME_BYTES]]
    return np.array([float(match[1]) for match in times]) if all(times) else None


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
        raise InputError(path, what, "export every part as a file of its own (EDF+C)")
