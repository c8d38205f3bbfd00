"""Checkpoints: nests of plain values and tensors, written whole, read without running code."""

import warnings
from pathlib import Path

import torch

from utils.base.errors import InputError, is_out_of_memory
from utils.base.files import atomic
from utils.base.identity import code, difference
from utils.base.progress import say_once
from utils.base.rules import BEFORE, result_of
from utils.base.structure import find_wrong
from utils.inputs.features import read_version
from utils.pretraining.networks import build_encoder

FORMAT_VERSION = 1
SAME_ON_RESUME = result_of("P")  # pre-training goes on from a checkpoint only with the settings that made it

DELETE_IT = "delete it and give the command that wrote it once more: what else is complete is kept"
LATER = "use the version of this project that wrote it, or a later one"
UNRECORDED = "{what} was made before its code was recorded: whether the code has changed since is not known"
OF_ANOTHER = "give the --run-dir that it belongs to, or a new one"
ENCODER_PARTS = {"arguments": {"n_channels": int, "n_samples": int, "embed_dim": int}, "weights": {str: torch.Tensor}}
_CHECKPOINT = {
    "epoch": int,
    "kept_epoch": int,
    "window": ("1s", "5s"),
    "settings": {},
    "history": [{"epoch": int}],
    "trained_on": {"subjects": torch.Tensor, "rows": torch.Tensor},
    "encoders": {str: ENCODER_PARTS},
    "training": {},
}


def save_tensors(path, value):
    """Save a nest of dicts, lists, numbers, strings and tensors, atomically."""
    with atomic(path) as file:
        try:
            torch.save(value, file)
        except RuntimeError as error:  # torch's error for a full disk, raised after the file's own
            cause = error.__context__
            raise cause if isinstance(cause, OSError) else OSError(None, f"{error}", str(path)) from None


def load_tensors(path, remedy, mmap=False):
    """Load what `save_tensors` wrote, on the CPU, without running code; ``remedy`` ends the message, ``mmap``
    leaves tensors in the file.
    """
    try:
        with open(path, "rb"), warnings.catch_warnings(action="ignore"):  # else it is not about the file's contents
            value = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except FileNotFoundError:
        raise InputError(path, "does not exist", remedy) from None
    except IsADirectoryError:
        raise InputError(path, "is a folder, not a checkpoint", remedy) from None
    except (MemoryError, OSError):
        raise
    except Exception as error:  # torch raises nearly anything for a damaged file
        if is_out_of_memory(error):
            raise
        value = None
    if not isinstance(value, dict):
        raise InputError(path, "is damaged or not a checkpoint of this project (no code in it was run)", remedy)
    version = value.get("format_version", FORMAT_VERSION)
    if type(version) is int and version > FORMAT_VERSION:
        raise InputError(path, f"is whole, but of format {version}, later than {FORMAT_VERSION}", LATER)
    return value


def pretrain_folder(run_dir, window, variant):
    """Folder of a pre-training: of one window size, and of the options that are not the default."""
    return Path(run_dir) / "_".join(["pretrain", window, *([variant] if variant else [])])


def pretrain_path(run_dir, window, variant, fold):
    """File with the encoders of fold number ``fold``."""
    return pretrain_folder(run_dir, window, variant) / f"fold_{fold:02d}" / "checkpoint.pt"


def load_pretrained(path, window, fold, manifest, remedy, mmap=False):
    """A pre-training checkpoint, after checking that it is whole and belongs to this run directory's manifest.

    ``window`` is ``"1s"`` or ``"5s"``, ``fold`` a number; ``remedy`` and ``mmap`` as in `load_tensors`. Its
    ``encoders[modality]`` are what `build_encoder` takes.
    """
    checkpoint = load_encoders(path, remedy, mmap)
    if checkpoint["window"] != window:
        raise InputError(path, f"holds encoders of {checkpoint['window']} windows, not {window}", OF_ANOTHER)
    if checkpoint.get("manifest_hash") != manifest.hash:
        raise InputError(path, "was trained on another split or data set than split.json says", OF_ANOTHER)
    refuse_other_fold(path, checkpoint, fold)
    return checkpoint


def refuse_other_fold(path, stored, fold):
    """Refuse the file of another fold, which has seen this one's test data: a copy, or a folder that was renamed."""
    if stored.get("fold", fold) != fold:
        remedy = f"put back the file of fold {fold}, or delete this one and give the command that wrote it once more"
        raise InputError(path, f"is of fold {stored.get('fold')}, not of fold {fold}", remedy)


def load_encoders(path, remedy, mmap=False):
    """A pre-training checkpoint of any data and split, checked for completeness."""
    checkpoint = load_tensors(path, remedy, mmap)
    if checkpoint.get("format_version") != FORMAT_VERSION or checkpoint.get("stage") != "pretrain":
        raise InputError(path, "is not a pre-training checkpoint of this version", remedy)
    if isinstance(checkpoint.get("settings"), dict):
        for name, value in BEFORE.items():
            checkpoint["settings"].setdefault(name, value)
        read_version(checkpoint)
    if not _is_complete(checkpoint):
        raise InputError(path, "lacks parts of a checkpoint", remedy)
    return checkpoint


def code_of(settings):
    """Checksums of the code of pre-training, with that of the user's own network."""
    return code("pretrain") | (settings.network.code if settings.network else {})


def refuse_other_training(path, checkpoint, settings):
    """Refuse to go on from a checkpoint with other settings or code than those that made it, or to fewer epochs."""
    remedy = "to go on give the same; --tag NAME keeps both, --no-resume replaces it"
    before, now = checkpoint["settings"], settings.as_dict()
    other = difference(before, now, SAME_ON_RESUME)
    if other:  # where the recipe is another, it is the first to say
        other = difference(before, now, ["RECIPE"]) or other
    other = other or difference(checkpoint, {"code": code_of(settings)}, ["code"])
    if not other and settings.network and not settings.network.file:  # a file is in the code
        release = checkpoint["encoders"]["eeg"]["arguments"]["origin"]
        other = f"{release}, not {settings.network.version}" if release != settings.network.version else ""
    if other:
        raise InputError(path, f"was made with {other}", remedy)
    if "code" not in checkpoint:
        say_once(UNRECORDED.format(what=path.parents[1].name))
    if checkpoint["epoch"] > settings.EPOCHS:
        raise InputError(path, f"has {checkpoint['epoch']} epochs, more than --epochs {settings.EPOCHS}", remedy)


def _is_complete(checkpoint):
    """Whether a checkpoint has all parts, each of its type, and weights that fit their encoders."""
    if find_wrong(checkpoint, _CHECKPOINT) or not set(checkpoint["encoders"]) <= {"eeg", "pps"}:
        return False
    indices = checkpoint["trained_on"].values()
    return (
        set(SAME_ON_RESUME) <= set(checkpoint["settings"])
        and all(entry["epoch"] == i for i, entry in enumerate(checkpoint["history"], start=1))
        and all(i.dtype == torch.int64 and i.dim() == 1 for i in indices)
        and all(fits(build_encoder, {"entry": e}, e["weights"]) for e in checkpoint["encoders"].values())
    )


def fits(make, arguments, weights):
    """Whether ``make(**arguments)`` makes a network that these weights go into; takes no memory for it."""
    try:
        with torch.device("meta"):
            make(**arguments).load_state_dict(weights, assign=True)
    except (TypeError, ValueError, RuntimeError):  # other arguments, impossible sizes, other names or sizes of weights
        return False
    return True
