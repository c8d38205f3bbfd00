"""Does the same moment of a film look alike across people? Recordings without labels, for study_real.py."""

import numpy as np

from utils.base.errors import InputError
from utils.pretraining.front_end import block_features, shared_filters, standardise

RATE = 128  # Hz, after resampling
N_SECONDS = 20  # of the film
BAND = (1, 15)  # Hz, of the signals that are compared as they are
N_TRAINING = 8  # people whose shared directions are sought
GROUP = 3  # others in each of the two groups that must recognise each other's moments
N_DIRECTIONS = 3  # the strongest
DRAWS = 60  # of people


def retrieval(folder):
    """Share of one-second moments whose most similar moment of another group of people is their own.

    Parameters
    ----------
    folder : pathlib.Path
        With a .set file per person, all of the same film from its beginning.

    Returns
    -------
    line : str
    found : dict of str to float
    """
    people = [read(path) for path in sorted(folder.glob("**/*.set"))]
    if len(people) < N_TRAINING + 2 * GROUP:
        raise InputError(f"--fractal-dir {folder} has {len(people)} .set files; {N_TRAINING + 2 * GROUP} are needed")
    same = [any(np.array_equal(own[0], other[0]) for other in people[:n]) for n, own in enumerate(people)]
    people = [own for own, copy in zip(people, same, strict=True) if not copy]  # a recording may be there twice
    waves, signals = (np.stack(part) for part in zip(*people, strict=True))  # (people, channels, samples) each
    blocks = signals.reshape(len(signals), 1, -1, N_SECONDS, RATE).swapaxes(2, 3)  # (people, 1, seconds, C, rate)
    powers = standardise(block_features(blocks, RATE, "eeg"), np.ones((*blocks.shape[:3],), bool))[:, 0]
    waves = waves / waves.std(axis=2, keepdims=True)
    features = {
        "band power": powers.reshape(len(powers), N_SECONDS, 1, -1),
        "the signal, 1 to 15 Hz": waves.reshape(len(waves), -1, N_SECONDS, RATE).transpose(0, 2, 3, 1),
    }
    rng = np.random.default_rng(0)
    draws = [rng.permutation(len(people)) for _ in range(DRAWS)]
    found = {name: float(np.mean([retrieved(x, order) for order in draws])) for name, x in features.items()}
    shown = " and ".join(f"{value:.3f} ({name})" for name, value in found.items())
    return (
        f"Fractal, {len(people)} people: of {N_SECONDS} moments {shown} are retrieved between two groups of {GROUP} "
        f"new people, {1 / N_SECONDS:.3f} by chance; directions shared by {N_TRAINING} others, {DRAWS} draws.\n"
    ), found | {"chance": 1 / N_SECONDS, "people": len(people)}


def read(path):
    """One recording (channels, samples): within `BAND`, and as it is."""
    import mne  # optional: requirements-recordings.txt

    raw = mne.io.read_raw_eeglab(path, preload=True, verbose="error")
    raw.drop_channels([name for name in raw.ch_names if name.upper() == "GND"])
    both = [raw.copy().filter(*BAND, verbose="error"), raw]
    return [part.resample(RATE, verbose="error").get_data()[:, : N_SECONDS * RATE] for part in both]


def retrieved(features, order):
    """Share of moments found, for one draw of people; ``features`` (people, moments, samples, width)."""
    training, one, two = np.split(order[: N_TRAINING + 2 * GROUP], [N_TRAINING, N_TRAINING + GROUP])
    filters = shared_filters(features[training].reshape(N_TRAINING, -1, features.shape[-1]), GROUP)
    strongest = np.argsort(-np.square(filters).sum(axis=0))[:N_DIRECTIONS]
    a, b = ((features[group] @ filters[:, strongest]).mean(axis=0) for group in (one, two))
    a, b = (np.reshape(x, (len(x), -1)) for x in (a, b))
    similarity = np.corrcoef(a, b)[: len(a), len(a) :]
    return (similarity.argmax(axis=1) == np.arange(len(a))).mean()
