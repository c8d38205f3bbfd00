"""Units of the files' numbers: volts in all their spellings to microvolts, siemens to microsiemens."""

import re

KEPT = {"V": ("eeg", "eog", "ecg", "emg"), "S": ("gsr",)}  # what is kept in microvolts, and in microsiemens
PREFIXES = {"": 1e6, "m": 1e3, "milli": 1e3, "u": 1, "micro": 1, "n": 1e-3, "nano": 1e-3}
WORDS = {"v": "V", "volt": "V", "volts": "V", "s": "S", "siemens": "S", "mho": "S", "mhos": "S"}
PATTERN = re.compile(rf"({'|'.join(filter(None, PREFIXES))})?({'|'.join(WORDS)})")
MICRO = "\u00b5\u03bc\u0083\u00ca"  # both signs of micro, and that of Japanese amplifiers
EDF_SCALES = {"uV": 1e-6, "\u00b5V": 1e-6, "\u03bcV": 1e-6, "\u0083\u00caV": 1e-6, "mV": 1e-3}
BRAINVISION_SCALES = EDF_SCALES | {"nV": 1e-9, "uS": 1e-6, "\u00b5S": 1e-6}
SCALES = {".edf": EDF_SCALES, ".bdf": EDF_SCALES, ".vhdr": BRAINVISION_SCALES}  # what MNE multiplied by; others: 1
EEGLAB_SCALE = 1e-6  # of every channel
NO_UNIT = "has no unit"


def read_unit(text):
    """What a unit such as ``uV``, ``microvolts``, ``mho`` is: ("V" or "S", its factor to the micro one), or None."""
    plain = re.sub(rf"[{MICRO}]+", "u", "".join((text or "").split())).lower()
    found = PATTERN.fullmatch(plain)
    return (WORDS[found[2]], PREFIXES[found[1] or ""]) if found else None


def factor(extension, kind, unit_of_mne, in_header, in_sidecar):
    """From the numbers that MNE gives to uV, uS, or for others those of the file; and what is to be said of the unit.

    ``unit_of_mne``: whether MNE takes it for volts or siemens; ``in_header``, ``in_sidecar``: its unit as the file and
    as channels.tsv have it, None where there is no such place.
    """
    if extension not in SCALES and extension != ".set":  # FIF and others: MNE's units
        return 1e6 if unit_of_mne or kind == "gsr" else 1.0, None
    if extension == ".set":  # MNE-BIDS writes MNE's volts next to EEGLAB's numbers, which are microvolts
        scale, said = to_kept(kind, None if read_unit(in_sidecar) == ("V", 1e6) else in_sidecar)
        return scale / EEGLAB_SCALE, None if said == NO_UNIT else said
    given = in_sidecar if (in_header or "n/a").lower() == "n/a" else in_header
    scale, said = to_kept(kind, given)
    if None not in (read_unit(in_header), read_unit(in_sidecar)) and read_unit(in_header) != read_unit(in_sidecar):
        said = f"is in {in_header} by the file, in {in_sidecar} by channels.tsv; the file's is taken"
    return scale / SCALES[extension].get(in_header, 1.0), said


def to_kept(kind, text):
    """From a file's numbers to those that are kept; and what is to be said of a unit that cannot be brought to it."""
    unit = read_unit(text)
    wanted = next((wanted for wanted, kinds in KEPT.items() if kind in kinds), None)
    if wanted is None:  # s is seconds, not siemens
        return unit[1] if unit and unit[0] == "V" else 1.0, None
    if not text or text.lower() == "n/a":
        return 1.0, NO_UNIT if wanted == "V" else None
    if unit is None or unit[0] != wanted:
        what = {"V": "volts", "S": "siemens"}[wanted]
        return 1.0, f"({kind}) is in {text[:20]!r}, not in {what}; its numbers are kept as they are"
    return unit[1], None
