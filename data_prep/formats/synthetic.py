"""Simulated recordings with planted structure: what an emotion does to brain and body, as far as textbooks agree.

All subjects share the slow courses of arousal and valence of each stimulus. In each subject they drive

- EEG band envelopes (frontal theta up and posterior alpha down with arousal, beta and gamma up, frontal alpha to the
  right with valence), mixed over the scalp differently in each subject, over 1/f noise, blinks and line residue;
- weak evoked activity locked to the stimulus, as films evoke it in every viewer alike;
- with physiological delays: skin conductance, heart rate, pulse, respiration, muscles, skin temperature.

As in real data, ratings are personal and noisy, and every trial has a *fingerprint* (spectral tilt and channel gains)
that has nothing to do with emotion, but by which windows of one trial recognise each other.
"""

import re
from dataclasses import dataclass

import numpy as np
from scipy import fft, signal

LATENT_RATE = 8  # Hz, of the courses of arousal and valence
BANDS = {"theta": (4, 8), "alpha": (8, 13), "beta": (13, 30), "gamma": (30, 45)}  # Hz
BAND_AMPLITUDE = {"theta": 4.0, "alpha": 6.0, "beta": 2.5, "gamma": 1.5}  # uV
BACKGROUND = 6.0  # uV, of the 1/f noise
EVOKED = 1.5  # uV
N_EVOKED = 3  # components with a scalp map each
LINE_RESIDUE = 0.2  # uV at 50 Hz
TRIAL_GAIN, TRIAL_TILT = 0.15, 0.25  # deviations of a trial's fingerprint: log gain of an electrode, slope of the noise
ROWS = {"Fp": 1, "AF": 0.8, "F": 0.6, "FC": 0.3, "C": 0, "T": 0, "CP": -0.3, "P": -0.6, "PO": -0.8, "O": -1}


def electrode_positions(names):
    """Coordinates on the head (n, 2) from 10-20 names: x to the right, y to the front, both in -1..1."""
    positions = []
    for name in names:
        row, column = re.fullmatch(r"([A-Za-z]+?)(z|\d+)", name).groups()
        n = 0 if column == "z" else int(column)
        positions.append(((n if n % 2 == 0 else -(n + 1)) / 8, ROWS[row]))
    return np.array(positions)


@dataclass
class Stimulus:
    """What all who see a video share: courses of the latents, and the waveforms it evokes."""

    courses: np.ndarray  # (2, n) arousal and valence at LATENT_RATE from its onset, about -1..1
    seed: list  # of the evoked waveforms


def make_stimuli(seed, n_trials, seconds):
    """Stimuli, a quarter of them in each quadrant of arousal and valence; ``seconds`` of the longest."""
    rng = np.random.default_rng([seed, 0])
    targets = make_targets(rng, n_trials)
    n = int(seconds * LATENT_RATE)
    onset = 1 - np.exp(-np.arange(n) / LATENT_RATE / 5)  # emotions take seconds to arise
    slow, stimuli = signal.butter(2, 1 / 15, fs=LATENT_RATE, output="sos"), []
    for trial, target in enumerate(targets):
        wander = signal.sosfiltfilt(slow, rng.standard_normal((2, n + 400)), axis=1)[:, 200:-200]
        wander *= 0.25 / wander.std()
        stimuli.append(Stimulus((target[:, None] + wander) * onset, [seed, 1, trial]))
    return stimuli


def make_targets(rng, n_trials, balanced=True):
    """Mean arousal and valence per trial (n_trials, 2), strength 0.5 to 1; quadrants ``balanced``, or by chance.

    Balance would be a trace of the left-out trials in the others, where labels are noise: a score below chance.
    """
    quadrants = rng.permutation(np.arange(n_trials) % 4) if balanced else rng.integers(0, 4, n_trials)
    signs = np.stack([np.where(quadrants < 2, 1, -1), np.where(quadrants % 2 == 0, 1, -1)], axis=1)
    return signs * rng.uniform(0.5, 1.0, (n_trials, 2))


