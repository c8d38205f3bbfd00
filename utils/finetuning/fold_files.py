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
    stored = load_tensors(path, DELETE_IT)
    refuse_other_fold(path, stored, fold.index)
    stored = {"train_classes": None} | stored
    if wrong := find_wrong({"provenance": None} | stored, STORED):
        raise InputError(f"{path} lacks parts of a result ({wrong}); {DELETE_IT}")
    before = stored["identity"]
    names = identity if strict else identity.keys() - {"code"}  # the report says it of each fold
    if other := difference(before, identity, names):
        if not strict:
            return None
        raise InputError(f"{path} was made with {other}; {remedy}")
    if "code" not in before:
        say_once(UNRECORDED.format(what=folder.name))
    if "provenance" not in stored:  # earlier versions kept it in the model only
        model = path.with_name("model.pt")
        stored["provenance"] = load_tensors(model, DELETE_IT, True).get("provenance") if model.exists() else None
    return as_result(stored, fold)


def as_result(stored, fold):
    """The contents of a result.pt as a result."""
    arrays = {name: stored[name].numpy() for name in ("windows", "truth", "probability")}
    others = {name: stored.get(name) for name in ("n_train", "audit", "seconds", "provenance", "train_classes")}
    return FoldResult(fold.index, **arrays, **others, code=stored["identity"].get("code"))
