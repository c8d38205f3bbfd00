"""Fine-tuning: fuse the pre-trained encoders, train on labels, score the test windows."""

import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from data_prep import open_prepared
from models import Encoder, FusionModel
from models.encoder import paper_arguments
from utils import audit, recipes, splits
from utils.batches import LabelledWindows, Recordings
from utils.checkpoints import (
    FORMAT_VERSION,
    SAME_ON_RESUME,
    load_pretrained,
    load_tensors,
    pretrain_path,
    save_tensors,
)
from utils.devices import choose_device, derive_seed, provenance
from utils.errors import InputError
from utils.files import write_json, write_text
from utils.progress import Progress
from utils.results import print_summary, summarise

RESULT_DEPENDS_ON = (
    *("LABEL", "THRESHOLD", "PERMUTE_LABELS", "MODALITIES", "RESOLUTIONS", "INIT", "FREEZE", "GATE", "PPS_CHANNELS"),
    *("SEED", "EPOCHS", "BATCH_SIZE", "LR", "WEIGHT_DECAY"),
)


def variant_folder(settings):
    """Folder of the results: its name has the label and every option that is not the default."""
    parts = ["finetune", settings.LABEL]
    parts += [settings.PRETRAIN_VARIANT] if settings.PRETRAIN_VARIANT else []
    parts += [settings.MODALITIES] if settings.MODALITIES != "eeg+pps" else []
    parts += [settings.RESOLUTIONS] if settings.RESOLUTIONS != "5s+1s" else []
    parts += ["random"] if settings.INIT == "random" else []
    parts += ["frozen"] if settings.FREEZE else []
    parts += ["no-gate"] if not settings.GATE else []
    parts += ["permuted"] if settings.PERMUTE_LABELS else []
    parts += [settings.TAG] if settings.TAG else []
    return Path(settings.RUN_DIR) / "_".join(parts)


def finetune(settings):
    """Fine-tune and test every chosen fold, write the metrics, print them (PhysioSync, arXiv 2504.17163, fine-tuning).

    Parameters
    ----------
    settings : Settings
        Of ``Fine_tuning/fine_tuning.py``.

    Notes
    -----
    Writes ``<run-dir>/finetune_<label>[_<variant>]/metrics.json`` and, for each fold, its model and predictions.
    """
    FineTuning(settings).run()


