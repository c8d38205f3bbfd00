"""Dropout whose random numbers cost a quarter of the library's on a CPU."""

import torch
from torch import nn

LEVELS = 2**16  # of the random numbers that decide


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`; on a CPU ``p`` is rounded to a multiple of 1 / `LEVELS`."""

    def forward(self, x):
        """As the library's."""
        n_dropped = round(self.p * LEVELS)
        if x.device.type != "cpu" or not self.training or n_dropped in (0, LEVELS):
            return super().forward(x)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)  # four values share a word
        kept = words.view(torch.int16)[: x.numel()].view(x.shape) >= n_dropped - LEVELS // 2
        return x * kept.to(x.dtype).mul_(LEVELS / (LEVELS - n_dropped))
