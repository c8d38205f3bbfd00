"""Several processes of one job: which one this is, of how many, and what its share of the folds is.

Folds are independent, so this is all that a process needs to know: it takes its folds and waits for none of the others.
torchrun says it in RANK and WORLD_SIZE, and whoever starts processes by hand sets these; srun and mpirun have names of
their own. Without them there is one process.
"""

import os

from utils.base.errors import InputError

NAMES = (  # in the environment: number of this process, of all processes, and its number on this machine
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),  # mpirun
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),  # srun; without it SLURM_NTASKS is set as well
)


def rank():
    """Number of this process in the job, from 0."""
    return _place()[0]


def size():
    """Number of processes in the job."""
    return _place()[1]


def local_rank():
    """Number of this process on its machine, from 0; where nobody says it, its number in the job."""
    return _place()[2]


def share(folds):
    """This process's folds, the same regardless of which are complete: every ``size()``-th from ``rank()`` on."""
    own = folds[rank() :: size()]
    if size() > 1:
        what = "folds " + ", ".join(str(fold.index) for fold in own) if own else "no fold is left for this process"
        print(f"rank {rank()} of {size()}: {what}", flush=True)
    return own


def _place():
    """Number of this process, number of processes, number on this machine."""
    for names in NAMES:
        if not all(name in os.environ for name in names[:2]):
            continue
        try:
            number, n = (int(os.environ[name]) for name in names[:2])
            local = int(os.environ.get(names[2], number))
        except ValueError:
            number, n, local = -1, 0, 0
        if not (0 <= number < n and local >= 0):
            said = ", ".join(f"{name}={os.environ.get(name, '')}" for name in names)
            raise InputError(f"{said} in the environment do not say which of how many processes this is, from 0")
        return number, n, local
    if "RANK" in os.environ or "WORLD_SIZE" in os.environ:
        raise InputError("RANK and WORLD_SIZE in the environment go together: set both, or unset both for one process")
    return 0, 1, 0
