"""Another network as an encoder: its last layer off, what is left flattened, a linear map, and the same projector."""

import torch
from torch import nn

from models.encoder import N_TOKENS, projector


class AdaptedEncoder(nn.Module):
    """An encoder (see `models.build`) made of a network from windows (B, n_channels, n_samples) to (B, n_outputs).

    ``others`` are kept in ``arguments``.
    """

    captured = False  # nor replayed: the network may do what a graph of kernels cannot

    def __init__(
        self, network, n_outputs, n_channels, n_samples, embed_dim, projector_dims=(1024, 2048, 4096), **others
    ):
        super().__init__()
        sizes = dict(n_channels=n_channels, n_samples=n_samples, embed_dim=embed_dim)
        self.arguments = sizes | dict(projector_dims=list(projector_dims)) | others
        self.network, self.without = network, take_off(network, n_outputs)
        network.eval()
        with torch.no_grad():
            self.width = network(torch.zeros(2, n_channels, n_samples)).flatten(1).shape[1]
        network.train()
        self.feature_dim = N_TOKENS * embed_dim  # as of the other modality's encoder
        self.front_end = nn.Identity()
        self.linear = nn.Linear(self.width, self.feature_dim)
        self.projector = projector(self.feature_dim, *projector_dims)

    def forward(self, x):
        """Features (B, 4 * embed_dim) of windows (B, n_channels, n_samples)."""
        return self.linear(self.network(x).flatten(1).to(self.linear.weight.dtype))

    def project(self, feature):
        """Map features (B, 4 * embed_dim) to the space of the contrastive loss (B, projector_dims[-1])."""
        return self.projector(feature)


def take_off(network, n_outputs):
    """Replace the last layer by the identity, in place; its name, or an empty text if there is none.

    It is ``network.final_layer``, or else the last `torch.nn.Linear` with ``n_outputs`` outputs.
    """
    if isinstance(head := getattr(network, "final_layer", None), nn.Module):
        network.final_layer = (
            nn.ModuleList(nn.Identity() for _ in head) if type(head) is nn.ModuleList else nn.Identity()
        )
        return "final_layer"
    linear = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    name = next((name for name in reversed(linear) if network.get_submodule(name).out_features == n_outputs), "")
    if name:
        network.set_submodule(name, nn.Identity())
    return name