class Person:
    """Traits of subject ``index``; ``channels`` are the names of the EEG electrodes."""

    def __init__(self, seed, index, channels):
        rng = np.random.default_rng([seed, 2, index])
        x, y = electrode_positions(channels).T
        front, back = np.exp(-(((y - 0.7) / 0.4) ** 2)), np.exp(-(((y + 0.8) / 0.5) ** 2))
        flat = np.ones_like(x)
        effects = {  # on the logarithm of the envelope, per unit of (arousal, valence)
            "theta": (0.5 * front, 0.1 * front),
            "alpha": (-0.6 * back, 0.5 * front * np.sign(x)),
            "beta": (0.4 * flat, 0.1 * front * np.sign(x)),
            "gamma": (0.4 * np.abs(x), 0.3 * np.abs(x)),
        }
        rest = {"theta": 0.6 + 0.8 * front, "alpha": 0.4 + 1.2 * back, "beta": flat, "gamma": flat}
        distance = np.hypot(x[:, None] - x, y[:, None] - y)
        smoothing = np.exp(-((distance / 0.35) ** 2)) + 0.3 * np.eye(len(x))
        maps = np.stack([back, front, np.cos(np.pi * x / 2) * np.cos(np.pi * y / 2)])

        def personal(values, spread):
            return values * (1 + spread * rng.standard_normal(np.shape(values)))

        self.gains = rng.uniform(0.7, 1.3, 2)  # how strongly arousal and valence act
        self.lag = rng.uniform(0.2, 0.6)  # s, of the brain
        self.channel_gains = np.exp(0.1 * rng.standard_normal(len(x)))
        self.mixing = {band: personal(np.array(effect), 0.3) for band, effect in effects.items()}  # (2, channels) each
        self.amplitude = {band: BAND_AMPLITUDE[band] * np.abs(personal(rest[band], 0.2)) for band in BANDS}  # uV
        self.evoked_maps = personal(maps, 0.3)  # (N_EVOKED, channels)
        self.smoothing = smoothing / np.linalg.norm(smoothing, axis=1, keepdims=True)  # spread over the scalp
        self.heart_rate = rng.uniform(60, 80)  # beats per minute at rest
        self.breath_rate = rng.uniform(0.22, 0.3)  # Hz at rest
        self.bias = 0.3 * rng.standard_normal(2)  # of the ratings of arousal and valence


def make_ratings(rng, person, targets):
    """Ratings (trials,) by name in -1..1 of ``targets`` (trials, 2: arousal, valence), with bias and noise."""
    noise = rng.standard_normal((4, len(targets)))
    arousal, valence = (targets * person.gains + person.bias).T
    felt = {"arousal": arousal, "valence": valence, "dominance": 0.3 * valence, "liking": 0.6 * valence}
    spread = {"arousal": 0.2, "valence": 0.2, "dominance": 0.5, "liking": 0.4}
    return {name: np.clip(felt[name] + spread[name] * e, -1, 1) for name, e in zip(felt, noise, strict=True)}


