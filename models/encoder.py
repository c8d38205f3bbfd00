"""The encoder of one modality (EEG or PPS): multi-view embedding, three attention blocks, projector."""

import torch
from torch import nn
from torch.nn import functional as F

N_TOKENS = 4  # of a window: a class token in front of three views
N_VIEWS = N_TOKENS - 1
N_HEADS = 4
N_BLOCKS = 3
BRANCH_SCALE = 0.1  # learned scale of each residual branch, at the start
INIT_STD = 0.02


class MultiViewEmbedding(nn.Module):
    """Three gated views of a flattened window (PhysioSync, arXiv 2504.17163, multi-view embedding).

    One linear map gives the value and the three gates: its rows are [value, gate 1, gate 2, gate 3].
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

    def forward(self, x, prompt=None):
        """Tokens (B, T, E) that look at each other and at prompt tokens (1, P, E); shape (B, T, E)."""
        q, k, v = self._by_head(x)  # (B, H, T, E/H)
        if prompt is not None:  # the same for every window; nobody asks what they see themselves
            _, prompt_k, prompt_v = self._by_head(prompt).expand(-1, len(x), -1, -1, -1)  # (B, H, P, E/H)
            k, v = torch.cat([k, prompt_k], 2), torch.cat([v, prompt_v], 2)  # (B, H, T + P, E/H)
        heads = F.scaled_dot_product_attention(q, k, v)  # softmax(q k' / sqrt(E/H)) v: (B, H, T, E/H)
        return self.proj(heads.transpose(1, 2).flatten(2))

    def _by_head(self, x):
        """Queries, keys and values (3, B, H, T, E/H) of tokens (B, T, E)."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        return F.linear(x, self.qkv.weight, bias).unflatten(2, (3, N_HEADS, -1)).permute(2, 0, 3, 1, 4)


class Block(nn.Module):
    """A pre-norm transformer block, with optional prompt tokens (PhysioSync, arXiv 2504.17163, encoders).

    The prompts are appended before the attention and dropped after the perceptron. So they matter as keys and values
    of the attention and as nothing else, and nothing else is computed of them.
    """

    def __init__(self, embed_dim, prompt_tokens):
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim)
        self.attention = Attention(embed_dim)
        self.scale1 = nn.Parameter(torch.full((embed_dim,), BRANCH_SCALE))
        self.norm2 = nn.LayerNorm(embed_dim)
        self.fc1 = nn.Linear(embed_dim, 4 * embed_dim)
        self.fc2 = nn.Linear(4 * embed_dim, embed_dim)
        self.scale2 = nn.Parameter(torch.full((embed_dim,), BRANCH_SCALE))
        self.prompt = nn.Parameter(torch.empty(1, prompt_tokens, embed_dim)) if prompt_tokens else None
        if prompt_tokens:
            nn.init.trunc_normal_(self.prompt, std=INIT_STD)

    def forward(self, x):
        """Tokens (B, T, embed_dim) to tokens of the same shape."""
        prompt = None if self.prompt is None else self.norm1(self.prompt)
        x = x + self.scale1 * self.attention(self.norm1(x), prompt)
        return x + self.scale2 * F.relu(self.fc2(F.relu(self.fc1(self.norm2(x)))))


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
        Put a linear filter over all channels and samples of each 1 s block first, with so many samples in a block. It
        begins as the identity and is not trained by gradients (``FRONT_END = "bandpower"``).

    Raises
    ------
    ValueError
        If ``embed_dim`` is no multiple of 4, or a window has another size than the encoder.

    Notes
    -----
    Source: PhysioSync (arXiv 2504.17163), the EEG and GSR encoders. The projector has no nonlinearity.
    """

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
        self.block_samples = block_samples
        if block_samples:
            self.register_buffer("filters", torch.eye(n_channels * block_samples))
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
        d1, d2, d3 = projector_dims
        self.projector = nn.Sequential(
            nn.Linear(self.feature_dim, d1),
            nn.BatchNorm1d(d1),
            nn.Dropout(0.2),
            nn.Linear(d1, d2),
            nn.BatchNorm1d(d2),
            nn.Dropout(0.2),
            nn.Linear(d2, d3),
        )

    def forward(self, x):
        """Encode windows.

        Parameters
        ----------
        x : torch.Tensor, shape (B, n_channels, n_samples)
            Windows as the prepared data set holds them (any further axes of length 1 are ignored).

        Returns
        -------
        torch.Tensor, shape (B, 4 * embed_dim)
            Features: the class token and the three views after the last block.
        """
        if self.block_samples and x.shape[-1] == self.arguments["n_samples"]:
            blocks = x.unflatten(-1, (-1, self.block_samples)).transpose(-3, -2)  # (B, seconds, C, block_samples)
            x = blocks.flatten(-2) @ self.filters
        x = x.flatten(1)  # (B, C * L)
        if x.shape[1] != self.embedding.linear.in_features:
            size = f"{self.arguments['n_channels']} channels x {self.arguments['n_samples']} samples"
            raise ValueError(f"the encoder takes windows of {size}, not of {x.shape[1]} values")
        views = self.embedding(x)  # (B, 3, E)
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), views], dim=1)  # (B, 4, E)
        tokens = self.input_dropout(tokens + self.type_embedding + self.position_embedding)
        return self.norm(self.blocks(tokens)).flatten(1)  # (B, 4E)

    def project(self, feature):
        """Map features (B, 4 * embed_dim) to the space of the contrastive loss (B, projector_dims[-1])."""
        return self.projector(feature)


def paper_width(n_samples):
    """The paper's width of a token: as many as a window has samples, rounded down to a multiple of the heads."""
    return max(N_HEADS, n_samples - n_samples % N_HEADS)  # slow sensors have fewer samples than there are heads


def paper_arguments(modality, n_channels, n_samples, embed_dim=None):
    """Arguments of `Encoder` as in the paper.

    Parameters
    ----------
    modality : str
        ``"eeg"`` (2 prompt tokens, dropout on the tokens) or ``"pps"`` (neither).
    n_channels, n_samples : int
    embed_dim : int, optional
        By default `paper_width`.

    Returns
    -------
    dict
    """
    special = dict(prompt_tokens=2, input_dropout=0.2) if modality == "eeg" else {}
    embed_dim = embed_dim or paper_width(n_samples)
    return dict(n_channels=n_channels, n_samples=n_samples, embed_dim=embed_dim, **special)
