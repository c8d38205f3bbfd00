"""Signals that come at rates of their own (a wristband's 64, 32, 4 and 1 Hz), brought to one rate."""

import math
from fractions import Fraction

import numpy as np
from scipy.signal import resample_poly

from utils.errors import InputError

SLOW = 16  # Hz; a sensor below it is drawn with straight lines between its samples


def resample(signal, rate, new_rate, seconds):
    """Bring a signal to a whole rate and cut it to whole seconds; its first sample stays the first.

    Polyphase filtering (`scipy.signal.resample_poly`) keeps what lies below both Nyquist frequencies and lets nothing
    fold back; a line from the first to the last sample is taken out before and put back after it, so that an offset
    (a temperature of 33 degrees) does not ring at the ends. Skin conductance, temperature and heart rate at a few Hz
    move in steps, at which that filter would swing over: below 16 Hz they are interpolated linearly when their rate
    is raised, and never leave the range of the samples; the last one is held to the end.

    Parameters
    ----------
    signal : numpy.ndarray, shape (..., n_samples)
        From the first of the ``seconds`` on; what is longer is cut.
    rate : float
        Its sampling rate in Hz, whole or not.
    new_rate : int
        Sampling rate of the result in Hz.
    seconds : int
        Length of the result.

    Returns
    -------
    numpy.ndarray, shape (..., seconds * new_rate)
        Float64.

    Raises
    ------
    InputError
        If the signal is shorter than ``seconds``, or a rate is no positive number.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise InputError(f"a sampling rate must be a number greater than 0, not {rate}")
    signal = np.asarray(signal, dtype=float)
    n_samples, n_new = signal.shape[-1], seconds * new_rate
    if n_samples < math.ceil(seconds * rate - 1e-6):
        raise InputError(f"{n_samples} samples at {rate:g} Hz are {n_samples / rate:.4g} s; {seconds} s are needed")
    if rate == new_rate:
        return signal[..., :n_new]
    if rate < min(SLOW, new_rate):
        position = np.minimum(np.arange(n_new) * (rate / new_rate), n_samples - 1)  # in samples
        before = np.minimum(position.astype(int), max(n_samples - 2, 0))
        after = np.minimum(before + 1, n_samples - 1)
        share = position - before
        return signal[..., before] * (1 - share) + signal[..., after] * share
    ratio = (Fraction(new_rate) / Fraction(rate)).limit_denominator(1000)  # 511.9997 Hz is 512 Hz
    if ratio == 1:
        return signal[..., :n_new]
    first, slope = signal[..., :1], (signal[..., -1:] - signal[..., :1]) / max(n_samples - 1, 1)
    filtered = resample_poly(signal - first - slope * np.arange(n_samples), ratio.numerator, ratio.denominator, axis=-1)
    return filtered[..., :n_new] + first + slope * (np.arange(n_new) * (rate / new_rate))
