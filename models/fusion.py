"""Fine-tuning: features of both modalities and both resolutions, gated by confidence, fused to a class."""

import torch
from torch import nn

N_SECONDS = 5  # 1 s windows in each 5 s window


class FusionClassifier(nn.Module):
    """Confidence gates and classifier over the encoders' features (PhysioSync, arXiv 2504.17163, fine-tuning).

    Parameters
    ----------
    n_classes : int
        2 for arousal or valence, 4 for the quadrants.
    feature_dim_5s, feature_dim_1s : int
        Width of the features of the 5 s and of the 1 s encoders.
    n_modalities : int
        2 for EEG and PPS, 1 for one of them.
    resolutions : tuple of str
        Any of ``"5s"`` and ``"1s"``.
    gate : bool
        Whether features are weighted by their confidence.
    """

    def __init__(
        self, n_classes, feature_dim_5s=2560, feature_dim_1s=512, n_modalities=2, resolutions=("5s", "1s"), gate=True
    ):
        super().__init__()
        widths = {"5s": [feature_dim_5s], "1s": [feature_dim_1s] * N_SECONDS}
        self.layout = [name for name in ("5s", "1s") if name in resolutions for _ in widths[name]] * n_modalities
        gates = {name: nn.Linear(widths[name][0], n_classes) for name in ("5s", "1s") if name in resolutions}
        self.gates = nn.ModuleDict(gates) if gate else None
        self.classifier = nn.Sequential(
            nn.Linear(n_modalities * sum(sum(widths[name]) for name in resolutions), 256),
            nn.BatchNorm1d(256),
            nn.ReLU(),
            nn.Linear(256, 128),
            nn.BatchNorm1d(128),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(128, n_classes),
        )

    def forward(self, *features):
        """Class scores (B, n_classes) of features, or of one list of them; ValueError if there are more or fewer.

        By default twelve: EEG 5 s (B, feature_dim_5s), EEG 1 s five times (B, feature_dim_1s), then PPS likewise.
        """
        if len(features) == 1 and isinstance(features[0], list | tuple):
            features = features[0]
        if len(features) != len(self.layout):
            raise ValueError(f"the classifier takes {len(self.layout)} features, not {len(features)}")
        if self.gates is not None:
            gates = [self.gates[name] for name in self.layout]
            features = [f * gate(f).softmax(1).amax(1, keepdim=True) for f, gate in zip(features, gates, strict=True)]
        return self.classifier(torch.cat(features, dim=1))


class FusionModel(nn.Module):
    """Encoders and classifier as one network, from windows to class scores.

    Parameters
    ----------
    encoders : dict of str to dict of str to encoder
        ``encoders[modality][resolution]``, with the modalities in the order ``"eeg"``, ``"pps"`` and the resolutions
        ``"5s"``, ``"1s"``; absent ones are not used. Their projectors, which only pre-training needs, are dropped.
    n_classes : int
    gate : bool
        Whether features are weighted by their confidence.
    """

    def __init__(self, encoders, n_classes, gate=True):
        super().__init__()
        self.encoders = nn.ModuleDict({name: nn.ModuleDict(by_window) for name, by_window in encoders.items()})
        by_window = next(iter(encoders.values()))
        widths = {f"feature_dim_{resolution}": encoder.feature_dim for resolution, encoder in by_window.items()}
        self.head = FusionClassifier(
            n_classes, **widths, n_modalities=len(encoders), resolutions=tuple(by_window), gate=gate
        )
        for by_window in encoders.values():
            for encoder in by_window.values():
                encoder.projector = nn.Identity()

    def forward(self, blocks):
        """Class scores (B, n_classes) of blocks as `features` takes them."""
        return self.head(self.features(blocks))

    def features(self, blocks):
        """Features (B, 4 * embed_dim) of all encoders, in the order of the classifier.

        ``blocks`` are the 1 s blocks (B, 5, n_channels, rate) of 5 s windows, by modality; of one alone, its features.
        """
        features = []
        for name in [name for name in self.encoders if name in blocks]:
            by_window, x = self.encoders[name], blocks[name]
            if "5s" in by_window:
                features.append(by_window["5s"](x.transpose(1, 2).flatten(2)))  # (B, C, 5 * rate)
            if "1s" in by_window:
                seconds = by_window["1s"](x.flatten(0, 1)).unflatten(0, (-1, N_SECONDS))  # (B, 5, 4E)
                features.extend(seconds.unbind(1))
        return features
