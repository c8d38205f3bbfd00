"""Batches that are an index, augmentation where the data is."""

import torch

from utils.base.errors import InputError
from utils.inputs.recordings import Recordings
from utils.inputs.streaming import Stream
from utils.protocol.windows import RESOLUTIONS, WINDOW_SECONDS, first_seconds

__all__ = ["ContrastiveBatches", "FusionWindows", "Recordings", "augment"]

N_VARIANTS = 6  # as is, weaker, stronger; and the same three with noise
WEAKER, STRONGER, SCALE_RANGE = 0.7, 1.2, 0.1  # factors U(0.7, 0.8) and U(1.2, 1.3)
NOISE_TO_SIGNAL = 10**-0.5  # variance, at 5 dB signal-to-noise ratio
DRAWS_AT_ONCE = 2**24  # random numbers, when people are drawn
STEPS_KEPT = 16  # steps whose pages of the recordings' files stay in memory


class ContrastiveBatches:
    """Batches of pre-training: B pairs of groups that must look alike.

    With positives ``"stimulus"`` an item is a stimulus window, and its pair is two disjoint groups of N people who saw
    it; windows that fewer than 2 N people saw are left out. With ``"augmentation"`` an item is one person's window, and
    its pair is two augmented views of it (N = 1); these always differ, also if the passes of an epoch do not
    (``augment``). ``subjects`` (S,) and ``first_seconds`` (windows,), as trial * seconds + first second, are those of
    training. B is at most the number of items.
    """

    def __init__(
        self, recordings, subjects, first_seconds, n_seconds, batch_size, group_size, positives="stimulus", augment=True
    ):
        self.recordings = recordings
        self.source = Stream(recordings, n_seconds) if recordings.streamed else recordings
        self.subjects, self.first_seconds, self.n_seconds = subjects, first_seconds, n_seconds
        self.group_size = group_size  # N
        self.positives, self.augmented = positives, augment
        seen = recordings.seen.to(subjects.device)[subjects]  # (people, trials)
        self.seen = seen.T[first_seconds // recordings.trial_seconds]  # (windows, people)
        if positives == "stimulus":
            enough = self.seen.sum(1) >= 2 * group_size
            self.first_seconds, self.seen = first_seconds[enough], self.seen[enough]
            self.n_items = len(self.first_seconds)
        else:
            self.items = self.seen.T.flatten().nonzero().flatten()  # person * windows + window
            self.n_items = len(self.items)
        self.complete = bool(self.seen.all())
        self.batch_size = max(1, min(batch_size, self.n_items))
        self.n_steps = N_VARIANTS * self.n_items // self.batch_size

    def shuffle(self):
        """The batches of an epoch: every item once in each variant, in six passes, with people drawn.

        Returns places of first seconds (n_steps, 2, B, N) and variants (n_steps, 2, B); an incomplete last batch is
        dropped.
        """
        n, n_windows, device = self.n_items, len(self.first_seconds), self.subjects.device
        passes = torch.rand(N_VARIANTS, n, device=device).argsort(1)  # (6, n) items
        turns = torch.rand(N_VARIANTS, n, device=device).argsort(0)  # (6, n) variant of each item in each pass
        used = self.n_steps * self.batch_size
        items = passes.flatten()[:used].view(self.n_steps, -1)  # (n_steps, B)
        variants = turns.gather(1, passes).flatten()[:used].view(self.n_steps, 1, -1).expand(-1, 2, -1) * self.augmented
        if self.positives == "stimulus":
            at_once = max(1, DRAWS_AT_ONCE // (self.batch_size * len(self.subjects)))  # steps
            people = torch.cat([self._groups(part) for part in items.split(at_once)])
        else:
            items = self.items[items]
            people = self.subjects[items // n_windows][:, None, :, None].expand(-1, 2, -1, -1)  # the same person twice
            other = torch.randint(1, N_VARIANTS, items.shape, device=device)
            variants = torch.stack([variants[:, 0], (variants[:, 0] + other) % N_VARIANTS], 1)  # two views that differ
        first = self.first_seconds[items % n_windows][:, None, :, None]
        return people * self.recordings.seconds_per_subject + first, variants

    def _groups(self, items):
        """People of the two groups of each item (n_steps, B): (n_steps, 2, B, N), no one twice."""
        draw = torch.rand(*items.shape, len(self.subjects), device=items.device)
        if not self.complete:
            draw.masked_fill_(~self.seen[items], 2)  # behind all who saw it
        people = self.subjects[draw.argsort(-1)[..., : 2 * self.group_size]]  # (n_steps, B, 2N)
        return people.unflatten(-1, (2, -1)).transpose(1, 2)

    def place(self, first):
        """Where `draw` finds the windows of an epoch (n_steps, 2, B, N): as they are, or in the stream's buffer."""
        return self.source.begin(first) if self.recordings.streamed else first

    def ready(self, step):
        """Before each step: its windows can be read, and the memory of those that were read is given back."""
        if self.recordings.streamed:
            self.source.ready(step)
        if step % STEPS_KEPT == STEPS_KEPT - 1:
            self.recordings.release()

    def draw(self, first, variants):
        """One batch by modality (2, B, N, C, L), gathered and augmented, from ``first`` (2, B, N) and ``variants``
        (2, B).
        """
        batch = {}
        for name in self.recordings.blocks:
            blocks = self.source.at(name, first.flatten(), self.n_seconds)
            x = blocks.transpose(1, 2).flatten(2).unflatten(0, first.shape)  # (2, B, N, C, L)
            batch[name] = augment(x, variants[..., None].expand_as(first))
        return batch


def contrasted_rows(settings, data, fold):
    """Training rows of the window size at which two groups of people can be drawn; how many are left out is printed."""
    rows, size = fold.train.rows[settings.WINDOW], settings.SUBJECTS_PER_GROUP
    if settings.POSITIVES == "augmentation":
        return rows
    trials = rows // (data.info["seconds"] // RESOLUTIONS[settings.WINDOW])
    kept = rows[data.seen[fold.train.subjects].sum(axis=0)[trials] >= 2 * size]
    if len(kept) < len(rows):
        print(
            f"fold {fold.index}: {len(rows) - len(kept)} of {len(rows)} stimulus windows are left out of contrast: "
            f"fewer than {2 * size} training people saw them, and two groups take {size} each"
        )
    if len(kept) < min(2, len(rows)):
        smaller = "a smaller --subjects-per-group, or " if size > 1 else ""
        raise InputError(
            f"fold {fold.index} has {len(kept)} windows that two groups of {size} people saw; use {smaller}--positives "
            "augmentation"
        )
    return kept


def augment(x, variants):
    """Scale windows (..., C, L) and add white noise by variant (...).

    0 as is; 1 scaled by U(0.7, 0.8); 2 by U(1.2, 1.3); 3, 4, 5 the same with noise at 5 dB SNR of the scaled window.
    """
    kind = variants % 3
    draw = SCALE_RANGE * torch.rand(variants.shape, dtype=x.dtype, device=x.device)
    scale = 1 + (kind == 1) * (WEAKER - 1 + draw) + (kind == 2) * (STRONGER - 1 + draw)
    x = x * scale[..., None, None]
    window = (-2, -1)
    variance = (x - x.mean(window, keepdim=True)).square_().mean(window, keepdim=True)  # `var` takes ten times as long
    noisy = (variants >= 3)[..., None, None]
    return x.add_(torch.randn_like(x).mul_((variance * NOISE_TO_SIGNAL * noisy).sqrt_()))


class FusionWindows:
    """The 5 s windows (n, 3: subject, trial, row) of fine-tuning on the device, with the five 1 s windows inside."""

    def __init__(self, recordings, windows, seconds):
        self.recordings = recordings
        device = next(iter(recordings.blocks.values())).device  # not where the windows go, if they are streamed
        self.subject = torch.tensor(windows[:, 0], device=device)
        self.first_second = torch.tensor(first_seconds(windows[:, 2], WINDOW_SECONDS, seconds), device=device)

    def __len__(self):
        return len(self.subject)

    def order(self, index):
        """These positions, for `take`: where the recordings are."""
        return index.to(self.subject.device)

    def take(self, index):
        """1 s blocks of the windows at these positions, by modality, each (len(index), 5, C, rate) on the device."""
        where = self.subject[index], self.first_second[index], WINDOW_SECONDS
        return {name: self.recordings.take(name, *where) for name in self.recordings.blocks}
