"""From one trial's signals to the 1 s blocks of the prepared folder."""

import numpy as np


def to_blocks(signal, rate):
    """Cut a signal into 1 s blocks.

    Parameters
    ----------
    signal : numpy.ndarray, shape (n_channels, n_samples)
        A last second that is not complete is left out.
    rate : int
        Sampling rate in Hz.

    Returns
    -------
    numpy.ndarray, shape (n_channels, seconds, rate)
    """
    seconds = signal.shape[1] // rate
    return signal[:, : seconds * rate].reshape(len(signal), seconds, rate)


def remove_baseline(blocks, baseline):
    """Subtract the mean block of the rest before the trial from every second of it (PhysioSync, preprocessing).

    Parameters
    ----------
    blocks, baseline : numpy.ndarray, shape (n_channels, seconds, rate)
        Of the trial and of the rest; their numbers of seconds differ.
    """
    return blocks - baseline.mean(axis=1, keepdims=True)


def zscore_channels(blocks):
    """Standardise across channels at each sample in time; exact zeros stay zero and do not count.

    Parameters
    ----------
    blocks : numpy.ndarray, shape (n_channels, ...)

    Returns
    -------
    numpy.ndarray
        A sample at which all channels agree becomes 0.
    """
    zero = blocks == 0
    n = np.maximum(len(blocks) - zero.sum(axis=0), 1)
    centred = blocks - blocks.sum(axis=0) / n
    centred[zero] = 0
    return centred / _safe(np.sqrt(np.square(centred).sum(axis=0) / n))


def zscore_trial(blocks):
    """Standardise each channel over the whole trial; a constant channel becomes 0.

    Parameters
    ----------
    blocks : numpy.ndarray, shape (n_channels, seconds, rate)
    """
    centred = blocks - blocks.mean(axis=(1, 2), keepdims=True)
    return centred / _safe(np.sqrt(np.square(centred).mean(axis=(1, 2), keepdims=True)))


def _safe(std):
    return np.where(std == 0, 1, std)
