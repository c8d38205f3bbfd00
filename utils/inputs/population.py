"""The training people's own levels, for a person of whom there is too little to be standardised with what there is."""

import numpy as np
import torch

from data_prep.signals.channels import shorten
from utils.base.errors import InputError
from utils.base.structure import find_wrong
from utils.inputs import front_end as front_ends
from utils.inputs.features import block_features
from utils.inputs.subject_scales import standardise_person

STRUCTURE = {"trials": int, "levels": {str: {"mean": torch.Tensor, "deviation": torch.Tensor, "least": float}}}


def of(recordings, training):
    """What is standardised per person, over people: None where nothing is.

    Parameters
    ----------
    recordings : Recordings
        As they were opened, not standardised yet.
    training : numpy.ndarray, bool, shape (subjects, trials, seconds)

    Returns
    -------
    dict
        ``trials``: the fewest of a training person. ``levels``, by ``pps samples``, ``eeg features`` and ``pps
        features``: ``mean`` and ``deviation`` within a person, of all training people, and ``least``: the smallest
        deviation of one of them, in units of that.
    """
    training = training & recordings.seen.numpy()[..., None]
    people, levels = training.any(axis=(1, 2)), {}
    if recordings.scales is not None:
        scales = recordings.scales.over(training)
        levels["pps samples"] = _pool(*(part.double().numpy()[people] for part in scales))
    for name, blocks in recordings.blocks.items() if recordings.front_end != "raw" else ():
        features = blocks[torch.from_numpy(people).to(blocks.device)]
        if name == "pps" and recordings.scales is not None:
            parts = zip(features.cpu().numpy(), *(part[people] for part in scales), strict=True)
            parts = (standardise_person(*own) for own in parts)
            features = block_features(parts, recordings.rate, name, recordings.front_end, recordings.device)
        parts = [front_ends.level(own, seen) for own, seen in zip(features, training[people], strict=True)]
        levels[f"{name} features"] = _pool(
            *(torch.stack(part).cpu().double().numpy() for part in zip(*parts, strict=True))
        )
    return {"trials": int(training.any(axis=2).sum(axis=1)[people].min()), "levels": levels} if levels else None


def _stacked(parts):
    """Tensors of people as one array."""
    return torch.stack(parts).cpu().double().numpy()


def _pool(mean, deviation):
    """Levels of people (n, ...) as one."""
    known = np.isfinite(deviation)
    n = np.maximum(known.sum(axis=0), 1)
    together = np.sqrt(np.where(known, np.square(deviation, where=known, out=np.zeros_like(deviation)), 0).sum(0) / n)
    together = np.where(known.any(axis=0), together, np.inf)
    pooled = {"mean": torch.from_numpy(mean.mean(axis=0)).float(), "deviation": torch.from_numpy(together).float()}
    return pooled | {"least": min(spread(pooled, own) for own in deviation)}


def spread(pooled, deviation):
    """Mean deviation of a person's signals, in units of the population's; 0 for what does not vary."""
    there = pooled["deviation"].double().numpy()
    known = np.isfinite(there)
    ratio = np.where(np.isfinite(deviation[known]), deviation[known], 0) / there[known]
    return float(ratio.mean()) if known.any() else 1.0


def read(made, where):
    """The population in a checkpoint or model; None in those from before it was kept."""
    population = made.get("population")
    if population is not None and (wrong := find_wrong(population, STRUCTURE)):
        raise InputError(f"{where} is damaged: population: {wrong}; use the file as it was written")
    return population


def standardiser(how, made, modalities, preparation, where):
    """The `Standardiser` of what a checkpoint or model had standardised per person (in words), or None."""
    parts = ["PPS"] if "pps" in modalities and preparation.get("pps") == "subject" else []
    parts += ["features"] if made["settings"]["FRONT_END"] != "raw" else []
    if not parts:
        return None
    with_what = {"person": "all seconds of each person, unlabelled", "training": "the levels of the training people"}
    one = Standardiser(how, read(made, where), where)
    one.in_words = f"{' and '.join(parts)} standardised with {with_what[how]}"
    return one


class Standardiser:
    """Standardises people with what there is of each, or with the population; remembers of whom there is little.

    Parameters
    ----------
    how : str
        ``"person"`` or ``"training"``.
    population : dict or None
        From `read`.
    where : str
        What a user gave, for messages.
    """

    def __init__(self, how, population, where):
        if how == "training" and population is None:
            raise InputError(
                f"{where} has no levels of its training people (it is of an earlier version, or nothing is "
                "standardised per person); use --standardise person"
            )
        self.how, self.population, self.few = how, population, {}

    def levels(self, what, subject, n_trials, mean, deviation):
        """Mean and deviation to use, where these are a person's own, over so many trials."""
        pooled = self.population and self.population["levels"].get(what)
        mean, deviation = np.asarray(mean), np.asarray(deviation)
        if self.how == "training":
            return pooled["mean"].double().numpy(), pooled["deviation"].double().numpy()
        ratio = spread(pooled, deviation) if pooled else 1.0
        if n_trials < (self.population or {"trials": 2})["trials"] or (pooled and ratio < pooled["least"] / 2):
            words = f", {ratio:.2f} of the spread" if pooled else ""
            self.few[subject] = f"{subject} ({n_trials} trial{'s' if n_trials > 1 else ''}{words})"
        return mean, deviation

    def warnings(self):
        """What is to be said in the end; a list of one or none."""
        if not self.few:
            return []
        there = "training had more"
        if self.population:
            least = min(pooled["least"] for pooled in self.population["levels"].values())
            there = f"training had {self.population['trials']} trials and {least:.2f} or more of each person"
        return [
            f"standardised over little: {shorten([*self.few.values()])}; {there}. That may take the answer away: give "
            "all trials of a person together, or --standardise training"
        ]
