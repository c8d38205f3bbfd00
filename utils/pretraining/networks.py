"""The networks of one pre-training, and what their front end starts with."""

import torch

import models
from models.adapted import AdaptedEncoder
from models.encoder import paper_arguments, paper_width
from utils.base.errors import InputError
from utils.base.other_networks import find, in_one_line
from utils.base.progress import say_once
from utils.inputs.features import block_width
from utils.inputs.front_end import shared_filters

PHYSIOSYNC = "physiosync"
N_OUTPUTS = 2  # of another network, whose last layer is taken off


def build(settings, rate, n_seconds, recordings, batches):
    """The `models.ContrastiveModel` of the recordings' modalities, on the CPU.

    With the robust front end, ``batches`` of the training rows give its filters.
    """
    encoders = {}
    embed_dim = settings.EMBED_DIM or paper_width(n_seconds * rate)
    for name in recordings.blocks:
        block = block_width(settings.FRONT_END, rate, name)
        sizes = dict(n_channels=recordings.n_channels(name), n_samples=n_seconds * block, embed_dim=embed_dim)
        if name == "eeg" and settings.network is not None:
            kind, arguments = settings.network.kind, sizes | {"sfreq": rate, "origin": settings.network.version}
        else:
            kind, arguments = PHYSIOSYNC, paper_arguments(name, **sizes)
            arguments |= {"block_samples": block} if settings.FRONT_END != "raw" else {}
        arguments["projector_dims"] = settings.PROJECTOR_DIMS
        encoders[name] = build_encoder({"kind": kind, "arguments": arguments})
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

    def make(sfreq, **sizes):
        with torch.device("cpu"), in_one_line(network.name, network.file):
            other = network.build(sizes["n_channels"], sizes["n_samples"], sfreq, N_OUTPUTS, as_encoder=True)
            encoder = AdaptedEncoder(other, N_OUTPUTS, sfreq=sfreq, **sizes)
        if encoder.width == N_OUTPUTS:
            what = "is left with its class scores in place of features, as its last layer is not known"
            remedy = "call that layer final_layer, or end with a torch.nn.Linear of n_outputs"
            raise InputError(f"encoder {network.name}", what, remedy)
        channels = f"{sizes['n_channels']} EEG channels"
        removed = f"last layer {encoder.without!r} taken off"
        say_once(f"encoder {network.name}: {channels}, {removed}, {encoder.width} features")
        return encoder

    encoder = models.build(make, **arguments)
    encoder.kind = kind
    return encoder


def loss_terms(settings):
    """The terms of the loss that the modalities allow: (modalities with a group loss, whether CM-CA is on)."""
    modalities = settings.MODALITIES.split("+")
    group_losses = [name for name in modalities if getattr(settings, f"GROUP_LOSS_{name.upper()}")]
    align = settings.CMCA and len(modalities) == 2
    if not group_losses and not align:
        raise InputError("no loss", "is left", "leave one of --group-loss-eeg, --group-loss-pps and --cmca on")
    return group_losses, align


def _shared_filters(settings, n_seconds, recordings, batches, modality):
    """The front end's filters, from the training rows of all training subjects."""
    grid = torch.cartesian_prod(batches.subjects, batches.first_seconds)
    blocks = recordings.take(modality, *grid.T, n_seconds)  # (people * moments, seconds, C, features)
    windows = blocks.mean(1).flatten(1).unflatten(0, (len(batches.subjects), -1))  # (people, moments, C * features)
    seen = None if batches.complete else batches.seen.T.cpu().numpy()
    n_electrodes = recordings.n_channels(modality) if modality == "eeg" else None
    return torch.from_numpy(shared_filters(windows, settings.SUBJECTS_PER_GROUP, n_electrodes, seen))