class Trial:
    """One person before one stimulus: latents as they act in this body, and all signals made from them.

    ``rest_seconds`` of quiet come before ``seconds`` of the stimulus. ``effect``: strength of all traces of arousal and
    valence; ``drift``: standard deviation of the level of skin conductance after a minute (uS), regardless of emotion;
    ``trend``: fall of skin conductance in a minute (uS) in all trials alike, twice the growth of alpha's log amplitude.
    """

    def __init__(self, rng, person, stimulus, rest_seconds, seconds, effect=1.0, drift=0.0, trend=0.0):
        self.rng, self.person, self.stimulus = rng, person, stimulus
        self.rest_seconds, self.total = rest_seconds, rest_seconds + seconds
        self.drift, self.trend = drift, trend
        n_rest, n = int(rest_seconds * LATENT_RATE), int(seconds * LATENT_RATE)
        course = effect * stimulus.courses[:, :n] * person.gains[:, None]
        self.latents = np.concatenate([np.zeros((2, n_rest)), course], axis=1)
        beats = self._course(0, LATENT_RATE, delay=1.0)
        breath = person.breath_rate * (1 + 0.25 * beats)
        self.breath_phase = 2 * np.pi * (rng.uniform() + np.cumsum(breath) / LATENT_RATE)
        rate = person.heart_rate * (1 + 0.12 * beats) + 2.5 * np.sin(self.breath_phase)  # breathing quickens the heart
        rate += rng.standard_normal(len(rate))
        self.heart_phase = 2 * np.pi * (rng.uniform() + np.cumsum(rate / 60) / LATENT_RATE)

    def _times(self, rate):
        """Seconds since the beginning of the rest at ``rate`` Hz."""
        return np.arange(round(self.total * rate)) / rate

    def _course(self, which, rate, delay):
        """Arousal (0) or valence (1) at ``rate`` Hz, ``delay`` s late."""
        values = self.latents[which]
        return np.interp(self._times(rate) - delay, np.arange(len(values)) / LATENT_RATE, values, left=0)

    def _phase(self, phase, rate):
        return np.interp(self._times(rate), np.arange(len(phase)) / LATENT_RATE, phase)

    def _minutes(self, rate):
        """Minutes since the onset at ``rate`` Hz, 0 before it."""
        return np.maximum(self._times(rate) - self.rest_seconds, 0) / 60

    def _noise(self, n_channels, rate, low, high, exponent=0.0):
        """Noise (n_channels, samples) of unit variance between two frequencies; its spectrum falls as 1/f^exponent."""
        n_samples = round(self.total * rate)
        n = fft.next_fast_len(n_samples, real=True)
        frequencies = fft.rfftfreq(n, 1 / rate)
        inside = (frequencies >= low) & (frequencies < high)
        spectrum = np.zeros((n_channels, len(frequencies)), complex)
        weights = frequencies[inside] ** (-exponent / 2)
        real, imaginary = self.rng.standard_normal((2, n_channels, inside.sum()))
        spectrum[:, inside] = (real + 1j * imaginary) * weights
        return fft.irfft(spectrum, n)[:, :n_samples] * (n / 2 / np.sqrt(np.square(weights).sum()))

    def blinks(self, rate):
        """Blinks as a waveform of unit height at ``rate`` Hz; the eyes' and the frontal channels share them."""
        n = round(self.total * rate)
        events = np.zeros(n)
        events[self.rng.integers(0, n, self.rng.poisson(self.total / 5))] = 1
        return signal.fftconvolve(events, signal.windows.hann(int(0.3 * rate)))[:n]

    def eeg(self, channels, rate, blinks):
        """EEG in uV, (channels, samples) at ``rate`` Hz."""
        person, rng = self.person, self.rng
        x, y = electrode_positions(channels).T
        fingerprint = np.exp(TRIAL_GAIN * rng.standard_normal(len(x)))[:, None]
        tilt = 1 + TRIAL_TILT * rng.standard_normal()
        out = BACKGROUND * person.smoothing @ self._noise(len(x), rate, 0.5, 0.45 * rate, tilt)
        arousal, valence = (self._course(i, rate, person.lag) for i in (0, 1))
        for band, (low, high) in BANDS.items():
            envelope = np.exp(np.outer(person.mixing[band][0], arousal) + np.outer(person.mixing[band][1], valence))
            if band == "alpha":
                envelope *= np.exp(0.5 * self.trend * self._minutes(rate))
            source = person.smoothing @ self._noise(len(x), rate, low, high)
            out += person.amplitude[band][:, None] * envelope * source
        out += EVOKED * (1 + 0.5 * arousal) * (person.evoked_maps.T @ self._evoked(rate))
        out += 60 * np.outer(np.exp(-(((y - 1) / 0.25) ** 2)), blinks)
        out += LINE_RESIDUE * np.sin(2 * np.pi * (50 * self._times(rate) + rng.uniform()))
        return out * fingerprint * person.channel_gains[:, None]

    def _evoked(self, rate):
        """Waveforms (N_EVOKED, samples) that the stimulus evokes in everybody, from its onset."""
        n_rest, n = round(self.rest_seconds * rate), round(self.total * rate)
        n_waveform = round(len(self.stimulus.courses[0]) / LATENT_RATE * rate)
        white = np.random.default_rng(self.stimulus.seed).standard_normal((N_EVOKED, n_waveform))
        waveforms = signal.sosfilt(signal.butter(2, (1, 8), "bandpass", fs=rate, output="sos"), white, axis=1)
        waveforms /= waveforms.std(axis=1, keepdims=True)
        return np.pad(waveforms[:, : n - n_rest], ((0, 0), (n_rest, 0)))

    def skin_conductance(self, rate):
        """GSR in uS: a level that integrates arousal and may drift, and responses that come more often with arousal."""
        arousal = self._course(0, rate, delay=2.0)
        level = np.cumsum(arousal - 0.1) / rate * 0.06
        events = self.rng.uniform(size=len(arousal)) < (0.04 + 0.16 / (1 + np.exp(-4 * arousal))) / rate
        heights = events * 0.25 * np.exp(0.3 * self.rng.standard_normal(len(arousal)))
        times = np.arange(int(20 * rate)) / rate
        response = np.exp(-times / 4) - np.exp(-times / 0.75)  # rises in 1.5 s, falls in 4 s
        responses = signal.fftconvolve(heights, response)[: len(arousal)]
        out = 5 + level + responses + 0.005 * self.rng.standard_normal(len(arousal))
        out -= self.trend * self._minutes(rate)
        if self.drift:
            out += self.drift * np.cumsum(self.rng.standard_normal(len(out))) / np.sqrt(60 * rate)
        return out

    def pulse(self, rate):
        """Plethysmograph: a pulse wave per heart beat, smaller when vessels narrow with arousal."""
        phase = self._phase(self.heart_phase, rate) - 0.25 * 2 * np.pi  # the pulse comes after the beat
        wave = np.exp(2 * np.cos(phase)) + 0.5 * np.exp(2 * np.cos(phase - 2))
        return 100 * wave * np.exp(-0.2 * self._course(0, rate, 2.0)) + 3 * self.rng.standard_normal(len(phase))

    def ecg(self, rate):
        """ECG in mV, (2 leads, samples): P, Q, R, S and T waves at the planted heart rate."""
        phase = np.mod(self._phase(self.heart_phase, rate), 2 * np.pi) - np.pi
        waves = {-1.2: (0.12, 0.25), -0.2: (-0.12, 0.08), 0.0: (1.0, 0.09), 0.2: (-0.2, 0.08), 1.5: (0.3, 0.4)}
        beat = sum(height * np.exp(-(((phase - at) / width) ** 2)) for at, (height, width) in waves.items())
        gains = np.array([[1], [0.7]])  # of the leads
        wander = 0.1 * np.sin(self._phase(self.breath_phase, rate))
        return gains * (beat + wander) + 0.02 * self.rng.standard_normal((2, len(phase)))

    def respiration(self, rate):
        """Chest expansion, arbitrary units."""
        phase = self._phase(self.breath_phase, rate)
        noise = 5 * self.rng.standard_normal(len(phase))
        return 500 * np.sin(phase) * np.exp(-0.1 * self._course(0, rate, 1.0)) + noise

    def muscle(self, rate, which):
        """EMG in uV: the zygomaticus smiles with valence (1), the trapezius tightens with arousal (0)."""
        course = self._course(which, rate, 0.5)
        return 5 * np.exp(0.6 * course) * self._noise(1, rate, 20, 0.45 * rate)[0]

    def eye(self, rate):
        """Slow eye movements, uV."""
        return 20 * self._noise(1, rate, 0.1, 3, 1.0)[0]

    def temperature(self, rate):
        """Skin temperature in degrees: fingers cool with arousal."""
        cooling = np.cumsum(self._course(0, rate, 4.0)) / rate * 0.004
        return 33 - cooling + 0.002 * self.rng.standard_normal(len(cooling))
