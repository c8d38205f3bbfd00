"""What the robust recipe puts in front of an encoder: one linear filter for the features of every second."""

import torch
from torch import nn


class SharedFilters(nn.Module):
    """Linear filters over all channels and features of each 1 s block.

    They begin as the identity; pre-training sets them from the training windows, and no gradient changes them
    (``FRONT_END = "bandpower"``).
    """

    def __init__(self, n_channels, block_samples):
        super().__init__()
        self.block_samples = block_samples
        self.register_buffer("filters", torch.eye(n_channels * block_samples))

    def forward(self, x):
        """Filtered blocks (B, seconds, n_channels * block_samples) of windows (B, n_channels, n_samples)."""
        blocks = x.unflatten(-1, (-1, self.block_samples)).transpose(-3, -2)  # (B, seconds, C, block_samples)
        return blocks.flatten(-2) @ self.filters
