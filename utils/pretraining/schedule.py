"""Which folds this process trains, which of them in one step, and how long that will take."""

import time

import torch

from data_prep import open_prepared
from utils.base import ranks
from utils.base.devices import choose_device, set_precision
from utils.base.progress import duration
from utils.inputs.recordings import Recordings
from utils.pretraining import resolve
from utils.pretraining.checkpoints import DELETE_IT, load_tensors
from utils.pretraining.fold_pretraining import FoldPretraining, fold_path, folds_at_once
from utils.protocol import splits

BYTES_PER_PARAMETER = 24  # weight, gradient, two moments, and the largest of what comes and goes in a step
SHARE = 0.8  # of a GPU's free memory
FIRST_STEPS = 30  # after which the time for all is printed


def is_together(settings):
    """Whether all processes compute every batch together, instead of a fold each."""
    return settings.PARALLEL == "batch" and ranks.size() > 1


def trainings(settings):
    """Open the data and the split, resolve the settings, and give each `FoldPretraining` of this process."""
    data = open_prepared(settings.DATA_DIR)
    settings, manifest = resolve.pretraining(settings, data)
    folds = splits.choose_folds(manifest, settings.FOLDS)
    device = choose_device(settings.DEVICE)
    set_precision(settings.PRECISION, device)
    modalities = settings.MODALITIES.split("+")
    recordings = Recordings(data, modalities, settings.PPS_CHANNELS, device, settings.FRONT_END, settings.STREAM)
    together = is_together(settings)
    folds = folds if together else ranks.share(folds)
    if settings.FOLDS_AT_ONCE != 1 and device.type == "cuda":  # those with as many windows one after the other
        folds = sorted(folds, key=lambda fold: len(fold.train.rows[settings.WINDOW]) * len(fold.train.subjects))
    epochs_left = [_epochs_left(settings, fold) for fold in folds]
    print(f"{settings.WINDOW}: {sum(epochs_left)} epochs are left, of {len(folds)} folds with {settings.EPOCHS} each")
    n = settings.FOLDS_AT_ONCE or _at_once_before(settings, folds)
    for number, fold in enumerate(folds, start=1):
        training = FoldPretraining(settings, data, manifest, fold, recordings, device, together)
        training.at_once = n = n or most_at_once(training)
        training.later = round(sum(epochs_left[number:]) / n)
        yield training
        del training


def in_groups(trainings):
    """Folds in lists that one step can train: of as many windows, as many as are trained at once."""
    group = []
    for training in trainings:
        if group and not alike(group[0], training):
            yield group
            group = []
        group.append(training)
        del training
        if len(group) == group[0].at_once:
            yield group
            group = []
    if group:
        yield group


def alike(one, other):
    """Whether a step can train both: with as many steps of as many windows, from the same samples or from features."""
    same = one.batches.recordings is other.batches.recordings or one.settings.FRONT_END != "raw"
    sizes = [(fold.batches.n_steps, fold.batches.batch_size) for fold in (one, other)]
    return same and sizes[0] == sizes[1]


def most_at_once(fold):
    """How many folds like this one are trained in one step by default: on CUDA as many as fit into memory, else 1."""
    if fold.device.type != "cuda" or fold.together:
        return 1
    n_bytes = BYTES_PER_PARAMETER * sum(p.numel() for p in fold.model.parameters())
    return max(1, int(SHARE * torch.cuda.mem_get_info(fold.device)[0] / n_bytes))


def _at_once_before(settings, folds):
    """How many folds were trained in one step at most, where one of these is to be gone on with; else None."""
    for fold in folds:
        path = fold_path(settings, fold)
        if settings.RESUME and path.exists() and _epochs_left(settings, fold):
            return folds_at_once(load_tensors(path, DELETE_IT, mmap=True))
    return None


def _epochs_left(settings, fold):
    """Epochs of a fold that are not saved yet, by its log, which is written with its checkpoint."""
    path = fold_path(settings, fold)
    log = path.with_name("log.jsonl")
    if not (settings.RESUME and path.exists() and log.exists()):
        return settings.EPOCHS
    return max(0, settings.EPOCHS - log.read_bytes().count(b"\n"))


class Pace:
    """Advances the progress bar, and says once how long compiling took and how long an epoch will."""

    def __init__(self, fold, progress, compiled):
        self.fold, self.progress, self.compiled = fold, progress, compiled
        self.start, self.n = time.perf_counter(), 0

    def __call__(self):
        """After a step."""
        self.n += 1
        self.progress.update()
        seconds, n_steps = time.perf_counter() - self.start, self.fold.batches.n_steps
        if self.compiled and self.n == 1:
            self.progress.note(f"compiled the step in {seconds:.0f} s", f"compiled in {seconds:.0f} s")
        if self.n == FIRST_STEPS + 1 <= n_steps and self.fold.device.type == "cpu":  # an epoch may take minutes
            epoch = seconds / self.n * n_steps
            words = f"about {duration(epoch)} an epoch, {duration(epoch * self.fold.epochs_left())} for all epochs"
            self.progress.note(f"fold {self.fold.fold.index}: {words}", words)
