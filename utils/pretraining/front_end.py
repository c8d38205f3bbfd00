"""What the encoders see of a window: the samples themselves (the paper), or their power in frequency bands.

A linear map of raw samples cannot see band power, of which most of what is known about emotion in the EEG is made. With
``FRONT_END = "bandpower"`` every 1 s block becomes a few numbers per channel, standardised in each person without any
label; everything after it (tokens, blocks, LS-TCL, CM-CA) stays as it is.
"""

import numpy as np
from scipy.linalg import eigh

BANDS = {"delta": (1, 4), "theta": (4, 8), "alpha": (8, 13), "beta": (13, 30), "gamma": (30, 45)}  # Hz
SMALLEST = 1e-6  # power and deviation of a signal that does not change
ROUNDING = 2 * np.finfo(np.float32).eps  # deviations up to this share of the features are rounding
SLOW = ("mean", "slope", "deviation", "step")  # what matters in slow signals, besides their bands
CLIP = 5.0  # standard deviations: what is further out is an artefact
SHRINKAGE = 0.1  # of the covariance inside a moment, towards a multiple of the identity
GAIN = 1.0  # variance of an electrode's gain, in units of its features' own variance


def log_band_power(x, rate, bands):
    """Logarithm of the mean power in frequency bands.

    Parameters
    ----------
    x : numpy.ndarray, shape (..., samples)
    rate : int
        Sampling rate in Hz.
    bands : dict of str to (low, high)
        Hz; one that holds no frequency of so short a signal, or of so low a rate, is left out.

    Returns
    -------
    numpy.ndarray, float32, shape (..., bands)
    """
    power = np.square(np.abs(np.fft.rfft(x * np.hanning(x.shape[-1]))))
    values = [power[..., chosen].mean(axis=-1) for chosen in bins_of(x.shape[-1], rate, bands)]
    nothing = np.zeros((*x.shape[:-1], 0), np.float32)
    return np.log(np.stack(values, axis=-1) + SMALLEST).astype(np.float32) if values else nothing


def bins_of(n_samples, rate, bands):
    """Which frequencies of a spectrum belong to each band that has any."""
    frequencies = np.fft.rfftfreq(n_samples, 1 / rate)
    inside = [(frequencies >= low) & (frequencies < high) for low, high in bands.values()]
    return [chosen for chosen in inside if chosen.any()]


def block_width(front_end, rate, modality):
    """Numbers per channel in a 1 s block: its samples, or the features that `block_features` makes of them."""
    if front_end == "raw":
        return rate
    return len(bins_of(rate, rate, BANDS)) + (n_slow(rate) if modality == "pps" else 0)


def n_slow(rate):
    """How many of ``SLOW`` a 1 s block has: a single sample has a mean and nothing else."""
    return len(SLOW) if rate > 1 else 1


def block_features(blocks, rate, modality):
    """Features of 1 s blocks.

    Parameters
    ----------
    blocks : iterable of numpy.ndarray, shape (trials, ..., channels, rate)
        One person after the other.
    rate : int
        Hz.
    modality : str
        ``"eeg"``: log power in ``BANDS``. ``"pps"``: before them those of ``SLOW``: mean, slope (per second), and the
        logarithms of standard deviation and mean step (per second).

    Returns
    -------
    numpy.ndarray, float32, shape (subjects, ..., channels, features)
        NaN for a channel that is missing (0) throughout a second, until `standardise` makes it 0.
    """
    # trial by trial, which stay in the processor's cache
    return np.stack([np.stack([_trial_features(trial, rate, modality) for trial in own]) for own in blocks])


def _trial_features(blocks, rate, modality):
    """Features (..., channels, features) of the blocks of one trial (..., channels, rate)."""
    values = log_band_power(blocks, rate, BANDS)
    if modality == "pps":
        slow = [blocks.mean(axis=-1)]
        if n_slow(rate) > 1:
            seconds = (np.arange(rate) - (rate - 1) / 2) / rate
            change = [blocks.std(axis=-1), np.abs(np.diff(blocks)).mean(axis=-1) * rate]
            slow += [blocks @ seconds / np.square(seconds).sum(), *(np.log(value + SMALLEST) for value in change)]
        values = np.concatenate([np.stack(slow, axis=-1), values], axis=-1)
    values[~blocks.any(axis=-1)] = np.nan
    return values.astype(np.float32)


