"""The table of trials: who saw what, in which file, from when to when, and how it was rated.

`trials.csv`, one row per trial, the columns in any order:

    subject,file,stimulus,onset,duration,arousal,valence
    anna,anna.bdf,film_a,12.5,60,7,3
    anna,anna.bdf,film_b,Stimulus/S  2,60,2,8

All other columns are ratings: numbers, or names of classes. Comma, semicolon or tab; UTF-8.
"""

import csv
import difflib
import io
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.folder.ratings import read_number
from data_prep.signals.channels import shorten
from utils.base.errors import InputError

FORMATS = (".edf", ".bdf", ".gdf", ".vhdr", ".set", ".fif", ".cnt")  # of recordings, that MNE-Python reads
COLUMNS = ("subject", "file", "stimulus", "onset", "duration")
GROUP = "group"  # a column that may be there: which stimuli belong together
OTHER_WORDS = {  # what people call these columns
    "subject": "participant participant_id subject_id person proband vp id",
    "file": "filename file_name path recording eeg_file",
    "stimulus": "film video clip movie song music picture trial_type stim stim_file",
    "onset": "start start_s onset_s begin begin_s start_time time",
    "duration": "length length_s duration_s seconds dur",
}
MISSING = ("", "n/a")  # what an empty cell may hold; BIDS writes the second
NO_VALUE = (
    *MISSING,
    *"na nan null missing #n/a #value! #div/0! #ref! #name? . - -- ?".split(),
)  # of numbers and classes


@dataclass
class Trial:
    """One trial as the table has it. ``onset``: seconds, or a marker's name; ``duration``: seconds, or None."""

    where: str  # the table's name and row, for messages
    subject: str
    file: Path
    stimulus: str
    onset: float | str
    duration: float | None
    ratings: dict = field(default_factory=dict)  # name -> text
    group: str = ""  # of its stimulus: films that are cut from one, say
    onset_text: str = ""  # as the table has it


def read_table(path, rating_names=(), rated=True):
    """Trials of a table; its ratings are the columns that are named, or all that are not `COLUMNS`, or none."""
    path = Path(path)
    if is_recording(path):
        raise InputError(f"--trials {path} is a recording; give a table that names it (docs/recordings.md shows one)")
    header, rows = read_rows(path)
    refuse_missing(path, header)
    others = COLUMNS if "group" in map(str.lower, rating_names) else (*COLUMNS, GROUP)
    names = find_ratings(path, header, others, rating_names) if rated else []
    if not rated and set(header) - set(others):
        print(f"not read (--no-rated): {shorten([name for name in header if name not in others])}")
    trials = []
    for number, row in rows:
        where = f"{path.name}, row {number}"
        for name in (*COLUMNS[:4], *names):
            if row[name] in MISSING or (name in names and is_missing(row[name])):
                raise InputError(f"{where}: {name} is {row[name] or 'empty'}; fill it in, or leave the row out")
        file = find_file(path.parent, row["file"], where)
        onset, length = read_number(row["onset"]), read_number(row["duration"])
        if not is_missing(row["duration"]) and (length is None or length <= 0):
            raise InputError(f"{where}: the duration must be seconds, more than 0, or empty; not {row['duration']!r}")
        onset = row["onset"] if onset is None else onset
        cells = {name: row[name] for name in names}
        group = row.get(GROUP, "") if GROUP in others else ""
        trials.append(Trial(where, row["subject"], file, row["stimulus"], onset, length, cells, group, row["onset"]))
    if not trials:
        raise InputError(f"{path} has no trials; one row per trial under {','.join(header)}"[:250])
    return trials


def find_file(folder, text, where):
    """A file as a table names it, relative to the table's folder."""
    spellings = [text, text.replace("\\", "/")]  # the second: written on Windows
    spellings += [unicodedata.normalize("NFD", name) for name in spellings]  # the name of a file on a Mac
    file = next((folder / name for name in spellings if (folder / name).exists()), folder / text)
    if not file.exists() and not file.is_symlink():
        raise InputError(f"{where}: {file} does not exist; a file is relative to the table's folder")
    return file


def is_recording(path):
    """Whether a file is called like a recording."""
    return Path(path).name.lower().endswith((*FORMATS, ".fif.gz"))


def is_missing(text):
    """Whether a cell that ought to hold a rating or a duration holds none."""
    return text.lower() in NO_VALUE


