"""Windows that stay on the device, batches that are an index, augmentation where the data is."""

import copy
import mmap

import numpy as np
import torch

from utils import front_end as front_ends

N_VARIANTS = 6  # as is, weaker, stronger; and the same three with noise
WEAKER, STRONGER, SCALE_RANGE = 0.7, 1.2, 0.1  # factors U(0.7, 0.8) and U(1.2, 1.3)
NOISE_TO_SIGNAL = 10**-0.5  # variance, at 5 dB signal-to-noise ratio


class Recordings:
    """The 1 s blocks of both modalities on the device.

    Parameters
    ----------
    data : data_prep.Prepared
    modalities : list of str
        ``"eeg"``, ``"pps"``.
    pps_channels : list of str
        Full names of the PPS channels to take, in this order.
    device : torch.device
        On the CPU the EEG stays in its memory-mapped file.
    front_end : str
        ``"raw"``: the samples; ``"bandpower"``: features of every block (`utils.front_end`), not standardised yet.
    """

    def __init__(self, data, modalities, pps_channels, device, front_end="raw"):
        pps = [data.info["pps_channels"].index(name) for name in pps_channels]
        self.front_end, self.blocks = front_end, {}
        for name in modalities:
            array = data.eeg if name == "eeg" else np.take(data.pps, pps, axis=3)
            if front_end == "bandpower":
                array = front_ends.block_features(array, data.rate, name)
            self.blocks[name] = torch.from_numpy(array).to(device)  # (S, T, seconds, C, samples of a block)
        self.files = [data.eeg.base, data.pps.base]  # maps of them; nothing is ever written there
        self.release()
        self.seconds_per_subject = data.eeg.shape[1] * data.eeg.shape[2]

    def release(self):
        """Give back the memory of the files' pages that were read so far (they stay in the system's cache)."""
        for file in self.files:
            if hasattr(file, "madvise"):  # a map of a file; not on Windows
                file.madvise(mmap.MADV_DONTNEED)

    def n_channels(self, modality):
        """Number of channels of ``"eeg"`` or ``"pps"``."""
        return self.blocks[modality].shape[3]

    def standardised(self, training):
        """These recordings with features standardised per person; raw samples stay as they are.

        Parameters
        ----------
        training : numpy.ndarray, bool, shape (subjects, trials, seconds)
            Seconds that may be looked at.

        Returns
        -------
        Recordings
        """
        if self.front_end == "raw":
            return self
        other = copy.copy(self)
        other.blocks = {
            name: torch.from_numpy(front_ends.standardise(x.cpu().numpy(), training)).to(x.device)
            for name, x in self.blocks.items()
        }
        return other

    def take(self, modality, subjects, first_seconds, n_seconds):
        """1 s blocks of windows.

        Parameters
        ----------
        modality : str
        subjects, first_seconds : torch.Tensor, int64, shape (n,)
            Subject, and trial * seconds + second at which the window starts.
        n_seconds : int

        Returns
        -------
        torch.Tensor, shape (n, n_seconds, C, rate)
        """
        blocks = self.blocks[modality].flatten(0, 2)  # (S * T * seconds, C, rate)
        first = subjects * self.seconds_per_subject + first_seconds
        index = first[:, None] + torch.arange(n_seconds, device=first.device)
        return blocks.index_select(0, index.flatten()).unflatten(0, index.shape)