class FineTuning:
    """The folds of one variant: what they start from, their training, their results."""

    def __init__(self, settings):
        self.settings = settings
        self.data = open_prepared(settings.DATA_DIR)
        self.labels, self.class_names = self.data.labels(settings.LABEL, settings.THRESHOLD)
        self.manifest = splits.load_or_create(settings, self.data)
        self.folds = splits.choose_folds(self.manifest, settings.FOLDS)
        self.modalities, self.resolutions = settings.MODALITIES.split("+"), settings.RESOLUTIONS.split("+")
        if settings.PPS_CHANNELS:
            settings.PPS_CHANNELS = self.data.pps_names(settings.PPS_CHANNELS)
        for fold in self.folds:  # a missing checkpoint shows now, not after hours of work
            for checkpoint in self._checkpoints(fold).values():
                settings.PPS_CHANNELS = checkpoint["settings"]["PPS_CHANNELS"]
        recipes.fill(settings, recipes.FINETUNE, self.data, self.manifest.protocol)
        if settings.EPOCHS < 1:
            raise InputError("--epochs must be at least 1 in fine-tuning, not 0")
        settings.THRESHOLD = self.data.info["threshold"] if settings.THRESHOLD is None else settings.THRESHOLD
        if settings.PERMUTE_LABELS:
            self.labels = np.random.default_rng([settings.SEED, 6]).permuted(self.labels, axis=1)
        self.device = choose_device(settings.DEVICE)
        self.recordings = Recordings(self.data, self.modalities, settings.PPS_CHANNELS, self.device)
        self.folder = variant_folder(settings)

    def run(self):
        """Run the folds that are missing, then write and print the metrics of all that are there."""
        for fold in self.folds:
            if self.settings.RESUME and self._result(fold):
                print(f"fold {fold.index}: complete")
            else:
                self._run_fold(fold)
        chosen = {fold.index for fold in self.folds}
        results = [self._result(fold, strict=fold.index in chosen) for fold in self.manifest.folds]
        summary = {
            "dataset": self.data.name,
            "dataset_checksum": self.data.checksum,
            "protocol": self.manifest.protocol,
            "split": self.manifest.split,
            "manifest_hash": self.manifest.hash,
            "n_folds": len(self.manifest.folds),
            "label": self.settings.LABEL,
            "class_names": self.class_names,
            "settings": self.settings.as_dict(),
            "provenance": provenance(self.device),
        } | summarise([result for result in results if result], self.data.subjects, self.manifest.protocol)
        path = self.folder / "metrics.json"
        write_json(path, summary)
        print_summary(summary)
        print(f"wrote {path}; the fine-tuned models are beside it")

    # --- what a fold starts from

    def _checkpoints(self, fold):
        """Pre-training checkpoints of a fold by resolution; with INIT = "random" those that happen to be there."""
        checkpoints = {}
        for resolution in self.resolutions:
            path = pretrain_path(self.settings.RUN_DIR, resolution, self.settings.PRETRAIN_VARIANT, fold.index)
            if self.settings.INIT == "random" and not path.exists():
                continue
            remedy = f"run main_pretrain_{resolution}.py with this --run-dir first, or use --init random"
            checkpoint = load_pretrained(path, resolution, self.manifest, remedy, mmap=True)
            channels = checkpoint["settings"]["PPS_CHANNELS"]
            if self.settings.PPS_CHANNELS not in ([], channels) and "pps" in self.modalities:
                raise InputError(
                    f"{path} was trained on the PPS channels {','.join(channels)}, not "
                    f"{','.join(self.settings.PPS_CHANNELS)}; use the same --pps-channels, or another --run-dir"
                )
            asked = {"1s": self.settings.EMBED_DIM_1S, "5s": self.settings.EMBED_DIM_5S}[resolution]
            for modality in self.modalities:
                if modality not in checkpoint["encoders"]:
                    raise InputError(f"{path} holds no {modality} encoder; {remedy}")
                embed_dim = checkpoint["encoders"][modality]["arguments"]["embed_dim"]
                if asked not in (None, embed_dim):
                    raise InputError(f"--embed-dim-{resolution} {asked}: {path} has {embed_dim}; leave the flag out")
            checkpoints[resolution] = checkpoint
        return checkpoints

    def _arguments(self, checkpoints, resolution, modality):
        """Sizes of an encoder: the checkpoint's, if there is one, so that random weights sit in the same network."""
        if resolution in checkpoints:
            return checkpoints[resolution]["encoders"][modality]["arguments"]
        n_samples = splits.RESOLUTIONS[resolution] * self.data.rate
        embed_dim = {"1s": self.settings.EMBED_DIM_1S, "5s": self.settings.EMBED_DIM_5S}[resolution]
        return paper_arguments(modality, self.recordings.n_channels(modality), n_samples, embed_dim)

    def _build(self, checkpoints):
        encoders = {}
        for modality in self.modalities:
            encoders[modality] = {}
            for resolution in self.resolutions:
                encoder = Encoder(**self._arguments(checkpoints, resolution, modality))
                if self.settings.INIT == "pretrained":
                    encoder.load_state_dict(checkpoints[resolution]["encoders"][modality]["weights"])
                encoders[modality][resolution] = encoder
        return FusionModel(encoders, len(self.class_names), self.settings.GATE).to(self.device)

    def _identity(self, checkpoints):
        """All that a fold's result depends on, for a result is taken up only if nothing of it has changed."""
        identity = {name: self.settings.as_dict()[name] for name in RESULT_DEPENDS_ON}
        identity["manifest"] = self.manifest.hash
        for resolution in self.resolutions:
            if self.settings.INIT == "pretrained":
                made = checkpoints[resolution]
                encoders = {name: made["settings"][name] for name in SAME_ON_RESUME} | {"epoch": made["kept_epoch"]}
            else:
                encoders = {"embed_dim": self._arguments(checkpoints, resolution, self.modalities[0])["embed_dim"]}
            identity[f"encoders {resolution}"] = encoders
        return identity

    # --- one fold

    def _run_fold(self, fold):
        """Train on the fold's training windows, predict its test windows, save model and predictions."""
        settings, start = self.settings, time.perf_counter()
        checkpoints = self._checkpoints(fold)
        torch.manual_seed(derive_seed(settings.SEED, "finetune", settings.LABEL, fold.index))
        model = self._build(checkpoints)
        train, test = (self._windows(part) for part in (fold.train, fold.test))
        if len(train) < 2:
            raise InputError(f"fold {fold.index} has {len(train)} training windows; at least 2 are needed")
        history = self._train(fold, model, self._labelled(train))
        probability = self._predict(model, self._labelled(test))

        path = self._path(fold)
        common = {
            "format_version": FORMAT_VERSION,
            "stage": "finetune",
            "fold": fold.index,
            "identity": self._identity(checkpoints),
        }
        model_file = common | {
            "encoders": {m: {r: e.arguments for r, e in encoders.items()} for m, encoders in model.encoders.items()},
            "weights": model.state_dict(),
            "class_names": self.class_names,
            "sampling_rate": self.data.rate,
            "channels": {"eeg": self.data.info["eeg_channels"], "pps": settings.PPS_CHANNELS},
            "settings": settings.as_dict(),
            "provenance": provenance(self.device),
        }
        result = common | {
            "windows": torch.from_numpy(test),
            "truth": torch.from_numpy(self._truth(test)),
            "probability": probability,
            "n_train": len(train),
            "audit": self._audit(checkpoints, train, test),
            "seconds": time.perf_counter() - start,
        }
        save_tensors(path.with_name("model.pt"), model_file)
        write_text(path.with_name("log.jsonl"), "".join(json.dumps(entry) + "\n" for entry in history))
        save_tensors(path, result)  # the last file: where it is, the fold is complete

    def _train(self, fold, model, windows):
        """Train with cross-entropy, all weights or with FREEZE the head's; returns one entry of the log per epoch."""
        settings, n = self.settings, len(windows)
        trained, forward = model, lambda index: model(windows.take(index))
        if settings.FREEZE:
            features = self._features(model, windows)
            trained, forward = model.head, lambda index: model.head([feature[index] for feature in features])
        optimizer = torch.optim.Adam(
            trained.parameters(), settings.LR, weight_decay=settings.WEIGHT_DECAY, fused=self.device.type != "mps"
        )
        scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=max(1, settings.EPOCHS // 3))
        n_batches = max(1, min(math.ceil(n / settings.BATCH_SIZE), n // 2))  # of nearly equal size, none of one window
        history = []
        with Progress(desc=f"fold {fold.index}", total=settings.EPOCHS * n_batches, unit="step") as progress:
            for epoch in range(1, settings.EPOCHS + 1):
                trained.train()
                loss_sum, hits = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
                order = torch.randperm(n, device=self.device)
                for index in order.tensor_split(n_batches):
                    scores, truth = forward(index), windows.truth[index]
                    loss = F.cross_entropy(scores, truth)
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                    loss_sum += loss.detach() * len(index)
                    hits += (scores.argmax(1) == truth).sum()
                    progress.update()
                scheduler.step()
                entry = {"epoch": epoch, "loss": loss_sum.item() / n, "accuracy": hits.item() / n}
                if not math.isfinite(entry["loss"]):
                    raise InputError(
                        f"fold {fold.index}: the loss is not finite at epoch {epoch}; lower --lr, or look for strange "
                        "values in the recordings"
                    )
                history.append(entry)
                loss, accuracy = entry["loss"], entry["accuracy"]
                progress.note(f"fold {fold.index}, epoch {epoch}: loss {loss:.3f}, training accuracy {accuracy:.2f}")
        return history

    @torch.no_grad()
    def _predict(self, model, windows):
        """Class probabilities (n, n_classes) of all windows."""
        return model.head(self._features(model, windows)).softmax(1).cpu()

    @torch.no_grad()
    def _features(self, model, windows):
        """Features of all windows, a list of (n, width); the whole model is in evaluation mode afterwards."""
        model.eval()
        chunks = torch.arange(len(windows), device=self.device).split(self.settings.BATCH_SIZE)
        parts = [model.features(windows.take(index)) for index in chunks]
        return [torch.cat(feature) for feature in zip(*parts, strict=True)]

    def _windows(self, part):
        """(subject, trial, 5 s row) of every window of a part of a fold."""
        per_trial = self.data.eeg.shape[2] // splits.WINDOW_SECONDS
        return splits.windows_of(part.subjects, part.rows["5s"], per_trial)

    def _truth(self, windows):
        return self.labels[windows[:, 0], windows[:, 1]]

    def _labelled(self, windows):
        return LabelledWindows(self.recordings, windows, self._truth(windows), self.data.eeg.shape[2])

    def _audit(self, checkpoints, train, test):
        """What classifier and encoders saw of the test windows."""
        seconds = self.data.eeg.shape[2]
        counts = {"classifier": audit.count(test, train), "encoder_1s": None, "encoder_5s": None}
        for resolution in self.resolutions:
            n_seconds = splits.RESOLUTIONS[resolution]
            seen = np.zeros((0, 3), int)
            if self.settings.INIT == "pretrained":
                subjects, rows = (checkpoints[resolution]["trained_on"][name].numpy() for name in ("subjects", "rows"))
                seen = splits.windows_of(subjects, rows, seconds // n_seconds)
            tested = test if resolution == "5s" else splits.seconds_of(test, seconds)
            counts[f"encoder_{resolution}"] = audit.count(tested, seen)
        return counts

    # --- results

    def _path(self, fold):
        return self.folder / f"fold_{fold.index:02d}" / "result.pt"

    def _result(self, fold, strict=True):
        """The stored result of a fold, or None; one made otherwise is an error, or None if not ``strict``."""
        path = self._path(fold)
        if not path.exists():
            return None
        remedy = "use --no-resume to run the folds again, or another --run-dir"
        result = load_tensors(path, remedy)
        identity = self._identity(self._checkpoints(fold))
        for name, value in identity.items():
            before = result.get("identity", {}).get(name)
            if before != value:
                if not strict:
                    return None
                raise InputError(f"{path} was made with {name} = {before}, not {value}; {remedy}")
        return result
