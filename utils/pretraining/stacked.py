"""What a step trains: the networks of one fold, or those of several folds, stacked.

The folds of a cross-validation have the same networks and other rows. Stacked, ten of them are one step with ten times
as much to do, and on a GPU a step of a single one mostly waits for its many small kernels.
"""

import copy

import torch
from torch import nn
from torch.func import functional_call, stack_module_state

from utils.base.devices import adam
from utils.base.kernels import write_out_attention
from utils.pretraining import together


class Objective(nn.Module):
    """The loss of a batch as a step computes it: the encoders in bfloat16 if asked for, the losses in single precision.

    ``gather`` puts the pooled windows (2, B, D) of all processes together.
    """

    def __init__(self, model, bf16=False, gather=None):
        super().__init__()
        self.model, self.bf16, self.gather = model, bf16, gather

    def forward(self, *inputs, part=None):
        """Terms of the loss by name, of windows; or one part of it: ``"encode"`` or ``"losses"``."""
        if part is not None:
            return getattr(self, part)(*inputs)
        return self.losses(*self.encode(*inputs))

    def encode(self, windows):
        """Pooled features and projections by modality, of windows of both modalities or of one."""
        with torch.autocast(next(iter(windows.values())).device.type, torch.bfloat16, enabled=self.bf16):
            pooled = self.model.encode(windows)
        if self.bf16:
            pooled = [{name: x.float() for name, x in part.items()} for part in pooled]
        if self.gather is not None:
            pooled = [{name: self.gather(x) for name, x in part.items()} for part in pooled]
        return tuple(pooled)

    def losses(self, features, projections):
        """Terms of the loss by name, of what `encode` returns."""
        return self.model.losses(features, projections)


class Alone:
    """The networks of one fold; with ``--parallel batch`` this process's part of them."""

    def __init__(self, fold):
        self.folds, self.batches, self.optimizer = [fold], fold.batches, fold.optimizer
        self.network = fold.objective()
        self.encode, self.losses = self.network.encode, self.network.losses
        if fold.together:  # a whole, for DistributedDataParallel
            self.encode = None
            self.losses = together.over_processes(fold.objective(together.gather), fold.epoch, fold.device)

    def shuffle(self):
        """An epoch's windows: places (n_steps, 2, B, N) for `draw`, and variants (n_steps, 2, B)."""
        first, variants = self.folds[0].shuffle()
        return self.batches.place(first), variants

    def share_state(self):
        """Nothing to do: the optimizer is the fold's."""


class Stacked:
    """The networks of several folds, whose own weights and buffers become views of the stacked ones."""

    def __init__(self, folds):
        self.folds = folds
        objectives = [fold.objective() for fold in folds]
        self.weights, self.buffers = stack_module_state(objectives)
        for weight in self.weights.values():
            if weight.dim() == 3:  # of linear layers: in memory as their gradients, else copied (1/4 of a step)
                weight.data = weight.data.mT.contiguous().mT
        for number, objective in enumerate(objectives):
            for name, tensor in (*objective.named_parameters(), *objective.named_buffers()):
                tensor.data = (self.weights | self.buffers)[name].detach()[number]
        self.network = copy.deepcopy(objectives[0]).to("meta").train()
        write_out_attention(self.network)
        self.optimizer = adam(self.weights.values(), folds[0].settings, folds[0].device)
        for stack, single in self._parameters():
            states = [fold.optimizer.state.get(p) for fold, p in zip(folds, single, strict=True)]
            if states[0]:
                moments = {key: torch.empty_like(stack) for key in states[0] if key != "step"}
                for key, moment in moments.items():
                    torch.stack([state[key] for state in states], out=moment)
                self.optimizer.state[stack] = moments | {"step": states[0]["step"].clone()}
        self.batches, self.offset = _one_source([fold.batches for fold in folds])

    def _parameters(self):
        """Every stacked parameter, and those of the folds."""
        of_folds = zip(*(fold.model.parameters() for fold in self.folds), strict=True)
        return zip(self.weights.values(), of_folds, strict=True)

    def shuffle(self):
        """An epoch's windows: places (n_steps, F, 2, B, N) for `draw`, and variants (n_steps, F, 2, B)."""
        plans = [fold.shuffle() for fold in self.folds]
        first = torch.stack([first + number * self.offset for number, (first, _) in enumerate(plans)], dim=1)
        return self.batches.place(first), torch.stack([variants for _, variants in plans], dim=1)

    def encode(self, windows):
        """Pooled features and projections of windows (F, 2, B, N, C, L) by modality."""
        return self._of_all("encode", windows)

    def losses(self, features, projections):
        """Terms of the loss by name, each (F,)."""
        return self._of_all("losses", features, projections)

    def _of_all(self, part, *inputs):
        def of_one(weights, buffers, *inputs):
            return functional_call(self.network, (weights, buffers), inputs, {"part": part})

        return torch.vmap(of_one, randomness="different")(self.weights, self.buffers, *inputs)

    def share_state(self):
        """Let every fold's optimizer see its part of the state, to be saved."""
        for stack, single in self._parameters():
            for number, (fold, parameter) in enumerate(zip(self.folds, single, strict=True)):
                if state := self.optimizer.state.get(stack):  # none for what no loss depends on
                    fold.optimizer.state[parameter] = {k: x[number] if x.dim() else x for k, x in state.items()}


def _one_source(batches):
    """Batches that draw for all folds, and how many seconds the recordings of one are, in those of all."""
    recordings = batches[0].recordings
    if all(one.recordings is recordings for one in batches):
        return batches[0], 0
    n_seconds = len(next(iter(recordings.blocks.values()))) * recordings.seconds_per_subject
    joined, recordings = copy.copy(batches[0]), copy.copy(recordings)
    recordings.blocks = {n: torch.cat([one.recordings.blocks[n] for one in batches]) for n in recordings.blocks}
    joined.recordings = joined.source = recordings
    return joined, n_seconds
