"""The table of trials (docs/recordings.md): who saw what, in which file, from when to when, and how it was rated."""

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
OTHER_UNIT = re.compile(r"(^|[^a-z])(ms|msec|min)([^a-z]|$)|milli|minute|sample|frame|hh|clock")
NO_VALUE = ("", *"n/a na nan null missing #n/a #value! #div/0! #ref! #name? . - -- ?".split())  # of an empty cell


@dataclass
class Trial:
    """A trial of a table or of a proposal."""

    where: str  # the table's name and row, for messages
    subject: str
    file: Path
    stimulus: str
    onset: float | str  # seconds, or a marker's name
    duration: float | None  # seconds
    ratings: dict = field(default_factory=dict)  # name -> text
    group: str = ""  # of its stimulus: films that are cut from one, say
    onset_text: str = ""  # as the table has it


def read_table(path, rating_names=(), rated=True):
    """Trials of a table; its ratings are the columns that are named, or all that are not `COLUMNS`, or none."""
    path = Path(path)
    if is_recording(path):
        raise InputError(f"--trials {path}", "is a recording", "give a table that names it (docs/recordings.md)")
    header, rows = read_rows(path)
    refuse_missing(path, header)
    others = COLUMNS if GROUP in map(str.lower, rating_names) else (*COLUMNS, GROUP)
    left = [name for name in header if name not in others]
    names = ([name.lower() for name in rating_names] or left) if rated else []
    if missing := [name for name in names if name not in left]:
        there = ", ".join(left) or "none"
        raise InputError(f"--ratings {', '.join(missing)}: no such column in {path}; there are {there}")
    if rated and not names:
        remedy = "add a column with its name, a number or a class in every row (unrated, to predict: --no-rated)"
        raise InputError(path, "has no rating", remedy)
    if left and not rated:
        print(f"not read (--no-rated): {shorten(left)}")
    trials = []
    for number, row in rows:
        where = f"{path.name}, row {number}"
        for name in (*COLUMNS[:4], *names):
            if is_missing(row[name]):
                raise InputError(
                    f"{where}: {name} is {row[name] or 'empty'}", remedy="fill it in, or leave out the row"
                )
        file = find_file(path.parent, row["file"], where)
        onset, length = read_number(row["onset"]), read_number(row["duration"])
        if not is_missing(row["duration"]) and (length is None or length <= 0):
            raise InputError(f"{where}: the duration must be seconds, more than 0, or empty; not {row['duration']!r}")
        onset = row["onset"] if onset is None else onset
        cells = {name: row[name] for name in names}
        group = row.get(GROUP, "") if GROUP in others else ""
        trials.append(Trial(where, row["subject"], file, row["stimulus"], onset, length, cells, group, row["onset"]))
    if not trials:
        raise InputError(f"{path} has no trials; one row per trial under {','.join(header)}")
    return trials


def find_file(folder, text, where):
    """A file as a table names it, relative to the table's folder; names as Windows and macOS write them, too."""
    spellings = [text, text.replace("\\", "/")]
    spellings += [unicodedata.normalize("NFD", name) for name in spellings]
    file = next((folder / name for name in spellings if (folder / name).exists()), folder / text)
    if not file.exists() and not file.is_symlink():
        raise InputError(f"{where}: {file} does not exist; a file is relative to the table's folder")
    return file


def is_recording(path):
    """Whether a file is called like a recording."""
    return Path(path).name.lower().endswith((*FORMATS, ".fif.gz"))


def is_missing(text):
    """Whether a cell holds no value: empty, or a word for it."""
    return text.lower() in NO_VALUE


