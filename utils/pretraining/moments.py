"""What pre-training learned about moments of stimuli that it has not seen, and how much of it is the clock alone.

The contrastive accuracy counts how often two groups of people at the same moment recognise each other. Over a trial,
skin conductance falls and alpha drifts, whatever the stimulus: elapsed time alone recognises many moments. So the same
is counted for a second group at the same second of *another* stimulus. The difference is what the stimulus contributes.
"""

import numpy as np
import torch
from torch.nn import functional as F

from utils.protocol.windows import new_stimuli

PASSES = 3  # over the moments, each time with other people


def look_at_held_out(training):
    """`look` at a fold's test moments, and print it; None where fewer than two test stimuli are new to its encoders."""
    fold, settings, n_seconds = training.fold, training.settings, training.n_seconds
    seconds = training.data.eeg.shape[2]
    if settings.POSITIVES != "stimulus" or len(new_stimuli(fold, seconds // n_seconds, settings.WINDOW)) < 2:
        return None
    trial, window = np.divmod(fold.test.rows[settings.WINDOW], seconds // n_seconds)
    people = fold.test.subjects if len(fold.test.subjects) > 1 else fold.train.subjects
    group_size = min(settings.SUBJECTS_PER_GROUP, len(people) // 2)
    of_fold = training.model, training.batches.recordings, people, np.stack([trial, window * n_seconds], 1)
    shares = look(*of_fold, n_seconds, group_size, settings.BATCH_SIZE, settings.SEED)
    if words := in_words(shares):
        print(f"fold {fold.index}: {words}")
    return shares


def in_words(shares):
    """The result of `look` as a sentence; None where the clock was not looked at."""
    parts = [
        f"{name.upper()} {shares[name]:.3f}, by the clock alone {shares[f'{name}_clock']:.3f}, so by the stimulus "
        f"{shares[name] - shares[f'{name}_clock']:+.3f}"
        for name in ("eeg", "pps")
        if f"{name}_clock" in shares
    ]
    return f"moments of new stimuli recognised (chance {shares['chance']:.3f}): {'; '.join(parts)}" if parts else None


@torch.no_grad()
def look(model, recordings, people, moments, n_seconds, group_size, batch_size, seed=0):
    """How often a moment is recognised by a second group there, and by one at the same second of another stimulus.

    ``recordings`` are standardised for the fold, ``people`` (S,) indices, ``moments`` (n, 2) trial and first second of
    windows. Returned by name: ``eeg``, ``pps``: share of group 1's moments whose most similar moment of group 2 is the
    same (top-1 retrieval); ``cross``: from EEG to PPS, where the model aligns them; ``eeg_clock``, ...: where group 2
    is at the same second of another stimulus, if there is one; ``chance``: 1 / batch.
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
            group1, group2 = np.split(np.stack(drawn), 2, axis=1)  # (B, N)
            pooled1, pooled2 = (_embed(model, recordings, group, here, n_seconds) for group in (group1, group2))
            _count(hits, pooled1, pooled2)
            if there is not None:
                same = there[None, :, 0] == here[:, None, 0]  # (B, B): another second of one stimulus does not compete
                _count(hits, pooled1, _embed(model, recordings, group2, there, n_seconds), "_clock", same)
            n += 1
    return {name: value / n for name, value in hits.items()} | {"chance": 1 / max(1, batch_size)}


def _same_second(rng, here, moments, saw, least):
    """For each moment (B, 2) one at the same second of another stimulus that enough people saw; None without any."""
    chosen = []
    for trial, second in here:
        others = moments[(moments[:, 1] == second) & (moments[:, 0] != trial)]
        others = others[(saw[:, others[:, 0]] & saw[:, [trial]]).sum(axis=0) >= least]
        if not len(others):
            return None
        chosen.append(rng.choice(others))
    return np.stack(chosen)


def _embed(model, recordings, people, moments, n_seconds):
    """Pooled projections (B, D) of a group's people (B, N) at the moments (B, 2) by modality; aligned features, too."""
    device = next(iter(recordings.blocks.values())).device
    subjects = torch.from_numpy(people.ravel()).to(device)
    first_seconds = moments[:, 0] * recordings.trial_seconds + moments[:, 1]  # (B,)
    first_seconds = torch.from_numpy(np.repeat(first_seconds, people.shape[1])).to(device)  # (B * N,)
    pooled = {}
    for name, encoder in model.encoders.items():
        blocks = recordings.take(name, subjects, first_seconds, n_seconds)  # (B * N, seconds, C, rate)
        feature = encoder(blocks.transpose(1, 2).flatten(2))
        pooled[name] = encoder.project(feature).unflatten(0, people.shape).amax(1)
        if model.alignment:
            feature = feature.unflatten(0, people.shape).amax(1)  # (B, 4E)
            pooled[f"aligned_{name}"] = model.alignment.norm(model.alignment.linear(feature))
    return pooled


def _count(hits, pooled, other, ending="", excluded=None):
    """Add to ``hits`` how often one group's rows find those of the other; ``excluded`` (B, B) are no candidates."""
    pairs = {name: (name, name) for name in pooled if not name.startswith("aligned_")}
    if "aligned_eeg" in pooled:
        pairs["cross"] = ("aligned_eeg", "aligned_pps")
    for name, (a, b) in pairs.items():
        hits[name + ending] = hits.get(name + ending, 0.0) + top1(pooled[a], other[b], excluded)


def top1(a, b, excluded=None):
    """Share of the rows of ``a`` (B, D) whose most similar row of ``b`` (B, D) is the one of the same number.

    Pairs that are ``excluded`` (B, B) do not compete; a row with fewer candidates counts less, so that chance is 1 / B.
    """
    similarity = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    candidates = torch.ones_like(similarity, dtype=torch.bool)
    if excluded is not None:
        candidates = torch.from_numpy(~excluded).to(a.device)
    hits = similarity.masked_fill(~candidates, -torch.inf).argmax(1) == torch.arange(len(a), device=a.device)
    return (hits * candidates.float().mean(1)).mean().item()
