"""Where the computation runs, and random numbers that depend on nothing but the settings."""

import hashlib
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from utils.errors import InputError


def choose_device(name):
    """Device by its constant: ``auto`` takes a GPU if there is one (CUDA, then Apple's MPS), else the CPU."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        raise InputError(f"--device {name}: this PyTorch sees no such device; use --device cpu or auto")
    return torch.device(name)


def derive_seed(*parts):
    """A seed from the run's seed, stage, fold, epoch, ...: the same parts give the same seed on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=7).digest(), "big")


def provenance(device):
    """Versions, hardware and commit, for every file with a number in it."""
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "scikit_learn": version("scikit-learn"),
        "device": f"{device.type} {hardware}",
        "threads": torch.get_num_threads(),
        "git_commit": _git_commit(),
    }


def _git_commit():
    """Commit of this repository, with "+" behind it if files differ from it; None outside a repository."""
    root = Path(__file__).resolve().parents[1]
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    env = os.environ | {"GIT_CEILING_DIRECTORIES": str(root.parent)}  # not of a repository around this one
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10, env=env)
        return done.stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
