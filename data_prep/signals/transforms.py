"""From one trial's signals to the 1 s blocks of the prepared folder.

Constant features are set to 0; deviations within rounding error count as constant. A channel that is 0 throughout a
second is missing there: it stays 0 and is ignored. Single zeros are values.
"""

import numpy as np

from utils.base.errors import InputError

NORMALISE = {  # axes of (channels, seconds, rate) over which a trial is standardised when it is prepared; None: none
    "channels": 0,  # EEG, the paper's
    "trial": (1, 2),  # EEG or PPS
    "none": None,  # PPS, what the paper's program does to skin conductance
    # PPS: mean and standard deviation are fitted in training, over the training seconds of each person; new people are
    # standardised with all of their own, which is transductive (utils/inputs/normalise.py)
    "subject": None,
}
MIN_ELECTRODES = 3  # standardised across channels, one electrode is 0 and two are the sign of their difference
COMPUTED = 256 * np.finfo(np.float64).eps  # rounding of sums and differences, as a share of the numbers
RECORDED = 2  # rounding of the recording itself, in units of its last place


def prepare_trials(trials, rate, made, where):
    """`prepare_trial` of a person's trials: EEG and PPS, (trials, seconds, channels, rate); ``where``: for messages."""
    blocks = []
    for number, trial in enumerate(trials, 1):  # one at a time stays in the processor's cache
        try:
            blocks.append(prepare_trial(trial, rate, made))
        except InputError as error:
            raise InputError(f"{where}, trial {number}: {error}") from None
    return tuple(np.stack([trial[name] for trial in blocks]) for name in ("eeg", "pps"))


def prepare_trial(trial, rate, made):
    """1 s blocks of a trial by modality, float32 (seconds, channels, rate), normalised as ``made`` says.

    ``trial``: by modality (signal, rest or None), as for `prepare`; ``made``: as `preparation.make` records it.
    """
    blocks = {}
    for name, (signal, rest) in trial.items():
        prepared = prepare(signal, rest, rate, made[name], made.get("segment"))
        with np.errstate(over="ignore"):  # what is too large for float32 is refused when it is written
            blocks[name] = prepared.astype(np.float32).swapaxes(0, 1)
    return blocks


def prepare(signal, rest, rate, normalise, segment=None):
    """Baseline removal and normalisation of one trial (PhysioSync, preprocessing), float64 (channels, seconds, rate).

    ``signal`` and ``rest`` are (channels, samples) at ``rate`` Hz. The mean 1 s block of the rest, of at least 1 s, is
    subtracted from every second; None: nothing is. ``normalise``: a key of `NORMALISE`; ``segment``: the part to keep,
    such as ``"first 60 s"``, and all of a trial that is no longer. Across channels at least three must record.
    """
    raw = to_blocks(np.asarray(signal, np.float64), rate)
    if segment is not None:
        part, seconds, _ = segment.split()
        raw = raw[:, : int(seconds)] if part == "first" else raw[:, -int(seconds) :]
    blocks, size, missing = raw, np.abs(raw), (raw == 0).all(axis=2)
    share = precision(signal)
    if rest is not None:
        rest_blocks = to_blocks(np.asarray(rest, np.float64), rate)
        blocks = raw - rest_blocks.mean(axis=1, keepdims=True)
        size = np.maximum(size, np.abs(rest_blocks).max(axis=1, keepdims=True))
        share = max(share, precision(rest))
    rounding = share * size
    missing |= (np.abs(blocks) <= rounding).all(axis=2)
    blocks = np.where(missing[:, :, None], 0, blocks)
    if normalise == "channels":
        present = (~missing).sum(axis=0)
        if ((present > 0) & (present < MIN_ELECTRODES)).any():
            what = f"in some second fewer than {MIN_ELECTRODES} of {len(raw)} EEG channels record (the others are 0)"
            remedy = 'leave it out, or use eeg_normalise="trial" (--eeg-normalise trial)'
            raise InputError(f"{what}, and standardisation across channels leaves nothing but signs; {remedy}")
    axis = NORMALISE[normalise]
    return blocks if axis is None else standardise(blocks, axis, rounding)


def to_blocks(signal, rate):
    """A signal (channels, samples) as 1 s blocks (channels, seconds, rate); an incomplete last second is dropped."""
    seconds = signal.shape[1] // rate
    return signal[:, : seconds * rate].reshape(len(signal), seconds, rate)


def precision(x):
    """Differences up to this share of the numbers are rounding, in the type that ``x`` was recorded in."""
    x = np.asarray(x)
    return COMPUTED + (RECORDED * float(np.finfo(x.dtype).eps) if x.dtype.kind == "f" else 0)


def zscore_channels(blocks):
    """Standardise (channels, ..., rate) across channels at each sample; where all channels agree it becomes 0."""
    return standardise(blocks, NORMALISE["channels"])


def zscore_trial(blocks):
    """Standardise each channel of (channels, seconds, rate) over the trial; a constant channel becomes 0."""
    return standardise(blocks, NORMALISE["trial"])


def standardise(blocks, axis, rounding=None):
    """Standardise (channels, ..., rate); 0 where the standard deviation is no more than ``rounding``, by default of
    the numbers' type, or nothing is recorded.
    """
    values = np.asarray(blocks, np.float64)
    rounding = precision(blocks) * np.abs(values) if rounding is None else rounding
    present = values.any(axis=-1, keepdims=True)
    n = np.maximum(np.broadcast_to(present, values.shape).sum(axis=axis, keepdims=True), 1)
    centred = np.where(present, values - values.sum(axis=axis, keepdims=True) / n, 0)
    deviation = np.sqrt(np.square(centred).sum(axis=axis, keepdims=True) / n)
    varies = deviation > rounding.max(axis=axis, keepdims=True, initial=0)
    return np.where(varies, centred, 0) / np.where(varies, deviation, 1)
