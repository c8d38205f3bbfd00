"""Features that a pre-trained encoder makes of recordings."""

import numpy as np
import torch

from utils.base.progress import Progress
from utils.inputs.recordings import Recordings
from utils.pretraining.networks import build_encoder
from utils.protocol.windows import first_seconds


def open_recordings(data, modality, channels, device, front_end, standardiser=None):
    """`Recordings` of one modality's ``channels`` (full names, in the encoder's order), every person standardised.

    ``standardiser`` (`normalise.Standardiser`) says with what; by default with all that there is of each person.
    """
    recordings = Recordings(data, [modality], channels, device, front_end, eeg_channels=channels)
    if standardiser:
        return standardiser.standardised(recordings, f"{len(data.subjects)} people")
    return recordings.standardised(np.ones(data.eeg.shape[:3], bool))


def build(entry, random=False):
    """The encoder of a checkpoint's entry, in evaluation mode; with ``random`` as it was before it learned."""
    encoder = build_encoder(entry)
    if not random:
        encoder.load_state_dict(entry["weights"])
    return encoder.eval()


@torch.no_grad()
def encode(encoder, recordings, modality, windows, n_seconds, seconds, batch_size):
    """Features (n, 4 * embed_dim) of windows (n, 3: subject, trial, row) of ``n_seconds``, in trials of ``seconds``."""
    device = recordings.blocks[modality].device
    subject = torch.tensor(windows[:, 0], device=device)
    first_second = torch.tensor(first_seconds(windows[:, 2], n_seconds, seconds), device=device)
    parts = []
    for chunk in Progress(torch.arange(len(windows)).split(batch_size), desc="encoding", unit="batch"):
        blocks = recordings.take(modality, subject[chunk], first_second[chunk], n_seconds)  # (n, n_seconds, C, rate)
        parts.append(encoder(blocks.transpose(1, 2).flatten(2)).cpu())  # of (n, C, n_seconds * rate)
    return torch.cat(parts).numpy()
