"""The 1 s blocks of a data set, on the device or coming to it, standardised as the data and the front end ask for."""

import copy
import mmap

import numpy as np
import torch

from data_prep.signals.channels import shorten
from utils.base.progress import warn
from utils.inputs.features import block_features
from utils.inputs.normalise import Features, Samples, fit, kinds
from utils.protocol.windows import seconds_to_fit

SMALL = 1e-3  # deviation of samples below which the first BatchNorm, and the bands' smallest power, hide them
RESIDENT_SHARE = 0.5  # of a GPU's free memory that recordings may take; larger ones are streamed


class Recordings:
    """The 1 s blocks of both modalities on the device, or streamed to it from their files.

    ``data`` are a `data_prep.Prepared`; ``pps_channels`` and ``eeg_channels`` (all by default) are full names, in the
    order to take them in. ``front_end``: ``"raw"`` for the samples, else features of every block (`features`), not
    standardised yet. ``stream``: whether samples stay in their files for a GPU too; by default if they do not fit on
    it. ``per_person``: whether the samples of both modalities are standardised per person; by default as the data ask.
    """

    def __init__(
        self, data, modalities, pps_channels, device, front_end="raw", stream=None, eeg_channels=None, per_person=False
    ):
        names = {"eeg": eeg_channels or data.info["eeg_channels"], "pps": pps_channels}
        n_bytes = sum(data.eeg.nbytes if name == "eeg" else data.pps.nbytes for name in modalities)
        streamed = not _fits(n_bytes, device) if stream is None else stream
        self.device, self.front_end, self.streamed = device, front_end, streamed and front_end == "raw"
        self.blocks, self.picked, self.rate, self.seen = {}, {}, data.rate, torch.from_numpy(data.seen)
        self.trial_seconds, self.seconds_per_subject = data.eeg.shape[2], data.eeg.shape[1] * data.eeg.shape[2]
        self.summaries = {}  # by modality whose samples are standardised: of each person
        self.levels, self.fitted, self._last = {}, {}, (None, None, None)
        self.files = [data.eeg.base, data.pps.base]  # maps of them; nothing is ever written there
        for name in modalities:
            array, picked = data.eeg if name == "eeg" else data.pps, None
            if names[name] != data.info[f"{name}_channels"]:
                picked = [data.info[f"{name}_channels"].index(channel) for channel in names[name]]
            if per_person or Samples in kinds(name, data.info["preparation"], front_end):
                self.summaries[name] = [Samples.summary(person) for person in self._people(array, picked)]
            elif name == "pps" and data.info["preparation"].get("pps") == "none":
                self._warn_of_small(names[name], self._people(array, picked))
            on_drawing = front_end == "raw" and (device.type == "cpu" or self.streamed)
            if front_end != "raw" and name not in self.summaries:  # else of the standardised samples
                array = block_features(self._people(array, picked), data.rate, name, front_end, device)
            elif picked is not None and not on_drawing:
                array = np.take(array, picked, axis=3)
            self.blocks[name] = torch.from_numpy(array)  # (S, T, seconds, C, samples of a block)
            if not self.streamed:
                self.blocks[name] = self.blocks[name].to(device)
            self.picked[name] = torch.tensor(picked) if picked is not None and on_drawing else None
        self.release()

    def _people(self, array, picked):
        """The blocks of one person after the other; the memory of pages that were read is given back."""
        for person in array:
            yield person if picked is None else np.take(person, picked, axis=2)
            self.release()

    def _warn_of_small(self, names, people):
        """Warn of samples that no network sees, such as siemens."""
        _, deviation = fit(map(Samples.summary, people), self.seen.numpy()[..., None].repeat(self.trial_seconds, 2))
        small = [name for name, value in zip(names, deviation.amin(0).tolist(), strict=True) if value < SMALL]
        if small:
            warn(
                f"{shorten(small)} vary by less than {SMALL:g} and were not standardised: too little for a network to "
                "see; use a smaller unit (uS, mV), or prepare them with --pps-normalise subject"
            )

    def release(self):
        """Give back the memory of the files' pages that were read so far (they stay in the system's cache)."""
        for file in self.files:
            if hasattr(file, "madvise"):  # a map of a file; not on Windows
                file.madvise(mmap.MADV_DONTNEED)

    def n_channels(self, modality):
        """Number of channels of ``"eeg"`` or ``"pps"``."""
        picked = self.picked[modality]
        return self.blocks[modality].shape[3] if picked is None else len(picked)

    def standardised(self, training, population=None):
        """These recordings, each person standardised (`normalise`) where the data or the front end ask for it.

        ``training`` (subjects, trials, seconds) may be looked at; of a person without any, all seconds. ``population``
        (`normalise.population`) has levels to take in place of each person's own. What is returned has as ``fitted``
        the means and deviations of all people by modality and kind, such as ``"eeg features"``.
        """
        if self.front_end == "raw" and not self.summaries:
            return self
        training = seconds_to_fit(training, self.seen.numpy())
        if self._last[1] is population and np.array_equal(self._last[0], training):
            return self._last[2]
        pooled = population["levels"] if population else {}
        self._last = None, None, None  # else every fold's features would keep those of the fold before
        other = copy.copy(self)
        other.blocks, other.levels, other.fitted = dict(self.blocks), {}, {}
        for name, x in self.blocks.items():
            if name in self.summaries:
                what = f"{name} {Samples.name}"
                levels = [part.float() for part in fit(self.summaries[name], training, pooled.get(what))]
                other.fitted[what] = levels
                if self.front_end == "raw":
                    other.levels[name] = [part.to(x.device) for part in levels]
                    continue
                people = (
                    Samples.apply(person.clone(), *of).numpy() for person, *of in zip(x.cpu(), *levels, strict=True)
                )
                features = block_features(people, self.rate, name, self.front_end, self.device)
                x = torch.from_numpy(features).to(x.device)
            if self.front_end != "raw":
                what = f"{name} {Features.name}"
                levels = fit(map(Features.summary, x), training, pooled.get(what))
                other.fitted[what] = levels = [part.to(x.device) for part in levels]
                other.blocks[name] = torch.stack([Features.apply(*person) for person in zip(x, *levels, strict=True)])
        self._last = training, population, other
        return other

    def take(self, modality, subjects, first_seconds, n_seconds):
        """Blocks (n, n_seconds, C, rate) of windows of subjects (n,) that start at trial * seconds + second (n,)."""
        x = self.at(modality, subjects * self.seconds_per_subject + first_seconds, n_seconds)
        if x.device.type != self.device.type == "cuda":
            x = x.pin_memory()
        return x.to(self.device, non_blocking=True)

    def at(self, modality, first, n_seconds):
        """1 s blocks (n, n_seconds, C, rate) from these places on: subject * seconds per subject + second."""
        return self.gather(modality, first, n_seconds).unflatten(0, (len(first), n_seconds))

    def gather(self, modality, first, n_seconds, out=None):
        """The same as one row of blocks (n * n_seconds, C, rate), into ``out`` if it is given."""
        blocks, picked = self.blocks[modality].flatten(0, 2), self.picked[modality]
        index = (first[:, None] + torch.arange(n_seconds, device=first.device)).flatten()
        if picked is None:
            x = torch.index_select(blocks, 0, index, out=out)
        else:
            x = torch.index_select(blocks.index_select(0, index), 1, picked, out=out)
        if modality in self.levels:
            Samples.apply(x, *(part[index // self.seconds_per_subject] for part in self.levels[modality]))
        return x


def _fits(n_bytes, device):
    """Whether recordings leave enough of the device's free memory to the networks and their batches."""
    return device.type != "cuda" or n_bytes <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
