"""Where the computation runs, and random numbers that depend on nothing but the settings."""

import ctypes
import functools
import hashlib
import os
import platform
import subprocess
from importlib.metadata import version

import numpy as np
import torch
from joblib import cpu_count

from utils.base import ranks
from utils.base.errors import InputError
from utils.base.surroundings import ROOT, at_end

START_THREADS = torch.get_num_threads()  # of this process: the cores, or OMP_NUM_THREADS
LARGE = 10_000_000  # parameters; threads of smaller networks wait longer than they compute (benchmarks/RESULTS.md)


def choose_device(name):
    """Device by its constant: ``auto`` takes a GPU if there is one (CUDA, then Apple's MPS), else the CPU."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, is_available in available.items() if is_available)
    if not available[name]:
        raise InputError(f"--device {name}:", "this PyTorch sees no such device", "use --device cpu or auto")
    if name == "cpu":
        _keep_freed_memory()
    device = torch.device(name)
    if name == "cuda" and ranks.size() > 1:  # processes take one GPU each, or share them if they are more
        device = torch.device("cuda", ranks.local_rank() % torch.cuda.device_count())
        torch.cuda.set_device(device)
    print(f"computing on {hardware(device)}")
    return device


def hardware(device):
    """A device's type and name."""
    return f"{device.type} {torch.cuda.get_device_name(device) if device.type == 'cuda' else platform.machine()}"


def _keep_freed_memory():
    """Let glibc keep what is freed: else every step allocates its gradients again (benchmarks/RESULTS.md).

    Its own settings return at the script's end, for a notebook that goes on, and what is free goes back to the system.
    """
    if platform.libc_ver()[0] == "glibc":
        libc, number = ctypes.CDLL(None), ctypes.c_int
        at_end(libc.malloc_trim, ctypes.c_size_t(0))  # last, as what is registered last is called first
        for option, keep, default in ((-4, 0, 1 << 16), (-1, -1, 1 << 17)):  # M_MMAP_MAX, M_TRIM_THRESHOLD
            libc.mallopt(number(option), number(keep))
            at_end(libc.mallopt, number(option), number(default))


def use_threads(asked, model):
    """Set how many threads compute on a CPU: ``asked`` (the constant THREADS), or as many as pay for its size."""
    allowed = max(1, min(START_THREADS, cpu_count()))  # by OMP_NUM_THREADS, the affinity and the control group
    pay = allowed if sum(p.numel() for p in model.parameters()) >= LARGE else 1
    torch.set_num_threads(min(asked or pay, allowed))


def set_precision(name, device):
    """Arithmetic of matrix products: ``fp32`` or ``tf32`` (CUDA); with ``bf16`` it is up to the models."""
    if name == "tf32" and device.type != "cuda":
        raise InputError("--precision tf32", f"needs a CUDA device, and this is {device.type}", "use fp32 or bf16")
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")


def adam(parameters, settings, device):
    """Adam in one kernel where there is one; on CUDA it can be captured, with a learning rate on the device."""
    on_cuda = device.type == "cuda"
    rate = torch.tensor(float(settings.LR), device=device) if on_cuda else settings.LR
    return torch.optim.Adam(
        parameters, rate, weight_decay=settings.WEIGHT_DECAY, fused=device.type != "mps", capturable=on_cuda
    )


def set_rate(optimizer, rate):
    """Set the learning rate; in place where it is on the device, which a captured step reads."""
    for group in optimizer.param_groups:
        group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], torch.Tensor) else rate


def load_optimizer(optimizer, state):
    """Load Adam's state, from whatever device: how it computes here (``fused``, ...) stays as it is."""
    here = [{key: group[key] for key in ("lr", "fused", "capturable", "foreach")} for group in optimizer.param_groups]
    groups = [saved | options for saved, options in zip(state["param_groups"], here, strict=True)]
    optimizer.load_state_dict(state | {"param_groups": groups})


class Captured:
    """A step of tensors that is captured as a CUDA graph and replayed: one launch in place of a thousand.

    The first calls of each size run the step as it is (libraries set themselves up in them), the next one captures.
    What a call returns is overwritten by the next one. Random numbers are those of the step run as it is.
    """

    WARM_UP = 3

    def __init__(self, step=None):
        self.step, self.n_calls, self.graphs = step, {}, {}  # by the sizes of what it takes

    def of(self, step):
        """The same for a step that is defined again, in the next epoch."""
        self.step = step
        return self

    def __call__(self, *inputs):
        sizes = tuple(x.shape for x in inputs)
        self.n_calls[sizes] = self.n_calls.get(sizes, 0) + 1
        if self.n_calls[sizes] <= self.WARM_UP:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                result = self.step(*inputs)
            torch.cuda.current_stream().wait_stream(stream)
            return result
        if sizes not in self.graphs:
            inputs_kept, graph = [x.clone() for x in inputs], torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                result = self.step(*inputs_kept)
            self.graphs[sizes] = graph, inputs_kept, result
        graph, inputs_kept, result = self.graphs[sizes]
        for kept, x in zip(inputs_kept, inputs, strict=True):
            kept.copy_(x)
        graph.replay()
        return result


def derive_seed(*parts):
    """A seed from the run's seed, stage, fold, epoch, ...: the same parts give the same seed on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=7).digest(), "big")


def provenance(device):
    """Versions, hardware and commit, for every file with a number in it."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "scikit_learn": version("scikit-learn"),
        "device": hardware(device),
        "threads": torch.get_num_threads(),
        "git_commit": _git_commit(),
    }


@functools.cache  # at the start of a process: what is edited later is not what runs
def _git_commit():
    """Commit of this repository, with "+" behind it if files differ from it; None outside a repository."""
    here = ["-c", f"safe.directory={ROOT.as_posix()}", "-C", str(ROOT)]
    command = ["git", *here, *"describe --always --abbrev=40 --dirty=+ --exclude=*".split()]
    env = os.environ | {"GIT_CEILING_DIRECTORIES": str(ROOT.parent)}  # not of a repository around this one
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10, env=env)
        return done.stdout.strip() or None
    except (OSError, subprocess.SubprocessError) as error:
        if (ROOT / ".git").exists():
            reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
            print(f"the commit is not recorded with the results, as git does not tell it: {reason}")
        return None
