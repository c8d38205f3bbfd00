"""A linear layer that takes the faster of two libraries on x86 processors, and sums up in an order that does not depend
on the number of threads."""

import platform
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

MIN = 200_000  # weights; for fewer a call of oneDNN costs more than it saves
NARROW = 16  # times as many inputs as outputs: oneDNN then adds up in as many parts as there are threads
FEW = 16  # rows of a product; MKL on AMD's processors then adds up in an order that depends on the number of threads
MANY = 64  # rows; with fewer, the weights are what a product has to read


def _is_intel():
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return "GenuineIntel" in platform.processor()


_HAS_ONEDNN = (
    platform.machine().lower() in ("x86_64", "amd64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
_INTEL = _is_intel()  # where MKL is the faster one backward


class _OneDNNLinear(torch.autograd.Function):
    """`F.linear`, and a ReLU after it if ``relu``, through oneDNN: for a few dozen rows up to twice as fast as MKL,
    PyTorch's choice (benchmarks/RESULTS.md)."""

    @staticmethod
    def forward(ctx, x, weight, bias, relu):
        rows = x.flatten(0, -2)
        if len(rows) > MANY:
            y = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "relu" if relu else "none", [], "")
        else:  # the other way round, so that the weights are read row by row, and the rows are what is rearranged
            y = torch.ops.mkldnn._linear_pointwise(weight, rows, None, "none", [], "").t().contiguous()
            y = y if bias is None else y.add_(bias)
            y = y.relu_() if relu else y
        ctx.save_for_backward(x, weight, y if relu else None)
        return y.unflatten(0, x.shape[:-1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        x, weight, y = ctx.saved_tensors
        need_x, need_weight, need_bias, _ = ctx.needs_input_grad
        rows = gradient.flatten(0, -2).contiguous()
        rows = rows if y is None else torch.ops.aten.threshold_backward(rows, y, 0)
        d_x = _product(rows, weight).view_as(x) if need_x else None
        d_weight = _product(rows.t(), x.flatten(0, -2)) if need_weight else None
        return d_x, d_weight, rows.sum(0) if need_bias else None, None


def _product(a, b):
    """Matrix product of the backward pass."""
    return a @ b if _INTEL else torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")


def linear(x, weight, bias=None, relu=False):
    """`torch.nn.functional.linear`, and a ReLU after it if ``relu``: faster in single precision on x86 processors, the
    same elsewhere."""
    mixed = x.device.type != "cpu" or x.dtype != weight.dtype or torch.is_autocast_enabled("cpu")
    plain = (
        not _HAS_ONEDNN
        or mixed
        or x.dtype != torch.float32
        or torch.compiler.is_compiling()
        or weight.numel() < MIN
        or weight.shape[1] > NARROW * weight.shape[0]
    )
    if not plain:
        return _OneDNNLinear.apply(x, weight, bias, relu)
    if mixed or min(x.shape[:-1].numel(), len(weight)) > FEW:  # the rows of the result, and of its gradient
        y = F.linear(x, weight, bias)
    else:
        rows, columns = x.reshape(-1, x.shape[-1]), weight.t()
        y = torch.bmm(rows.expand(2, -1, -1), columns.expand(2, -1, -1))[0]  # in a batch of two the order is fixed
        y = y.view(*x.shape[:-1], len(weight))
        y = y if bias is None else y + bias
    return y.relu() if relu else y


class Linear(nn.Linear):
    """`torch.nn.Linear` that computes with `linear`."""

    def forward(self, x, relu=False):
        """(..., in_features) to (..., out_features), and a ReLU after it if ``relu``."""
        return linear(x, self.weight, self.bias, relu)
