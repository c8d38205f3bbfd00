"""The 1 s blocks of a data set, on the device or coming to it, standardised as the data and the front end ask for."""

import copy
import mmap

import numpy as np
import torch

from data_prep.signals.channels import shorten
from utils.base.progress import warn
from utils.inputs.features import block_features
from utils.inputs.front_end import scale, standardise
from utils.inputs.subject_scales import SubjectScales, standardise_blocks, standardise_person
from utils.protocol.windows import seconds_to_fit

SMALL = 1e-3  # deviation of samples below which the first BatchNorm, and the bands' smallest power, hide them
RESIDENT_SHARE = 0.5  # of a GPU's free memory that recordings may take; larger ones are streamed


class Recordings:
    """The 1 s blocks of both modalities on the device, or streamed to it from their files.

    Parameters
    ----------
    data : data_prep.Prepared
    modalities : list of str
        ``"eeg"``, ``"pps"``.
    pps_channels : list of str
        Full names of the PPS channels to take, in this order.
    device : torch.device
        On the CPU the blocks stay in their memory-mapped files, which all processes of a machine share.
    front_end : str
        ``"raw"``: the samples; else features of every block (`features`), not standardised yet.
    stream : bool, optional
        Whether samples stay there also for another device; by default if they do not fit on it.
    eeg_channels : list of str, optional
        Full names of the EEG channels to take, in this order; by default all.
    """

    def __init__(self, data, modalities, pps_channels, device, front_end="raw", stream=None, eeg_channels=None):
        wanted = {"eeg": eeg_channels or data.info["eeg_channels"], "pps": pps_channels}
        self.scales, self.levels, self._last = None, {}, None
        n_bytes = sum(data.eeg.nbytes if name == "eeg" else data.pps.nbytes for name in modalities)
        streamed = not _fits(n_bytes, device) if stream is None else stream
        self.device, self.front_end, self.streamed = device, front_end, streamed and front_end == "raw"
        self.blocks, self.picked, self.rate = {}, {}, data.rate
        self.files = [data.eeg.base, data.pps.base]  # maps of them; nothing is ever written there
        for name in modalities:
            array, picked = data.eeg if name == "eeg" else data.pps, None
            if wanted[name] != data.info[f"{name}_channels"]:
                picked = [data.info[f"{name}_channels"].index(channel) for channel in wanted[name]]
            if name == "pps":
                self._look_at_scales(data, array, picked, wanted[name])
            if front_end != "raw":
                if name != "pps" or self.scales is None:
                    array = block_features(self._people(array, picked), data.rate, name, front_end, device)
                elif picked is not None:  # features when it is standardised
                    array = np.take(array, picked, axis=3)
                picked = None
            elif device.type != "cpu" and not self.streamed:
                array, picked = array if picked is None else np.take(array, picked, axis=3), None
            self.blocks[name] = torch.from_numpy(array)  # (S, T, seconds, C, samples of a block)
            if not self.streamed:
                self.blocks[name] = self.blocks[name].to(device)
            self.picked[name] = None if picked is None else torch.tensor(picked)
        self.release()
        self.seen, self.trial_seconds = torch.from_numpy(data.seen), data.eeg.shape[2]
        self.seconds_per_subject = data.eeg.shape[1] * data.eeg.shape[2]

    def _people(self, array, picked):
        """The blocks of one person after the other; the memory of pages that were read is given back."""
        for own in array:
            yield own if picked is None else np.take(own, picked, axis=2)
            self.release()

    def _look_at_scales(self, data, array, picked, names):
        """Keep what standardisation over people needs; warn of samples that no network sees, such as siemens."""
        normalise = data.info["preparation"].get("pps")
        if normalise not in ("subject", "none"):
            return
        scales = SubjectScales(self._people(array, picked))
        if normalise == "subject":
            self.scales = scales
            return
        deviation = scales.over(np.broadcast_to(data.seen[..., None], array.shape[:3]))[1].amin(0)
        small = [name for name, value in zip(names, deviation.tolist(), strict=True) if value < SMALL]
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
        """These recordings with features standardised per person, and PPS samples where the data ask for it.

        Parameters
        ----------
        training : numpy.ndarray, bool, shape (subjects, trials, seconds)
            Seconds that may be looked at; of a person without any, all.
        population : dict, optional
            Levels to take in place of each person's own (`utils.inputs.population`).

        Returns
        -------
        Recordings
        """
        pooled = population and {k: (v["mean"], v["deviation"]) for k, v in population["levels"].items()}
        if self.front_end == "raw" and self.scales is None:
            return self
        training = seconds_to_fit(training, self.seen.numpy())
        if self._last is not None and np.array_equal(self._last[0], training):
            return self._last[1]
        other, blocks = copy.copy(self), dict(self.blocks)
        self._last = other._last = None  # else every fold's features would keep those of the fold before
        if self.scales is not None:
            levels = self.scales.over(training)
            if pooled:
                levels = [part.expand(len(training), -1) for part in pooled["pps samples"]]
            if self.front_end == "raw":
                other.levels = {"pps": [part.to(blocks["pps"].device) for part in levels]}
            else:
                people = (
                    standardise_person(x.cpu().numpy(), *of) for x, *of in zip(blocks["pps"], *levels, strict=True)
                )
                features = block_features(people, self.rate, "pps", self.front_end, self.device)
                blocks["pps"] = torch.from_numpy(features).to(blocks["pps"].device)
        if self.front_end != "raw":
            other.blocks = {}
            for name, x in blocks.items():
                if pooled:
                    other.blocks[name] = scale(x, *(part.to(x.device) for part in pooled[f"{name} features"]))
                else:
                    other.blocks[name] = standardise(x, training)
        self._last = training, other
        return other

    def take(self, modality, subjects, first_seconds, n_seconds):
        """Blocks (n, n_seconds, C, rate) of windows that start at trial * seconds + second (n,) of these subjects
        (n,).
        """
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
            standardise_blocks(x, *(part[index // self.seconds_per_subject] for part in self.levels[modality]))
        return x


def _fits(n_bytes, device):
    """Whether recordings leave enough of the device's free memory to the networks and their batches."""
    return device.type != "cuda" or n_bytes <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
