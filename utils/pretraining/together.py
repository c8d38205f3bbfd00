"""One batch computed by all processes: PyTorch's DistributedDataParallel over the loss of the whole batch.

Every process computes its part of the windows, and the loss of the whole batch from the pooled windows of all
(`stacked.Objective`).
"""

import contextlib
import os
import sys

import torch
from torch import distributed

from utils.base import ranks
from utils.base.errors import InputError
from utils.base.progress import Silence

FLAG = "--parallel batch"


@contextlib.contextmanager
def meet():
    """Keep in touch with the other processes of the job, for the time of the block; rank 0 speaks for all."""
    if not {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        raise InputError(f"{FLAG}: processes meet at MASTER_ADDR and MASTER_PORT; set both, or start with torchrun")
    if ranks.rank() > 0:
        sys.stdout = Silence()
    try:
        distributed.init_process_group(rank=ranks.rank(), world_size=ranks.size())  # gloo for CPUs, NCCL for GPUs
        yield
        distributed.destroy_process_group()
    except RuntimeError as error:
        if not (isinstance(error, distributed.DistError) or "gloo" in str(error)):
            raise
        raise InputError(f"{FLAG}: another process has ended; the same command goes on from what is complete") from None


def own_part(batch_size):
    """The items of every batch that this process computes."""
    part = batch_size // ranks.size()
    if part * ranks.size() != batch_size:
        raise InputError(f"{FLAG}: {ranks.size()} processes cannot share batches of {batch_size}; see --batch-size")
    return slice(ranks.rank() * part, (ranks.rank() + 1) * part)


def gather(x):
    """Pooled windows (2, B, D) of all processes, (2, B of all, D)."""
    parts = [torch.empty_like(x) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, x.detach().contiguous())
    parts[distributed.get_rank()] = x  # whose gradient only this process computes,
    x.register_hook(lambda gradient: gradient * len(parts))  # and DistributedDataParallel takes the mean
    return torch.cat(parts, dim=1)


def over_processes(objective, epoch, device):
    """The objective (with `gather`) with the gradients of the whole batch; all must go on from the same ``epoch``.

    On CUDA, BatchNorm takes the statistics of the whole batch. There is no such layer for a CPU: each process takes
    those of its own part there, and the running statistics of rank 0 are kept.
    """
    if device.type == "cuda" and ranks.local_rank() >= torch.cuda.device_count():
        raise InputError(f"{FLAG} needs a GPU for each process; this machine has {torch.cuda.device_count()}")
    epochs = [torch.zeros(1, device=device) for _ in range(distributed.get_world_size())]
    distributed.all_gather(epochs, torch.full((1,), float(epoch), device=device))
    if any(other.item() != epoch for other in epochs):
        raise InputError(f"{FLAG}: processes see different checkpoints; --run-dir must be a folder that all share")
    model = objective.model
    if device.type == "cuda":
        model.encoders = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model.encoders)
    unused = len(model.group_losses) < len(model.encoders)  # the projector of a modality without a group loss
    return torch.nn.parallel.DistributedDataParallel(objective, find_unused_parameters=unused)
