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


def _mixed(x, weight):
    """Whether it is another device's or mixed precision's affair."""
    return x.device.type != "cpu" or x.dtype != weight.dtype or torch.is_autocast_enabled("cpu")


def _suits_onednn(weight):
    large = weight.numel() >= MIN and weight.shape[1] <= NARROW * weight.shape[0]
    return _HAS_ONEDNN and large and weight.dtype == torch.float32


def _product(a, b):
    """Matrix product, with few rows or columns in a batch of two, in which the order of the sums is fixed."""
    if a.device.type != "cpu" or torch.is_autocast_enabled("cpu") or min(len(a), b.shape[1]) > FEW:
        return a @ b
    return torch.bmm(a.expand(2, -1, -1), b.expand(2, -1, -1))[0]


def forward(x, weight, bias=None, relu=False):
    """Rows x (n, in_features) to rows (n, out_features), and a ReLU after it if ``relu``; no gradients.

    For a few dozen rows oneDNN is up to twice as fast as MKL, PyTorch's choice (benchmarks/RESULTS.md).
    """
    if not _mixed(x, weight) and _suits_onednn(weight):
        if len(x) > MANY:
            return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu" if relu else "none", [], "")
        # the other way round, so that the weights are read row by row, and the rows are what is rearranged
        y = torch.ops.mkldnn._linear_pointwise(weight, x, None, "none", [], "").t().contiguous()
        y = y if bias is None else y.add_(bias)
    elif _mixed(x, weight) or min(len(x), len(weight)) > FEW:
        y = F.linear(x, weight, bias)
    else:
        y = _product(x, weight.t())
        y = y if bias is None else y + bias
    return y.relu_() if relu else y


def backward(gradient, x, weight, need_x=True):
    """Gradients for rows x (if asked for), weight and bias, from that of `forward`'s result before a ReLU.

    Backward MKL is the faster one on Intel's processors.
    """
    product = _product
    if not _INTEL and not _mixed(x, weight) and _suits_onednn(weight):
        product = lambda a, b: torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")  # noqa: E731
    return product(gradient, weight) if need_x else None, product(gradient.t(), x), gradient.sum(0)


def relu_backward(gradient, y):
    """Gradient for what went into a ReLU, from that of its result ``y``."""
    return torch.ops.aten.threshold_backward(gradient.to(y.dtype), y, 0)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, relu):
        y = forward(x.flatten(0, -2), weight, bias, relu)
        ctx.save_for_backward(x, weight, y if relu else None)
        return y.unflatten(0, x.shape[:-1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        x, weight, y = ctx.saved_tensors
        need_x, _, need_bias, _ = ctx.needs_input_grad
        gradient = gradient.flatten(0, -2).contiguous()
        gradient = gradient if y is None else relu_backward(gradient, y)
        d_x, d_weight, d_bias = backward(gradient, x.flatten(0, -2), weight, need_x)
        return d_x.view_as(x) if need_x else None, d_weight, d_bias if need_bias else None, None


def linear(x, weight, bias=None, relu=False):
    """`torch.nn.functional.linear`, and a ReLU after it if ``relu``: faster in single precision on x86 processors."""
    if _mixed(x, weight):
        y = F.linear(x, weight, bias)
        return y.relu() if relu else y
    return _Linear.apply(x, weight, bias, relu)


class Linear(nn.Linear):
    """`torch.nn.Linear` that computes with `linear`."""

    def forward(self, x, relu=False):
        """(..., in_features) to (..., out_features), and a ReLU after it if ``relu``."""
        return linear(x, self.weight, self.bias, relu)
