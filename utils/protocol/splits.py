"""Who is trained on and who is tested: one manifest per run directory."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.base.errors import InputError
from utils.base.files import only_writer, read_json, write_text
from utils.base.rules import SPLITS
from utils.protocol.held_out import FOLDS
from utils.protocol.windows import (  # noqa: F401 (some are for others, who know them by this module's name)
    RESOLUTIONS,
    WINDOW_SECONDS,
    fold_windows,
    labelled,
    seconds_of,
    seconds_of_windows,
    training_seconds,
    windows_of,
)

FORMAT_VERSION = 1
REMEDY = "use another --run-dir; this one keeps its results"


@dataclass(frozen=True)
class Part:
    """The training or test part of a fold: all ``subjects`` (indices) at all ``rows`` by resolution, as `windows`."""

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
    """The folds of a run directory; ``hash`` of the whole file is stored in checkpoints and results."""

    protocol: str
    split: str
    seed: int
    folds: list
    hash: str


def load_or_create(settings, data):
    """The manifest of the run directory, written by the first script; None in ``settings`` means as it is there."""
    path = Path(settings.RUN_DIR) / "split.json"
    if not path.exists():
        with only_writer(path, wait=True):
            if not path.exists():  # else a process that started at the same moment has written it
                content = _create(settings, data)
                lines = ",\n".join(f"{json.dumps(name)}: {_compact(value)}" for name, value in content.items())
                write_text(path, f"{{\n{lines}\n}}\n")
                folds = f"{len(content['folds'])} folds"
                print(f"wrote {path}: {content['protocol']}, {content['split']} split, {folds}")
    manifest = load(settings.RUN_DIR, data)
    of_manifest = {"PROTOCOL": manifest.protocol, "SPLIT": manifest.split, "N_FOLDS": len(manifest.folds)}
    for name, value in of_manifest.items():
        if getattr(settings, name) not in (None, value):
            used = any(entry.is_dir() for entry in path.parent.iterdir())
            remedy = REMEDY if used else "nothing was done with it yet: delete it, or use another --run-dir"
            raise InputError(path, f"was made with {name} = {value}, not {getattr(settings, name)}", remedy)
    return manifest


def load(run_dir, data):
    """The manifest of a run directory that has one, after checking that it is whole and of these data."""
    path = Path(run_dir) / "split.json"
    content = read_json(path, REMEDY)
    if content.get("format_version") != FORMAT_VERSION:
        raise InputError(path, f"has format version {content.get('format_version')!r}, not {FORMAT_VERSION}", REMEDY)
    if content.get("hash") != _hash(content):
        raise InputError(path, "was edited or damaged (its hash differs)", REMEDY)
    if content.get("dataset_checksum") != data.checksum:
        other = f"({data.name!r}, or prepared otherwise)"
        what = f"was made for another data set ({content.get('dataset')!r}) than --data-dir {data.folder} {other}"
        raise InputError(path, what, "give the --data-dir that it was made for, or another --run-dir")
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
        raise InputError(path, "does not describe folds of this data set", REMEDY) from None


def choose_folds(manifest, numbers):
    """The folds with these numbers, all for an empty list; an unknown number is an `InputError`."""
    wrong = [n for n in numbers if n >= len(manifest.folds)]
    if wrong:
        raise InputError(f"--folds {','.join(map(str, wrong))}: the folds are 0 to {len(manifest.folds) - 1}")
    return [manifest.folds[n] for n in numbers] if numbers else manifest.folds


def _create(settings, data):
    """The content of a new manifest."""
    of_split = next((p for p, names in SPLITS.items() if settings.SPLIT in names), "subject-dependent")
    protocol = settings.PROTOCOL or of_split
    split = settings.SPLIT or next(iter(SPLITS[protocol]))
    if split not in SPLITS[protocol]:
        remedy = f"use {' or '.join(SPLITS[protocol])}"
        raise InputError(f"--split {split}", f"does not go with --protocol {protocol}", remedy)
    trials, seconds = data.eeg.shape[1:3]
    if seconds < WINDOW_SECONDS:
        raise InputError(data.folder, f"has trials of {seconds} s", f"at least {WINDOW_SECONDS} are needed")
    content = {
        "format_version": FORMAT_VERSION,
        "dataset": data.name,
        "dataset_checksum": data.checksum,
        "protocol": protocol,
        "split": split,
        "seed": settings.SEED,
        "trials": trials,
        "seconds": seconds,
        "subjects": data.subjects,
        "folds": FOLDS[split](data, np.random.default_rng([settings.SEED, 5]), settings.N_FOLDS),
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


def _indices(values, n):
    """Distinct indices below n, at least one, as an array."""
    array = np.array(values)
    if array.ndim != 1 or array.dtype != np.int64 or not len(array) or array.min() < 0 or array.max() >= n:
        raise ValueError
    if len(np.unique(array)) < len(array):
        raise ValueError
    return array
