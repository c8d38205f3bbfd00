"""The networks of PhysioSync: pure tensors, no files, no printing."""

from models import authors
from models.contrastive import ContrastiveModel
from models.encoder import Encoder
from models.fusion import FusionClassifier, FusionModel
from models.losses import CrossModalAlignment, group_nt_xent

__all__ = [
    "ContrastiveModel",
    "CrossModalAlignment",
    "Encoder",
    "FusionClassifier",
    "FusionModel",
    "authors",
    "group_nt_xent",
]
