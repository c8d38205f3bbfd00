"""Fine-tuning: fuse the pre-trained encoders, train on labels, score the test windows."""

import contextlib
import json
import time
from pathlib import Path

import numpy as np
import torch

from data_prep import open_prepared, preparation
from utils import ranks
from utils.devices import choose_device, derive_seed, provenance, set_precision, use_threads
from utils.errors import InputError
from utils.files import finish_first, only_writer, read_json, write_json, write_text
from utils.progress import Progress, say_next
from utils.protocol import audit, permutation, splits
from utils.protocol.permutation import permuted_labels
from utils.results.results import FoldResult, describe, report
from utils.training import fitting, recipes
from utils.training.batches import FusionWindows, Recordings
from utils.training.checkpoints import (
    FORMAT_VERSION,
    load_tensors,
    save_tensors,
)
from utils.training.first_encoders import FirstEncoders

FEW_PERMUTATIONS = 20  # so many are run by fine-tuning, more by a linear probe


def variant_folder(settings):
    """Folder of the results: its name has the label and every option that is not the default."""
    parts = ["finetune", settings.LABEL]
    parts += [settings.PRETRAIN_VARIANT] if settings.PRETRAIN_VARIANT else []
    parts += [settings.MODALITIES] if settings.MODALITIES != "eeg+pps" else []
    parts += [settings.RESOLUTIONS] if settings.RESOLUTIONS != "5s+1s" else []
    parts += ["random"] if settings.INIT == "random" else []
    parts += ["frozen"] if settings.FREEZE else []
    parts += [f"labels-{settings.LABEL_FRACTION:g}"] if settings.LABEL_FRACTION < 1 else []
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
        self.data = open_prepared(settings.DATA_DIR, verify=ranks.rank() == 0)
        self.labels, self.class_names = self.data.labels(settings.LABEL, settings.THRESHOLD)
        self.manifest = splits.load_or_create(settings, self.data)
        self.folds = splits.choose_folds(self.manifest, settings.FOLDS)
        self.modalities, self.resolutions = settings.MODALITIES.split("+"), settings.RESOLUTIONS.split("+")
        if settings.PPS_CHANNELS:
            settings.PPS_CHANNELS = self.data.pps_names(settings.PPS_CHANNELS)
        self.first = FirstEncoders(settings, self.data, self.manifest, self.folds)
        settings.RECIPE = settings.RECIPE or "paper"
        recipes.fill(settings, recipes.FINETUNE, self.data, self.manifest.protocol)
        if settings.EPOCHS < 1:
            raise InputError("--epochs must be at least 1 in fine-tuning, not 0")
        settings.THRESHOLD = self.data.info["threshold"] if settings.THRESHOLD is None else settings.THRESHOLD
        if settings.PERMUTE_LABELS:
            self.labels = permuted_labels(self.labels, settings.SEED)
        self.device = choose_device(settings.DEVICE)
        set_precision(settings.PRECISION, self.device)
        self.recordings = Recordings(
            self.data, self.modalities, settings.PPS_CHANNELS, self.device, settings.FRONT_END, settings.STREAM
        )
        self.folder = variant_folder(settings)

    def run(self):
        """Run the folds that are missing, then write and print the metrics of all that are there."""
        ranks.others_may_start()
        for fold in ranks.share(self.folds, self._is_complete):
            with only_writer(self._path(fold).parent):
                if self._is_complete(fold):
                    print(f"fold {fold.index}: complete")
                else:
                    self._run_fold(fold)
        ranks.wait()
        ranks.appear(self._path(fold) for fold in self.folds)
        with only_writer(self.folder / "metrics.json", wait=True) if ranks.rank() == 0 else contextlib.nullcontext():
            self._report()

    def _is_complete(self, fold):
        return self.settings.RESUME and self._result(fold) is not None

    def _report(self):
        """Put the folds together; rank 0 writes and prints."""
        chosen = {fold.index for fold in self.folds}
        results = [self._result(fold, strict=fold.index in chosen) for fold in self.manifest.folds]
        results = [result for result in results if result]
        extra = {"permutation": self._permutation_test(results)} if self.settings.PERMUTATIONS else {}
        if ranks.rank() == 0:
            description = describe(self.settings, self.data, self.manifest, self.class_names, self.device)
            report(self.folder, description, results, self.data, extra)
            say_next("Fine_tuning/report.py", "--run-dir", self.settings.RUN_DIR)

    # --- one fold

    def _run_fold(self, fold):
        """Train on the fold's training windows, predict its test windows, save model and predictions."""
        settings, start = self.settings, time.perf_counter()
        checkpoints = self.first.checkpoints(fold)
        train, test = self._windows(fold)
        with Progress(desc=f"fold {fold.index}", total=settings.EPOCHS, unit="epoch") as progress:
            model, history = self._fit(fold, checkpoints, train, self.labels, progress)
        path = self._path(fold)
        common = {
            "format_version": FORMAT_VERSION,
            "stage": "finetune",
            "fold": fold.index,
            "identity": self.first.identity(checkpoints),
        }
        model_file = common | {
            "encoders": {m: {r: e.arguments for r, e in encoders.items()} for m, encoders in model.encoders.items()},
            "weights": model.state_dict(),
            "class_names": self.class_names,
            **preparation.record(self.data, settings.PPS_CHANNELS),
            "settings": settings.as_dict(),
            "provenance": provenance(self.device),
        }
        result = common | {
            "windows": torch.from_numpy(test),
            "truth": torch.from_numpy(self.labels[test[:, 0], test[:, 1]]),
            "probability": self._predict(fold, model, test),
            "n_train": len(train),
            "audit": self._audit(checkpoints, train, test),
            "seconds": time.perf_counter() - start,
        }
        with finish_first():
            save_tensors(path.with_name("model.pt"), model_file)
            write_text(path.with_name("log.jsonl"), "".join(json.dumps(entry) + "\n" for entry in history))
            save_tensors(path, result)  # the last file: where it is, the fold is complete

    def _fit(self, fold, checkpoints, windows, labels, progress=None):
        """A model trained on windows with these labels (subjects, trials), and one entry of the log per epoch."""
        torch.manual_seed(derive_seed(self.settings.SEED, "finetune", self.settings.LABEL, fold.index))
        model = self._build(checkpoints)
        truth = torch.from_numpy(labels[windows[:, 0], windows[:, 1]]).to(self.device)
        inputs, where = self._on_device(fold, windows), f"fold {fold.index}"
        history = fitting.fit(model, inputs, truth, self.settings, where, progress)
        return model, history

    def _build(self, checkpoints):
        model = self.first.build(checkpoints, len(self.class_names)).to(self.device)
        use_threads(self.settings.THREADS, model)
        return model

    def _predict(self, fold, model, windows):
        return fitting.predict(model, self._on_device(fold, windows), self.settings.BATCH_SIZE)

    def _windows(self, fold):
        """(subject, trial, 5 s row) of every training window whose label is used, and of every test window."""
        per_trial = self.data.eeg.shape[2] // splits.WINDOW_SECONDS
        train, test = (splits.windows_of(part.subjects, part.rows["5s"], per_trial) for part in (fold.train, fold.test))
        return splits.labelled(train, self.settings.LABEL_FRACTION, self.settings.SEED), test

    def _on_device(self, fold, windows):
        seconds = splits.training_seconds(fold, self.data.eeg.shape[:3])
        return FusionWindows(self.recordings.standardised(seconds), windows, self.data.eeg.shape[2])

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
        remedy = "use --no-resume to run the folds again, or --tag for a folder of its own"
        result = load_tensors(path, remedy)
        identity = self.first.identity(self.first.checkpoints(fold))
        for name, value in identity.items():
            before = result.get("identity", {}).get(name)
            if before != value:
                if not strict:
                    return None
                raise InputError(f"{path} was made with {name} = {before}, not {value}; {remedy}")
        try:
            arrays = {name: result[name].numpy() for name in ("windows", "truth", "probability")}
            return FoldResult(fold.index, **arrays, **{name: result[name] for name in ("n_train", "audit", "seconds")})
        except (KeyError, AttributeError, TypeError):
            raise InputError(f"{path} lacks parts of a result; {remedy}") from None

    # --- permutation test

    def _permutation_test(self, results):
        """The chance of such an accuracy if labels meant nothing; see `utils.protocol.permutation`."""
        settings = self.settings
        method = settings.PERMUTATION_METHOD
        if method == "auto":
            method = "finetune" if settings.PERMUTATIONS <= FEW_PERMUTATIONS else "probe"
        if method == "probe":
            labels = [permuted_labels(self.labels, settings.SEED, k) for k in range(1, settings.PERMUTATIONS + 1)]
            accuracy = self._probe(np.stack([self.labels, *labels]))
            return permutation.result(method, "accuracy per trial", accuracy[0], accuracy[1:])
        path = self.folder / "permutations.json"
        encoders = [self.first.identity(self.first.checkpoints(fold)) for fold in self.folds]
        identity = {"seed": settings.SEED, "folds": encoders}
        stored = read_json(path, "delete it") if settings.RESUME and path.exists() else {}
        null = ranks.gather(stored["accuracy"] if stored.get("identity") == identity else [])[0]
        with Progress(desc="permutations", initial=len(null), total=settings.PERMUTATIONS, unit="run") as progress:
            while len(null) < settings.PERMUTATIONS:  # as many at a time as there are ranks
                numbers = range(len(null) + 1, min(len(null) + ranks.size(), settings.PERMUTATIONS) + 1)
                labels = [permuted_labels(self.labels, settings.SEED, number) for number in numbers]
                null += ranks.each(self._permuted_accuracy, labels)
                progress.update(len(numbers))
                if ranks.rank() == 0:
                    write_json(path, {"identity": identity, "accuracy": null})
                    for number in numbers:
                        progress.note(f"permutation {number}: accuracy {null[number - 1]:.3f}")
        chosen = {fold.index for fold in self.folds}
        accuracy = [(r.probability.argmax(axis=1) == r.truth).mean() for r in results if r.fold in chosen]
        return permutation.result(method, "accuracy per window", np.mean(accuracy), null[: settings.PERMUTATIONS])

    def _permuted_accuracy(self, labels):
        """Mean accuracy over folds of fine-tuning and testing with these labels."""
        accuracy = []
        for fold in self.folds:
            train, test = self._windows(fold)
            model, _ = self._fit(fold, self.first.checkpoints(fold), train, labels)
            predicted = self._predict(fold, model, test).argmax(1).numpy()
            accuracy.append((predicted == labels[test[:, 0], test[:, 1]]).mean())
        return float(np.mean(accuracy))

    def _probe(self, labels):
        """Mean accuracy over folds (n_labellings,) of a linear probe of the first encoders' features."""

        progress = Progress(desc="probing", total=len(self.folds), unit="fold")

        def probe(fold):
            torch.manual_seed(derive_seed(self.settings.SEED, "finetune", self.settings.LABEL, fold.index))
            model = self._build(self.first.checkpoints(fold))
            parts = []
            for windows in self._windows(fold):
                features = fitting.features(model, self._on_device(fold, windows), self.settings.BATCH_SIZE)
                features = torch.cat(features, dim=1).cpu().numpy()
                parts.append(permutation.trial_means(windows, features))
            progress.update()
            return permutation.probe_accuracy(*parts, labels, len(self.class_names))

        with progress:
            return np.mean(ranks.each(probe, self.folds), axis=0)
