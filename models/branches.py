"""The two residual branches of a transformer block, each one operation with its gradients written out.

A branch is two dozen small operations; autograd's way back takes 2 to 3 % of a step more on a CPU
(benchmarks/RESULTS.md).
"""

import torch

from models import linear
from models.linear import relu_backward
from models.norms import layer_norm_backward

N_TOKENS = 4  # of a window: a class token in front of three views
N_HEADS = 4
EPS = 1e-5  # of the layer norms, the library's default


class AttentionBranch(torch.autograd.Function):
    """``x + scale * projection(attention(norm(x)))`` over the tokens of each window, rows x (B T, E).

    The keys and values are those of the window's own tokens and of the prompt tokens (P, E), if there are any, which
    are the same for every window. The queries and values have a bias, the keys have none.
    """

    @staticmethod
    def forward(ctx, x, prompt, norm_weight, norm_bias, qkv_weight, q_bias, v_bias, weight, bias, scale):
        rows = x if prompt is None else torch.cat([x, prompt])
        y, mean, rstd = torch.native_layer_norm(rows, rows.shape[1:], norm_weight, norm_bias, EPS)
        qkv = linear.forward(y, qkv_weight, torch.cat([q_bias, torch.zeros_like(q_bias), v_bias]))
        own, shared = _by_head(qkv, len(x))
        shared = shared.unsqueeze(1).expand(-1, own.shape[1], -1, -1, -1)
        q, k, v = torch.cat([own, shared], 3).flatten(1, 2)  # each (B heads, T + P, E / heads)
        q = q[:, :N_TOKENS]  # prompt tokens are not asked for
        # for so few tokens a fused kernel is no faster (benchmarks/RESULTS.md)
        weights = (q @ k.mT).mul_(q.shape[-1] ** -0.5).softmax(-1)  # (B heads, T, T + P)
        heads = (weights @ v).unflatten(0, own.shape[1:3]).transpose(1, 2).reshape(x.shape)
        branch = linear.forward(heads, weight, bias)
        ctx.mixed = torch.is_autocast_enabled(x.device.type)
        ctx.save_for_backward(
            rows, mean, rstd, norm_weight, norm_bias, y, qkv_weight, q, k, v, weights, heads, weight, branch, scale
        )
        return torch.addcmul(x, scale, branch)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        rows, *norm, y, qkv_weight, q, k, v, weights, heads, weight, branch, scale = ctx.saved_tensors
        with torch.autocast(gradient.device.type, torch.bfloat16, enabled=ctx.mixed):
            d_heads, d_weight, d_bias = linear.backward(gradient * scale, heads, weight)
            d_qkv = d_heads.new_empty(len(rows), qkv_weight.shape[0])
            own, shared = _by_head(d_qkv, len(gradient))
            d_heads = d_heads.view(-1, N_TOKENS, *own.shape[2:5:2]).transpose(1, 2).flatten(0, 1)
            d_weights = (d_heads @ v.mT).to(weights.dtype)
            d_weights = torch._softmax_backward_data(d_weights, weights, -1, weights.dtype).mul_(q.shape[-1] ** -0.5)
            parts = d_weights @ k, d_weights.mT @ q, weights.mT @ d_heads
            shared[0].zero_()
            for number, part in enumerate(parts):
                part = part.unflatten(0, own.shape[1:3])
                own[number] = part[:, :, :N_TOKENS]
                if number and shared.shape[2]:  # a copy, as the sum of a slice depends on the number of threads
                    shared[number] = part[:, :, N_TOKENS:].contiguous().sum(0)
            d_y, d_qkv_weight, d_qkv_bias = linear.backward(d_qkv, y, qkv_weight)
        d_q_bias, _, d_v_bias = d_qkv_bias.chunk(3)
        d_rows, d_norm_weight, d_norm_bias = layer_norm_backward(d_y.to(rows.dtype), rows, *norm)
        d_x, d_prompt = d_rows.split([len(gradient), len(rows) - len(gradient)])
        d_prompt = d_prompt if len(d_prompt) else None
        d_scale = (gradient * branch).sum(0)
        d_norm = d_norm_weight, d_norm_bias
        return d_x.add_(gradient), d_prompt, *d_norm, d_qkv_weight, d_q_bias, d_v_bias, d_weight, d_bias, d_scale


def _by_head(qkv, n_own):
    """Views of queries, keys and values (B T + P, 3 E): (3, B, heads, T, E / heads), (3, heads, P, E / heads)."""
    qkv = qkv.unflatten(1, (3, N_HEADS, -1))
    own = qkv[:n_own].unflatten(0, (-1, N_TOKENS)).permute(2, 0, 3, 1, 4)
    return own, qkv[n_own:].permute(1, 2, 0, 3)


class PerceptronBranch(torch.autograd.Function):
    """``x + scale * relu(linear(relu(linear(norm(x)))))`` of rows x (n, E)."""

    @staticmethod
    def forward(ctx, x, norm_weight, norm_bias, weight_1, bias_1, weight_2, bias_2, scale):
        y, mean, rstd = torch.native_layer_norm(x, x.shape[1:], norm_weight, norm_bias, EPS)
        hidden = linear.forward(y, weight_1, bias_1, relu=True)
        branch = linear.forward(hidden, weight_2, bias_2, relu=True)
        ctx.mixed = torch.is_autocast_enabled(x.device.type)
        ctx.save_for_backward(x, mean, rstd, norm_weight, norm_bias, y, weight_1, hidden, weight_2, branch, scale)
        return torch.addcmul(x, scale, branch)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        x, *norm, y, weight_1, hidden, weight_2, branch, scale = ctx.saved_tensors
        with torch.autocast(gradient.device.type, torch.bfloat16, enabled=ctx.mixed):
            d_hidden, *d_2 = linear.backward(relu_backward(gradient * scale, branch), hidden, weight_2)
            d_y, *d_1 = linear.backward(relu_backward(d_hidden, hidden), y, weight_1)
        d_x, *d_norm = layer_norm_backward(d_y.to(x.dtype), x, *norm)
        return d_x.add_(gradient), *d_norm, *d_1, *d_2, (gradient * branch).sum(0)
