"""Prepares any data set: a reader gives a card that describes it, its files and its people one after the other."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data_prep.folder.arrays import SIGNALS
from data_prep.folder.prepared import MARK
from data_prep.folder.writer import PreparedWriter, is_prepared
from data_prep.signals.transforms import prepare_trial
from utils.base.errors import InputError
from utils.base.files import sha256
from utils.base.progress import say_pretraining


@dataclass
class Recorded:
    """A person as a reader gives it."""

    subject: str
    where: str  # the file, for messages
    trials: Iterable  # of dicts by modality: (signal, rest or None), each (channels, samples) at the rate of the card
    ratings: np.ndarray  # (trials, ratings)
    looks: list  # what the page about the signals shows: arguments of `Quality.look` after the subject


def prepare_all(out_dir, card, made, files, people, *arguments, following=()):
    """Write the prepared folder, one person in memory at a time, unless it is complete; print the next command.

    ``card``: description for `PreparedWriter`; ``made``: the preparation; ``files``: the raw files by name; ``people``:
    a generator of `Recorded`, called with the writer and ``arguments``; ``following``: flags of the next command.
    """
    if is_prepared(out_dir, made, files):
        print(f"{out_dir}: complete, from these files")
    else:
        simulated = any(path.with_name(MARK).exists() for path in files.values())
        with PreparedWriter(out_dir, preparation=made, simulated=simulated, **card) as writer:
            for person in people(writer, *arguments):
                blocks = prepare_trials(person.trials, card["sampling_rate"], made, person.where)
                try:
                    writer.add(person.subject, *blocks, person.ratings, sources={})
                except InputError as error:
                    raise InputError(f"{person.where}: {error}") from None
                for look in person.looks:
                    writer.quality.look(person.subject, *look)
            writer.info["sources"] |= {name: sha256(path) for name, path in files.items()}
        writer.report()
    say_pretraining(out_dir, *following)


def prepare_trials(trials, rate, made, where):
    """`prepare_trial` of a person's trials: EEG and PPS, (trials, seconds, channels, rate); ``where``: for messages."""
    blocks = []
    for number, trial in enumerate(trials, 1):  # one at a time stays in the processor's cache
        try:
            blocks.append(prepare_trial(trial, rate, made))
        except InputError as error:
            raise InputError(f"{where}, trial {number}: {error}") from None
    return tuple(np.stack([trial[name] for trial in blocks]) for name in SIGNALS)
