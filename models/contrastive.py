"""Pre-training: both encoders, their group losses (LS-TCL) and the alignment between them (CM-CA)."""

import torch
from torch import nn

from models.losses import CrossModalAlignment, group_nt_xent


class ContrastiveModel(nn.Module):
    """The networks and the loss of one pre-training.

    Loss = 1/2 group(EEG) + 1/2 group(PPS) + CM-CA.

    Parameters
    ----------
    encoders : dict of str to Encoder
        By modality, ``"eeg"`` and ``"pps"``, with equal feature widths.
    tau : float
        Temperature of all three terms.
    """

    def __init__(self, encoders, tau):
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.alignment = CrossModalAlignment(next(iter(encoders.values())).feature_dim)
        self.tau = tau

    def forward(self, windows):
        """Losses of a batch.

        Parameters
        ----------
        windows : dict of str to torch.Tensor, shape (2, B, N, C, L)
            For each modality: two groups x B stimulus windows x N people, windows of C channels and L samples.

        Returns
        -------
        loss : torch.Tensor, scalar
        metrics : dict of str to torch.Tensor
            The terms of the loss and the contrastive accuracies, detached scalars that stay on the device.
        """
        terms, metrics, pooled = [], {}, {}
        for name, encoder in self.encoders.items():
            x = windows[name]
            feature = encoder(x.flatten(0, 2))  # (2BN, 4E)
            z = encoder.project(feature)  # (2BN, D)
            groups = z.unflatten(0, x.shape[:3]).amax(2).flatten(0, 1)  # (2B, D)
            loss, accuracy = group_nt_xent(groups, self.tau)
            pooled[name] = feature.unflatten(0, x.shape[:3]).amax(2).flatten(0, 1)  # (2B, 4E)
            terms.append(loss / 2)
            metrics |= {f"loss_{name}": loss, f"accuracy_{name}": accuracy}
        metrics["loss_cmca"] = self.alignment(pooled["eeg"], pooled["pps"], self.tau)
        loss = torch.stack([*terms, metrics["loss_cmca"]]).sum()
        return loss, {"loss": loss.detach()} | {name: value.detach() for name, value in metrics.items()}
