"""Features that networks and baselines share: power in frequency bands, and statistics of slow signals.

A Hann window lets the mean and the trend of a block into the first bins of its spectrum: the bands of skin conductance,
of temperature, or of an amplifier without a high-pass filter would measure the level. So both are subtracted before the
spectrum is computed. Level and slope are features of their own, once each.
"""

import numpy as np
import torch

BANDS = {"delta": (1, 4), "theta": (4, 8), "alpha": (8, 13), "beta": (13, 30), "gamma": (30, 45)}  # Hz
SMALLEST = 1e-6  # power and deviation of a signal that does not change
SLOW = ("mean", "slope", "deviation", "step")  # what matters in slow signals, besides their bands
VERSION = 2  # of files with features; those without it come from before mean and trend were taken out
FIRST_VERSION = "bandpower-v1"  # the front end of these files, computed as it was


def read_version(made):
    """Name the front end of a checkpoint or model from before `VERSION`, so that it is computed as it was then."""
    if "features" not in made and made["settings"].get("FRONT_END") == "bandpower":
        made["settings"]["FRONT_END"] = FIRST_VERSION


def version_of(front_end):
    """The version of the features that a result comes from; None for samples."""
    return {"raw": None, FIRST_VERSION: 1}.get(front_end, VERSION)


def bins_of(n_samples, rate, bands):
    """Which frequencies of a spectrum belong to each band that has any."""
    frequencies = np.fft.rfftfreq(n_samples, 1 / rate)
    inside = [(frequencies >= low) & (frequencies < high) for low, high in bands.values()]
    return [torch.from_numpy(chosen) for chosen in inside if chosen.any()]


def block_width(front_end, rate, modality):
    """Numbers per channel in a 1 s block: its samples, or the features that `block_features` makes of them."""
    if front_end == "raw":
        return rate
    return len(bins_of(rate, rate, BANDS)) + (n_slow(rate) if modality == "pps" else 0)


def n_slow(rate):
    """How many of ``SLOW`` a 1 s block has: a single sample has a mean and nothing else."""
    return len(SLOW) if rate > 1 else 1


def wide(x):
    """A tensor or array in double precision, where the device has it."""
    x = torch.as_tensor(x)
    return x.float() if x.device.type == "mps" else x.double()


def times(x, rate):
    """Seconds of the samples of x (..., samples) from their middle on."""
    n = x.shape[-1]
    return (torch.arange(n, dtype=x.dtype, device=x.device) - (n - 1) / 2) / rate


def slope(x, rate):
    """Least-squares slope of x (..., samples) per second; (...)."""
    seconds = times(x, rate)
    centered = x - x.mean(-1, keepdim=True)
    return centered @ seconds / seconds.square().sum()


def detrend(x, rate):
    """x (..., samples) without its mean and linear trend."""
    centered = x - x.mean(-1, keepdim=True)
    return centered - slope(centered, rate)[..., None] * times(x, rate)


def log_band_power(x, rate, bands, first_version=False):
    """Logarithm of the mean power in frequency bands.

    Parameters
    ----------
    x : torch.Tensor or numpy.ndarray, shape (..., samples)
    rate : int
        Sampling rate in Hz.
    bands : dict of str to (low, high)
        Hz; one that holds no frequency of so short a signal, or of so low a rate, is left out.
    first_version : bool
        As before `VERSION` 2: mean and trend are left in.

    Returns
    -------
    torch.Tensor, float32, shape (..., bands)
    """
    x, inside = wide(x), bins_of(x.shape[-1], rate, bands)
    if not inside:
        return torch.zeros(*x.shape[:-1], 0, device=x.device)
    window = torch.hann_window(x.shape[-1], periodic=False, dtype=x.dtype, device=x.device)
    power = torch.fft.rfft((x if first_version else detrend(x, rate)) * window).abs().square()
    power = torch.stack([power[..., chosen.to(x.device)].mean(-1) for chosen in inside], -1)
    return (power + SMALLEST).log().float()


def features_of(blocks, rate, modality, first_version=False):
    """Features of 1 s blocks.

    Parameters
    ----------
    blocks : torch.Tensor or numpy.ndarray, shape (..., channels, rate)
    rate : int
        Hz.
    modality : str
        ``"eeg"``: log power in ``BANDS``. ``"pps"``: before them those of ``SLOW``: mean, slope (per second), and the
        logarithms of standard deviation and mean step (per second).
    first_version : bool
        See `log_band_power`.

    Returns
    -------
    torch.Tensor, float32, shape (..., channels, features)
        NaN for a channel that is missing (0) throughout a second, until `standardise` makes it 0.
    """
    x = wide(blocks)
    values = log_band_power(x, rate, BANDS, first_version)
    if modality == "pps":
        slow = [x.mean(-1)]
        if n_slow(rate) > 1:
            change = [x.std(-1, correction=0), x.diff().abs().mean(-1) * rate]
            slow += [slope(x, rate), *((value + SMALLEST).log() for value in change)]
        values = torch.cat([torch.stack(slow, -1).float(), values], -1)
    return values.masked_fill(~(x != 0).any(-1, keepdim=True), torch.nan)


def block_features(people, rate, modality, front_end="bandpower", device="cpu"):
    """`features_of` the blocks (trials, ..., channels, rate) of one person after the other, as one NumPy array.

    On CUDA a person's are computed at once; elsewhere trial by trial, which stay in the processor's cache.
    """
    first = front_end == FIRST_VERSION
    if torch.device(device).type == "cuda":
        people = (torch.from_numpy(np.ascontiguousarray(person)).to(device) for person in people)
        return np.stack([features_of(person, rate, modality, first).cpu().numpy() for person in people])
    return np.stack(
        [np.stack([features_of(trial, rate, modality, first).numpy() for trial in person]) for person in people]
    )


def statistics(windows, rate):
    """Mean, standard deviation, minimum and maximum (from the mean), slope and mean step of each channel.

    Shape (..., channels, samples) to (..., 6 * channels), float32.
    """
    x = wide(windows)
    mean = x.mean(-1)
    values = [mean, x.std(-1, correction=0), x.amin(-1) - mean, x.amax(-1) - mean]
    return torch.cat([*values, slope(x, rate), x.diff().abs().mean(-1) * rate], -1).float()
