"""A fold of pre-training: its batches and networks, what it logs, its checkpoint."""

import contextlib
import json
import time

import numpy as np
import torch

from data_prep.folder import preparation
from utils.base import ranks
from utils.base.devices import adam, derive_seed, load_optimizer, provenance, use_threads
from utils.base.errors import InputError, is_out_of_memory
from utils.base.files import write_text
from utils.base.other_networks import in_one_line
from utils.base.progress import duration
from utils.base.structure import find_wrong
from utils.inputs.features import VERSION
from utils.inputs.normalise import population
from utils.pretraining import moments
from utils.pretraining import together as processes
from utils.pretraining.batches import ContrastiveBatches, contrasted_rows
from utils.pretraining.checkpoints import (
    DELETE_IT,
    FORMAT_VERSION,
    code_of,
    load_pretrained,
    pretrain_path,
    refuse_other_training,
    save_tensors,
)
from utils.pretraining.networks import build
from utils.pretraining.stacked import Objective
from utils.pretraining.variants import pretrain_variant
from utils.protocol.held_out import set_aside
from utils.protocol.windows import RESOLUTIONS, first_seconds, training_seconds


def fold_path(settings, fold):
    """Checkpoint of a fold."""
    return pretrain_path(settings.RUN_DIR, settings.WINDOW, pretrain_variant(settings), fold.index)


def folds_at_once(checkpoint):
    """How many folds were trained in one step at most."""
    return checkpoint.get("provenance", {}).get("folds_at_once", 1)


