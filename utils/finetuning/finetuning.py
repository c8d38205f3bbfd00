"""Fine-tuning: fuse the pre-trained encoders, train on labels, score the test windows."""

import json
import time

import numpy as np
import torch

from data_prep import open_prepared
from data_prep.folder import preparation
from utils.base import ranks
from utils.base.devices import choose_device, derive_seed, provenance, set_precision, use_threads
from utils.base.errors import InputError
from utils.base.files import finish_first, only_writer, read_json, write_json, write_text
from utils.base.identity import difference
from utils.base.progress import Progress, say_next, say_once, warn
from utils.base.structure import find_wrong
from utils.finetuning import fitting
from utils.finetuning.first_encoders import FirstEncoders, check_begun
from utils.finetuning.labels import read_labels
from utils.pretraining import population, recipes
from utils.pretraining.batches import FusionWindows, Recordings
from utils.pretraining.checkpoints import (
    DELETE_IT,
    FORMAT_VERSION,
    UNRECORDED,
    load_tensors,
    refuse_other_fold,
    save_tensors,
)
from utils.pretraining.features import VERSION, version_of
from utils.pretraining.variants import result_folder, write_begun
from utils.protocol import audit, permutation, splits
from utils.protocol.permutation import permuted_stimuli
from utils.results import model_card
from utils.results.results import FoldResult, describe, is_transductive, report

FEW_PERMUTATIONS = 20  # so many are run by fine-tuning, more by a linear probe

STORED = {  # what a fold's result.pt must have
    **dict.fromkeys(("windows", "truth", "probability"), torch.Tensor),
    "n_train": int,
    "audit": {},
    "seconds": float,
    "identity": {},
    "provenance": (None, {}),
    "train_classes": (None, [int]),
}


def finetune(settings):
    """Fine-tune and test every chosen fold (PhysioSync, arXiv 2504.17163); write and print the metrics."""
    FineTuning(settings).run()


