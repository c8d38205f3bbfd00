"""One batch over several ranks: what the loss over the whole batch needs of the others."""

import torch
from torch import distributed


class _Gather(torch.autograd.Function):
    """Rows of all ranks, and the sum of what all ranks' losses say to the own ones."""

    @staticmethod
    def forward(ctx, x):
        ctx.n, ctx.rank = x.shape[1], distributed.get_rank()
        parts = [torch.empty_like(x) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts, dim=1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(gradient)
        return gradient[:, ctx.rank * ctx.n : (ctx.rank + 1) * ctx.n]


def gather(x):
    """Windows of all ranks, with gradients.

    Parameters
    ----------
    x : torch.Tensor, shape (2, B / ranks, D)

    Returns
    -------
    torch.Tensor, shape (2, B, D)
    """
    return _Gather.apply(x)


class MeanGradients:
    """Gradients as the mean over the ranks, each sent while backward computes the next.

    Parameters
    ----------
    model : torch.nn.Module
        The same on all ranks.
    """

    def __init__(self, model):
        self.sent = []
        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(self._send)

    def _send(self, parameter):
        self.sent.append(distributed.all_reduce(parameter.grad, async_op=True))

    def backward(self, loss):
        """``loss.backward()``; all ranks have the same gradients then."""
        (loss / distributed.get_world_size()).backward()
        for work in self.sent:
            work.wait()
        self.sent.clear()
