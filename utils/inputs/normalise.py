"""Standardising each person, without labels: what is fitted on training seconds, and how it is applied.

========  ===============================================  =====================  =====================================
kind      asked for by                                     missing                applied
========  ===============================================  =====================  =====================================
Samples   PPS_NORMALISE of the data, STANDARDISE of a      0 throughout a second  to the blocks of a batch, when drawn
          network that is a baseline
Features  FRONT_END other than raw, STANDARDISE of a       NaN                    to all features once per fold, clipped
          linear model
========  ===============================================  =====================  =====================================

Both take the mean and the standard deviation of each channel or feature over a person's training seconds, so that
preparation leaves the samples as they are. Over a trial, standardisation takes away what lasts longer than that: the
level of skin conductance, of temperature, of the heart's rate. A person without training seconds, as a test person
across subjects, is standardised with all of their own: both kinds are transductive, and the audit says so.
"""

import numpy as np
import torch

from data_prep.signals.channels import shorten
from utils.base.errors import InputError
from utils.base.structure import find_wrong
from utils.inputs.features import wide

PER_PERSON = ("subject",)  # values of PPS_NORMALISE and STANDARDISE that are fitted here, in training
ROUNDING = 2 * np.finfo(np.float32).eps  # deviations up to this share of the values are rounding
CLIP = 5.0  # standard deviations: features further out are artefacts
LEVELS = {"mean": torch.Tensor, "deviation": torch.Tensor, "least": float}  # in a file, of each kind and modality


def kinds(modality, preparation, front_end):
    """Which kinds the signals of a modality go through, in this order, in data that were prepared like this."""
    samples = [Samples] if modality == "pps" and preparation.get("pps") in PER_PERSON else []
    return samples + ([Features] if front_end != "raw" else [])


class Samples:
    """Channels of 1 s blocks (..., channels, rate)."""

    name = "samples"

    @staticmethod
    def summary(blocks):
        """Mean, variance, largest absolute value and presence (..., channels) of every second."""
        x = wide(blocks)
        mean = x.mean(-1)
        return mean, (x - mean[..., None]).square_().mean(-1), x.abs().amax(-1), (x != 0).any(-1)

    @staticmethod
    def apply(blocks, mean, deviation):
        """Standardise blocks in place, by levels (..., channels); a channel that is missing in a second stays 0."""
        present = (blocks != 0).any(dim=-1, keepdim=True)
        mean, deviation = (part[..., None].to(blocks.dtype) for part in (mean, deviation))
        return blocks.sub_(mean).div_(deviation).mul_(present)


class Features:
    """Features of seconds, or of longer windows."""

    name = "features"

    @staticmethod
    def summary(features):
        """The features themselves: a second has one value of each."""
        return (torch.as_tensor(features),)

    @staticmethod
    def apply(features, mean, deviation):
        """Standardised features, float32; 0 where one is missing."""
        return ((features - mean) / deviation).clamp_(-CLIP, CLIP).nan_to_num_(0).float()


def level(summary, seen):
    """Mean and deviation of one person over the seconds ``seen`` (trials, seconds), over all if there are none.

    What is missing does not count; the deviation of what does not vary is infinite, so that it becomes 0.
    """
    seen = torch.tensor(seen if seen.any() else np.ones_like(seen), device=summary[0].device)
    mean, *others = (part[seen] for part in summary)
    if others:
        variance, size, present = others
    else:
        present, variance = ~mean.isnan(), 0
        mean = wide(mean).masked_fill_(~present, 0)
        size = mean.abs()
    n = present.sum(0).clamp_min(1)
    overall = mean.sum(0) / n
    deviation = ((mean - overall).square_().add_(variance).mul_(present).sum(0) / n).sqrt_()
    varies = deviation > ROUNDING * size.amax(0)  # regardless of the unit
    return overall, deviation.masked_fill_(~varies, torch.inf)


def fit(summaries, training, pooled=None):
    """Means and deviations (people, ...) over training seconds (people, trials, seconds), or those of a population."""
    if pooled is not None:
        return tuple(pooled[key].expand(len(training), *pooled[key].shape) for key in ("mean", "deviation"))
    levels = [level(summary, seen) for summary, seen in zip(summaries, training, strict=True)]
    return tuple(torch.stack(part) for part in zip(*levels, strict=True))


