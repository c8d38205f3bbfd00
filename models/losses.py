"""The contrastive losses: LS-TCL (inside a modality) and CM-CA (between modalities)."""

import torch
from torch import nn
from torch.nn import functional as F


def group_nt_xent(z, tau):
    """NT-Xent over the pooled windows of two groups of people (PhysioSync, arXiv 2504.17163, LS-TCL).

    Row i and row i + B of ``z`` are the same stimulus window, seen by two disjoint groups: the positive pair.
    All other rows are negatives. The loss is the sum of both directions, each a mean over B.

    Parameters
    ----------
    z : torch.Tensor, shape (2 * B, D)
        Group projections, not normalised.
    tau : float
        Temperature.

    Returns
    -------
    loss : torch.Tensor, scalar
    accuracy : torch.Tensor, scalar
        Fraction of group 1's rows whose most similar row of group 2 is their own stimulus window. Chance is 1 / B.

    Raises
    ------
    ValueError
        If ``z`` has an odd number of rows.
    """
    if len(z) % 2:
        raise ValueError(f"group_nt_xent needs two groups of equal size, not {len(z)} rows")
    n = len(z) // 2  # B
    z = F.normalize(z, dim=1)
    similarity = z @ z.T / tau  # (2B, 2B)
    window = torch.arange(n, device=z.device)  # (B,)
    accuracy = (similarity[:n, n:].argmax(1) == window).to(z.dtype).mean()
    itself = torch.eye(2 * n, dtype=torch.bool, device=z.device)
    similarity = similarity.masked_fill(itself, float("-inf"))  # a row is no candidate for itself
    positive = torch.cat([window + n, window])  # (2B,): i + B for row i, and i for row i + B
    loss = 2 * F.cross_entropy(similarity, positive)  # the mean over 2B rows, twice: one mean over B per direction
    return loss, accuracy


class CrossModalAlignment(nn.Module):
    """CM-CA: EEG and PPS of the same stimulus windows agree in a shared space.

    One linear map and one BatchNorm serve both modalities. The first half of the rows is swapped between them, so
    that each positive pair is one group's EEG and the other group's PPS; NT-Xent is averaged over the two mixtures
    (PhysioSync, arXiv 2504.17163, CM-CA).

    Parameters
    ----------
    feature_dim : int
        Width of the pooled features, 4 * embed_dim.
    shared_dim : int
        Width of the shared space.
    """

    def __init__(self, feature_dim, shared_dim=1024):
        super().__init__()
        self.linear = nn.Linear(feature_dim, shared_dim)
        self.norm = nn.BatchNorm1d(shared_dim)

    def forward(self, eeg, pps, tau):
        """Loss (scalar) of pooled features ``eeg`` and ``pps``, each (2 * B, feature_dim), at temperature ``tau``."""
        eeg, pps = (self.norm(x) for x in self.linear(torch.cat([eeg, pps])).chunk(2))  # BatchNorm sees one at a time
        n = len(eeg) // 2  # B: the rows of group 1
        loss_pps_eeg, _ = group_nt_xent(torch.cat([pps[:n], eeg[n:]]), tau)  # PPS of group 1, EEG of group 2
        loss_eeg_pps, _ = group_nt_xent(torch.cat([eeg[:n], pps[n:]]), tau)  # and the other way round
        return (loss_pps_eeg + loss_eeg_pps) / 2
