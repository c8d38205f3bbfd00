"""The engine of pre-training of one window size: LS-TCL in each modality and CM-CA between them, without labels."""

import contextlib
import functools
import itertools
import time

import torch

from data_prep import open_prepared
from utils.base import ranks
from utils.base.devices import Captured, choose_device, set_precision, set_rate
from utils.base.files import only_writer
from utils.base.progress import Progress, duration, say_next
from utils.base.settings import other_flags
from utils.inputs.recordings import Recordings
from utils.pretraining import resolve
from utils.pretraining.checkpoints import DELETE_IT, load_tensors, pretrain_folder, pretrain_path
from utils.pretraining.fold_pretraining import FoldPretraining, folds_at_once
from utils.pretraining.stacked import Alone, Stacked, alike, most_at_once, write_out_attention
from utils.pretraining.together import meet
from utils.pretraining.variants import pretrain_variant, write_begun
from utils.protocol import splits

FIRST_STEPS = 30  # after which it is said how long all will take
PAYS_BACK = 50_000  # steps of one fold, from which on compiling them saves time
FINE_TUNING = "Fine_tuning/fine_tuning.py"


def pretrain(settings):
    """Pre-train the encoders of every chosen fold (PhysioSync, arXiv 2504.17163, pre-training).

    Parameters
    ----------
    settings : Settings
        Of ``main_pretrain_1s.py`` or ``main_pretrain_5s.py``.

    Notes
    -----
    Writes ``<run-dir>/pretrain_<window>/fold_<k>/checkpoint.pt`` and ``log.jsonl``.
    """
    window, n_folds = settings.WINDOW, 0
    with meet() if _is_together(settings) else contextlib.nullcontext():
        for folds in at_once(trainings(settings)):
            _begin_and_train(folds)
            n_folds += len(folds)
            del folds  # their networks, before those of the next folds are made
    name = pretrain_variant(settings)
    folder = pretrain_folder(settings.RUN_DIR, window, name)
    if n_folds:
        print(f"wrote {folder}: encoders and log.jsonl, folds: {n_folds}")
    if ranks.rank() > 0:
        return
    where = ["--data-dir", settings.DATA_DIR, "--run-dir", settings.RUN_DIR]
    if window == "1s":
        say_next("main_pretrain_5s.py", *where, *other_flags("main_pretrain_5s.py", settings.words))
    else:
        words = {key: settings.words[key] for key in ("FOLDS", "MODALITIES")}
        words = {"PRETRAIN_VARIANT": ["--pretrain-variant", name], **words}
        say_next(FINE_TUNING, *where, *other_flags(FINE_TUNING, words))


def _begin_and_train(folds):
    """Train folds from where they stand, those at the same epoch together."""
    with contextlib.ExitStack() as locks:
        for fold in folds:
            locks.enter_context(only_writer(fold.path.parent) if fold.writes else contextlib.nullcontext())
        write_begun(folds[0].path.parents[1], folds[0].settings)
        left = sorted((fold for fold in folds if fold.begin()), key=lambda fold: fold.kind)
        for (most, *_), same in itertools.groupby(left, key=lambda fold: fold.kind):
            while some := list(itertools.islice(same, most)):
                train(some)


def train(folds):
    """Train folds from the epoch that they have reached to their last one; several are stacked into one step."""
    fold = folds[0]
    settings, device, n_steps = fold.settings, fold.device, fold.batches.n_steps
    networks = Stacked(folds) if len(folds) > 1 else Alone(fold)
    compiled = not fold.together and (settings.COMPILE if settings.COMPILE is not None else pays_back(fold))
    step = training_step(networks, compiled)
    if device.type == "cuda" and settings.CUDA_GRAPH and not fold.together:
        step = Captured(step)
    record = torch.zeros(n_steps, len(fold.model.metric_names), len(folds), device=device)
    steps = dict(initial=fold.epoch * n_steps, total=settings.EPOCHS * n_steps, unit="step")
    numbers = ",".join(str(fold.fold.index) for fold in folds)
    with Progress(desc=f"{settings.WINDOW} fold{'s' if len(folds) > 1 else ''} {numbers}", **steps) as progress:
        pace = Pace(fold, progress, compiled)
        while fold.epoch < settings.EPOCHS:
            start = time.perf_counter()
            set_rate(networks.optimizer, settings.LR * min(1, (fold.epoch + 1) / (settings.WARM_UP + 1)))
            train_one_epoch(step, networks, record, pace)
            for number, each in enumerate(folds):
                each.end_epoch(record[..., number], start, progress)
            due = fold.save_is_due()
            if due:
                networks.share_state()
            for each in folds if due else []:
                each.save()


def train_one_epoch(step, networks, record, after_step=lambda number: None):
    """One pass over all windows in all variants; the metrics of every step go into ``record``, on the device."""
    first, variants = networks.shuffle()
    for number in range(len(record)):
        networks.batches.ready(number)
        record[number] = step(first[number], variants[number])
        after_step(number)


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
        return torch.stack(list(terms.values())).detach().view(len(terms), -1)

    return step


