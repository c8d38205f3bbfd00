"""The engine of fine-tuning, and its predictions."""

import math
import time

import torch
from torch.nn import functional as F

from models import FusionModel
from utils.base.devices import Captured, adam
from utils.base.errors import InputError
from utils.base.kernels import is_compiled, side_by_side, write_out_attention
from utils.base.progress import duration


def fit(model, windows, truth, settings, where, progress=None, after_epoch=None, compiled=False):
    """Train a fusion model in place with cross-entropy, all of it or with FREEZE its head (PhysioSync, fine-tuning).

    ``truth`` (n,) are the classes of ``windows``, on their device; ``where`` names the fold in messages.
    ``after_epoch`` is called after every epoch. ``compiled``: None, where it pays back. Returns the log: an entry per
    epoch.
    """
    n, device = len(truth), truth.device
    if n < 2:
        raise InputError(f"{where} has {n} training windows; at least 2 are needed")
    n_batches = max(1, min(math.ceil(n / settings.BATCH_SIZE), n // 2))  # of nearly equal size, none of one window
    bf16 = settings.PRECISION == "bf16"
    if settings.FREEZE:
        trained, scores = model.head, FrozenScores(model, windows, settings.BATCH_SIZE, bf16)
    else:
        trained, scores = (
            model,
            Scores(model, windows, bf16, is_compiled(compiled, device, settings.EPOCHS * n_batches)),
        )
    optimizer = adam(trained.parameters(), settings, device)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=max(1, settings.EPOCHS // 3))
    capture = device.type == "cuda" and scores.on_device
    capture = Captured() if capture and all(getattr(part, "captured", True) for part in model.modules()) else None
    history = []
    for epoch in range(1, settings.EPOCHS + 1):
        start, rate = time.perf_counter(), float(scheduler.get_last_lr()[0])
        trained.train()
        order = torch.randperm(n, device=device)
        batches = zip(scores.places(order).tensor_split(n_batches), order.tensor_split(n_batches), strict=True)
        loss, hits = train_one_epoch(scores, optimizer, truth, batches, capture).tolist()
        scheduler.step()
        entry = {"epoch": epoch, "loss": loss / n, "accuracy": hits / n}
        entry |= {"lr": rate, "seconds": time.perf_counter() - start}
        last = epoch == settings.EPOCHS  # no loss follows its last step
        if not math.isfinite(entry["loss"]) or (last and not all(x.isfinite().all() for x in trained.parameters())):
            remedy = "lower --lr, or look for strange values in the recordings"
            raise InputError(f"{where}: the loss is not finite at epoch {epoch}; {remedy}")
        history.append(entry)
        if after_epoch is not None:
            after_epoch()
        if progress is not None:
            progress.update()
            words = f"loss {entry['loss']:.3f}, training accuracy {entry['accuracy']:.2f}"
            left = (settings.EPOCHS - epoch) * sum(entry["seconds"] for entry in history) / epoch
            left = f", about {duration(left)} left for this fold" if left else ""
            progress.note(f"{where}, epoch {epoch} of {settings.EPOCHS}: {words}{left}", words)
    return history


def train_one_epoch(scores, optimizer, truth, batches, capture=None):
    """One pass over batches (places and numbers of windows); the sums of their losses and hits (2,), on the device."""

    def step(places, index):
        predicted, wanted = scores(places), truth[index]
        loss = F.cross_entropy(predicted, wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return torch.stack([loss.detach() * len(index), (predicted.argmax(1) == wanted).sum()])

    run = capture.of(step) if capture else step
    return sum(run(places, index) for places, index in batches)


class Scores:
    """Class scores of the windows at these places, from their signals; encoders may compute in bfloat16."""

    def __init__(self, model, windows, bf16=False, compiled=False):
        self.windows, self.bf16, self.head, self.features = windows, bf16, model.head, model.features
        self.by_modality = isinstance(model, FusionModel)  # a network of others takes both as one window
        self.on_device = not windows.recordings.streamed  # all that a step reads
        self.places = windows.order
        if compiled:
            write_out_attention(model)
            torch.compiler.reset()  # folds before this one: of so many it would give up to compile
            self.head, self.features = (torch.compile(part, dynamic=False) for part in (model.head, model.features))

    def encode(self, places):
        """Features in single precision; on CUDA the encoders of each modality have a stream of their own."""
        blocks = self.windows.take(places)
        (encoded,) = side_by_side(self._encode, blocks) if self.by_modality else self._encode(blocks)
        encoded = [feature for part in encoded.values() for feature in part]
        return [feature.float() for feature in encoded] if self.bf16 else encoded

    def _encode(self, blocks):
        with torch.autocast(next(iter(blocks.values())).device.type, torch.bfloat16, enabled=self.bf16):
            return ({tuple(blocks): self.features(blocks)},)

    def __call__(self, places):
        return self.head(self.encode(places))


class FrozenScores:
    """The same from features of encoders that stay as they are, which are computed once."""

    on_device = True

    def __init__(self, model, windows, batch_size, bf16):
        self.head, self.features = model.head, features(model, windows, batch_size, bf16)

    def places(self, order):
        """The windows' own numbers."""
        return order

    def __call__(self, places):
        return self.head([feature[places] for feature in self.features])


@torch.no_grad()
def features(model, windows, batch_size, bf16=False):
    """Features of all windows, a list of (n, width) by encoder and window; puts the model in evaluation mode."""
    model.eval()
    scores, places = Scores(model, windows, bf16), windows.order(torch.arange(len(windows)))
    parts = [scores.encode(some) for some in places.split(batch_size)]
    return [torch.cat(feature) for feature in zip(*parts, strict=True)]


@torch.no_grad()
def predict(model, windows, batch_size, bf16=False):
    """Class probabilities, float32 (n, n_classes), of all windows, on the CPU; puts the model in evaluation mode."""
    return model.head(features(model, windows, batch_size, bf16)).softmax(1).cpu()