def refuse_missing(path, header):
    """Refuse a table that lacks one of `COLUMNS`; say which of its own may be meant."""
    missing = [name for name in COLUMNS if name not in header]
    if not missing:
        return
    others = [name for name in header if name not in COLUMNS]
    meant = {name: next((word for word in OTHER_WORDS[name].split() if word in others), "") for name in missing}
    others = [name for name in others if name not in meant.values()]
    for name in missing:
        meant[name] = meant[name] or "".join(difflib.get_close_matches(name, others, n=1, cutoff=0.75))
    other_unit = re.compile(r"(^|[^a-z])(ms|msec|min)([^a-z]|$)|milli|minute|sample|frame|hh|clock")
    how = {n: "write {} in seconds as {}" if other_unit.search(w) else "rename {} to {}" for n, w in meant.items()}
    remedy = ", ".join(how[name].format(word, name) if word else f"add {name}" for name, word in meant.items())
    raise InputError(f"{path} has no column {', '.join(missing)}; it has {shorten(header, 90)}; {remedy}")


def decode(path):
    """Text of a table: UTF-8, or what older spreadsheets and programs write."""
    try:
        content = Path(path).read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path} does not exist; docs/recordings.md says what a table holds") from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    if b"\0" in content:
        raise InputError(f"{path} is no text; save the table as 'CSV UTF-8' (Excel) or as TSV")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def read_rows(path):
    """Header and rows of a table: names in lower case, and (number in the file, dict of name to text) of every row.

    Cells that a row lacks at its end are empty.
    """
    text = decode(path)
    said = re.match(r"sep=(.)\r?\n", text)  # which Excel understands, and leaves there
    first = text[said.end() if said else 0 :].lstrip().split("\n", 1)[0]
    delimiter = (
        said[1] if said else "\t" if Path(path).suffix == ".tsv" and "\t" in first else max("\t;,", key=first.count)
    )
    quoting = csv.QUOTE_NONE if Path(path).suffix == ".tsv" and text.count('"') % 2 else csv.QUOTE_MINIMAL
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting))
    except csv.Error as error:
        raise InputError(f"{path} is no table ({error})") from None
    filled = [(n, [as_text(cell) for cell in cells]) for n, cells in enumerate(lines, start=1)][1 if said else 0 :]
    filled = [(n, cells) for n, cells in filled if "".join(cells)]
    if not filled:
        raise InputError(f"{path} is empty; it needs a header and one row per trial")
    header = [name.lower() for name in filled[0][1]]
    while header and not header[-1]:  # columns that a spreadsheet added
        header.pop()
    twice = [name or "without a name" for name in dict.fromkeys(header) if header.count(name) > 1 or not name]
    if twice:
        raise InputError(f"{path} has the column {twice[0]} twice, or without a name; give every column its own")
    rows = []
    for number, cells in filled[1:]:
        cells, rest = cells[: len(header)], cells[len(header) :]
        if "".join(rest):
            what = f"has {len(cells) + len(rest)} cells, the header {len(header)}"
            raise InputError(f"{path}, row {number} {what}; text that has the separator in it needs quotes")
        cells += [""] * (len(header) - len(cells))
        rows.append((number, dict(zip(header, cells, strict=True))))
    for name in header:
        read_decimal_commas(path, rows, name, r"[+-]?\d+,\d{1,2}" if delimiter == "," else r"[+-]?\d+,\d+")
    return header, rows


def read_decimal_commas(path, rows, name, pattern):
    """Write numbers of a column with a point where a spreadsheet wrote a comma; 1,234 beside 1.5 is refused."""
    commas = [(number, row) for number, row in rows if re.fullmatch(pattern, row[name])]
    points = [number for number, row in rows if re.fullmatch(r"[+-]?\d+\.\d+", row[name])]
    for number, row in commas:
        if points and re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", row[name]):
            what = f"{name} is {row[name]}, and row {points[0]} has a decimal point"
            raise InputError(
                f"{path}, row {number}: {what}; write all numbers in one way, thousands without separators"
            )
        row[name] = row[name].replace(",", ".")


def as_text(cell):
    """A cell stripped of blanks and invisible characters, in Unicode form NFC."""
    return unicodedata.normalize("NFC", "".join(c for c in cell if unicodedata.category(c) != "Cf")).strip()


def find_ratings(path, header, others, chosen=()):
    """Names of the rating columns: the chosen ones, or all but ``others``."""
    there = [name for name in header if name not in others]
    names = [name.lower() for name in chosen] or there
    if missing := [name for name in names if name not in there]:
        there = ", ".join(there) or "none"
        raise InputError(f"--ratings {', '.join(missing)}: no such column in {path}; there are {there}"[:290])
    if not names:
        remedy = "add a column with its name, a number or a class in every row (unrated, to predict: --no-rated)"
        raise InputError(f"{path} has no rating; {remedy}")
    return names
