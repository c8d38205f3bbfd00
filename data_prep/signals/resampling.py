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
    """A person's checked arrays (trials, channels, samples) at ``rate`` Hz, cut to the whole seconds that all have.

    ``rates``: Hz of ``eeg`` and of peripheral channels where it differs; ``pps`` may be a dict of channels to arrays
    (trials, samples).
    """
    where, result = f"subject {person.get('id')}", dict(person)
    if unknown := [name for name in rates if name not in ("eeg", *pps_channels)]:
        raise InputError(f"sampling_rates has {unknown[0]!r}, which is neither eeg nor one of the pps_channels")
    for suffix in ("", "_baseline"):
        parts = {name: person[name + suffix] for name in ("eeg", "pps") if name + suffix in person}
        channels = parts.pop("pps") if isinstance(parts.get("pps"), dict) else None
        if "pps" in parts and set(rates) - {"eeg"}:
            what = "must be a dict of channel to (trials, samples), because of sampling_rates"
            raise InputError(f"{where}: pps{suffix}", what)
        if not rates and channels is None:
            continue
        if channels is not None and set(channels) != set(pps_channels):
            what = f"has the channels {', '.join(map(str, channels))}, not {', '.join(pps_channels)}"
            raise InputError(f"{where}: pps{suffix}", what)
        if len({len(part) for part in (channels or {}).values()}) > 1:
            raise InputError(f"{where}: pps{suffix}", "has another number of trials in some channels")
        parts |= channels or {}
        lengths = {name: part.shape[-1] / rates.get(name, rate) for name, part in parts.items()}
        refuse_lengths(where + suffix, lengths, rates)
        seconds = int(min(lengths.values(), default=0) + 1e-6)
        for name, part in parts.items():
            parts[name] = resample(part, rates[name], rate, seconds) if name in rates else part[..., : seconds * rate]
        if channels:
            parts["pps"] = np.stack([parts.pop(name) for name in pps_channels], axis=1)
        result |= {name + suffix: part for name, part in parts.items()}
    return result


def refuse_lengths(where, lengths, rates):
    """Refuse signals of one recording that differ in length (s) by more than a second: one of the rates is wrong."""
    if lengths and max(lengths.values()) - min(lengths.values()) > 1 + 1e-6:
        short, long = min(lengths, key=lengths.get), max(lengths, key=lengths.get)
        words = [f"{name} lasts {lengths[name]:.4g} s" for name in (short, long)]
        rate = next((f", {rates[name]:g} Hz of {name}," for name in (long, short) if name in rates), "")
        raise InputError(f"{where}: {' and '.join(words)}; is a rate of sampling_rates{rate} wrong?")
