"""What was tried to make pre-training worth more, one change at a time, for study_variants.py.

Each function gives a context in which the real scripts run changed: other features, another front end or contrast. They
are experiments and no part of the method; benchmarks/RESULTS.md says what came of them. ``kind`` is the data set.
"""

import contextlib
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import models
from data_prep.formats import synthetic
from data_prep.signals import transforms
from models import contrastive, encoder
from models.front_end import SharedFilters
from utils.finetuning import first_encoders
from utils.pretraining import front_end, networks, recipes
from utils.pretraining.batches import ContrastiveBatches
from utils.pretraining.fold_pretraining import FoldPretraining

LEARNED_FILTERS = 16  # spatial and temporal filters of the learned front end
LEARNED_SECONDS = 0.5  # length of the temporal ones
EVOKED_STEPS = 16  # a second


def patched(*changes):
    """The context in which each ``(object, name)`` has another value."""
    stack = contextlib.ExitStack()
    for where, name, value in changes:
        stack.enter_context(mock.patch.object(where, name, value))
    return stack


# --- what is simulated


def no_fingerprints(kind):
    """Trials have no gains of electrodes and no tilt of the spectrum of their own."""
    return patched((synthetic, "TRIAL_GAIN", 0), (synthetic, "TRIAL_TILT", 0))


# --- what the networks see


def eeg_as_recorded(kind):
    """EEG is not standardised in preparation: only its features are, over each person."""
    return mock.patch.dict(transforms.NORMALISE, channels=transforms.NORMALISE["none"])


def without_delta(kind):
    """Four bands in place of five: DEAP's files are filtered from 4 Hz on."""
    return mock.patch.dict(front_end.BANDS, {k: v for k, v in front_end.BANDS.items() if k != "delta"}, clear=True)


def less_trial_mean(kind):
    """Each PPS feature also less its mean over the trial: both levels side by side."""

    def features(blocks, rate, modality, before=front_end.block_features):
        values = before(blocks, rate, modality)
        return (
            np.concatenate([values, values - np.nanmean(values, axis=2, keepdims=True)], -1)
            if modality == "pps"
            else values
        )

    return patched(*_features(features, "pps", lambda rate, width: width))


def evoked_beside_bands(kind):
    """EEG in 16 steps a second beside its bands; each of the two kinds has shared filters of its own."""

    def features(blocks, rate, modality, before=front_end.block_features):
        blocks = np.stack(list(blocks))
        values = before(blocks, rate, modality)
        if modality == "pps":
            return values
        return np.concatenate([values, blocks.reshape(*blocks.shape[:-1], EVOKED_STEPS, -1).mean(-1)], -1)

    def filters(windows, group_size, n_electrodes=None, before=front_end.shared_filters):
        if n_electrodes is None:
            return before(windows, group_size)
        places = np.arange(windows.shape[2]).reshape(n_electrodes, -1)
        out = np.zeros((places.size, places.size), np.float32)
        for part, gains in ((places[:, :-EVOKED_STEPS], n_electrodes), (places[:, -EVOKED_STEPS:], None)):
            out[np.ix_(part.ravel(), part.ravel())] = before(windows[:, :, part.ravel()], group_size, gains)
        return out

    more = _features(features, "eeg", lambda rate, width: EVOKED_STEPS)
    return patched(*more, (front_end, "shared_filters", filters))


def _features(features, which, more):
    """Other features of a second, and ``more(rate, width)`` of them for each channel of one modality."""

    def width(front, rate, modality, before=front_end.block_width):
        own = before(front, rate, modality)
        return own + more(rate, own) if modality == which else own

    widths = [(module, "block_width", width) for module in (front_end, first_encoders, recipes)]
    return [(front_end, "block_features", features), *widths]


def learned_beside_bands(kind):
    """Filters that are learned beside the bands, for EEG, or for peripheral signals where there is no EEG."""
    which = "pps" if kind == "real" else "eeg"

    def features(blocks, rate, modality, before=front_end.block_features):
        blocks = np.stack(list(blocks))
        values = before(blocks, rate, modality)
        return np.concatenate([values, blocks], -1) if modality == which else values

    def more(rate, width):
        Learned.n_features = width
        return rate

    def filters(settings, n_seconds, recordings, batches, modality, before=networks._shared_filters):
        shorter = {name: x[..., : Learned.n_features] if name == which else x for name, x in recordings.blocks.items()}
        with mock.patch.object(recordings, "blocks", shorter):
            return before(settings, n_seconds, recordings, batches, modality)

    class Learned(LearnedFrontEnd):
        of_eeg = which == "eeg"

    encoders = (models, "ENCODERS", {"physiosync": Learned})
    return patched(*_features(features, which, more), (networks, "_shared_filters", filters), encoders)