def refuse_missing(path, header):
    """Refuse a table that lacks one of `COLUMNS`; say which of its own may be meant."""
    missing = [name for name in COLUMNS if name not in header]
    others = [name for name in header if name not in COLUMNS]
    meant = {name: next((word for word in OTHER_WORDS[name].split() if word in others), "") for name in missing}
    others, remedies = [name for name in others if name not in meant.values()], []
    for name, word in meant.items():
        word = word or "".join(difflib.get_close_matches(name, others, n=1, cutoff=0.75))
        how = f"write {word} in seconds as {name}" if OTHER_UNIT.search(word) else f"rename {word} to {name}"
        remedies.append(how if word else f"add {name}")
    if missing:
        what = f"has no column {', '.join(missing)}; it has {shorten(header, 90)}"
        raise InputError(path, what, ", ".join(remedies))


def decode(path):
    """Text of a table: UTF-8, or what older spreadsheets and programs write."""
    try:
        content = Path(path).read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(path, "does not exist", "docs/recordings.md says what a table holds") from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    if b"\0" in content:
        raise InputError(path, "is no text", "save the table as 'CSV UTF-8' (Excel) or as TSV")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def read_rows(path):
    """Header and rows of a table: names in lower case, and (number in the file, dict of name to text) of every row."""
    text, is_tsv = decode(path), Path(path).suffix.lower() == ".tsv"
    said = re.match(r"sep=(.)\r?\n", text)  # which Excel understands, and leaves there
    first_line = text[said.end() if said else 0 :].lstrip().split("\n", 1)[0]
    delimiter = said[1] if said else "\t" if is_tsv and "\t" in first_line else max("\t;,", key=first_line.count)
    quoting = csv.QUOTE_NONE if is_tsv and text.count('"') % 2 else csv.QUOTE_MINIMAL
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting))
    except csv.Error as error:
        raise InputError(f"{path} is no table ({error})") from None
    lines = [(number, [as_text(cell) for cell in cells]) for number, cells in enumerate(lines, 1)]
    filled = [line for line in lines[bool(said) :] if any(line[1])]
    if not filled:
        raise InputError(path, "is empty", "it needs a header and one row per trial")
    header = [name.lower() for name in filled[0][1]]
    while not header[-1]:  # columns that a spreadsheet added
        header.pop()
    if twice := [name or "without a name" for name in header if header.count(name) > 1 or not name]:
        raise InputError(path, f"has the column {twice[0]} twice, or without a name", "give every column its own")
    rows = []
    for number, cells in filled[1:]:
        if any(cells[len(header) :]):
            what = f"row {number} has {len(cells)} cells, the header {len(header)}"
            raise InputError(f"{path},", what, "text that has the separator in it needs quotes")
        cells += [""] * (len(header) - len(cells))
        rows.append((number, dict(zip(header, cells, strict=False))))
    for name in header:
        read_decimal_commas(path, rows, name, r"[+-]?\d+,\d{1,2}" if delimiter == "," else r"[+-]?\d+,\d+")
    return header, rows


def read_decimal_commas(path, rows, name, pattern):
    """Write numbers of a column with a point for a comma; 1,234 beside 1.5, or beside 950 alone, may be thousands."""
    commas = [(number, row) for number, row in rows if re.fullmatch(pattern, row[name])]
    thousands = [(number, row) for number, row in commas if re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", row[name])]
    others = {"a decimal point": r"[+-]?\d+\.\d+"} | ({"no comma": r"\d+"} if len(thousands) == len(commas) else {})
    for what, other in others.items():
        contrary = [number for number, row in rows if re.fullmatch(other, row[name])]
        if thousands and contrary:
            number, row = thousands[0]
            said = f"{name} is {row[name]}, and row {contrary[0]} has {what}"
            raise InputError(
                f"{path}, row {number}: {said}", remedy="write all numbers in one way, thousands without separators"
            )
    for _, row in commas:
        row[name] = row[name].replace(",", ".")


def as_text(cell):
    """A cell stripped of blanks and invisible characters, in Unicode form NFC."""
    return unicodedata.normalize("NFC", "".join(c for c in cell if unicodedata.category(c) != "Cf")).strip()
