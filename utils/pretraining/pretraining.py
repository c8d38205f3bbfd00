"""The engine of pre-training of one window size: LS-TCL in each modality and CM-CA between them, without labels."""

import contextlib
import time

import torch

from utils.base import ranks
from utils.base.devices import Captured, set_rate
from utils.base.files import only_writer
from utils.base.kernels import is_compiled, side_by_side, write_out_attention
from utils.base.progress import Progress, say_next
from utils.base.settings import other_flags
from utils.pretraining.checkpoints import pretrain_folder
from utils.pretraining.schedule import Pace, in_groups, is_together, trainings
from utils.pretraining.stacked import Alone, Stacked
from utils.pretraining.together import meet
from utils.pretraining.variants import pretrain_variant, write_begun

FINE_TUNING = "Fine_tuning/fine_tuning.py"


def pretrain(settings):
    """Pre-train the encoders of every chosen fold (PhysioSync, arXiv 2504.17163, pre-training).

    Writes ``<run-dir>/pretrain_<window>/fold_<k>/checkpoint.pt`` and ``log.jsonl``.
    """
    n_folds, variant = 0, pretrain_variant(settings)
    folder = pretrain_folder(settings.RUN_DIR, settings.WINDOW, variant)
    with meet() if is_together(settings) else contextlib.nullcontext():
        for folds in in_groups(trainings(settings)):
            begin_and_train(folds, folder)
            n_folds += len(folds)
            del folds  # their networks, before those of the next folds are made
    if n_folds:
        print(f"wrote {folder}: encoders and log.jsonl, folds: {n_folds}")
    if ranks.rank() > 0:
        return
    where = ["--data-dir", settings.DATA_DIR, "--run-dir", settings.RUN_DIR]
    if settings.WINDOW == "1s":
        say_next("main_pretrain_5s.py", *where, *other_flags("main_pretrain_5s.py", settings.words))
    else:
        words = {"PRETRAIN_VARIANT": ["--pretrain-variant", variant]}
        words |= {key: settings.words[key] for key in ("FOLDS", "MODALITIES")}
        say_next(FINE_TUNING, *where, *other_flags(FINE_TUNING, words))


def begin_and_train(folds, folder):
    """Train folds from where they stand, those at the same epoch together; no other process may write to theirs."""
    with contextlib.ExitStack() as locks:
        for fold in folds:
            locks.enter_context(only_writer(fold.path.parent) if fold.writes else contextlib.nullcontext())
        write_begun(folder, folds[0].settings)
        stages = {}
        for fold in [fold for fold in folds if fold.begin()]:
            stages.setdefault((fold.at_once, fold.epoch), []).append(fold)
        locks.enter_context(folds[0].guard())
        for (at_once, _), alike in stages.items():
            for start in range(0, len(alike), at_once):
                train(alike[start : start + at_once])


def train(folds):
    """Train folds from the epoch that they have reached to their last one; several are stacked into one step."""
    fold = folds[0]
    settings, device, n_steps = fold.settings, fold.device, fold.batches.n_steps
    networks = Stacked(folds) if len(folds) > 1 else Alone(fold)
    compiled = is_compiled(settings.COMPILE, device, (settings.EPOCHS - fold.epoch) * n_steps) and not fold.together
    step = training_step(networks, compiled)
    if device.type == "cuda" and settings.CUDA_GRAPH and not fold.together:
        step = Captured(step)
    record = torch.zeros(n_steps, len(fold.model.metric_names), len(folds), device=device)
    numbers = ",".join(str(fold.fold.index) for fold in folds)
    steps = dict(initial=fold.epoch * n_steps, total=settings.EPOCHS * n_steps, unit="step")
    with Progress(desc=f"{settings.WINDOW} fold{'s' if len(folds) > 1 else ''} {numbers}", **steps) as progress:
        pace = Pace(fold, progress, compiled)
        while fold.epoch < settings.EPOCHS:
            start = time.perf_counter()
            set_rate(networks.optimizer, settings.LR * min(1, (fold.epoch + 1) / (settings.WARM_UP + 1)))
            train_one_epoch(step, networks, record, pace)
            for number, each in enumerate(folds):
                each.end_epoch(record[..., number], start, progress)
            if fold.save_is_due():
                networks.share_state()
                for each in folds:
                    each.save()


def train_one_epoch(step, networks, record, after_step=lambda: None):
    """One pass over all windows in all variants; the metrics of every step go into ``record``, on the device."""
    first, variants = networks.shuffle()
    for number in range(len(record)):
        networks.batches.ready(number)
        record[number] = step(first[number], variants[number])
        after_step()


def training_step(networks, compiled=False):
    """A step of training: takes the windows of a batch, returns the metrics (metrics, folds) on the device."""
    draw, encode, losses, optimizer = networks.batches.draw, networks.encode, networks.losses, networks.optimizer
    if compiled:
        write_out_attention(networks.network)
        torch.compiler.reset()  # folds before this one: of so many it would give up to compile
        draw, encode, losses = (torch.compile(part, dynamic=False) for part in (draw, encode, losses))

    def step(first, variants):
        windows = draw(first, variants)
        pooled = side_by_side(encode, windows) if encode else (windows,)  # is in memory until the streams have met
        terms = losses(*pooled)  # by name
        optimizer.zero_grad(set_to_none=True)
        terms["loss"].sum().backward()
        optimizer.step()
        return torch.stack(list(terms.values())).detach().view(len(terms), -1)  # (metrics, folds)

    return step
