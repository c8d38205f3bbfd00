"""The networks of PhysioSync: pure tensors, no files, no printing."""

from models import authors
from models.contrastive import ContrastiveModel
from models.encoder import Encoder
from models.fusion import FusionClassifier, FusionModel
from models.losses import CrossModalAlignment, group_nt_xent

ENCODERS = {"physiosync": Encoder}  # by kind


def build(kind="physiosync", **arguments):
    """An encoder of one modality's windows.

    Parameters
    ----------
    kind : str or class
        A name in ``ENCODERS``, or a class that keeps the contract below.
    **arguments
        Its own. Pre-training gives ``n_channels``, ``n_samples``, ``embed_dim``, ``projector_dims``, for EEG
        ``prompt_tokens`` and ``input_dropout``, and with features in place of samples ``block_samples``.

    Returns
    -------
    torch.nn.Module
        - ``encoder(x)`` maps windows (B, n_channels, n_samples) to features (B, feature_dim).
        - ``encoder.feature_dim`` is their width, the same for both modalities.
        - ``encoder.project(feature)`` maps features to the space of the contrastive loss (B, D). Fine-tuning does not
          need it, and replaces an ``encoder.projector`` by nothing.
        - ``encoder.arguments`` is a dict of plain values with which ``build`` makes it again; it has ``n_channels``,
          ``n_samples`` and ``embed_dim``.
        - ``encoder.front_end`` may have ``filters``, which pre-training sets (`models.front_end`).

        ``encoder.kind`` is set to ``kind``.

    Raises
    ------
    ValueError
        If there is no encoder of this name.
    """
    if isinstance(kind, str) and kind not in ENCODERS:
        raise ValueError(f"unknown encoder {kind!r}; there are {', '.join(ENCODERS)}")
    encoder = ENCODERS.get(kind, kind)(**arguments)
    encoder.kind = kind
    return encoder


__all__ = [
    "ENCODERS",
    "ContrastiveModel",
    "CrossModalAlignment",
    "Encoder",
    "FusionClassifier",
    "FusionModel",
    "authors",
    "build",
    "group_nt_xent",
]
