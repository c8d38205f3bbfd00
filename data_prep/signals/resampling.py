"""Signals that come at rates of their own (a wristband's 64, 32, 4 and 1 Hz), brought to one rate."""

import math
from fractions import Fraction

import numpy as np
from scipy.signal import resample_poly

from utils.base.errors import InputError

SLOW = 16  # Hz; a sensor below it is drawn with straight lines between its samples
MARGIN = 1  # s before and after a part that the filter sees


def resample(signal, rate, new_rate, seconds, start=0.0):
    """Cut whole seconds out of a signal (..., n_samples) at ``rate`` Hz and bring them to a whole rate, in float64.

    The result, (..., ``seconds * new_rate``), begins ``start`` seconds after the first sample, or the nearest to it.
    Polyphase filtering (`scipy.signal.resample_poly`) sees a second more at both ends, and the signal without the line
    from its first to its last sample, so that an offset does not ring. Sensors below 16 Hz move in steps, at which it
    would overshoot: where their rate is raised they are interpolated linearly, the last sample held to the end.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise InputError(f"a sampling rate must be a number greater than 0, not {rate}")
    signal = np.asarray(signal, dtype=float)
    n_samples, n_new = signal.shape[-1], seconds * new_rate
    first, needed = round(start * rate), math.ceil(seconds * rate - 1e-6)
    if first == -1 or first + needed == n_samples + 1:  # a start between two samples, at one of the ends
        first = min(max(first, 0), n_samples - needed)
    if first < 0 or needed > n_samples - first:
        wanted = f"{seconds} s" if start == 0 else f"{start:.4g} to {start + seconds:.4g} s"
        raise InputError(f"{n_samples} samples at {rate:g} Hz are {n_samples / rate:.4g} s; {wanted} are needed")
    if rate < min(SLOW, new_rate):
        position = start * rate + np.arange(n_new) * (rate / new_rate)  # in samples
        position = np.clip(position, 0, n_samples - 1)
        before = np.minimum(position.astype(int), max(n_samples - 2, 0))
        after = np.minimum(before + 1, n_samples - 1)
        share = position - before
        return signal[..., before] * (1 - share) + signal[..., after] * share
    ratio = (Fraction(new_rate) / Fraction(rate)).limit_denominator(1000)  # 511.9997 Hz is 512 Hz
    if ratio == 1:
        return signal[..., first : first + n_new]
    lead = min(MARGIN, int(first / rate))  # whole seconds, so that they are whole samples of the result
    signal = signal[..., first - round(lead * rate) : first + needed + round(MARGIN * rate)]
    n_samples = signal.shape[-1]
    offset, slope = signal[..., :1], (signal[..., -1:] - signal[..., :1]) / max(n_samples - 1, 1)
    level = signal - offset - slope * np.arange(n_samples)
    part = slice(lead * new_rate, lead * new_rate + n_new)
    filtered = resample_poly(level, ratio.numerator, ratio.denominator, axis=-1)[..., part]
    return filtered + offset + slope * ((lead * new_rate + np.arange(n_new)) * (rate / new_rate))


def at_one_rate(person, pps_channels, rate, rates):
    """A person's arrays (trials, channels, samples) at ``rate`` Hz, cut to the whole seconds that all have.

    ``rates``: Hz of ``eeg`` and of peripheral channels where it differs; ``pps`` may be a dict by channel.
    """
    where, result = f"subject {person.get('id')}", dict(person)
    if unknown := [name for name in rates if name not in ("eeg", *pps_channels)]:
        raise InputError(f"sampling_rates has {unknown[0]!r}, which is neither eeg nor one of the pps_channels")
    for suffix in ("", "_baseline"):
        signals = {}  # name -> (trials, channels, samples)
        eeg, pps = person.get(f"eeg{suffix}"), person.get(f"pps{suffix}")
        if eeg is not None and ("eeg" in rates or isinstance(pps, dict)):
            signals["eeg"] = np.asarray(eeg)
        if isinstance(pps, dict):
            if set(pps) != set(pps_channels):
                what = f"{', '.join(map(str, pps))}, not {', '.join(pps_channels)}"
                raise InputError(f"{where}: pps{suffix} has the channels {what}")
            signals |= {name: np.asarray(pps[name])[:, None] for name in pps_channels}
        elif pps is not None and set(rates) - {"eeg"}:
            what = f"with sampling_rates, pps{suffix} must be a dict of channel to (trials, samples)"
            raise InputError(f"{where}: {what}")
        for name, array in signals.items():
            if array.ndim != 3:
                n_axes = array.ndim - (name != "eeg")
                raise InputError(f"{where}: {name}{suffix} has {n_axes} axes, not those of trials")
        lengths = {name: array.shape[-1] / rates.get(name, rate) for name, array in signals.items()}
        whole = {"eeg": eeg, "pps": pps if not isinstance(pps, dict) else None}  # at the rate of the result
        others = {name: np.shape(array)[-1] / rate for name, array in whole.items() if np.ndim(array) == 3}
        refuse_lengths(where + suffix, others | lengths if rates else lengths, rates)
        seconds = int(min(lengths.values(), default=0) + 1e-6)
        resampled = {name: resample(array, rates.get(name, rate), rate, seconds) for name, array in signals.items()}
        if "eeg" in resampled:
            result[f"eeg{suffix}"] = resampled.pop("eeg")
        if resampled:
            result[f"pps{suffix}"] = np.concatenate(list(resampled.values()), axis=1)
    return result


def refuse_lengths(where, lengths, rates):
    """Refuse signals of one recording that differ in length (s) by more than a second: one of the rates is wrong."""
    short, long = min(lengths, key=lengths.get, default=None), max(lengths, key=lengths.get, default=None)
    if lengths and lengths[long] - lengths[short] > 1 + 1e-6:
        words = [f"{name} lasts {lengths[name]:.4g} s" for name in (short, long)]
        rate = next((f", {rates[name]:g} Hz of {name}," for name in (long, short) if name in rates), "")
        raise InputError(f"{where}: {' and '.join(words)}; is a rate of sampling_rates{rate} wrong?")
