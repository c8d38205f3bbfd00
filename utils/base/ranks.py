"""Several processes of one job, which do not communicate: this process's rank, and its share of the folds."""

import os

from utils.base.errors import InputError

NAMES = (  # in the environment: number of this process, of all processes, and its number on this machine
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),  # torchrun
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
    """Number of this process on its machine, from 0; if it is not set, its number in the job."""
    return _place()[2]


def share(folds):
    """This process's folds, the same regardless of which are complete: every ``size()``-th from ``rank()`` on."""
    mine = folds[rank() :: size()]
    if size() > 1:
        what = "folds " + ", ".join(str(fold.index) for fold in mine) if mine else "no fold is left for this process"
        print(f"rank {rank()} of {size()}: {what}", flush=True)
    return mine


def _place():
    for names in NAMES:
        if not all(name in os.environ for name in names[:2]):
            continue
        try:
            number, n = (int(os.environ[name]) for name in names[:2])
            local = int(os.environ.get(names[2], number))
        except ValueError:
            number, n, local = -1, 0, 0
        if not (0 <= number < n and local >= 0):
            where = ", ".join(f"{name}={os.environ.get(name, '')}" for name in names)
            raise InputError(where, "in the environment do not number this process, from 0, and all processes")
        return number, n, local
    if "RANK" in os.environ or "WORLD_SIZE" in os.environ:
        raise InputError("RANK and WORLD_SIZE", "go together", "set both, or unset both for one process")
    return 0, 1, 0
