"""Who is trained on and who is tested: one manifest per run directory, and the audit of what both shared."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.errors import InputError
from utils.files import read_json, write_text

FORMAT_VERSION = 1
SPLITS = {"subject-dependent": ("trial", "window")}  # protocol: its splits, the default first
WINDOW_SECONDS = 5
RESOLUTIONS = {"1s": 1, "5s": WINDOW_SECONDS}  # seconds per window
DEFAULT_FOLDS = 10
REMEDY = "use another --run-dir, or delete this one"


@dataclass(frozen=True)
class Part:
    """The training or the test part of a fold: every one of these subjects at every one of these rows.

    Attributes
    ----------
    subjects : numpy.ndarray, int
        Indices of subjects.
    rows : dict of str to numpy.ndarray, int
        By resolution: at ``"1s"``, trial * seconds + second; at ``"5s"``, trial * windows + window.
    """

    subjects: np.ndarray
    rows: dict


@dataclass(frozen=True)
class Fold:
    """One fold: its number, what is trained on, what is tested."""

    index: int
    train: Part
    test: Part


@dataclass(frozen=True)
class Manifest:
    """The folds of a run directory.

    Attributes
    ----------
    protocol, split : str
    folds : list of Fold
    hash : str
        Of the whole file; checkpoints and results carry it.
    """

    protocol: str
    split: str
    seed: int
    folds: list
    hash: str


def seconds_of_windows(rows, seconds):
    """1 s rows (trial * seconds + second) of the five seconds of each 5 s row; shape (len(rows), 5)."""
    windows = seconds // WINDOW_SECONDS
    trial, window = np.divmod(np.asarray(rows), windows)
    return (trial * seconds + window * WINDOW_SECONDS)[:, None] + np.arange(WINDOW_SECONDS)


def load_or_create(settings, data):
    """The manifest of the run directory; the first script of a run writes it.

    Parameters
    ----------
    settings : Settings
        ``RUN_DIR``; ``PROTOCOL``, ``SPLIT`` and ``N_FOLDS``, where None means "as the run directory has it";
        ``SEED`` of a new one.
    data : data_prep.Prepared

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        If the run directory was split otherwise or from other data, or the data cannot be split like this.
    """
    path = Path(settings.RUN_DIR) / "split.json"
    if not path.exists():
        protocol = settings.PROTOCOL or "subject-dependent"
        split = settings.SPLIT or SPLITS[protocol][0]
        content = _create(data, protocol, split, settings.N_FOLDS, settings.SEED)
        write_text(path, "{\n" + ",\n".join(f"{json.dumps(k)}: {_compact(v)}" for k, v in content.items()) + "\n}\n")
        print(f"wrote {path}: {protocol}, {split} split, {len(content['folds'])} folds")
    content = read_json(path, REMEDY)
    manifest = _parse(path, content, data)
    asked = {"PROTOCOL": manifest.protocol, "SPLIT": manifest.split, "N_FOLDS": len(manifest.folds)}
    for name, value in asked.items():
        if getattr(settings, name) not in (None, value):
            raise InputError(f"{path} was made with {name} = {value}, not {getattr(settings, name)}; {REMEDY}")
    return manifest


def choose_folds(manifest, numbers):
    """The folds with these numbers, all for an empty list; an unknown number is an `InputError`."""
    wrong = [n for n in numbers if n >= len(manifest.folds)]
    if wrong:
        raise InputError(f"--folds {','.join(map(str, wrong))}: the folds are 0 to {len(manifest.folds) - 1}")
    return [manifest.folds[n] for n in numbers] if numbers else manifest.folds


def _create(data, protocol, split, n_folds, seed):
    if split not in SPLITS[protocol]:
        raise InputError(f"--split {split} does not go with --protocol {protocol}; use {' or '.join(SPLITS[protocol])}")
    n_subjects, trials, seconds = data.eeg.shape[:3]
    windows = seconds // WINDOW_SECONDS
    by_trial = np.arange(trials * windows).reshape(trials, windows)
    units = by_trial if split == "trial" else by_trial.reshape(-1, 1)  # what is held out together
    if n_folds is None:
        n_folds = min(DEFAULT_FOLDS, len(units))
    if n_folds > len(units):
        raise InputError(f"--n-folds {n_folds} is more than the {len(units)} {split}s to hold out; use fewer folds")
    order = np.random.default_rng([seed, 5]).permutation(len(units))
    folds = []
    for held_out in np.array_split(order, n_folds):
        test = np.zeros(len(units), bool)
        test[held_out] = True
        fold = {}
        for part, chosen in (("train", ~test), ("test", test)):
            rows = np.sort(units[chosen].ravel())
            rows = {"1s": seconds_of_windows(rows, seconds).ravel().tolist(), "5s": rows.tolist()}
            fold[part] = {"subjects": list(range(n_subjects)), "rows": rows}
        folds.append(fold)
    content = {
        "format_version": FORMAT_VERSION,
        "dataset": data.name,
        "dataset_checksum": data.checksum,
        "protocol": protocol,
        "split": split,
        "seed": seed,
        "trials": trials,
        "seconds": seconds,
        "subjects": data.subjects,
        "folds": folds,
    }
    return content | {"hash": _hash(content)}


def _compact(value):
    """JSON with one line per fold."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(json.dumps(item, separators=(",", ":")) for item in value) + "\n]"
    return json.dumps(value, ensure_ascii=False)


