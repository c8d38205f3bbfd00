"""What a step trains: the networks of one fold, or those of several folds, stacked.

The folds of a cross-validation have the same networks and other rows. Stacked, ten of them are one step with ten times
as much to do, and on a GPU a step of a single one mostly waits for its many small kernels.
"""

import copy

import torch
from torch.func import functional_call, stack_module_state

from utils.base.devices import adam
from utils.pretraining import together

BYTES_PER_PARAMETER = 24  # weight, gradient, two moments, and the largest of what comes and goes in a step
SHARE = 0.8  # of a GPU's free memory


def most_at_once(fold):
    """How many folds like this one are trained in one step by default: on CUDA as many as fit into memory, else 1."""
    if fold.device.type != "cuda" or fold.together:
        return 1
    n_bytes = BYTES_PER_PARAMETER * sum(p.numel() for p in fold.model.parameters())
    return max(1, int(SHARE * torch.cuda.mem_get_info(fold.device)[0] / n_bytes))


def alike(one, other):
    """Whether a step can train both: with as many steps of as many windows, from the same samples or from features."""
    same = one.batches.recordings is other.batches.recordings or one.settings.FRONT_END != "raw"
    sizes = [(fold.batches.n_steps, fold.batches.batch_size) for fold in (one, other)]
    return same and sizes[0] == sizes[1]


class Alone:
    """The networks of one fold; with ``--parallel batch`` this process's part of them."""

    def __init__(self, fold):
        self.folds, self.batches, self.optimizer = [fold], fold.batches, fold.optimizer
        self.network = fold.objective()
        self.encode, self.losses = self.network.encode, self.network.losses
        if fold.together:  # a whole, for DistributedDataParallel
            whole = together.over_processes(fold.objective(together.gather), fold.epoch, fold.device)
            self.encode, self.losses = None, whole

    def shuffle(self):
        """An epoch's windows: places (n_steps, 2, B, N) for `draw`, and variants (n_steps, 2, B)."""
        first, variants = self.folds[0].shuffle()
        return self.batches.place(first), variants

    def share_state(self):
        """The optimizer is the fold's own."""


class Stacked:
    """The networks of several folds, whose own weights and buffers become views of the stacked ones."""

    def __init__(self, folds):
        self.folds = folds
        objectives = [fold.objective() for fold in folds]
        self.weights, self.buffers = stack_module_state(objectives)
        for weight in self.weights.values():
            if (
                weight.dim() == 3
            ):  # of linear layers: in memory as their gradients, which else are copied (1/4 of a step)
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
        return zip(
            self.weights.values(), zip(*(fold.model.parameters() for fold in self.folds), strict=True), strict=True
        )

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

    def _of_all(self, part, *given):
        def of_one(weights, buffers, *own):
            return functional_call(self.network, (weights, buffers), own, {"part": part})

        in_dims = (0, 0, *(0 for _ in given))
        return torch.vmap(of_one, in_dims, randomness="different")(self.weights, self.buffers, *given)

    def share_state(self):
        """Let every fold's optimizer see its part of the state, to be saved."""
        for stack, single in self._parameters():
            for number, (fold, parameter) in enumerate(zip(self.folds, single, strict=True)):
                if state := self.optimizer.state.get(stack):  # none for what no loss depends on
                    fold.optimizer.state[parameter] = {k: x[number] if x.dim() else x for k, x in state.items()}


def write_out_attention(network):
    """Let its attention be computed by sums and products, for `torch.vmap` and `torch.compile`."""
    for module in network.modules():
        if hasattr(module, "fused"):
            module.fused = False


def _one_source(batches):
    """Batches that draw for all folds, and how many seconds the recordings of one are, in those of all."""
    first = batches[0].recordings
    if all(one.recordings is first for one in batches):
        return batches[0], 0
    one, recordings = copy.copy(batches[0]), copy.copy(first)
    recordings.blocks = {name: torch.cat([own.recordings.blocks[name] for own in batches]) for name in first.blocks}
    one.recordings = one.source = recordings
    return one, len(next(iter(first.blocks.values()))) * first.seconds_per_subject
