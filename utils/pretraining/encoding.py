"""Features that a pre-trained encoder makes of recordings."""

import numpy as np
import torch

from utils.base.progress import Progress
from utils.inputs.normalise import population
from utils.inputs.recordings import Recordings
from utils.pretraining.networks import build_encoder
from utils.protocol.windows import first_seconds


def open_recordings(data, channels, device, front_end, standardiser=None):
    """`Recordings` as encoders with this front end take them, every person standardised.

    ``channels`` are full names by modality, in the order in which the encoders have them. ``standardiser`` (a
    `normalise.Standardiser`) says with what; by default with all that there is of each person.
    """
    names = channels.get("eeg"), channels.get("pps", [])
    recordings = Recordings(data, list(channels), names[1], device, front_end, eeg_channels=names[0])
    everything = np.ones(data.eeg.shape[:3], bool)
    if standardiser and (people := population(recordings, everything)):
        who = f"{len(data.subjects)} people" if len(data.subjects) > 1 else data.subjects[0]
        for what, pooled in people["levels"].items():
            standardiser.levels(what, who, people["trials"], pooled["mean"], pooled["deviation"])
    training = standardiser and standardiser.how == "training"
    return recordings.standardised(everything, standardiser.population if training else None)


def build(entry, random=False):
    """The encoder of a checkpoint's entry, in evaluation mode; with ``random`` as it was before it learned."""
    encoder = build_encoder(entry)
    if not random:
        encoder.load_state_dict(entry["weights"])
    return encoder.eval()


@torch.no_grad()
def encode(encoder, recordings, modality, windows, n_seconds, seconds, batch_size):
    """Features of windows.

    Parameters
    ----------
    encoder : torch.nn.Module
        In evaluation mode.
    recordings : Recordings
    modality : str
    windows : numpy.ndarray, int, shape (n, 3)
        (subject, trial, row) of each, row = trial * windows per trial + window.
    n_seconds, seconds : int
        Length of a window, and of a trial.
    batch_size : int

    Returns
    -------
    numpy.ndarray, float32, shape (n, 4 * embed_dim)
    """
    subject, first = windows[:, 0], first_seconds(windows[:, 2], n_seconds, seconds)
    device = recordings.blocks[modality].device
    subject, first = (torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in (subject, first))
    parts = []
    for chunk in Progress(torch.arange(len(windows)).split(batch_size), desc="encoding", unit="batch"):
        blocks = recordings.take(modality, subject[chunk], first[chunk], n_seconds)
        parts.append(encoder(blocks.transpose(1, 2).flatten(2)).cpu())  # (n, C, n_seconds * rate)
    return torch.cat(parts).numpy()