def _hash(content):
    rest = {key: value for key, value in content.items() if key != "hash"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _parse(path, content, data):
    if content.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{path} has format version {content.get('format_version')!r}, not {FORMAT_VERSION}; {REMEDY}")
    if content.get("hash") != _hash(content):
        raise InputError(f"{path} was edited or damaged (its hash differs); {REMEDY}")
    if content.get("dataset_checksum") != data.checksum:
        raise InputError(
            f"{path} was made for another data set ({content.get('dataset')!r}) than --data-dir {data.folder} "
            f"({data.name!r}, or prepared otherwise); {REMEDY}"
        )
    n_subjects, trials, seconds = data.eeg.shape[:3]
    n_rows = {name: trials * (seconds // n) for name, n in RESOLUTIONS.items()}
    try:
        folds = []
        for index, fold in enumerate(content["folds"]):
            parts = {}
            for part in ("train", "test"):
                subjects = _indices(fold[part]["subjects"], n_subjects)
                rows = {name: _indices(fold[part]["rows"][name], n) for name, n in n_rows.items()}
                parts[part] = Part(subjects, rows)
            folds.append(Fold(index, **parts))
        if not folds or content["split"] not in SPLITS[content["protocol"]]:
            raise ValueError
        return Manifest(content["protocol"], content["split"], content["seed"], folds, content["hash"])
    except (KeyError, TypeError, ValueError, IndexError):
        raise InputError(f"{path} does not describe folds of this data set; {REMEDY}") from None


def _indices(values, n):
    """Distinct indices below n, at least one, as an array."""
    array = np.array(values)
    if array.ndim != 1 or array.dtype != np.int64 or not len(array) or array.min() < 0 or array.max() >= n:
        raise ValueError
    if len(np.unique(array)) < len(array):
        raise ValueError
    return array


def windows_of(subjects, rows, rows_per_trial):
    """Every (subject, trial, row) of ``subjects`` at ``rows``; shape (len(subjects) * len(rows), 3)."""
    subject, row = np.meshgrid(subjects, rows, indexing="ij")
    return np.stack([subject.ravel(), row.ravel() // rows_per_trial, row.ravel()], axis=1)


def seconds_of(windows, seconds):
    """The 1 s windows (5n, 3) inside 5 s windows (n, 3), both as (subject, trial, row)."""
    rows = seconds_of_windows(windows[:, 2], seconds)
    return np.column_stack([np.repeat(windows[:, :2], WINDOW_SECONDS, axis=0), rows.ravel()])


def audit(test, seen):
    """What training data shared with the test data, counted from the windows that were really used.

    Parameters
    ----------
    test, seen : numpy.ndarray, int, shape (n, 3)
        (subject, trial, row) of every window; an empty ``seen`` for weights that were never trained.

    Returns
    -------
    dict of str to float
        Fraction of the test windows whose ``window``, ``trial`` (this subject's), ``subject`` and ``stimulus``
        (the trial of any subject) are among ``seen``.
    """
    keys = {"window": [0, 2], "trial": [0, 1], "subject": [0], "stimulus": [1]}
    size = 1 + max(int(test.max()), int(seen.max()) if len(seen) else 0)
    fractions = {}
    for name, columns in keys.items():
        codes = [sum(part[:, column] * size**i for i, column in enumerate(columns)) for part in (test, seen)]
        fractions[name] = float(np.isin(*codes).mean())
    return fractions


def audit_in_words(audit):
    """Sentences for a person who has to judge the number, from the audit of classifier and encoders."""
    keys = ("window", "trial", "subject", "stimulus")
    seen = {key: max(part[key] for part in audit.values() if part) for key in keys}
    lines = []
    if seen["window"] > 0:
        lines.append(f"{seen['window']:.0%} of the test windows themselves were seen in training: a worthless number")
    if seen["trial"] > 0:
        lines.append(
            "test windows come from trials seen in training: this number measures recall of the trial, not emotion"
        )
    if seen["subject"] > 0:
        lines.append("test subjects were seen in training: this number does not speak of new people")
    if seen["stimulus"] > 0:
        lines.append("test stimuli were seen in training (by other people or the same): not of new stimuli")
    return lines or ["training and test data share no window, trial, subject or stimulus"]