def side_by_side(encode, windows):
    """Pooled features and projections by modality; on CUDA each encoder, and its gradient, has a stream of its own.

    Alone, an encoder is a chain of kernels that are too small for a GPU (a quarter of a step).
    """
    if next(iter(windows.values())).device.type != "cuda":
        return encode(windows)
    here, features, projections = torch.cuda.current_stream(), {}, {}
    for name, x in windows.items():
        stream_of(name).wait_stream(here)
        with torch.cuda.stream(stream_of(name)):
            for pooled, part in zip((features, projections), encode({name: x}), strict=True):
                pooled |= part
    for name in windows:
        here.wait_stream(stream_of(name))
    return features, projections


@functools.cache
def stream_of(modality):
    """The CUDA stream of a modality's encoder: always the same, as memory is kept by stream."""
    if hasattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch"):  # not before PyTorch 2.10
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)  # the streams differ on purpose
    return torch.cuda.Stream()


def pays_back(fold):
    """Whether compiling, of a minute, is less than what it saves: on CUDA, and with many steps to go."""
    return fold.device.type == "cuda" and (fold.settings.EPOCHS - fold.epoch) * fold.batches.n_steps >= PAYS_BACK


class Pace:
    """Advances the progress bar, and says once how long compiling took and how long an epoch will."""

    def __init__(self, fold, progress, compiled):
        self.fold, self.progress, self.compiled = fold, progress, compiled
        self.start, self.n = time.perf_counter(), 0

    def __call__(self, number):
        """After a step of an epoch."""
        fold, self.n = self.fold, self.n + 1
        self.progress.update()
        seconds = time.perf_counter() - self.start
        if self.compiled and self.n == 1:
            self.progress.note(f"compiled the step in {seconds:.0f} s", f"compiled in {seconds:.0f} s")
        if self.n == number + 1 == FIRST_STEPS + 1 and fold.device.type == "cpu":  # an epoch may take minutes
            left = seconds / self.n * fold.batches.n_steps
            words = f"about {duration(left)} an epoch, {duration(left * fold.epochs_left())} for all epochs"
            self.progress.note(f"fold {fold.fold.index}: {words}", words)
        if number % 16 == 15:
            fold.batches.recordings.release()


def at_once(trainings):
    """Folds in groups that are trained in one step, where they may be: of as many windows, as many as fit."""
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


def trainings(settings):
    """Open the data and the split, resolve the settings, and give each `FoldPretraining` of this process."""
    data = open_prepared(settings.DATA_DIR)
    settings, manifest = resolve.pretraining(settings, data)
    folds = splits.choose_folds(manifest, settings.FOLDS)
    modalities = settings.MODALITIES.split("+")
    device = choose_device(settings.DEVICE)
    set_precision(settings.PRECISION, device)
    recordings = Recordings(data, modalities, settings.PPS_CHANNELS, device, settings.FRONT_END, settings.STREAM)
    together = _is_together(settings)
    own = folds if together else ranks.share(folds)
    if settings.FOLDS_AT_ONCE != 1 and device.type == "cuda":  # those with as many windows one after the other
        own = sorted(own, key=lambda fold: len(fold.train.rows[settings.WINDOW]) * len(fold.train.subjects))
    left = [_epochs_left(settings, fold) for fold in own]
    print(f"{settings.WINDOW}: {sum(left)} epochs are left, of {len(own)} folds with {settings.EPOCHS} each")
    n = settings.FOLDS_AT_ONCE or _at_once_before(settings, own)
    for number, fold in enumerate(own, start=1):
        training = FoldPretraining(settings, data, manifest, fold, recordings, device, together)
        training.at_once = n = n or most_at_once(training)
        training.later = round(sum(left[number:]) / n)
        yield training
        del training


def _epochs_left(settings, fold):
    """Epochs of a fold that are not saved yet, by its log, which is written with its checkpoint."""
    path = pretrain_path(settings.RUN_DIR, settings.WINDOW, pretrain_variant(settings), fold.index)
    log = path.with_name("log.jsonl")
    if not (settings.RESUME and path.exists() and log.exists()):
        return settings.EPOCHS
    return max(0, settings.EPOCHS - log.read_bytes().count(b"\n"))


def _at_once_before(settings, folds):
    """How many folds were trained in one step at most, where one of these is to be gone on with; else None."""
    for fold in folds:
        path = pretrain_path(settings.RUN_DIR, settings.WINDOW, pretrain_variant(settings), fold.index)
        if settings.RESUME and path.exists() and _epochs_left(settings, fold):
            return folds_at_once(load_tensors(path, DELETE_IT, mmap=True))
    return None


def _is_together(settings):
    """Whether all processes compute every batch together, instead of a fold each."""
    return settings.PARALLEL == "batch" and ranks.size() > 1
