"""Pre-training of one fold: its batches and networks, the epochs, the checkpoint."""

import json
import time

import numpy as np
import torch

from data_prep.folder import preparation
from utils.base import ranks
from utils.base.devices import CapturedStep, adam, derive_seed, load_optimizer, provenance, use_threads
from utils.base.errors import InputError, is_out_of_memory
from utils.base.files import write_text
from utils.base.identity import code
from utils.base.progress import Progress, duration
from utils.base.structure import find_wrong
from utils.pretraining import population
from utils.pretraining import together as processes
from utils.pretraining.batches import ContrastiveBatches
from utils.pretraining.checkpoints import (
    DELETE_IT,
    FORMAT_VERSION,
    load_pretrained,
    pretrain_path,
    refuse_other_training,
    save_tensors,
)
from utils.pretraining.networks import build
from utils.pretraining.variants import pretrain_variant
from utils.protocol import splits
from utils.protocol.held_out import set_aside

FIRST_STEPS = 30  # after which it is said how long all will take


class FoldPretraining:
    """Pre-training of one fold, from its first epoch or from its checkpoint to its last epoch.

    Parameters
    ----------
    settings : Settings
    data : data_prep.Prepared
    manifest : splits.Manifest
    fold : splits.Fold
    recordings : Recordings
    device : torch.device
    together : bool
        Whether all processes train it together, each with its part of every batch; rank 0 writes.
    """

    def __init__(self, settings, data, manifest, fold, recordings, device, together=False):
        self.settings, self.data, self.manifest, self.fold, self.device = settings, data, manifest, fold, device
        self.together, self.writes = together, ranks.rank() == 0 or not together
        self.path = pretrain_path(settings.RUN_DIR, settings.WINDOW, pretrain_variant(settings), fold.index)
        self.n_seconds = splits.RESOLUTIONS[settings.WINDOW]
        rows, per_trial = fold.train.rows[settings.WINDOW], data.eeg.shape[2] // self.n_seconds
        self.rows, self.validation_rows = set_aside(settings, manifest.split, fold.index, rows, per_trial)
        seconds = splits.training_seconds(fold, data.eeg.shape[:3])
        self.population = population.of(recordings, seconds)
        recordings = recordings.standardised(seconds)
        self.batches = self._batches(recordings, self.rows)
        n = self.batches.batch_size
        self.own = processes.own_part(n) if together else slice(0, n)
        self.validation = self._batches(recordings, self.validation_rows) if len(self.validation_rows) else None
        torch.manual_seed(self._seed("weights"))
        self.model = build(settings, data.rate, self.n_seconds, recordings, self.batches).to(device)
        use_threads(settings.THREADS, self.model)
        self.forward = self.model
        self.optimizer = adam(self.model, settings, device)
        self.epoch, self.history, self.best = 0, [], None
        self.code, self.provenance = code("pretrain"), []  # of the processes that have trained it, the last one first
        self.timed = False  # whether it was said how long it takes
        self.later = 0  # epochs that this process has to train in other folds after this one
        self.saved_at, self.saving_seconds = time.perf_counter(), 0.0
        n_steps, names = self.batches.n_steps, self.model.metric_names
        shape = (n_steps, 2, self.own.stop - self.own.start)  # of the batches of an epoch
        self.first = torch.zeros(*shape, self.batches.subjects_per_group, dtype=torch.int64, device=device)
        self.variants = torch.zeros(shape, dtype=torch.int64, device=device)
        self.number = torch.zeros(1, dtype=torch.int64, device=device)  # of the step
        self.record = torch.zeros(n_steps, len(names), device=device)  # metrics of each step
        self.captured = device.type == "cuda" and settings.CUDA_GRAPH and not together
        self.graph = CapturedStep() if self.captured else None  # not of self._step: a ring would outlive the fold

    def run(self):
        """Train the epochs that are missing."""
        settings = self.settings
        asked = self._resume() if settings.RESUME and self.path.exists() else None
        if self.together:
            self.forward = processes.over_processes(self.model, self.epoch, self.device)
        self._write_log()
        if self.epoch == settings.EPOCHS:
            if asked != self.epoch:  # no epochs at all, or not as many any more
                self._save()
            print(f"fold {self.fold.index}: complete, {self.epoch} epochs")
            return
        n_steps = self.batches.n_steps
        print(
            f"fold {self.fold.index}: {len(self.rows)} windows of {settings.WINDOW} x {len(self.batches.subjects)} "
            f"subjects, {n_steps} batches of {self.batches.batch_size}, epoch {self.epoch + 1} of {settings.EPOCHS}"
        )
        progress = Progress(
            desc=f"{settings.WINDOW} fold {self.fold.index}",
            initial=self.epoch * n_steps,
            total=settings.EPOCHS * n_steps,
            unit="step",
        )
        with progress:
            here = provenance(self.device)
            self.provenance = [here, *self.provenance] if self.provenance[:1] != [here] else self.provenance
            while self.epoch < settings.EPOCHS:
                start = time.perf_counter()
                torch.manual_seed(self._seed(self.epoch))  # an epoch's randomness depends on its number alone
                metrics = self._train_epoch(progress)
                if self.validation is not None:
                    metrics |= self._validate()
                self.epoch += 1
                entry = {"epoch": self.epoch, **metrics, "steps": n_steps, "seconds": time.perf_counter() - start}
                self.history.append(entry)
                loss = f"loss {metrics['loss']:.3f}"
                accuracy = " ".join(f"{n.upper()} {metrics[f'accuracy_{n}']:.2f}" for n in self.model.group_losses)
                chance = f"(chance {1 / self.batches.batch_size:.2f})"
                line = f"fold {self.fold.index}, epoch {self.epoch} of {settings.EPOCHS}, {loss}, "
                line += f"contrastive accuracy {accuracy} {chance}{self._time_left()}"
                progress.note(line, f"loss {metrics['loss']:.2f}, acc. {accuracy}")  # fits into 80 columns
                if self._save_is_due():
                    self._save()

    def _time_left(self):
        """How long it will take, from the last epochs; nothing where nothing is left."""
        lately = np.mean([entry["seconds"] for entry in self.history[-5:]])
        here = self.settings.EPOCHS - self.epoch
        parts = [f"about {duration(here * lately)} left for this fold"] if here else []
        parts += [f"{duration(self.epochs_left() * lately)} left in all"] if self.later else []
        return "".join(f", {part}" for part in parts)

    def epochs_left(self):
        """Epochs that this process has to train, of this fold and of later ones."""
        return self.settings.EPOCHS - self.epoch + self.later

    def _train_epoch(self, progress):
        """One epoch; its mean metrics, the first values that the host asks for."""
        start = time.perf_counter()
        self.start_epoch()
        for step in range(self.batches.n_steps):
            self.batches.ready(step)
            self.step()
            progress.update()
            if step == FIRST_STEPS and not self.timed and self.device.type == "cpu":  # an epoch may take minutes
                self.timed = True
                left = (time.perf_counter() - start) / (step + 1) * self.batches.n_steps
                words = f"about {duration(left)} an epoch, {duration(left * self.epochs_left())} for all epochs"
                progress.note(f"fold {self.fold.index}: {words}", words)
            if step % 16 == 15:
                self.batches.recordings.release()
        return self._means(self.record)

    def start_epoch(self):
        """Set the batches of the steps, and this process's part of them."""
        self.model.train()
        first, variants = self.batches.shuffle()
        self.first.copy_(self.batches.place(first[:, :, self.own]))
        self.variants.copy_(variants[:, :, self.own])
        self.number.zero_()
        self._set_rate(self.settings.LR * min(1, (self.epoch + 1) / (self.settings.WARM_UP + 1)))
        if self.together:  # the batches are the same for all processes, noise and dropout are not
            torch.manual_seed(self._seed((self.epoch, ranks.rank())))

    def _set_rate(self, rate):
        """Set the learning rate; a step that was captured with another one is captured again."""
        before = {group["lr"] for group in self.optimizer.param_groups}
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self.captured and before != {rate}:
            self.graph = CapturedStep()

    def step(self):
        """One step of training: run as it is, or captured and replayed."""
        if self.captured:
            self.graph(self._step)
        else:
            self._step()

    def _step(self):
        """One step. All that it reads and writes is on the device, so that it can be captured."""
        first, variants = (plan.index_select(0, self.number)[0] for plan in (self.first, self.variants))
        batch = self.batches.draw(first, variants)
        loss, metrics = self.forward(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.record.index_copy_(0, self.number, metrics[None])
        self.number += 1

    @torch.no_grad()
    def _validate(self):
        """Metrics on the training rows that were set aside; keeps a copy of the best weights so far."""
        self.model.eval()
        torch.manual_seed(self._seed("validation"))  # the same batches after every epoch
        first, variants = self.validation.shuffle()
        first = self.validation.place(first[: max(1, len(first) // 6)])  # one pass, without augmentation
        results = []
        for step, windows in enumerate(first):
            self.validation.ready(step)
            results.append(self.model(self.validation.draw(windows, torch.zeros_like(variants[step])))[1])
        means = self._means(torch.stack(results))
        if self.best is None or means["loss"] < self.best["loss"]:
            weights = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
            self.best = {"epoch": self.epoch + 1, "loss": means["loss"], "weights": weights}
        return {f"validation_{name}": value for name, value in means.items()}

    def _means(self, record):
        """Mean of each metric over the steps (steps, metrics); a loss that is not finite ends the run."""
        values = record.cpu().double().numpy()  # in this order: MPS has no float64
        broken = ~np.isfinite(values).all(axis=1)
        if broken.any():
            kept = f"the checkpoint of epoch {self.history[-1]['epoch']}" if self.path.exists() else "no checkpoint yet"
            raise InputError(
                f"fold {self.fold.index}: the loss is not finite at epoch {self.epoch + 1}, step {broken.argmax() + 1} "
                f"({kept} in {self.path.parent}); lower --lr or look for strange values in the recordings"
            )
        return dict(zip(self.model.metric_names, values.mean(axis=0).tolist(), strict=True))

    def _batches(self, recordings, rows):
        settings, subjects = self.settings, self.fold.train.subjects
        per_trial = self.data.eeg.shape[2] // self.n_seconds
        first_seconds = rows // per_trial * self.data.eeg.shape[2] + rows % per_trial * self.n_seconds
        batches = ContrastiveBatches(
            recordings,
            torch.from_numpy(subjects).to(self.device),
            torch.from_numpy(first_seconds).to(self.device),
            self.n_seconds,
            settings.BATCH_SIZE,
            settings.SUBJECTS_PER_GROUP,
            settings.POSITIVES,
            settings.AUGMENTATION,
        )
        if batches.n_items < 2:
            raise InputError(f"fold {self.fold.index} has a single window, which has no other to be told from")
        return batches

    def _seed(self, part):
        return derive_seed(self.settings.SEED, self.settings.WINDOW, self.fold.index, part)

    def _save_is_due(self):
        """After the last epoch, and every SAVE_EVERY epochs or as often as costs 5 % of the time."""
        if self.epoch == self.settings.EPOCHS:
            return True
        if self.settings.SAVE_EVERY is not None:
            return self.epoch % self.settings.SAVE_EVERY == 0
        return time.perf_counter() - self.saved_at >= 20 * self.saving_seconds

    def _save(self):
        if not self.writes:
            return
        start = time.perf_counter()
        weights = self.best["weights"] if self.best else self.model.state_dict()
        encoders = {}
        for name, encoder in self.model.encoders.items():
            prefix = f"encoders.{name}."
            own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
            encoders[name] = {"arguments": encoder.arguments, "weights": own}
        subjects, rows = (self.fold.train.subjects, self.rows) if self.epoch else (np.zeros(0, int), np.zeros(0, int))
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
            "given": getattr(self.settings, "words", {}),  # flags, to say how to go on
            "code": self.code,
            "population": self.population,
            "provenance": self.provenance[0] if self.provenance else provenance(self.device),
            "former_provenance": self.provenance[1:],
            "encoders": encoders,  # the weights to use
            "trained_on": {"subjects": torch.from_numpy(subjects), "rows": torch.from_numpy(rows)},
            "history": self.history,
            "training": {  # the state to go on from
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "best": self.best,
            },
        }
        save_tensors(self.path, checkpoint)
        self._write_log()
        self.saved_at = time.perf_counter()
        self.saving_seconds = self.saved_at - start

    def _write_log(self):
        if not self.writes:
            return
        write_text(self.path.with_name("log.jsonl"), "".join(json.dumps(entry) + "\n" for entry in self.history))

    def _resume(self):
        """Take up the checkpoint's state; the number of epochs that it was begun for."""
        settings, path = self.settings, self.path
        checkpoint = load_pretrained(path, settings.WINDOW, self.fold.index, self.manifest, DELETE_IT)
        refuse_other_training(path, checkpoint, settings)
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
            raise InputError(f"{path} does not hold the state of this training ({wrong}); {DELETE_IT}")
        self.best, self.epoch, self.history = training["best"], checkpoint["epoch"], checkpoint["history"]
        self.provenance = [checkpoint[key] for key in ("provenance",) if key in checkpoint]
        self.provenance += checkpoint.get("former_provenance", [])
        return checkpoint["settings"].get("EPOCHS")
