"""Pre-training: the encoders, their group losses (LS-TCL) and the alignment between them (CM-CA)."""

import torch
from torch import distributed, nn

from models.losses import CrossModalAlignment, group_nt_xent


class ContrastiveModel(nn.Module):
    """The networks and the loss of one pre-training.

    Loss = 1/2 group(EEG) + 1/2 group(PPS) + CM-CA (PhysioSync, arXiv 2504.17163), less the terms that are switched off.

    Parameters
    ----------
    encoders : dict of str to Encoder
        By modality, ``"eeg"`` and ``"pps"`` or one of them; with equal feature widths.
    tau : float
        Temperature of all terms.
    group_losses : collection of str
        Modalities with a group loss.
    align : bool
        Whether CM-CA is on; it needs both modalities.
    bf16 : bool
        Whether encoders and projectors compute in bfloat16 (mixed precision); the weights and the losses do not.

    Raises
    ------
    ValueError
        If no term is left, or one asks for a modality without encoder.
    """

    def __init__(self, encoders, tau, group_losses=("eeg", "pps"), align=True, bf16=False):
        super().__init__()
        if not set(group_losses) <= set(encoders) or (align and len(encoders) < 2) or not (align or group_losses):
            raise ValueError(f"encoders {list(encoders)} do not go with group losses {group_losses} and align={align}")
        self.encoders = nn.ModuleDict(encoders)
        self.group_losses = tuple(group_losses)
        self.alignment = CrossModalAlignment(next(iter(encoders.values())).feature_dim) if align else None
        self.tau, self.bf16 = tau, bf16
        self.together = False  # whether the windows in training are this process's part of a batch
        group = [f"{kind}_{name}" for name in encoders if name in group_losses for kind in ("loss", "accuracy")]
        self.metric_names = ["loss", *group, *(["loss_cmca"] if align else [])]

    def forward(self, windows):
        """Losses of a batch.

        Parameters
        ----------
        windows : dict of str to torch.Tensor, shape (2, B, N, C, L)
            For each modality: two groups x B stimulus windows x N people, windows of C channels and L samples.

        Returns
        -------
        loss : torch.Tensor, scalar
        metrics : torch.Tensor, shape (len(metric_names),)
            The loss, its terms and the contrastive accuracies, detached; they stay on the device.
        """
        terms, metrics, groups, pooled = [], [], [], {}
        for name, encoder in self.encoders.items():
            x = windows[name]
            with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
                feature = encoder(x.flatten(0, 2))  # (2BN, 4E)
                z = encoder.project(feature) if name in self.group_losses else None  # (2BN, D)
            if self.bf16:
                feature, z = feature.float(), None if z is None else z.float()
            pooled[name] = self._pool(feature, x.shape[:3])  # (2B, 4E)
            if z is not None:
                groups.append(self._pool(z, x.shape[:3]))  # (2B, D)
        if groups:
            both = torch.stack(group_nt_xent(torch.stack(groups), self.tau), 1)  # (modalities, [loss, accuracy])
            terms.append(both[:, 0].sum() / 2)
            metrics += both.flatten().unbind()
        if self.alignment is not None:
            metrics.append(self.alignment(pooled["eeg"], pooled["pps"], self.tau))
            terms.append(metrics[-1])
        loss = torch.stack(terms).sum()
        return loss, torch.stack([loss, *metrics]).detach()

    def _pool(self, x, shape):
        """Largest value over the people of each group, (2BN, D) -> (2B, D); those of all processes if together."""
        x = x.unflatten(0, shape).amax(2)  # (2, B, D)
        if self.together and self.training:
            parts = [torch.empty_like(x) for _ in range(distributed.get_world_size())]
            distributed.all_gather(parts, x.detach().contiguous())
            parts[distributed.get_rank()] = x  # whose gradient only this process computes,
            x.register_hook(lambda gradient: gradient * len(parts))  # and DistributedDataParallel takes the mean
            x = torch.cat(parts, dim=1)
        return x.flatten(0, 1)
