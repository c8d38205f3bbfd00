"""A linear layer that takes the faster of two libraries on x86 processors, and sums up in an order that does not depend
on the number of threads."""

import platform

import torch
from torch import nn
from torch.nn import functional as F

MIN = 200_000
NARROW = 16  # times as many inputs as outputs: oneDNN then adds up in as many parts as there are threads
FEW = 16  # rows of a product; MKL on AMD's processors then adds up in an order that depends on the number of threads
_HAS_ONEDNN = (
    platform.machine().lower() in ("x86_64", "amd64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


class _OneDNNLinear(torch.autograd.Function):
    """`F.linear` through oneDNN, which for a few dozen rows is nearly twice as fast as MKL, PyTorch's choice."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        need_x, need_weight, need_bias = ctx.needs_input_grad
        rows = gradient.flatten(0, -2).contiguous()
        d_x = d_weight = None
        if need_x:
            d_x = torch.ops.mkldnn._linear_pointwise(rows, weight.t(), None, "none", [], "").view_as(x)
        if need_weight:
            d_weight = torch.ops.mkldnn._linear_pointwise(rows.t(), x.flatten(0, -2).t(), None, "none", [], "")
        return d_x, d_weight, rows.sum(0) if need_bias else None


def linear(x, weight, bias=None):
    """`torch.nn.functional.linear`, faster in single precision on x86 processors, the same elsewhere."""
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
        return _OneDNNLinear.apply(x, weight, bias)
    if mixed or min(x.shape[:-1].numel(), len(weight)) > FEW:  # the rows of the result, and of its gradient
        return F.linear(x, weight, bias)
    rows, columns = x.reshape(-1, x.shape[-1]), weight.t()
    y = torch.bmm(rows.expand(2, -1, -1), columns.expand(2, -1, -1))[0]  # in a batch of two the order is fixed
    y = y.view(*x.shape[:-1], len(weight))
    return y if bias is None else y + bias


class Linear(nn.Linear):
    """`torch.nn.Linear` that computes with `linear`."""

    def forward(self, x):
        """(..., in_features) to (..., out_features)."""
        return linear(x, self.weight, self.bias)
