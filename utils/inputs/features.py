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


def read_version(stored):
    """Name the front end of a checkpoint or model from before `VERSION`, so that it is computed as it was then."""
    if "features" not in stored and stored["settings"].get("FRONT_END") == "bandpower":
        stored["settings"]["FRONT_END"] = FIRST_VERSION


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


def trend(x, rate):
    """Least-squares slope of x (..., samples) per second (...), and x without its mean and linear trend."""
    n = x.shape[-1]
    seconds = (torch.arange(n, dtype=x.dtype, device=x.device) - (n - 1) / 2) / rate  # from the middle on
    centered = x - x.mean(-1, keepdim=True)
    slope = centered @ seconds / seconds.square().sum()
    return slope, centered - slope[..., None] * seconds


def log_band_power(x, rate, bands, first_version=False):
    """Logarithm of the mean power of x (..., samples) in each of ``bands``, (low, high) in Hz; float32 (..., bands).

    A band that holds no frequency of so short a signal, or of so low a rate, is left out. ``first_version``: mean and
    trend are left in, as before `VERSION` 2.
    """
    x, inside = wide(x), bins_of(x.shape[-1], rate, bands)
    if not inside:
        return torch.zeros(*x.shape[:-1], 0, device=x.device)
    window = torch.hann_window(x.shape[-1], periodic=False, dtype=x.dtype, device=x.device)
    power = torch.fft.rfft((x if first_version else trend(x, rate)[1]) * window).abs().square()
    power = torch.stack([power[..., chosen.to(x.device)].mean(-1) for chosen in inside], -1)
    return (power + SMALLEST).log().float()


def features_of(blocks, rate, modality, first_version=False):
    """Features of 1 s blocks (..., channels, rate); float32 (..., channels, features).

    ``"eeg"``: log power in ``BANDS``. ``"pps"``: before them those of ``SLOW``: mean, slope (per second), and the
    logarithms of standard deviation and mean step (per second). NaN for a channel that is missing (0) throughout a
    second, until `normalise` makes it 0. ``first_version``: see `log_band_power`.
    """
    x = wide(blocks)
    values = log_band_power(x, rate, BANDS, first_version)
    if modality == "pps":
        slow = [x.mean(-1)]
        if n_slow(rate) > 1:
            change = [x.std(-1, correction=0), x.diff().abs().mean(-1) * rate]
            slow += [trend(x, rate)[0], *((value + SMALLEST).log() for value in change)]
        values = torch.cat([torch.stack(slow, -1).float(), values], -1)
    return values.masked_fill(~(x != 0).any(-1, keepdim=True), torch.nan)


def block_features(people, rate, modality, front_end="bandpower", device="cpu"):
    """`features_of` the blocks (trials, ..., channels, rate) of one person after the other, as one NumPy array.

    On CUDA a person's are computed at once; elsewhere trial by trial, which stay in the processor's cache.
    """
    on_cuda, of_people = torch.device(device).type == "cuda", []
    for person in people:
        parts = [person] if on_cuda else person[:, None]
        parts = (torch.from_numpy(np.ascontiguousarray(part)).to(device if on_cuda else "cpu") for part in parts)
        parts = [features_of(part, rate, modality, front_end == FIRST_VERSION).cpu().numpy() for part in parts]
        of_people.append(np.concatenate(parts))
    return np.stack(of_people)


def statistics(windows, rate):
    """Mean, standard deviation, minimum and maximum (from the mean), slope and mean step of each channel.

    Shape (..., channels, samples) to (..., 6 * channels), float32.
    """
    x = wide(windows)
    mean = x.mean(-1)
    values = [mean, x.std(-1, correction=0), x.amin(-1) - mean, x.amax(-1) - mean]
    return torch.cat([*values, trend(x, rate)[0], x.diff().abs().mean(-1) * rate], -1).float()
