"""``metrics.json`` as it lies on the disk: read, and its structure checked before it is used."""

from utils.base.errors import InputError
from utils.base.files import read_json
from utils.base.identity import difference
from utils.base.progress import warn
from utils.base.structure import find_wrong

REMEDY = "delete it and give the command that wrote it once more, which keeps the folds that are complete"
OURS = ("finetune_", "baseline_")  # folders of results
ELSEWHERE = "leave it out, or give the folder of a result"

_SCORE = {"mean": float, "std": float, "ci95": (None, [float])}
_PERSON = {"accuracy": float, "n_test": int}
_FOLD = {"fold": int, "n_test": int, "confusion": [[int]], "subjects": {str: _PERSON}}
_RESULT = {  # entries that it must have; it may have others
    **dict.fromkeys(("dataset", "protocol", "split", "label", "manifest_hash", "interval_unit"), str),
    **dict.fromkeys(("accuracy", "f1", "balanced_accuracy", "trial_accuracy"), _SCORE),
    "n_folds": int,
    "class_names": [str],
    "majority": float,
    "audit": {str: (None, {str: float})},
    "audit_in_words": [str],
    "settings": {},
    "folds": [_FOLD],
}
_NETWORK = {"INIT": ("pretrained", "random"), "FREEZE": bool, "PERMUTE_LABELS": bool, "DATA_DIR": str}
_PERMUTATION = {
    **{"method": ("finetune", "probe"), "score_name": str, "n": int},
    **dict.fromkeys(("score", "null_mean", "null_std", "p_value"), float),
}


def read_results(run_dir, pattern="*", strict=False):
    """All results of a run directory by the name of their folder. A damaged one is left out with a warning; with
    ``strict`` it is an error, unless the folder is not one of ours.
    """
    results = {}
    for path in sorted(run_dir.glob(f"{pattern}/metrics.json")):
        try:
            results[path.parent.name] = read_result(path)
        except InputError as error:
            if strict and path.parent.name.startswith(OURS):
                raise
            warn(f"left out: {error}")
    return results


def read_result(path):
    """The contents of a ``metrics.json`` of this project, checked, with its ``path`` and ``name`` (its folder's)."""
    result = read_json(path, REMEDY)
    shape = _RESULT
    if "model" not in result:
        shape = shape | {"settings": _NETWORK}
    if "permutation" in result:
        shape = shape | {"permutation": _PERMUTATION}
    if isinstance(result.get("provenance"), dict) and "encoder_seeds" in result["provenance"]:
        shape = shape | {"provenance": {"encoder_seeds": [int]}}
    wrong = find_wrong(result, shape)
    if not wrong:
        n = len(result["class_names"])
        square = all([len(row) for row in fold["confusion"]] == [n] * n for fold in result["folds"])
        wrong = "" if n > 1 and square and result["folds"] else "its folds do not go with its class_names"
    if wrong and "manifest_hash" not in result and not path.parent.name.startswith(OURS):
        raise InputError(path, f"is not a result of this project ({wrong})", ELSEWHERE)
    if wrong:
        raise InputError(path, f"is damaged: {wrong}", REMEDY)
    return result | {"path": path, "name": path.parent.name}


def task(result):
    """What a result answers: split, label, and the rating from which it is high. Others are not to be compared."""
    return result["manifest_hash"], result["label"], threshold(result)


def properties(result):
    """What two results must have in common to be compared, by what it is called."""
    return dict(zip(("split (by its manifest)", "label", "threshold"), task(result), strict=True)) | {
        "permutation": bool(result["settings"].get("PERMUTE_LABELS")),
        "folds": [fold["fold"] for fold in result["folds"]],
        "test windows": [fold["n_test"] for fold in result["folds"]],
    }


def threshold(result):
    """The rating from which on a label is high; None for classes."""
    value = result.get("high_from", result["settings"].get("THRESHOLD"))
    return tuple(value.items()) if isinstance(value, dict) else value


def refuse_other(folder, settings, names, folds, **others):
    """Refuse to replace a folder's result by one of other settings (``names``), other entries, or fewer folds."""
    path = folder / "metrics.json"
    if not path.exists():
        return
    stored, remedy = read_result(path), "use --tag for a folder of its own, or delete it"
    now = settings.as_dict() | others
    if other := difference(stored["settings"] | {name: stored.get(name) for name in others}, now, [*names, *others]):
        raise InputError(path, f"was made with {other}", remedy)
    lost = sorted({fold["fold"] for fold in stored["folds"]} - {fold.index for fold in folds})
    if lost:
        raise InputError(path, f"has the folds {','.join(map(str, lost))} too, which --folds leaves out", remedy)