class ContrastiveBatches:
    """Batches of pre-training: B pairs of groups that must look alike.

    With positives ``"stimulus"`` an item is a stimulus window, and its pair is two disjoint groups of N people who see
    it. With ``"augmentation"`` an item is one person's window, and its pair is two augmented views of that (N = 1).

    Parameters
    ----------
    recordings : Recordings
    subjects : torch.Tensor, int64
        Training subjects.
    first_seconds : torch.Tensor, int64
        Training stimulus windows, by trial * seconds + first second.
    n_seconds : int
        Length of a window: 1 or 5.
    batch_size, subjects_per_group : int
        B and N; a batch is never larger than there are items.
    positives : str
        ``"stimulus"`` or ``"augmentation"``.
    augmented : bool
        Whether the six passes of an epoch differ; with positives ``"augmentation"`` the second view always does.
    """

    def __init__(
        self,
        recordings,
        subjects,
        first_seconds,
        n_seconds,
        batch_size,
        subjects_per_group,
        positives="stimulus",
        augmented=True,
    ):
        self.recordings = recordings
        self.subjects, self.first_seconds, self.n_seconds = subjects, first_seconds, n_seconds
        self.subjects_per_group = subjects_per_group if positives == "stimulus" else 1
        self.positives, self.augmented = positives, augmented
        self.n_items = len(first_seconds) * (1 if positives == "stimulus" else len(subjects))
        self.batch_size = min(batch_size, self.n_items)
        self.n_steps = N_VARIANTS * self.n_items // self.batch_size

    def shuffle(self):
        """Order of an epoch: every item once in each variant, in six passes over all items.

        Returns
        -------
        items, variants : torch.Tensor, int64, shape (n_steps, B)
            What does not fill a last batch is left out.
        """
        n, device = self.n_items, self.subjects.device
        passes = torch.rand(N_VARIANTS, n, device=device).argsort(1)  # (6, n) items
        turns = torch.rand(N_VARIANTS, n, device=device).argsort(0)  # (6, n) variant of each item in each pass
        used = self.n_steps * self.batch_size
        items, variants = passes.flatten()[:used], turns.gather(1, passes).flatten()[:used] * self.augmented
        return items.view(self.n_steps, -1), variants.view(self.n_steps, -1)

    def draw(self, items, variants):
        """One batch: people drawn for each item, signals gathered and augmented.

        Parameters
        ----------
        items, variants : torch.Tensor, int64, shape (B,)
            A row of what `shuffle` returned.

        Returns
        -------
        dict of str to torch.Tensor, shape (2, B, N, C, L)
            By modality; both of the same people and in the same variant, with independent draws.
        """
        n, n_windows = self.subjects_per_group, len(self.first_seconds)
        if self.positives == "stimulus":
            order = torch.rand(len(items), len(self.subjects), device=items.device).argsort(1)
            people = self.subjects[order[:, : 2 * n]]  # (B, 2N) distinct: the first N are group 1, the others group 2
            variants = variants.expand(2, -1)
        else:
            people = self.subjects[items // n_windows][:, None].expand(-1, 2)  # (B, 2) the same person twice
            other = torch.randint(1, N_VARIANTS, variants.shape, device=items.device)
            variants = torch.stack([variants, (variants + other) % N_VARIANTS])  # two views that differ
        people = people.unflatten(1, (2, n)).transpose(0, 1)  # (2, B, N)
        first = self.first_seconds[items % n_windows][None, :, None].expand_as(people)
        batch = {}
        for name in self.recordings.blocks:
            blocks = self.recordings.take(name, people.flatten(), first.flatten(), self.n_seconds)
            x = blocks.transpose(1, 2).flatten(2).unflatten(0, people.shape)  # (2, B, N, C, L)
            batch[name] = augment(x, variants[:, :, None].expand_as(people))
        return batch


def augment(x, variants):
    """Scale windows and add white noise.

    Parameters
    ----------
    x : torch.Tensor, shape (..., C, L)
    variants : torch.Tensor, int64, shape (...)
        0 as is; 1 scaled by U(0.7, 0.8); 2 by U(1.2, 1.3); 3, 4, 5 the same with noise at 5 dB SNR: its variance is
        the signal's over all channels and samples of the scaled window times 10^-0.5.

    Returns
    -------
    torch.Tensor, shape (..., C, L)
    """
    kind = variants % 3
    draw = SCALE_RANGE * torch.rand(variants.shape, dtype=x.dtype, device=x.device)
    scale = 1 + (kind == 1) * (WEAKER - 1 + draw) + (kind == 2) * (STRONGER - 1 + draw)
    x = x * scale[..., None, None]
    variance = x.var(dim=(-2, -1), correction=0, keepdim=True)
    noisy = (variants >= 3)[..., None, None]
    return x + torch.randn_like(x) * (variance * NOISE_TO_SIGNAL * noisy).sqrt()


class FusionWindows:
    """The 5 s windows of fine-tuning on the device, each with the five 1 s windows inside it.

    Parameters
    ----------
    recordings : Recordings
    windows : numpy.ndarray, int, shape (n, 3)
        Subject, trial and 5 s row (trial * windows per trial + window) of each.
    seconds : int
        Length of a trial.
    n_seconds : int
        Length of a window.
    """

    def __init__(self, recordings, windows, seconds, n_seconds=5):
        self.recordings, self.n_seconds = recordings, n_seconds
        subject, trial, row = windows.T
        first_second = trial * seconds + row % (seconds // n_seconds) * n_seconds
        device = next(iter(recordings.blocks.values())).device
        self.subject, self.first_second = (
            torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in (subject, first_second)
        )

    def __len__(self):
        return len(self.subject)

    def take(self, index):
        """1 s blocks of the windows at these positions, by modality, each (len(index), 5, C, rate)."""
        subject, first_second = self.subject[index], self.first_second[index]
        names = self.recordings.blocks
        return {name: self.recordings.take(name, subject, first_second, self.n_seconds) for name in names}
