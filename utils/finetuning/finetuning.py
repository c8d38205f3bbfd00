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
from utils.base.files import finish_first, only_writer, write_text
from utils.base.progress import Progress, say_next, warn
from utils.finetuning import fitting, fold_files
from utils.finetuning.first_encoders import FirstEncoders, check_begun
from utils.finetuning.labels import read_labels
from utils.finetuning.permutation_test import PermutationTest
from utils.inputs.features import VERSION, version_of
from utils.inputs.normalise import population
from utils.pretraining import recipes, resolve
from utils.pretraining.batches import FusionWindows, Recordings
from utils.pretraining.checkpoints import FORMAT_VERSION, save_tensors
from utils.pretraining.variants import result_folder, write_begun
from utils.protocol import audit, splits
from utils.results import model_card
from utils.results.results import describe, is_transductive, report


def finetune(settings):
    """Fine-tune and test every chosen fold (PhysioSync, arXiv 2504.17163); write and print the metrics."""
    tuning = FineTuning(settings)
    write_begun(tuning.folder, tuning.settings)
    reports = ranks.rank() == 0  # and so does every process that has added something
    for fold in ranks.share(tuning.folds):
        with only_writer(tuning.path(fold).parent):
            if settings.RESUME and tuning.result(fold):
                print(f"fold {fold.index}: complete")
            else:
                tuning.run_fold(fold)
                reports = True
            reports = tuning.permutations.run(fold) or reports
    if reports:
        with only_writer(tuning.folder / "metrics.json", wait=True):
            tuning.report()