def standardise(features, training):
    """Features (subjects, trials, seconds, ...), NaN where one is missing, of each person to mean 0 and deviation 1.

    ``training`` (subjects, trials, seconds) may be looked at; of a person without any, all seconds.
    """
    features = torch.as_tensor(features)
    levels = fit(map(Features.summary, features), training)
    return torch.stack([Features.apply(*person) for person in zip(features, *levels, strict=True)])


def population(recordings, training):
    """The levels of all training people together, for a person of whom there is little; None where nothing is fitted.

    Returns a dictionary with ``trials``, the fewest of a training person, and ``levels``: by modality and kind the
    ``mean`` and the ``deviation`` within a person, and ``least``, the smallest deviation of one of them in units of
    that.
    """
    training = training & recordings.seen.numpy()[..., None]
    people, fitted = training.any(axis=(1, 2)), recordings.standardised(training).fitted
    levels = {what: _pool(*(part.cpu().double()[people] for part in parts)) for what, parts in fitted.items()}
    return {"trials": int(training.any(axis=2).sum(axis=1)[people].min()), "levels": levels} if levels else None


def _pool(mean, deviation):
    """Levels of people (n, ...) as one."""
    varies = deviation.isfinite()
    square = deviation.masked_fill(~varies, 0).square().sum(0) / varies.sum(0).clamp_min(1)
    pooled = {"mean": mean.mean(0).float(), "deviation": square.sqrt().masked_fill(~varies.any(0), torch.inf).float()}
    return pooled | {"least": min(spread(pooled, person) for person in deviation)}


def spread(pooled, deviation):
    """Mean deviation of a person's signals, in units of the population's; 0 for what does not vary."""
    known = pooled["deviation"].isfinite()
    ratio = deviation[known].nan_to_num(posinf=0) / pooled["deviation"][known].double()
    return ratio.mean().item() if known.any() else 1.0


class Standardiser:
    """Standardises people with what there is of each, or with the population; notes of whom there is little.

    ``how`` is the constant STANDARDISE of a script, ``stored`` the checkpoint or model, which ``where`` names for
    messages, and ``preparation`` that of the data.
    """

    def __init__(self, how, stored, modalities, preparation, where):
        front_end = stored["settings"]["FRONT_END"]
        used = {f"{name} {kind.name}": kind for name in modalities for kind in kinds(name, preparation, front_end)}
        self.parts = [text for kind, text in ((Samples, "PPS"), (Features, "features")) if kind in used.values()]
        self.how, self.population, self.few = how, stored.get("population"), {}
        if not used:
            return
        shape = {"trials": int, "levels": dict.fromkeys(used, LEVELS)}
        if self.population is not None and (wrong := find_wrong(self.population, shape)):
            raise InputError(where, f"is damaged: population: {wrong}", "use the file as it was written")
        if how == "training" and self.population is None:
            why = "it is of an earlier version, or nothing is standardised per person"
            raise InputError(where, f"has no levels of its training people ({why})", "use --standardise person")

    def __bool__(self):
        return bool(self.parts)

    def __str__(self):
        what = {"person": "all seconds of each person, unlabelled", "training": "the levels of the training people"}
        return f"{' and '.join(self.parts)} standardised with {what[self.how]}"

    def standardised(self, recordings, who):
        """Recordings with each person standardised; ``who`` they are, for the warnings."""
        everything = np.ones((*recordings.seen.shape, recordings.trial_seconds), bool)
        if self.how == "training":
            return recordings.standardised(everything, self.population)
        here, usual = population(recordings, everything), self.population or {"trials": 2, "levels": {}}
        n_trials = here["trials"]
        for what, levels in here["levels"].items():
            pooled = usual["levels"].get(what)
            ratio = spread(pooled, levels["deviation"]) if pooled else 1.0
            if n_trials < usual["trials"] or (pooled and ratio < pooled["least"] / 2):
                words = f", {ratio:.2f} of the spread" if pooled else ""
                self.few[who] = f"{who} ({n_trials} trial{'s' if n_trials > 1 else ''}{words})"
        return recordings.standardised(everything)

    def warnings(self):
        """What is to be said in the end; a list of one or none."""
        if not self.few:
            return []
        usual = "training had more"
        if self.population:
            least = min(pooled["least"] for pooled in self.population["levels"].values())
            usual = f"training had {self.population['trials']} trials and {least:.2f} or more of each person"
        return [
            f"standardised over little: {shorten([*self.few.values()])}; {usual}. That may take the answer away: give "
            "all trials of a person together, or --standardise training"
        ]