def standardise(features, training):
    """Each person's features to mean 0 and deviation 1, without labels.

    Parameters
    ----------
    features : numpy.ndarray, float32, shape (subjects, trials, seconds, ...)
        Of seconds, or of longer windows.
    training : numpy.ndarray, bool, shape (subjects, trials, seconds)
        Those that may be looked at. A person without any, as a test person across subjects, is standardised with all
        of their own (transductive: the audit says so).

    Returns
    -------
    numpy.ndarray, float32, of the same shape
        What is missing (NaN) does not count and is 0.
    """
    people = zip(features, training, strict=True)
    return np.stack([scale(own, *level(own, seen)) for own, seen in people]).astype(np.float32)


def level(own, seen):
    """Mean and deviation of one person's features (trials, seconds, ...) over some seconds, over all if these are none.

    What is missing (NaN) does not count; the deviation of what does not vary is infinite.
    """
    known = np.asarray(own[seen] if seen.any() else own.reshape(-1, *own.shape[2:]), np.float64)
    present = ~np.isnan(known)
    n = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, known, 0).sum(axis=0) / n
    deviation = np.sqrt(np.where(present, np.square(known - mean), 0).sum(axis=0) / n)
    varies = deviation > ROUNDING * np.where(present, np.abs(known), 0).max(axis=0)  # whatever the unit
    return mean, np.where(varies, deviation, np.inf)


def scale(features, mean, deviation):
    """Features less the mean in deviations, clipped; 0 where there is none."""
    return np.nan_to_num(np.clip((features - mean) / deviation, -CLIP, CLIP))


def shared_filters(windows, group_size, n_electrodes=None):
    """Linear filters that keep what different people have in common at the same moments of the stimuli.

    Directions in which the mean over people varies most between moments, in units of how people differ at one moment
    (correlated components analysis: Dmochowski et al. 2012, doi 10.3389/fnhum.2012.00112; a discriminant
    analysis whose classes are moments), each weighted by the reliability of a group's mean. No label is used.

    Parameters
    ----------
    windows : numpy.ndarray, shape (people, moments, width)
        The same moments for all.
    group_size : int
        People in a group, for the reliability (Spearman-Brown).
    n_electrodes : int, optional
        Of an EEG, whose features are (electrodes, bands). An electrode's gain differs from trial to trial (it dries, it
        moves) and shifts the logarithms of all its bands alike, so such shifts count as what people do not share: as
        if every electrode of every window had been scaled at random.

    Returns
    -------
    numpy.ndarray, float32, shape (width, width)
        ``x @ filters`` has the variance of ``x``; the identity if there are no two people or nothing is shared.
    """
    n_people, n_moments, width = windows.shape
    identity = np.eye(width, dtype=np.float32)
    if n_people < 2 or n_moments < 2:
        return identity
    mean = windows.mean(axis=0, dtype=np.float64)
    between = np.cov(mean, rowvar=False, bias=True).reshape(width, width)
    apart = (own - mean for own in windows)  # one person after the other, which takes less memory
    within = sum(x.T @ x for x in apart) / (n_moments * (n_people - 1))
    if n_electrodes:
        n_bands = width // n_electrodes
        within += GAIN * np.kron(np.eye(n_electrodes), np.ones((n_bands, n_bands)))
    level = np.trace(within) / width
    if level < SMALLEST:
        return identity
    within = (1 - SHRINKAGE) * within + SHRINKAGE * level * np.eye(width)
    ratio, directions = eigh(between, within)
    shared = np.maximum(ratio - 1 / n_people, 0)  # what the mean of so many people varies by chance is 1 / people
    filters = directions * (group_size * shared / (group_size * shared + 1))
    before = sum(np.square(own, dtype=np.float64).sum() for own in windows)
    after = sum(np.square(own @ filters).sum() for own in windows)
    if after < SMALLEST * n_people * n_moments:
        return identity
    return (filters * np.sqrt(before / after)).astype(np.float32)
