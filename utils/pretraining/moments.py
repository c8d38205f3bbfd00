"""What pre-training learned about moments of stimuli that it has not seen, and how much of it is the clock alone.

The contrastive accuracy counts how often two groups of people at the same moment recognise each other. Over a trial,
skin conductance falls and alpha drifts, whatever the stimulus: elapsed time alone recognises many moments. So the same
is counted for a second group at the same second of *another* stimulus. The difference is what the stimulus contributes.
"""

import numpy as np
import torch
from torch.nn import functional as F

from utils.protocol import splits

PASSES = 3  # over the moments, each time with other people
CROSS = "cross"  # from the EEG of one group to the PPS of the other


def look_at_held_out(training):
    """`look` at a fold's test moments, and say it; None where fewer than two test stimuli are new to its encoders."""
    fold, settings, seconds = training.fold, training.settings, training.data.eeg.shape[2]
    per_trial = seconds // splits.RESOLUTIONS[settings.WINDOW]
    new = np.setdiff1d(*(part.rows[settings.WINDOW] // per_trial for part in (fold.test, fold.train)))
    if len(new) < 2 or settings.POSITIVES != "stimulus":
        return None
    found = look(training.model, *moments_of(training), settings.SEED)
    if words := in_words(found):
        print(f"fold {fold.index}: {words}")
    return found


def moments_of(training):
    """Arguments of `look` for a fold's test rows: recordings, people, moments, window, people in a group, batch."""
    fold, settings, n_seconds = training.fold, training.settings, training.n_seconds
    per_trial = training.data.eeg.shape[2] // n_seconds
    rows = fold.test.rows[settings.WINDOW]
    moments = np.stack([rows // per_trial, rows % per_trial * n_seconds], 1)  # trial, first second
    people = fold.test.subjects if len(fold.test.subjects) > 1 else fold.train.subjects
    group = min(settings.SUBJECTS_PER_GROUP, len(people) // 2)
    return training.batches.recordings, people, moments, n_seconds, group, settings.BATCH_SIZE


@torch.no_grad()
def look(model, recordings, people, moments, n_seconds, group_size, batch_size, seed=0):
    """How often a moment is recognised by a second group there, and by one at the same second of another stimulus.

    Parameters
    ----------
    model : ContrastiveModel
        Put into evaluation mode.
    recordings : Recordings
        Standardised for the fold.
    people : numpy.ndarray, int, shape (S,)
    moments : numpy.ndarray, int, shape (n, 2)
        Trial and first second of each window.
    n_seconds, group_size, batch_size, seed : int

    Returns
    -------
    dict of str to float
        ``eeg``, ``pps``: share of group 1's moments whose most similar moment of group 2 is the same (top-1
        retrieval); ``cross``: from EEG to PPS, where the model aligns them. ``eeg_clock``, ...: where group 2 is at
        the same second of another stimulus; absent if there is no other. ``chance``: 1 / batch.
    """
    model.eval()
    rng, hits, n = np.random.default_rng(seed), {}, 0
    saw = recordings.seen.cpu().numpy()[people]  # (S, trials)
    moments = moments[saw[:, moments[:, 0]].sum(axis=0) >= 2 * group_size]
    batch_size = min(batch_size, len(moments))
    for _ in range(PASSES):
        order = rng.permutation(len(moments))
        for start in range(0, len(order) - batch_size + 1, max(1, batch_size)):
            here = moments[order[start : start + batch_size]]  # (B, 2)
            there = _same_second(rng, here, moments, saw, 2 * group_size)
            both = saw[:, here[:, 0]] & (True if there is None else saw[:, there[:, 0]])  # (S, B)
            drawn = [rng.permutation(people[who])[: 2 * group_size] for who in both.T]
            first, second = np.split(np.stack(drawn), 2, axis=1)  # (B, N)
            seen = [_embed(model, recordings, group, here, n_seconds) for group in (first, second)]
            _count(hits, *seen)
            if there is not None:
                same = there[None, :, 0] == here[:, None, 0]  # (B, B) of one stimulus, which the clock does not tell
                _count(hits, seen[0], _embed(model, recordings, second, there, n_seconds), "_clock", same)
            n += 1
    return {name: value / n for name, value in hits.items()} | {"chance": 1 / max(1, batch_size)}


def _same_second(rng, here, moments, saw, least):
    """For each moment (B, 2) one at the same second of another stimulus that enough people saw; None without any."""
    found = []
    for trial, second in here:
        others = moments[(moments[:, 1] == second) & (moments[:, 0] != trial)]
        others = others[(saw[:, others[:, 0]] & saw[:, [trial]]).sum(axis=0) >= least]
        if not len(others):
            return None
        found.append(rng.choice(others))
    return np.stack(found)


def _embed(model, recordings, people, moments, n_seconds):
    """Pooled projections (B, D) of a group's people (B, N) at the moments (B, 2) by modality; aligned features, too."""
    seconds = recordings.trial_seconds
    device = next(iter(recordings.blocks.values())).device
    subjects = torch.from_numpy(people.ravel()).to(device)
    first = torch.from_numpy(np.repeat(moments[:, 0] * seconds + moments[:, 1], people.shape[1])).to(device)
    found = {}
    for name, encoder in model.encoders.items():
        blocks = recordings.take(name, subjects, first, n_seconds)  # (B * N, seconds, C, rate)
        feature = encoder(blocks.transpose(1, 2).flatten(2))
        found[name] = encoder.project(feature).unflatten(0, people.shape).amax(1)
        if model.alignment:
            pooled = feature.unflatten(0, people.shape).amax(1)
            found[f"aligned_{name}"] = model.alignment.norm(model.alignment.linear(pooled))
    return found


def _count(hits, one, other, ending="", excluded=None):
    """Add to ``hits`` how often one group's rows find those of the other; ``excluded`` (B, B) are no candidates."""
    pairs = {name: (name, name) for name in one if not name.startswith("aligned_")}
    if "aligned_eeg" in one:
        pairs[CROSS] = ("aligned_eeg", "aligned_pps")
    for name, (a, b) in pairs.items():
        hits[name + ending] = hits.get(name + ending, 0.0) + top1(one[a], other[b], excluded)


def top1(a, b, excluded=None):
    """Share of the rows of ``a`` (B, D) whose most similar row of ``b`` (B, D) is the one of the same number.

    Pairs that are ``excluded`` (B, B) do not compete; a row with fewer candidates counts less, so that chance is 1 / B.
    """
    similarity = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    there = torch.ones_like(similarity, dtype=torch.bool)
    if excluded is not None:
        there = torch.from_numpy(~excluded).to(a.device)
    hits = similarity.masked_fill(~there, -torch.inf).argmax(1) == torch.arange(len(a), device=a.device)
    return (hits * there.float().mean(1)).mean().item()


def in_words(found):
    """The result of `look`, or its mean over folds, as a sentence; None where the clock was not looked at."""
    parts = [
        f"{name.upper()} {found[name]:.3f}, by the clock alone {found[f'{name}_clock']:.3f}, so by the stimulus "
        f"{found[name] - found[f'{name}_clock']:+.3f}"
        for name in ("eeg", "pps")
        if f"{name}_clock" in found
    ]
    return f"moments of new stimuli recognised (chance {found['chance']:.3f}): {'; '.join(parts)}" if parts else None