class FineTuning:
    """The folds of one variant: what they start from, their training, their results."""

    def __init__(self, settings):
        self.data = data = open_prepared(settings.DATA_DIR)
        settings = resolve.with_modalities(settings, data)
        settings, self.labels, self.class_names = read_labels(settings, data)
        check_begun(settings)
        self.manifest = manifest = splits.load_or_create(settings, data)
        self.folds = splits.choose_folds(manifest, settings.FOLDS)
        chosen = settings.PPS_CHANNELS and data.pps_names(settings.PPS_CHANNELS)  # empty: those of the encoders
        settings = settings.replace(PROTOCOL=manifest.protocol, SPLIT=manifest.split, PPS_CHANNELS=chosen)
        settings = FirstEncoders(settings, data, manifest).fill(self.folds)
        settings = settings.replace(RECIPE=settings.RECIPE or "paper")
        settings = resolve.with_recipe(settings, recipes.FINETUNE, data, manifest.protocol)
        if settings.RECIPE == "robust" and settings.given_values["EPOCHS"] is None:
            settings = resolve.with_enough_epochs(settings, data, manifest)
        if settings.EPOCHS < 1:
            raise InputError("--epochs must be at least 1 in fine-tuning, not 0")
        self.settings, self.first = settings, FirstEncoders(settings, data, manifest)
        self.device = choose_device(settings.DEVICE)
        set_precision(settings.PRECISION, self.device)
        where = self.device, settings.FRONT_END, settings.STREAM
        self.recordings = Recordings(data, self.first.modalities, settings.PPS_CHANNELS, *where)
        self.folder = result_folder(settings, data, "finetune")
        self.permutations = PermutationTest(self)
        use_threads(settings.THREADS, self.build(self.folds[0]))
        self.provenance = provenance(self.device)

    def path(self, fold):
        """Where the result of a fold is; its other files are next to it."""
        return fold_files.path_of(self.folder, fold)

    def result(self, fold, strict=True):
        """The stored result of a fold, or None (`fold_files.read`)."""
        remedy = "--tag NAME keeps both, --no-resume replaces it"
        return fold_files.read(self.folder, fold, self.first.identity(fold), remedy, strict)

    def run_fold(self, fold):
        """Train on the fold's training windows, predict its test windows, save model and predictions."""
        settings, data, start = self.settings, self.data, time.perf_counter()
        train, test = self.windows(fold)
        truth = self.labels[test[:, 0], test[:, 1]]
        train_classes = np.bincount(self.labels[train[:, 0], train[:, 1]], minlength=len(self.class_names))
        with Progress(desc=f"fold {fold.index}", total=settings.EPOCHS, unit="epoch") as progress:
            model, history = self.fit(fold, train, self.labels, progress)
        common = {
            "format_version": FORMAT_VERSION,
            "stage": "finetune",
            "fold": fold.index,
            "identity": self.first.identity(fold),
            "provenance": self.provenance,
        }
        encoders = model.encoders.items()
        model_file = common | {
            "encoders": {name: {window: e.arguments for window, e in some.items()} for name, some in encoders},
            "kinds": {name: {window: e.kind for window, e in some.items()} for name, some in encoders},
            "weights": model.state_dict(),
            "class_names": self.class_names,
            "population": population(self.recordings, splits.training_seconds(fold, data.eeg.shape[:3])),
            **preparation.record(data, settings.PPS_CHANNELS),
            "settings": settings.as_dict(),
            "features": VERSION,
            "given": settings.words,
        }
        result = common | {
            "windows": torch.from_numpy(test),
            "truth": torch.from_numpy(truth),
            "probability": self.predict(fold, model, test),
            "n_train": len(train),
            "train_classes": train_classes.tolist(),
            "audit": self._audit(fold, train, test),
            "seconds": time.perf_counter() - start,
        }
        scores = fold_files.as_result(result, fold).scores(data.subjects)
        transductive = is_transductive(settings, data, self.manifest)
        card = model_card.card(model_file, scores, data, self.manifest, settings, transductive)
        path = self.path(fold)
        with finish_first():
            save_tensors(path.with_name("model.pt"), model_file)
            write_text(path.with_name(model_card.NAME), card)
            write_text(path.with_name("log.jsonl"), "".join(json.dumps(entry) + "\n" for entry in history))
            save_tensors(path, result)  # the last file: where it is, the fold is complete

    def build(self, fold):
        """The network that a fold starts from, on the device."""
        return self.first.build(self.first.checkpoints(fold), len(self.class_names)).to(self.device)

    def fit(self, fold, windows, labels, progress=None):
        """A model trained on windows with these labels (subjects, trials), and one entry of the log per epoch."""
        torch.manual_seed(self.seed(fold))
        model = self.build(fold)
        truth = torch.from_numpy(labels[windows[:, 0], windows[:, 1]]).to(self.device)
        inputs = self.on_device(fold, windows)
        return model, fitting.fit(model, inputs, truth, self.settings, f"fold {fold.index}", progress)

    def seed(self, fold):
        """Of the first weights and the batches of a fold."""
        return derive_seed(self.settings.SEED, "finetune", self.settings.LABEL, fold.index)

    def predict(self, fold, model, windows):
        """Class probabilities of windows."""
        bf16 = self.settings.PRECISION == "bf16"
        return fitting.predict(model, self.on_device(fold, windows), self.settings.BATCH_SIZE, bf16)

    def windows(self, fold):
        """(subject, trial, 5 s row) of every training window whose label is used, and of every test window."""
        per_trial = self.data.eeg.shape[2] // splits.WINDOW_SECONDS
        return splits.fold_windows(fold, per_trial, self.data.seen, self.settings)

    def on_device(self, fold, windows):
        """The signals of windows of a fold, standardised over its training seconds."""
        seconds = splits.training_seconds(fold, self.data.eeg.shape[:3])
        return FusionWindows(self.recordings.standardised(seconds), windows, self.data.eeg.shape[2])

    def _audit(self, fold, train, test):
        """What classifier and encoders saw of the test windows."""
        seconds, groups = self.data.eeg.shape[2], self.data.groups
        counts = {"classifier": audit.count(test, train, groups), "encoder_1s": None, "encoder_5s": None}
        for resolution in self.first.resolutions:
            seen = np.zeros((0, 3), int)
            if self.settings.INIT == "pretrained":
                trained_on = self.first.checkpoints(fold)[resolution]["trained_on"]
                subjects, rows = (trained_on[name].numpy() for name in ("subjects", "rows"))
                seen = splits.windows_of(subjects, rows, seconds // splits.RESOLUTIONS[resolution], self.data.seen)
            tested = test if resolution == "5s" else splits.seconds_of(test, seconds)
            counts[f"encoder_{resolution}"] = audit.count(tested, seen, groups)
        return counts

    def report(self):
        """Put together what is complete by now. The process that comes here last finds all of it, and prints it."""
        written = set(self.folder.glob("fold_*/*.pt"))  # a network file system may remember that one was missing
        chosen = {fold.index for fold in self.folds}
        folds = [fold for fold in self.manifest.folds if self.path(fold) in written]
        results = {f.index: self.result(f, strict=self.settings.RESUME and f.index in chosen) for f in folds}
        if other := ", ".join(str(number) for number, result in results.items() if not result):
            warn(f"{self.folder}: folds {other} were made otherwise, and are not part of this result")
        results = [result for result in results.values() if result]
        missing = sorted(chosen - self.permutations.complete({result.fold for result in results}))
        extra = {} if missing else self.permutations.test(results)
        description = describe(self.settings, self.data, self.manifest, self.class_names, results)
        description["features"] = version_of(self.settings.FRONT_END)
        seeds, remarks = self.first.description([self.manifest.folds[result.fold] for result in results])
        description["provenance"]["encoder_seeds"] = seeds
        report(self.folder, description, results, self.data, extra, not missing, remarks)
        if missing:
            print(f"folds {', '.join(map(str, missing))} are not complete; who ends last prints the result")
        else:
            say_next("Fine_tuning/report.py", "--run-dir", self.settings.RUN_DIR)
