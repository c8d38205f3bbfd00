"""What the encoders see of a window: the samples themselves (the paper), or their power in frequency bands.

A linear map of raw samples cannot see band power, of which most of what is known about emotion in the EEG is made. With
``FRONT_END = "bandpower"`` every 1 s block becomes a few numbers per channel, standardised in each person without any
label (`normalise`); everything after it (tokens, blocks, LS-TCL, CM-CA) stays as it is.
"""

import numpy as np
import torch
from scipy.linalg import eigh

from utils.inputs.features import SMALLEST

SHRINKAGE = 0.1  # of the covariance inside a moment, towards a multiple of the identity
GAIN = 1.0  # variance of an electrode's gain, in units of its features' own variance


def shared_filters(windows, group_size, n_electrodes=None, seen=None):
    """Linear filters that keep what different people have in common at the same moments of the stimuli.

    Directions in which the mean over people varies most between moments, in units of how people differ at one moment
    (correlated components analysis: Dmochowski et al. 2012, doi 10.3389/fnhum.2012.00112; a discriminant
    analysis whose classes are moments), each weighted by the reliability of a group's mean. No label is used.

    Parameters
    ----------
    windows : torch.Tensor or numpy.ndarray, shape (people, moments, width)
        The same moments for all. Sums over them are computed where they are.
    group_size : int
        People in a group, for the reliability (Spearman-Brown).
    n_electrodes : int, optional
        Of an EEG, whose features are (electrodes, bands). An electrode's gain differs from trial to trial (it dries, it
        moves) and shifts the logarithms of all its bands alike, so such shifts count as what people do not share: as
        if every electrode of every window had been scaled at random.
    seen : numpy.ndarray, bool, shape (people, moments), optional
        Who saw which moment, at least one person each; by default all did.

    Returns
    -------
    numpy.ndarray, float32, shape (width, width)
        ``x @ filters`` has the variance of ``x``; the identity if there are no two people or nothing is shared.
    """
    n_people, n_moments, width = windows.shape
    identity = np.eye(width, dtype=np.float32)
    if n_people < 2 or n_moments < 2:
        return identity
    seen = np.ones((n_people, n_moments), bool) if seen is None else seen
    viewers = seen.sum(axis=0)  # of each moment
    windows = torch.as_tensor(windows)
    windows = windows.cpu() if windows.device.type == "mps" else windows  # has no float64
    total, products = 0.0, 0.0  # one person after the other, which takes less memory
    for person, saw in zip(windows, torch.as_tensor(seen, device=windows.device), strict=True):
        person = person.double().masked_fill(~saw[:, None], 0)
        total, products = total + person, products + person.T @ person
    mean, products = (total.cpu().numpy() / viewers[:, None]), products.cpu().numpy()
    between = np.cov(mean, rowvar=False, bias=True).reshape(width, width)
    within = (products - (mean * viewers[:, None]).T @ mean) / (viewers - 1).sum()
    if n_electrodes:
        n_bands = width // n_electrodes
        within += GAIN * np.kron(np.eye(n_electrodes), np.ones((n_bands, n_bands)))
    level = np.trace(within) / width
    if level < SMALLEST:
        return identity
    within = (1 - SHRINKAGE) * within + SHRINKAGE * level * np.eye(width)
    ratio, directions = eigh(between, within)
    chance = 1 / n_people if seen.all() else (1 / viewers).mean()  # what the mean of so many people varies by chance
    shared = np.maximum(ratio - chance, 0)
    filters = directions * (group_size * shared / (group_size * shared + 1))
    before, after = np.trace(products), (filters * (products @ filters)).sum()
    if after < SMALLEST * seen.sum():
        return identity
    return (filters * np.sqrt(before / after)).astype(np.float32)
