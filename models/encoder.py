"""The encoder of one modality (EEG or PPS): multi-view embedding, three attention blocks, projector."""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from models.front_end import SharedFilters

N_TOKENS = 4  # of a window: a class token in front of three views
N_VIEWS = N_TOKENS - 1
N_HEADS = 4
N_BLOCKS = 3
BRANCH_SCALE = 0.1  # learned scale of each residual branch, at the start
INIT_STD = 0.02


class MultiViewEmbedding(nn.Module):
    """Three views of a flattened window, each a gated linear unit (PhysioSync, multi-view embedding).

    The views share the value and have a gate each. One linear map gives all: its rows are [value, gates 1, 2, 3].
    """

    def __init__(self, n_inputs, embed_dim):
        super().__init__()
        self.linear = nn.Linear(n_inputs, (1 + N_VIEWS) * embed_dim)
        self.norm = nn.BatchNorm1d(embed_dim)
        self.embed_dim = embed_dim
        nn.init.trunc_normal_(self.linear.weight, std=INIT_STD)

    def forward(self, x):
        """Views (B, 3, embed_dim) of flattened windows (B, n_inputs)."""
        value, gates = self.linear(x).split([self.embed_dim, N_VIEWS * self.embed_dim], dim=1)
        views = value.unsqueeze(1) * gates.sigmoid().unflatten(1, (N_VIEWS, -1))  # (B, 3, E)
        return self.norm(views.flatten(0, 1)).view_as(views)


class Attention(nn.Module):
    """Multi-head self-attention; the queries and values have a bias, the keys have none."""

    def __init__(self, embed_dim):
        super().__init__()
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(embed_dim))
        self.v_bias = nn.Parameter(torch.zeros(embed_dim))
        self.proj = nn.Linear(embed_dim, embed_dim)
        self.fused = True  # False: written out, for torch.compile and torch.vmap, which has no rule for the kernel

    def forward(self, x, prompt=None):
        """Attention of tokens (B, T, E) to each other and to prompt tokens (1, P, E); shape (B, T, E)."""
        q, k, v = self._by_head(x)  # (B, H, T, E/H)
        if prompt is not None:  # the same keys and values for every window
            _, prompt_k, prompt_v = self._by_head(prompt).expand(-1, len(x), -1, -1, -1)  # (B, H, P, E/H)
            k, v = torch.cat([k, prompt_k], 2), torch.cat([v, prompt_v], 2)  # (B, H, T + P, E/H)
        attend = F.scaled_dot_product_attention if self.fused else scaled_dot_product_attention
        return self.proj(attend(q, k, v).transpose(1, 2).flatten(2))

    def _by_head(self, x):
        """Queries, keys and values (3, B, H, T, E/H) of tokens (B, T, E)."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        return F.linear(x, self.qkv.weight, bias).unflatten(2, (3, N_HEADS, -1)).permute(2, 0, 3, 1, 4)


def scaled_dot_product_attention(q, k, v):
    """softmax(q k' / sqrt(d)) v of queries (..., T, d), keys and values (..., S, d): shape (..., T, d).

    As sums of products, which `torch.compile` fuses with what is around them: a few tokens are no matrix for a GPU.
    """
    scores = (q.unsqueeze(-2) * k.unsqueeze(-3)).sum(-1) / q.shape[-1] ** 0.5  # (..., T, S)
    return (scores.softmax(-1).unsqueeze(-1) * v.unsqueeze(-3)).sum(-2)


class MLP(nn.Module):
    """Two linear layers, a ReLU after both."""

    def __init__(self, embed_dim):
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, 4 * embed_dim)
        self.fc2 = nn.Linear(4 * embed_dim, embed_dim)

    def forward(self, x):
        """Tokens (B, T, embed_dim) to tokens of the same shape."""
        return F.relu(self.fc2(F.relu(self.fc1(x))))


class LayerScale(nn.Module):
    """A learned factor for each feature of a residual branch (CaiT, arXiv 2103.17239)."""

    def __init__(self, embed_dim):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((embed_dim,), BRANCH_SCALE))

    def forward(self, x):
        """Scaled tokens (B, T, embed_dim)."""
        return self.gamma * x


class PromptTokens(nn.Module):
    """Learned tokens (1, P, embed_dim) that a block's attention sees (visual prompt tuning, arXiv 2203.12119)."""

    def __init__(self, n_tokens, embed_dim):
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(1, n_tokens, embed_dim))
        nn.init.trunc_normal_(self.tokens, std=INIT_STD)

    def forward(self):
        """The tokens."""
        return self.tokens


class Block(nn.Module):
    """A pre-norm transformer block with LayerScale and optional prompt tokens (PhysioSync, encoders).

    The prompt tokens are appended before the attention and dropped after the MLP, so they matter as keys and values of
    the attention only, and nothing else of them is computed.
    """

    FORMER: ClassVar = {"scale1": "scale1.gamma", "scale2": "scale2.gamma", "prompt": "prompt.tokens"} | {
        f"{layer}.{kind}": f"mlp.{layer}.{kind}" for layer in ("fc1", "fc2") for kind in ("weight", "bias")
    }

    def __init__(self, embed_dim, prompt_tokens):
        super().__init__()
        self.scale1, self.scale2 = LayerScale(embed_dim), LayerScale(embed_dim)
        self.register_module("prompt", None)  # in this place: stored optimizers number the parameters
        self.norm1 = nn.LayerNorm(embed_dim)
        self.attention = Attention(embed_dim)
        self.norm2 = nn.LayerNorm(embed_dim)
        self.mlp = MLP(embed_dim)
        if prompt_tokens:
            self.prompt = PromptTokens(prompt_tokens, embed_dim)
        self.register_load_state_dict_pre_hook(former_names)

    def forward(self, x):
        """Tokens (B, T, embed_dim) to tokens of the same shape."""
        prompt = None if self.prompt is None else self.norm1(self.prompt())
        x = x + self.scale1(self.attention(self.norm1(x), prompt))
        return x + self.scale2(self.mlp(self.norm2(x)))