class LearnedFrontEnd(models.Encoder):
    """An encoder of seconds that hold, for each channel, first features and then samples, for `LearnedFilters`."""

    def __init__(self, n_channels, n_samples, embed_dim, prompt_tokens=0, block_samples=None, **others):
        learns = self.of_eeg == (prompt_tokens > 0)  # the other modality's encoder is as it is
        seen, seconds = self.n_features if learns else block_samples, n_samples // block_samples
        super().__init__(n_channels, seconds * seen, embed_dim, prompt_tokens, block_samples=seen, **others)
        self.arguments |= dict(n_samples=n_samples, block_samples=block_samples)
        if learns:
            self.front_end = LearnedFilters(n_channels, seen, block_samples - seen)
            self.embedding = encoder.MultiViewEmbedding(seconds * (n_channels * seen + LEARNED_FILTERS), embed_dim)


class LearnedFilters(SharedFilters):
    """Spatial filters, temporal filters, square, mean over the second, logarithm (as ShallowFBCSPNet has them).

    What comes out stands beside the features, which go through the shared filters as always.
    """

    def __init__(self, n_channels, seen, rate):
        super().__init__(n_channels, seen)
        self.n_samples = seen + rate
        self.space = nn.Linear(n_channels, LEARNED_FILTERS, bias=False)
        self.time = nn.Conv1d(
            LEARNED_FILTERS, LEARNED_FILTERS, round(LEARNED_SECONDS * rate), groups=LEARNED_FILTERS, bias=False
        )

    def forward(self, x):
        blocks = x.unflatten(-1, (-1, self.n_samples)).transpose(-3, -2)  # (B, seconds, C, features and samples)
        seen, samples = blocks.split([self.block_samples, self.n_samples - self.block_samples], dim=-1)
        sources = self.space(samples.mT).mT  # (B, seconds, filters, rate)
        power = self.time(sources.flatten(0, 1)).square().mean(-1).unflatten(0, sources.shape[:2])
        return torch.cat([seen.flatten(-2) @ self.filters, torch.log(power + front_end.SMALLEST)], dim=-1)


# --- what is contrasted


def same_people(kind):
    """The people of the two groups are drawn once for a batch: all negatives are of the same people."""

    def groups(self, items):
        order = torch.rand(len(items), 1, len(self.subjects)).argsort(-1).expand(-1, items.shape[1], -1)
        return self.subjects[order[..., : 2 * self.subjects_per_group]].unflatten(-1, (2, -1)).transpose(1, 2)

    return mock.patch.object(ContrastiveBatches, "_groups", groups)


def other_trials(kind):
    """Moments of the same trial are no negatives."""

    def masks(data, trial, own):
        stimulus = trial % data.eeg.shape[1]
        return own, own | (stimulus[:, None] != stimulus)

    return _contrast(masks)


def same_label(kind):
    """Supervised contrast: all windows of the same label, of training trials, are positives; a group is one person."""

    def masks(data, trial, own):
        classes = torch.from_numpy(data.labels("stress" if kind == "real" else "arousal")[0]).flatten()[trial]
        same = (classes[:, None] == classes).fill_diagonal_(False)
        return same, torch.ones_like(same)

    return _contrast(masks)


def _contrast(masks):
    """Another LS-TCL: ``masks(data, trial, own)`` says which pairs of rows are positives, and which count at all.

    ``trial`` is subject * trials + trial of each row (for a group, of its first person), ``own`` the usual positives.
    """
    now = {}

    def batches(self, recordings, rows, before=FoldPretraining._batches):
        now["data"] = self.data
        return before(self, recordings, rows)

    def draw(self, first, variants, before=ContrastiveBatches.draw):
        now["trial"] = first[:, :, 0].flatten() // now["data"].eeg.shape[2]
        return before(self, first, variants)

    def loss(z, tau, before=contrastive.group_nt_xent):
        n = z.shape[-2]
        own = torch.eye(n, dtype=torch.bool).roll(n // 2, 0)
        return contrast(z, tau, *masks(now["data"], now["trial"], own)), before(z, tau)[1]

    return patched(
        (FoldPretraining, "_batches", batches), (ContrastiveBatches, "draw", draw), (contrastive, "group_nt_xent", loss)
    )


def contrast(z, tau, positive, counts):
    """NT-Xent of rows (..., 2B, D) whose positives, and whose pairs that count at all, are masks (2B, 2B)."""
    left_out = ~counts | torch.eye(len(counts), dtype=torch.bool)
    z = F.normalize(z, dim=-1)
    logs = (z @ z.mT / tau).masked_fill(left_out, float("-inf")).log_softmax(-1).masked_fill(~positive, 0)
    return -2 * (logs.sum(-1) / positive.sum(-1)).mean(-1)
