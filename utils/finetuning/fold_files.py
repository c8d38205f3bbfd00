"""A fold's result.pt, of fine-tuning and of networks of others: its path, and reading it back."""

import torch

from utils.base.errors import InputError
from utils.base.identity import difference
from utils.base.progress import say_once
from utils.base.structure import find_wrong
from utils.pretraining.checkpoints import DELETE_IT, UNRECORDED, load_tensors, refuse_other_fold
from utils.results.results import FoldResult

STORED = {  # what it must have
    **dict.fromkeys(("windows", "truth", "probability"), torch.Tensor),
    "n_train": int,
    "audit": {},
    "seconds": float,
    "identity": {},
    "provenance": (None, {}),
    "train_classes": (None, [int]),
}


def path_of(folder, fold):
    """Where the result of a fold is."""
    return folder / f"fold_{fold.index:02d}" / "result.pt"


def read(folder, fold, identity, remedy, strict=True):
    """The stored result of a fold, or None; one of another identity is an error, or None if not ``strict``."""
    path = path_of(folder, fold)
    if not path.exists():
        return None
    stored = {"train_classes": None, "provenance": None} | load_tensors(path, DELETE_IT)
    refuse_other_fold(path, stored, fold.index)
    if wrong := find_wrong(stored, STORED):
        raise InputError(path, f"lacks parts of a result ({wrong})", DELETE_IT)
    names = identity if strict else identity.keys() - {"code"}  # the report says it of each fold
    if other := difference(stored["identity"], identity, names):
        if strict:
            raise InputError(path, f"was made with {other}", remedy)
        return None
    if "code" not in stored["identity"]:
        say_once(UNRECORDED.format(what=folder.name))
    if stored["provenance"] is None and (model := path.with_name("model.pt")).exists():  # where it was kept before
        stored["provenance"] = load_tensors(model, DELETE_IT, True).get("provenance")
    return as_result(stored, fold)


def as_result(stored, fold):
    """The contents of a result.pt as a result."""
    arrays = {name: stored[name].numpy() for name in ("windows", "truth", "probability")}
    others = {name: stored.get(name) for name in ("n_train", "audit", "seconds", "provenance", "train_classes")}
    return FoldResult(fold.index, **arrays, **others, code=stored["identity"].get("code"))