class FoldPretraining:
    """Pre-training of one fold from its checkpoint or the start; ``together``: all processes share every batch,
    rank 0 writes.
    """

    def __init__(self, settings, data, manifest, fold, recordings, device, together=False):
        self.settings, self.data, self.manifest, self.fold, self.device = settings, data, manifest, fold, device
        self.together, self.writes = together, ranks.rank() == 0 or not together
        self.path = fold_path(settings, fold)
        self.n_seconds = RESOLUTIONS[settings.WINDOW]
        rows, per_trial = contrasted_rows(settings, data, fold), data.eeg.shape[2] // self.n_seconds
        self.rows, aside = set_aside(settings, manifest.split, fold.index, rows, per_trial, data.groups)
        seconds = training_seconds(fold, data.eeg.shape[:3])
        self.population = population(recordings, seconds)
        recordings = recordings.standardised(seconds)
        self.batches = self._batches(recordings, self.rows)
        self.validation = self._batches(recordings, aside) if len(aside) else None
        n = self.batches.batch_size
        self.part = processes.own_part(n) if together else slice(0, n)
        torch.manual_seed(self._seed("weights"))
        self.model = build(settings, data.rate, self.n_seconds, recordings, self.batches).to(device)
        use_threads(settings.THREADS, self.model)
        self.optimizer = adam(self.model.parameters(), settings, device)
        self.epoch, self.history, self.best, self.saved_epochs, self.held_out = 0, [], None, None, None
        self.code, self.provenance = code_of(settings), []  # of the processes that have trained it, the last one first
        self.at_once = 1  # folds that a step trains, at most
        self.later = 0  # epochs that this process has to train in other folds after this one
        self.saved_at, self.saving_seconds = time.perf_counter(), 0.0

    def _seed(self, part):
        return derive_seed(self.settings.SEED, self.settings.WINDOW, self.fold.index, part)

    def _batches(self, recordings, rows):
        settings = self.settings
        batches = ContrastiveBatches(
            recordings,
            torch.from_numpy(self.fold.train.subjects).to(self.device),
            torch.from_numpy(first_seconds(rows, self.n_seconds, self.data.eeg.shape[2])).to(self.device),
            self.n_seconds,
            settings.BATCH_SIZE,
            settings.SUBJECTS_PER_GROUP,
            settings.POSITIVES,
            settings.AUGMENTATION,
        )
        if batches.n_items < 2:
            raise InputError(f"fold {self.fold.index}", "has a single window, and contrast needs at least 2")
        return batches

    def objective(self, gather=None):
        """The model with the loss as a step computes it."""
        return Objective(self.model, self.settings.PRECISION == "bf16", gather)

    def guard(self):
        """A context in which an error of another network as the encoder becomes one line."""
        network = self.settings.network
        return in_one_line(f"encoder {network.name}", network.file) if network else contextlib.nullcontext()

    def begin(self):
        """Take up the checkpoint, if there is one; whether epochs are left."""
        settings = self.settings
        if settings.RESUME and self.path.exists():
            self._resume()
        self._write_log()
        if self.epoch == settings.EPOCHS:
            if self.saved_epochs != self.epoch:  # no epochs at all, or not as many any more
                self.save()
            print(f"fold {self.fold.index}: complete, {self.epoch} epochs")
            return False
        here = provenance(self.device) | {"folds_at_once": self.at_once}
        if self.provenance[:1] != [here]:
            self.provenance = [here, *self.provenance]
        print(
            f"fold {self.fold.index}: {len(self.rows)} windows of {settings.WINDOW} x {len(self.batches.subjects)} "
            f"subjects, {self.batches.n_steps} batches of {self.batches.batch_size}, epoch {self.epoch + 1} of "
            f"{settings.EPOCHS}"
        )
        return True

    def _resume(self):
        """Take up the checkpoint's state."""
        settings, path = self.settings, self.path
        checkpoint = load_pretrained(path, settings.WINDOW, self.fold.index, self.manifest, DELETE_IT)
        refuse_other_training(path, checkpoint, settings)
        self.at_once = folds_at_once(checkpoint)
        if settings.FOLDS_AT_ONCE not in (None, self.at_once):
            what = f"FOLDS_AT_ONCE = {self.at_once}, not {settings.FOLDS_AT_ONCE}"
            remedy = f"give --folds-at-once {self.at_once} to go on, or --no-resume to replace it"
            raise InputError(path, f"was trained with {what}", remedy)
        training = checkpoint["training"]
        wrong = find_wrong(training, {"model": {str: torch.Tensor}, "optimizer": {}, "best": (None, {})})
        if not wrong:
            try:
                self.model.load_state_dict(training["model"])
                load_optimizer(self.optimizer, training["optimizer"])
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                if is_out_of_memory(error):  # which says nothing about the file
                    raise
                wrong = "it is of another network"
        if wrong:
            raise InputError(path, f"does not hold the state of this training ({wrong})", DELETE_IT)
        self.best, self.epoch, self.history = training["best"], checkpoint["epoch"], checkpoint["history"]
        self.held_out = checkpoint.get("held_out") if self.epoch == settings.EPOCHS else None
        self.provenance = [checkpoint["provenance"]] if "provenance" in checkpoint else []
        self.provenance += checkpoint.get("former_provenance", [])
        self.saved_epochs = checkpoint["settings"].get("EPOCHS")

    def shuffle(self):
        """First seconds (n_steps, 2, B, N) and variants (n_steps, 2, B) of the windows of the next epoch."""
        self.model.train()
        torch.manual_seed(self._seed(self.epoch))  # an epoch's randomness depends on its number alone
        first, variants = self.batches.shuffle()
        if self.together:  # the batches are the same for all processes, noise and dropout are not
            torch.manual_seed(self._seed((self.epoch, ranks.rank())))
        return first[:, :, self.part], variants[:, :, self.part]

    def end_epoch(self, record, start, progress):
        """Note the metrics (n_steps, metrics) of an epoch, the first values that the host asks for; validate."""
        settings, metrics = self.settings, self._means(record)
        if self.validation is not None:
            metrics |= self._validate()
        self.epoch += 1
        seconds = time.perf_counter() - start
        self.history.append({"epoch": self.epoch, **metrics, "steps": len(record), "seconds": seconds})
        loss = f"loss {metrics['loss']:.3f}"
        accuracy = " ".join(f"{n.upper()} {metrics[f'accuracy_{n}']:.2f}" for n in self.model.group_losses)
        chance = f"(chance {1 / self.batches.batch_size:.2f})"
        line = f"fold {self.fold.index}, epoch {self.epoch} of {settings.EPOCHS}, {loss}, "
        line += f"contrastive accuracy {accuracy} {chance}{self._time_left()}"
        progress.note(line, f"loss {metrics['loss']:.2f}, acc. {accuracy}")  # fits into 80 columns
        if self.epoch == settings.EPOCHS and self.writes:
            self.held_out = moments.look_at_held_out(self)

    def _means(self, record):
        """Mean of each metric over the steps (steps, metrics); a loss that is not finite ends the run."""
        values = record.cpu().double().numpy()  # in this order: MPS has no float64
        broken = ~np.isfinite(values).all(axis=1)
        if broken.any():
            kept = f"the checkpoint of epoch {self.history[-1]['epoch']}" if self.path.exists() else "no checkpoint yet"
            encoder = f"encoder {self.settings.ENCODER}, " if self.settings.network else ""
            raise InputError(
                f"{encoder}fold {self.fold.index}: the loss is not finite at epoch {self.epoch + 1}, "
                f"step {broken.argmax() + 1} ({kept} in {self.path.parent}); "
                "lower --lr or look for strange values in the recordings"
            )
        return dict(zip(self.model.metric_names, values.mean(axis=0).tolist(), strict=True))

    @torch.no_grad()
    def _validate(self):
        """Metrics on the training rows that were set aside; keeps a copy of the best weights so far."""
        self.model.eval()
        torch.manual_seed(self._seed("validation"))  # the same batches after every epoch
        first, variants = self.validation.shuffle()
        first = self.validation.place(first[: max(1, len(first) // 6)])  # one pass, without augmentation
        objective, results = self.objective(), []
        for step, windows in enumerate(first):
            self.validation.ready(step)
            terms = objective(self.validation.draw(windows, torch.zeros_like(variants[step])))
            results.append(torch.stack(list(terms.values())))
        means = self._means(torch.stack(results))
        if self.best is None or means["loss"] < self.best["loss"]:
            weights = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
            self.best = {"epoch": self.epoch + 1, "loss": means["loss"], "weights": weights}
        return {f"validation_{name}": value for name, value in means.items()}

    def epochs_left(self):
        """Epochs that this process has to train, of this fold and of later ones."""
        return self.settings.EPOCHS - self.epoch + self.later

    def _time_left(self):
        """How long it will take, from the last epochs; nothing where nothing is left."""
        lately = np.mean([entry["seconds"] for entry in self.history[-5:]])
        here = self.settings.EPOCHS - self.epoch
        parts = [f", about {duration(here * lately)} left for this fold"] if here else []
        parts += [f", {duration(self.epochs_left() * lately)} left in all"] if self.later else []
        return "".join(parts)

    def save_is_due(self):
        """After the last epoch, and every SAVE_EVERY epochs or as often as costs 5 % of the time."""
        if self.epoch == self.settings.EPOCHS:
            return True
        if self.settings.SAVE_EVERY is not None:
            return self.epoch % self.settings.SAVE_EVERY == 0
        return time.perf_counter() - self.saved_at >= 20 * self.saving_seconds

    def save(self):
        """Write the checkpoint and the log."""
        if not self.writes:
            return
        start = time.perf_counter()
        state, optimizer = _compact(self.model.state_dict()), self.optimizer.state_dict()
        optimizer["state"] = {number: _compact(moments) for number, moments in optimizer["state"].items()}
        optimizer["param_groups"] = [group | {"lr": float(group["lr"])} for group in optimizer["param_groups"]]
        weights = _compact(self.best["weights"]) if self.best else state
        encoders = {}
        for name, encoder in self.model.encoders.items():
            prefix = f"encoders.{name}."
            of_encoder = {key.removeprefix(prefix): x for key, x in weights.items() if key.startswith(prefix)}
            encoders[name] = {"kind": encoder.kind, "arguments": encoder.arguments, "weights": of_encoder}
        trained = slice(None) if self.epoch else slice(0)  # random weights have seen nothing
        checkpoint = {
            "format_version": FORMAT_VERSION,
            "stage": "pretrain",
            "window": self.settings.WINDOW,
            "fold": self.fold.index,
            "epoch": self.epoch,
            "kept_epoch": self.best["epoch"] if self.best else self.epoch,
            "manifest_hash": self.manifest.hash,
            **preparation.record(self.data, self.settings.PPS_CHANNELS),
            "settings": self.settings.as_dict(),
            "features": VERSION,
            "given": getattr(self.settings, "words", {}),  # flags, to say how to go on
            "code": self.code,
            "population": self.population,
            "provenance": self.provenance[0] if self.provenance else provenance(self.device),
            "former_provenance": self.provenance[1:],
            "encoders": encoders,  # the weights to use
            "trained_on": {
                "subjects": torch.from_numpy(self.fold.train.subjects[trained]),
                "rows": torch.from_numpy(self.rows[trained]),
            },
            "history": self.history,
            "held_out": self.held_out,
            "training": {"model": state, "optimizer": optimizer, "best": self.best},  # the state to go on from
        }
        save_tensors(self.path, checkpoint)
        self._write_log()
        self.saved_at = time.perf_counter()
        self.saving_seconds = self.saved_at - start

    def _write_log(self):
        if not self.writes:
            return
        entries = self.history
        if self.held_out:
            entries = [*self.history[:-1], self.history[-1] | {"held_out": self.held_out}]
        write_text(self.path.with_name("log.jsonl"), "".join(json.dumps(entry) + "\n" for entry in entries))


def _compact(tensors):
    """Tensors by name in the usual order, without what else is in their storage, such as the other folds of a stack."""
    shared = {name for name, x in tensors.items() if x.untyped_storage().nbytes() > x.nbytes}
    return {
        k: x.clone(memory_format=torch.contiguous_format) if k in shared else x.contiguous() for k, x in tensors.items()
    }
