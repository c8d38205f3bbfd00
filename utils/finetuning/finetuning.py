"""Fine-tuning: fuse the pre-trained encoders, train on labels, score the test windows."""

import json
import time

import numpy as np
import torch

from data_prep import open_prepared
from data_prep.folder import preparation
from utils.base.devices import derive_seed, use_threads
from utils.base.errors import InputError
from utils.base.files import finish_first, write_text
from utils.base.progress import Progress, say_next
from utils.finetuning import fitting
from utils.finetuning.cross_validation import CrossValidation, as_result
from utils.finetuning.first_encoders import FirstEncoders, check_begun
from utils.finetuning.labels import read_labels
from utils.finetuning.permutation_test import PermutationTest
from utils.inputs.features import VERSION, version_of
from utils.inputs.normalise import population
from utils.pretraining import recipes, resolve
from utils.pretraining.checkpoints import save_tensors
from utils.pretraining.variants import result_folder
from utils.protocol import audit, splits
from utils.results import model_card
from utils.results.results import describe, is_transductive, report


def finetune(settings):
    """Fine-tune and test every chosen fold (PhysioSync, arXiv 2504.17163); write and print the metrics."""
    FineTuning(settings).run()


class FineTuning(CrossValidation):
    """The folds of one variant: what they start from, their training, their results."""

    stage, remedy = "finetune", "--tag NAME keeps both, --no-resume replaces it"

    def __init__(self, settings):
        self.data = data = open_prepared(settings.DATA_DIR)
        settings = resolve.with_modalities(settings, data)
        settings, self.labels, self.class_names = read_labels(settings, data)
        check_begun(settings)
        manifest = splits.load_or_create(settings, data)
        folds = splits.choose_folds(manifest, settings.FOLDS)
        chosen = settings.PPS_CHANNELS and data.pps_names(settings.PPS_CHANNELS)  # empty: those of the encoders
        settings = settings.replace(PROTOCOL=manifest.protocol, SPLIT=manifest.split, PPS_CHANNELS=chosen)
        settings = FirstEncoders(settings, data, manifest).fill(folds)
        settings = settings.replace(RECIPE=settings.RECIPE or "paper")
        settings = resolve.with_recipe(settings, recipes.FINETUNE, data, manifest.protocol)
        if settings.RECIPE == "robust" and settings.given_values["EPOCHS"] is None:
            settings = resolve.with_enough_epochs(settings, data, manifest)
        if settings.EPOCHS < 1:
            raise InputError("--epochs must be at least 1 in fine-tuning, not 0")
        self.settings, self.encoders = settings, FirstEncoders(settings, data, manifest)
        folder = result_folder(settings, data, "finetune")
        self.open(manifest, folds, folder, settings.FRONT_END, settings.STREAM)
        model = self.build(folds[0])
        use_threads(settings.THREADS, model)
        kinds = {encoder.kind for some in model.encoders.values() for encoder in some.values()}
        for kind in kinds - {resolve.PHYSIOSYNC}:
            file, _, name = kind.rpartition(":")
            self.name, self.other = f"encoder {name}, ", (f"encoder {name}", file)
        self.permutations = PermutationTest(self)

    def identity(self, fold):
        """All that a fold's result depends on."""
        return self.encoders.identity(fold)

    def run_fold(self, fold):
        """Train on the fold's training windows, predict its test windows, save model and predictions."""
        settings, data, start = self.settings, self.data, time.perf_counter()
        train, test = self.windows(fold)
        with Progress(desc=f"fold {fold.index}", total=settings.EPOCHS, unit="epoch") as progress:
            model, history = self.fit(fold, train, self.labels, progress)
        probability = self.predict(model, self.inputs(fold, test))
        result = self.contents(fold, train, test, probability, start, self._audit(fold, test))
        networks = model.encoders.items()
        model_file = {key: result[key] for key in ("format_version", "stage", "fold", "identity", "provenance")} | {
            "encoders": {name: {window: e.arguments for window, e in some.items()} for name, some in networks},
            "kinds": {name: {window: e.kind for window, e in some.items()} for name, some in networks},
            "weights": model.state_dict(),
            "class_names": self.class_names,
            "population": population(self.recordings, splits.training_seconds(fold, data.eeg.shape[:3])),
            **preparation.record(data, settings.PPS_CHANNELS),
            "settings": settings.as_dict(),
            "features": VERSION,
            "given": settings.words,
        }
        scores = as_result(result, fold).scores(data.subjects)
        transductive = is_transductive(settings, data, self.manifest)
        card = model_card.card(model_file, scores, data, self.manifest, settings, transductive)
        path = self.path(fold)
        with finish_first():
            save_tensors(path.with_name("model.pt"), model_file)
            write_text(path.with_name(model_card.NAME), card)
            write_text(path.with_name("log.jsonl"), "".join(json.dumps(entry) + "\n" for entry in history))
            save_tensors(path, result)  # the last file: where it is, the fold is complete

    def after_fold(self, fold):
        """The permutations of the test, where they are trained."""
        return self.permutations.run(fold)

    def build(self, fold):
        """The network that a fold starts from, on the device."""
        return self.encoders.build(self.encoders.checkpoints(fold), len(self.class_names)).to(self.device)

    def fit(self, fold, windows, labels, progress=None):
        """A model trained on windows with these labels (subjects, trials), and one entry of the log per epoch."""
        torch.manual_seed(self.seed(fold))
        model, truth = self.build(fold), self.truth(windows, labels).to(self.device)
        inputs, where = self.inputs(fold, windows), f"{self.name}fold {fold.index}"
        compiled = bool(self.settings.COMPILE) if self.other else self.settings.COMPILE
        return model, fitting.fit(model, inputs, truth, self.settings, where, progress, compiled=compiled)

    def seed(self, fold):
        """Of the first weights and the batches of a fold."""
        return derive_seed(self.settings.SEED, "finetune", self.settings.LABEL, fold.index)

    def _audit(self, fold, test):
        """What the encoders saw of the test windows, by name."""
        seconds, counts = self.data.eeg.shape[2], {}
        for resolution in self.encoders.resolutions:
            seen = np.zeros((0, 3), int)
            if self.settings.INIT == "pretrained":
                trained_on = self.encoders.checkpoints(fold)[resolution]["trained_on"]
                subjects, rows = (trained_on[name].numpy() for name in ("subjects", "rows"))
                seen = splits.windows_of(subjects, rows, seconds // splits.RESOLUTIONS[resolution], self.data.seen)
            tested = test if resolution == "5s" else splits.seconds_of(test, seconds)
            counts[f"encoder_{resolution}"] = audit.count(tested, seen, self.data.groups)
        return counts

    def report(self):
        """Write and print what is complete by now."""
        results = self.results()
        missing = {fold.index for fold in self.folds} - self.permutations.complete({result.fold for result in results})
        extra = {} if missing else self.permutations.test(results)
        description = describe(self.settings, self.data, self.manifest, self.class_names, results)
        description["features"] = version_of(self.settings.FRONT_END)
        seeds, remarks = self.encoders.description([self.manifest.folds[result.fold] for result in results])
        description["provenance"]["encoder_seeds"] = seeds
        report(self.folder, description, results, self.data, extra, not missing, remarks)
        if missing:
            print(f"folds {', '.join(map(str, sorted(missing)))} are not complete; who ends last prints the result")
        else:
            say_next("Fine_tuning/report.py", "--run-dir", self.settings.RUN_DIR)