def former_names(module, weights, prefix, *_):
    """Rename weights of files from before, in place: ``module.FORMER`` has today's names by the former ones."""
    for former, today in module.FORMER.items():
        if prefix + former in weights:
            weights[prefix + today] = weights.pop(prefix + former)


class Encoder(nn.Module):
    """Encoder of one modality's windows, with the projector of the contrastive loss.

    Parameters
    ----------
    n_channels, n_samples : int
        Size of a window: channels, and samples in time (128 for 1 s at 128 Hz, 640 for 5 s).
    embed_dim : int
        Width E of a token, a multiple of 4. The paper takes 128 at 1 s and 640 at 5 s.
    prompt_tokens : int
        Learned prompt tokens of every block: 2 in the EEG encoder, 0 in the PPS encoder.
    input_dropout : float
        Dropout on the tokens before the first block: 0.2 for EEG, 0 for PPS.
    projector_dims : tuple of int
        Widths of the projector's three linear layers.
    block_samples : int, optional
        Numbers per channel in a 1 s block, for `SharedFilters` in front of the embedding; by default there are none.

    Raises
    ------
    ValueError
        If ``embed_dim`` is no multiple of 4, or a window has another size than the encoder.

    Notes
    -----
    Source: PhysioSync (arXiv 2504.17163), the EEG and GSR encoders. The projector has no nonlinearity.
    """

    FORMER: ClassVar = {"filters": "front_end.filters"}

    def __init__(
        self,
        n_channels,
        n_samples,
        embed_dim,
        prompt_tokens=0,
        input_dropout=0.0,
        projector_dims=(1024, 2048, 4096),
        block_samples=None,
    ):
        super().__init__()
        if embed_dim % N_HEADS:
            raise ValueError(f"embed_dim must be a multiple of {N_HEADS}, not {embed_dim}")
        self.arguments = dict(
            n_channels=n_channels,
            n_samples=n_samples,
            embed_dim=embed_dim,
            prompt_tokens=prompt_tokens,
            input_dropout=input_dropout,
            projector_dims=list(projector_dims),
            block_samples=block_samples,
        )
        self.front_end = SharedFilters(n_channels, block_samples) if block_samples else nn.Identity()
        self.feature_dim = N_TOKENS * embed_dim
        self.embedding = MultiViewEmbedding(n_channels * n_samples, embed_dim)
        self.class_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.type_embedding = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.position_embedding = nn.Parameter(torch.empty(1, N_TOKENS, embed_dim))
        for token in (self.class_token, self.type_embedding, self.position_embedding):
            nn.init.trunc_normal_(token, std=INIT_STD)
        self.input_dropout = nn.Dropout(input_dropout)
        self.blocks = nn.Sequential(*[Block(embed_dim, prompt_tokens) for _ in range(N_BLOCKS)])
        self.norm = nn.LayerNorm(embed_dim)
        self.projector = projector(self.feature_dim, *projector_dims)
        self.register_load_state_dict_pre_hook(former_names)

    def forward(self, x):
        """Features (B, 4 * embed_dim) of windows (B, n_channels, n_samples), which may have further axes of length 1.

        They are the class token and the three views after the last block.
        """
        n_channels, n_samples = self.arguments["n_channels"], self.arguments["n_samples"]
        if x[0].numel() != n_channels * n_samples:
            size = f"{n_channels} channels x {n_samples} samples"
            raise ValueError(f"the encoder takes windows of {size}, not of {x[0].numel()} values")
        views = self.embedding(self.front_end(x).flatten(1))  # (B, C * L) -> (B, 3, E)
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), views], dim=1)  # (B, 4, E)
        tokens = self.input_dropout(tokens + self.type_embedding + self.position_embedding)
        return self.norm(self.blocks(tokens)).flatten(1)  # (B, 4E)

    def project(self, feature):
        """Map features (B, 4 * embed_dim) to the space of the contrastive loss (B, projector_dims[-1])."""
        return self.projector(feature)


def projector(feature_dim, d1, d2, d3):
    """Layers from features (B, feature_dim) to the space of the contrastive loss (B, d3); no nonlinearity (paper)."""
    return nn.Sequential(
        nn.Linear(feature_dim, d1),
        nn.BatchNorm1d(d1),
        nn.Dropout(0.2),
        nn.Linear(d1, d2),
        nn.BatchNorm1d(d2),
        nn.Dropout(0.2),
        nn.Linear(d2, d3),
    )


def paper_width(n_samples):
    """The paper's width of a token: as many as a window has samples, rounded down to a multiple of the heads."""
    return max(N_HEADS, n_samples - n_samples % N_HEADS)  # slow sensors have fewer samples than there are heads


def paper_arguments(modality, n_channels, n_samples, embed_dim=None):
    """Arguments of `Encoder` as in the paper: for ``"eeg"`` 2 prompt tokens and dropout on the tokens."""
    special = dict(prompt_tokens=2, input_dropout=0.2) if modality == "eeg" else {}
    embed_dim = embed_dim or paper_width(n_samples)
    return dict(n_channels=n_channels, n_samples=n_samples, embed_dim=embed_dim, **special)
