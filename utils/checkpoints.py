"""Checkpoints: nests of plain values and tensors, written whole, read without running code."""

import torch

from utils.errors import InputError
from utils.files import atomic


def save_tensors(path, value):
    """Save a nest of dicts, lists, numbers, strings and tensors, atomically."""
    with atomic(path) as file:
        torch.save(value, file)


def load_tensors(path, remedy, mmap=False):
    """Load what `save_tensors` wrote, on the CPU; no code of the file is run.

    Parameters
    ----------
    path : path
    remedy : str
        What to do if it is missing or broken; ends the message.
    mmap : bool
        Leave tensors in the file until they are used.

    Raises
    ------
    InputError
        If the file is missing, damaged, or holds anything but plain values and tensors.
    """
    try:
        value = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; {remedy}") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a checkpoint; {remedy}") from None
    except (MemoryError, PermissionError):
        raise
    except Exception:  # torch raises nearly anything for a damaged file
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{path} is damaged or not a checkpoint of this project (no code in it was run); {remedy}")
    return value
