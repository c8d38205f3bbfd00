"""Features that a pre-trained encoder makes of recordings."""

import numpy as np
import torch

from utils.base.progress import Progress
from utils.inputs.normalise import population
from utils.inputs.recordings import Recordings
from utils.pretraining.networks import build_encoder
from utils.protocol.windows import first_seconds


def open_recordings(data, modality, channels, device, front_end, standardiser=None):
    """`Recordings` of one modality as encoders with this front end take them, every person standardised.

    Parameters
    ----------
    data : data_prep.Prepared
    modality : str
    channels : list of str
        Full names, in the order in which the encoder has them.
    device : torch.device
    front_end : str
    standardiser : normalise.Standardiser, optional
        With what; by default with all that there is of each person.
    """
    recordings = Recordings(data, [modality], channels, device, front_end, eeg_channels=channels)
    everything = np.ones(data.eeg.shape[:3], bool)
    if standardiser and (people := population(recordings, everything)):
        for what, pooled in people["levels"].items():
            standardiser.levels(
                what, f"{len(data.subjects)} people", people["trials"], pooled["mean"], pooled["deviation"]
            )
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
