"""``PPS_NORMALISE = "subject"``: each peripheral channel over all training seconds of a person, without labels.

Over a trial, standardisation takes away what lasts longer than that: the level of skin conductance, of temperature, of
the heart's rate. Over a person it stays. It depends on the fold, so prepared folders hold what is left after baseline
removal, and the samples are standardised when a batch is drawn.
"""

import numpy as np
import torch

ROUNDING = 2 * np.finfo(np.float32).eps  # deviations up to this share of the samples are rounding


class SubjectScales:
    """Mean and standard deviation of every person's channels over any seconds, from blocks (trials, seconds,
    channels, rate).
    """

    def __init__(self, people):
        parts = []
        for own in people:
            own = np.asarray(own, np.float64)
            parts.append([own.mean(axis=-1), own.var(axis=-1), np.abs(own).max(axis=-1), own.any(axis=-1)])
        self.mean, self.variance, self.size, self.present = map(
            np.stack, zip(*parts, strict=True)
        )  # (S, T, seconds, C)

    def over(self, training):
        """Mean and standard deviation (subjects, channels) over ``training`` (subjects, trials, seconds).

        A person without any is standardised with all of their own (transductive: the audit says so). Missing seconds
        are ignored; a constant channel has an infinite standard deviation, so it becomes 0.
        """
        means, deviations = [], []
        for subject, seen in enumerate(training):
            seen = seen if seen.any() else np.ones_like(seen)
            mean, variance, size, present = (
                part[subject][seen] for part in (self.mean, self.variance, self.size, self.present)
            )
            n = np.maximum(present.sum(axis=0), 1)  # (C,) seconds
            overall = (mean * present).sum(axis=0) / n
            spread = ((variance + np.square(mean - overall)) * present).sum(axis=0) / n
            deviation = np.sqrt(spread)
            varies = deviation > ROUNDING * size.max(axis=0, initial=0)
            means.append(overall)
            deviations.append(np.where(varies, deviation, np.inf))
        return tuple(torch.from_numpy(np.stack(part)).float() for part in (means, deviations))


def standardise_blocks(blocks, mean, deviation):
    """Standardise blocks (n, channels, rate) in place; a channel that is missing in a second stays 0."""
    present = (blocks != 0).any(dim=-1, keepdim=True)
    return blocks.sub_(mean[..., None]).div_(deviation[..., None]).mul_(present)


def standardise_person(blocks, mean, deviation):
    """The same for the array of one person (trials, seconds, channels, rate); a new one, float32."""
    blocks = torch.from_numpy(np.array(blocks, np.float32))
    return standardise_blocks(blocks.flatten(0, 1), mean, deviation).view_as(blocks).numpy()