class FineTuning:
    """The folds of one variant: what they start from, their training, their results."""

    def __init__(self, settings):
        self.settings = settings
        self.data = open_prepared(settings.DATA_DIR)
        self.modalities = recipes.choose_modalities(settings, self.data)
        self.labels, self.class_names = read_labels(settings, self.data)
        check_begun(settings)
        self.manifest = splits.load_or_create(settings, self.data)
        settings.PROTOCOL, settings.SPLIT = self.manifest.protocol, self.manifest.split  # the model tells it
        self.folds = splits.choose_folds(self.manifest, settings.FOLDS)
        self.resolutions = settings.RESOLUTIONS.split("+")
        if settings.PPS_CHANNELS:
            settings.PPS_CHANNELS = self.data.pps_names(settings.PPS_CHANNELS)
        self.first = FirstEncoders(settings, self.data, self.manifest, self.folds)
        settings.RECIPE = settings.RECIPE or "paper"
        filled = recipes.fill(settings, recipes.FINETUNE, self.data, self.manifest.protocol)
        if settings.RECIPE == "robust" and "EPOCHS" in filled:
            recipes.cut_epochs(settings, self.manifest, self.data)
        if settings.EPOCHS < 1:
            raise InputError("--epochs must be at least 1 in fine-tuning, not 0")
        settings.resolved()
        self.device = choose_device(settings.DEVICE)
        set_precision(settings.PRECISION, self.device)
        self.recordings = Recordings(
            self.data, self.modalities, settings.PPS_CHANNELS, self.device, settings.FRONT_END, settings.STREAM
        )
        self.folder = result_folder(settings, self.data, "finetune")
        self.permutation_method = settings.PERMUTATION_METHOD if settings.PERMUTATIONS else None
        if self.permutation_method == "auto":
            self.permutation_method = "finetune" if settings.PERMUTATIONS <= FEW_PERMUTATIONS else "probe"

    def run(self):
        """Run this process's folds that are missing, then write the metrics of all folds that are complete by then."""
        write_begun(self.folder, self.settings)
        reports = ranks.rank() == 0  # and so does every process that has added something
        self._build(self.first.checkpoints(self.folds[0]))  # sets the threads
        self.provenance = provenance(self.device)
        for fold in ranks.share(self.folds):
            with only_writer(self._path(fold).parent):
                if self.settings.RESUME and self._result(fold):
                    print(f"fold {fold.index}: complete")
                else:
                    self._run_fold(fold)
                    reports = True
                if self.permutation_method == "finetune":
                    reports = self._permute(fold) or reports
        if reports:
            with only_writer(self.folder / "metrics.json", wait=True):
                self._report()

    def _report(self):
        """Put together what is complete by now. The process that comes here last finds all of it, and prints it."""
        there = set(self.folder.glob("fold_*/*.pt"))  # listed, as a network file system remembers what was not there
        chosen = {fold.index for fold in self.folds}
        folds = [fold for fold in self.manifest.folds if self._path(fold) in there]
        results = [self._result(fold, strict=self.settings.RESUME and fold.index in chosen) for fold in folds]
        if other := [str(fold.index) for fold, result in zip(folds, results, strict=True) if not result]:
            warn(f"{self.folder}: folds {', '.join(other)} were made otherwise, and are not part of this result")
        results = [result for result in results if result]
        complete = {result.fold for result in results}
        if self.permutation_method == "finetune":
            complete = {f.index for f in self.folds if len(self._permuted(f)) >= self.settings.PERMUTATIONS} & complete
        missing = sorted(chosen - complete)
        extra = {"permutation": self._permutation_test(results)} if self.permutation_method and not missing else {}
        description = describe(self.settings, self.data, self.manifest, self.class_names, results)
        description["features"] = version_of(self.settings.FRONT_END)
        seeds, remarks = self.first.description([self.manifest.folds[result.fold] for result in results])
        description["provenance"]["encoder_seeds"] = seeds
        report(self.folder, description, results, self.data, extra, not missing, remarks)
        if missing:
            print(f"folds {', '.join(map(str, missing))} are not complete; who ends last prints the result")
        else:
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
            "identity": self.first.identity(fold),
            "provenance": self.provenance,
        }
        model_file = common | {
            "encoders": {m: {r: e.arguments for r, e in encoders.items()} for m, encoders in model.encoders.items()},
            "kinds": {m: {r: e.kind for r, e in encoders.items()} for m, encoders in model.encoders.items()},
            "weights": model.state_dict(),
            "class_names": self.class_names,
            "population": population.of(self.recordings, splits.training_seconds(fold, self.data.eeg.shape[:3])),
            **preparation.record(self.data, settings.PPS_CHANNELS),
            "settings": settings.as_dict(),
            "features": VERSION,
            "given": settings.words,
        }
        result = common | {
            "windows": torch.from_numpy(test),
            "truth": torch.from_numpy(self.labels[test[:, 0], test[:, 1]]),
            "probability": self._predict(fold, model, test),
            "n_train": len(train),
            "train_classes": self._classes(train).tolist(),
            "audit": self._audit(checkpoints, train, test),
            "seconds": time.perf_counter() - start,
        }
        transductive = is_transductive(settings, self.data, self.manifest)
        scores = _as_result(fold.index, result).scores(self.data.subjects)
        card = model_card.card(model_file, scores, self.data, self.manifest, settings, transductive)
        with finish_first():
            save_tensors(path.with_name("model.pt"), model_file)
            write_text(path.with_name(model_card.NAME), card)
            write_text(path.with_name("log.jsonl"), "".join(json.dumps(entry) + "\n" for entry in history))
            save_tensors(path, result)  # the last file: where it is, the fold is complete

    def _classes(self, windows):
        """Windows of each class."""
        return np.bincount(self.labels[windows[:, 0], windows[:, 1]], minlength=len(self.class_names))

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
        return fitting.predict(model, self._on_device(fold, windows), self.settings.BATCH_SIZE, self._bf16())

    def _bf16(self):
        return self.settings.PRECISION == "bf16"

    def _windows(self, fold):
        """(subject, trial, 5 s row) of every training window whose label is used, and of every test window."""
        per_trial, seen = self.data.eeg.shape[2] // splits.WINDOW_SECONDS, self.data.seen
        train, test = (splits.windows_of(p.subjects, p.rows["5s"], per_trial, seen) for p in (fold.train, fold.test))
        return splits.labelled(train, self.settings.LABEL_FRACTION, self.settings.SEED), test

    def _on_device(self, fold, windows):
        seconds = splits.training_seconds(fold, self.data.eeg.shape[:3])
        return FusionWindows(self.recordings.standardised(seconds), windows, self.data.eeg.shape[2])

    def _audit(self, checkpoints, train, test):
        """What classifier and encoders saw of the test windows."""
        seconds, groups = self.data.eeg.shape[2], self.data.groups
        counts = {"classifier": audit.count(test, train, groups), "encoder_1s": None, "encoder_5s": None}
        for resolution in self.resolutions:
            n_seconds = splits.RESOLUTIONS[resolution]
            seen = np.zeros((0, 3), int)
            if self.settings.INIT == "pretrained":
                subjects, rows = (checkpoints[resolution]["trained_on"][name].numpy() for name in ("subjects", "rows"))
                seen = splits.windows_of(subjects, rows, seconds // n_seconds, self.data.seen)
            tested = test if resolution == "5s" else splits.seconds_of(test, seconds)
            counts[f"encoder_{resolution}"] = audit.count(tested, seen, groups)
        return counts

    # --- results

    def _path(self, fold):
        return self.folder / f"fold_{fold.index:02d}" / "result.pt"

    def _result(self, fold, strict=True):
        """The stored result of a fold, or None; one made otherwise is an error, or None if not ``strict``."""
        path = self._path(fold)
        if not path.exists():
            return None
        result = load_tensors(path, DELETE_IT)
        refuse_other_fold(path, result, fold.index)
        result = {"train_classes": None} | result
        if wrong := find_wrong({"provenance": None} | result, STORED):
            raise InputError(f"{path} lacks parts of a result ({wrong}); {DELETE_IT}")
        before, now = result["identity"], self.first.identity(fold)
        other = difference(before, now, now if strict else now.keys() - {"code"})  # which the report says of each fold
        if other and not strict:
            return None
        if other:
            raise InputError(f"{path} was made with {other}; --tag NAME keeps both, --no-resume replaces it")
        if "code" not in before:
            say_once(UNRECORDED.format(what=self.folder.name))
        if "provenance" not in result:  # earlier versions kept it in the model only
            model = path.with_name("model.pt")
            result["provenance"] = load_tensors(model, DELETE_IT, True).get("provenance") if model.exists() else None
        return _as_result(fold.index, result)

    # --- permutation test

    def _permutation_test(self, results):
        """The chance of such an accuracy if labels meant nothing; see `utils.protocol.permutation`."""
        settings, method = self.settings, self.permutation_method
        complete = {result.fold for result in results}
        folds = [fold for fold in self.manifest.folds if fold.index in complete]
        if method == "probe":
            numbers, groups = range(1, settings.PERMUTATIONS + 1), self.data.groups
            labels = [permuted_stimuli(self.labels, settings.SEED, number, groups) for number in numbers]
            accuracy = self._probe(folds, np.stack([self.labels, *labels]))
            return permutation.result(method, "accuracy per trial", accuracy[0], accuracy[1:])
        folds = [fold for fold in folds if len(self._permuted(fold)) >= settings.PERMUTATIONS]
        complete = {fold.index for fold in folds}
        accuracy = [(r.probability.argmax(axis=1) == r.truth).mean() for r in results if r.fold in complete]
        null = np.mean([self._permuted(fold)[: settings.PERMUTATIONS] for fold in folds], axis=0)
        return permutation.result(method, "accuracy per window", np.mean(accuracy), null)

    def _permute(self, fold):
        """Fine-tune and test a fold with permuted labels, as often as is missing; whether anything was.

        The accuracies are kept in the fold's folder, in the order of the permutations.
        """
        settings, path = self.settings, self._path(fold).with_name("permutations.json")
        checkpoints, (train, test) = self.first.checkpoints(fold), self._windows(fold)
        null = self._permuted(fold) if settings.RESUME else []
        missing = range(len(null) + 1, settings.PERMUTATIONS + 1)
        with Progress(desc=f"fold {fold.index} permuted", total=len(missing), unit="run") as progress:
            for number in missing:
                labels = permuted_stimuli(self.labels, settings.SEED, number, self.data.groups)
                model, _ = self._fit(fold, checkpoints, train, labels)
                predicted = self._predict(fold, model, test).argmax(1).numpy()
                null.append(float((predicted == labels[test[:, 0], test[:, 1]]).mean()))
                write_json(path, self._permutations_of(fold) | {"accuracy": null})
                progress.update()
                progress.note(f"fold {fold.index}, permutation {number}: accuracy {null[-1]:.3f}")
        return len(missing) > 0

    def _permuted(self, fold):
        """The accuracies with permuted labels that are stored for a fold."""
        path = self._path(fold).with_name("permutations.json")
        stored = read_json(path, "delete it") if path.exists() else {}
        now = self._permutations_of(fold)
        before = stored.get("identity") if stored.get("moved") == now["moved"] else None
        same = isinstance(before, dict) and not difference(before, now["identity"])
        return stored.pop("accuracy") if same else []

    def _permutations_of(self, fold):
        """What stored permutations must be of; earlier versions shuffled each person's labels apart."""
        return {"identity": self.first.identity(fold), "moved": "stimuli"}

    def _probe(self, folds, labels):
        """Mean accuracy over folds (n_labellings,) of a linear probe of the first encoders' features."""
        accuracy = []
        with Progress(desc="probing", total=len(folds), unit="fold") as progress:
            for fold in folds:
                torch.manual_seed(derive_seed(self.settings.SEED, "finetune", self.settings.LABEL, fold.index))
                model = self._build(self.first.checkpoints(fold))
                parts = []
                for windows in self._windows(fold):
                    windows_here, size = self._on_device(fold, windows), self.settings.BATCH_SIZE
                    features = fitting.features(model, windows_here, size, self._bf16())
                    features = torch.cat(features, dim=1).cpu().numpy()
                    parts.append(permutation.trial_means(windows, features))
                accuracy.append(permutation.probe_accuracy(*parts, labels, len(self.class_names)))
                progress.update()
        return np.mean(accuracy, axis=0)


def _as_result(fold, stored):
    """The contents of ``result.pt`` as a result."""
    arrays = {name: stored[name].numpy() for name in ("windows", "truth", "probability")}
    others = {name: stored[name] for name in ("n_train", "audit", "seconds", "provenance", "train_classes")}
    return FoldResult(fold, **arrays, **others, code=stored.get("identity", {}).get("code"))
