"""Pre-training: the encoders, their group losses (LS-TCL) and the alignment between them (CM-CA)."""

from torch import nn

from models.losses import CrossModalAlignment, group_nt_xent


class ContrastiveModel(nn.Module):
    """The networks and the loss of one pre-training.

    Loss = 1/2 group(EEG) + 1/2 group(PPS) + CM-CA (PhysioSync, arXiv 2504.17163), less the terms that are switched off.

    Parameters
    ----------
    encoders : dict of str to encoder
        By modality, ``"eeg"`` and ``"pps"`` or one of them (see `models.build`); with equal feature widths.
    tau : float
        Temperature of all terms.
    group_losses : collection of str
        Modalities with a group loss.
    align : bool
        Whether CM-CA is on; it needs both modalities.

    Raises
    ------
    ValueError
        If no term is left, or one asks for a modality without encoder.
    """

    def __init__(self, encoders, tau, group_losses=("eeg", "pps"), align=True):
        super().__init__()
        if not set(group_losses) <= set(encoders) or (align and len(encoders) < 2) or not (align or group_losses):
            raise ValueError(f"encoders {list(encoders)} do not go with group losses {group_losses} and align={align}")
        self.encoders = nn.ModuleDict(encoders)
        self.group_losses = tuple(name for name in encoders if name in group_losses)
        self.alignment = CrossModalAlignment(next(iter(encoders.values())).feature_dim) if align else None
        self.tau = tau

    @property
    def metric_names(self):
        """Names of what `forward` returns, in its order."""
        group = [f"{kind}_{name}" for name in self.group_losses for kind in ("loss", "accuracy")]
        return ["loss", *group, *(["loss_cmca"] if self.alignment is not None else [])]

    def forward(self, windows):
        """Losses of a batch of windows (2, B, N, C, L) by modality: two groups x B stimulus windows x N people.

        Scalars by name: ``loss``, its terms ``loss_eeg``, ``loss_pps``, ``loss_cmca``, and the contrastive accuracies.
        """
        return self.losses(*self.encode(windows))

    def encode(self, windows):
        """Features (2, B, 4E) and projections (2, B, D) by modality, pooled over the people of each group.

        The modalities do not depend on each other: windows of one of them give its features.
        """
        features, projections = {}, {}
        for name, encoder in self.encoders.items():
            if name not in windows:
                continue
            groups = windows[name].shape[:3]  # 2, B, N
            feature = encoder(windows[name].flatten(0, 2))  # (2BN, C, L) -> (2BN, 4E)
            features[name] = feature.unflatten(0, groups).amax(2)  # (2, B, N, 4E) -> (2, B, 4E)
            if name in self.group_losses:
                projections[name] = encoder.project(feature).unflatten(0, groups).amax(2)  # (2, B, D)
        return features, projections

    def losses(self, features, projections):
        """Losses of what `encode` returns: of rows i and i + B, the same window seen by groups 1 and 2."""
        terms = {}
        for name, z in projections.items():
            terms[f"loss_{name}"], terms[f"accuracy_{name}"] = group_nt_xent(z.flatten(0, 1), self.tau)  # (2B, D)
        loss = sum(terms[f"loss_{name}"] for name in projections) / 2
        if self.alignment is not None:
            eeg, pps = (features[name].flatten(0, 1) for name in ("eeg", "pps"))  # (2B, 4E)
            terms["loss_cmca"] = self.alignment(eeg, pps, self.tau)
            loss = loss + terms["loss_cmca"]
        return {"loss": loss} | terms
