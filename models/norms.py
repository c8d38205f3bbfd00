"""Normalisation layers whose results on a CPU do not depend on the number of threads, and BatchNorm over several ranks.

PyTorch's kernels add up partial sums of as many parts as there are threads, so that the last bits change with them.
"""

import torch
from torch import distributed, nn


def layer_norm_backward(gradient, x, mean, rstd, weight, bias):
    """Gradients for x, weight and bias of `torch.native_layer_norm` over the last axis of rows (n, features)."""
    kernel, on_cpu = torch.ops.aten.native_layer_norm_backward, x.device.type == "cpu"
    d_x, d_weight, d_bias = kernel(gradient, x, weight.shape, mean, rstd, weight, bias, [True, not on_cpu, not on_cpu])
    if on_cpu:
        gradient = gradient.to(weight.dtype)
        d_weight, d_bias = torch.addcmul(-mean * rstd, x, rstd).mul_(gradient).sum(0), gradient.sum(0)
    return d_x, d_weight, d_bias


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        y, mean, rstd = torch.native_layer_norm(x, weight.shape, weight, bias, eps)
        ctx.save_for_backward(x, mean, rstd, weight, bias)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return *layer_norm_backward(gradient.contiguous(), *ctx.saved_tensors), None


class LayerNorm(nn.LayerNorm):
    """`torch.nn.LayerNorm` of (rows, features)."""

    def forward(self, x):
        """As the library's."""
        if x.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(x)
        return _LayerNorm.apply(x, self.weight, self.bias, self.eps)


class _BatchNorm(torch.autograd.Function):
    """Normalisation by the statistics of the batch, with those of all ranks if ``synchronised``."""

    @staticmethod
    def forward(ctx, x, weight, bias, eps, synchronised):
        ctx.synchronised, ctx.dtype = synchronised, x.dtype
        x = x.to(weight.dtype)
        mean = _over_ranks(x.mean(0), synchronised)
        y = x - mean
        variance = _over_ranks((y * y).mean(0), synchronised)
        rstd = (variance + eps).rsqrt()
        y *= rstd
        ctx.save_for_backward(y, rstd, weight)
        ctx.mark_non_differentiable(mean, variance)
        return torch.addcmul(bias, y, weight).to(ctx.dtype), mean, variance

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient, _mean, _variance):
        y, rstd, weight = ctx.saved_tensors
        gradient = gradient.to(weight.dtype)
        own = torch.stack([gradient.sum(0), (gradient * y).sum(0)])  # gradients of bias and weight
        mean = _over_ranks(own / len(y), ctx.synchronised)
        d_x = (gradient - mean[0]).addcmul_(y, mean[1], value=-1).mul_(rstd * weight)
        return d_x.to(ctx.dtype), own[1], own[0], None, None


def _over_ranks(mean, synchronised):
    """The mean over all ranks, which have as many rows each; in place."""
    if synchronised:
        distributed.all_reduce(mean)
        mean /= distributed.get_world_size()
    return mean


class BatchNorm1d(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` of (rows, features); after `synchronise` over the rows of all ranks."""

    synchronised = False

    def forward(self, x):
        """As the library's."""
        if x.device.type != "cpu" or not self.training:
            return super().forward(x)
        n = len(x) * (distributed.get_world_size() if self.synchronised else 1)
        if n < 2:
            raise ValueError("BatchNorm needs at least 2 rows in training")
        y, mean, variance = _BatchNorm.apply(x, self.weight, self.bias, self.eps, self.synchronised)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (n / (n - 1)), self.momentum)
            self.num_batches_tracked += 1
        return y


def synchronise(module, device):
    """Make every BatchNorm of a module take the statistics of all ranks; each must have as many rows.

    Parameters
    ----------
    module : torch.nn.Module
    device : torch.device
        PyTorch's own SyncBatchNorm, which is for GPUs, is taken on CUDA.

    Returns
    -------
    torch.nn.Module
        The module, with parameters and buffers of the same names.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for layer in module.modules():
        if isinstance(layer, BatchNorm1d):
            layer.synchronised = True
    return module
