"""The networks of one pre-training, what their front end starts with, and their loss as a step computes it."""

import torch
from torch import nn

import models
from models.adapted import AdaptedEncoder
from models.encoder import paper_arguments, paper_width
from utils.base.other_networks import find, in_one_line
from utils.inputs.features import block_width
from utils.inputs.front_end import shared_filters
from utils.pretraining.resolve import PHYSIOSYNC, loss_terms

N_OUTPUTS = 2  # of another network, whose last layer is taken off


def build(settings, rate, n_seconds, recordings, batches):
    """The `models.ContrastiveModel` of the recordings' modalities, on the CPU.

    With the robust front end, ``batches`` of the training rows give its filters.
    """
    encoders = {}
    embed_dim = settings.EMBED_DIM or paper_width(n_seconds * rate)
    for name in recordings.blocks:
        block = block_width(settings.FRONT_END, rate, name)
        arguments = paper_arguments(name, recordings.n_channels(name), n_seconds * block, embed_dim)
        arguments |= {"block_samples": block} if settings.FRONT_END != "raw" else {}
        other = settings.network if name == "eeg" else None
        if other is not None:
            sizes = {key: arguments[key] for key in ("n_channels", "n_samples", "embed_dim")}
            arguments = sizes | {"sfreq": rate, "origin": other.version}
        entry = {"kind": other.kind if other else PHYSIOSYNC}
        encoders[name] = build_encoder(entry | {"arguments": arguments | {"projector_dims": settings.PROJECTOR_DIMS}})
        # positives by augmentation use nothing of what people share at the same moments
        if settings.FRONT_END != "raw" and settings.EPOCHS and settings.POSITIVES == "stimulus":
            filters = _shared_filters(settings, n_seconds, recordings, batches, name)
            encoders[name].front_end.filters.copy_(filters)
    return models.ContrastiveModel(encoders, settings.TEMPERATURE, *loss_terms(settings))


def build_encoder(entry):
    """The encoder of a checkpoint's entry: its ``kind``, a name or the file of a network, and its ``arguments``."""
    kind, arguments = entry.get("kind", PHYSIOSYNC), entry["arguments"]
    if kind == PHYSIOSYNC:
        return models.build(**arguments)
    if not all(isinstance(text, str) for text in (kind, arguments.get("origin"))):
        raise ValueError("another network needs a name and a version")
    network = find(kind, "the encoder", arguments["origin"])

    def make(sfreq, **own):
        with torch.device("cpu"), in_one_line(network.name, network.file):
            other = network.build(own["n_channels"], own["n_samples"], sfreq, N_OUTPUTS)
            return AdaptedEncoder(other, N_OUTPUTS, sfreq=sfreq, **own)

    encoder = models.build(make, **arguments)
    encoder.kind = kind
    return encoder


def _shared_filters(settings, n_seconds, recordings, batches, modality):
    """The front end's filters, from the training rows of all training subjects."""
    grid = torch.cartesian_prod(batches.subjects, batches.first_seconds)
    blocks = recordings.take(modality, *grid.T, n_seconds)  # (people * moments, seconds, C, features)
    windows = blocks.mean(1).flatten(1).unflatten(0, (len(batches.subjects), -1))
    there = None if batches.complete else batches.seen.T.cpu().numpy()
    n_electrodes = recordings.n_channels(modality) if modality == "eeg" else None
    return torch.from_numpy(shared_filters(windows, settings.SUBJECTS_PER_GROUP, n_electrodes, there))


class Objective(nn.Module):
    """The loss of a batch as a step computes it: the encoders in bfloat16 if asked for, the losses in single precision.

    Parameters
    ----------
    model : models.ContrastiveModel
    bf16 : bool
    gather : callable, optional
        Puts the pooled windows (2, B, D) of all processes together.
    """

    def __init__(self, model, bf16=False, gather=None):
        super().__init__()
        self.model, self.bf16, self.gather = model, bf16, gather

    def forward(self, *given, part=None):
        """Terms of the loss by name, of windows; or one part of it: ``"encode"`` or ``"losses"``."""
        if part is not None:
            return getattr(self, part)(*given)
        return self.losses(*self.encode(*given))

    def encode(self, windows):
        """Pooled features and projections by modality, of windows of both modalities or of one."""
        with torch.autocast(next(iter(windows.values())).device.type, torch.bfloat16, enabled=self.bf16):
            pooled = self.model.encode(windows)
        if self.bf16:
            pooled = [{name: x.float() for name, x in part.items()} for part in pooled]
        if self.gather is not None:
            pooled = [{name: self.gather(x) for name, x in part.items()} for part in pooled]
        return tuple(pooled)

    def losses(self, features, projections):
        """Terms of the loss by name, of what `encode` returns."""
        return self.model.losses(features, projections)
