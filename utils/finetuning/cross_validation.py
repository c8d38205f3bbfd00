"""The folds of one result, of fine-tuning or of a network of others: trained one by one, each kept in a result.pt."""

import contextlib
import time

import numpy as np
import torch

from utils.base import ranks
from utils.base.devices import choose_device, provenance, set_precision
from utils.base.errors import InputError
from utils.base.files import only_writer
from utils.base.identity import difference
from utils.base.other_networks import in_one_line
from utils.base.progress import say_once, warn
from utils.base.structure import find_wrong
from utils.finetuning import fitting
from utils.inputs.recordings import Recordings
from utils.pretraining.batches import FusionWindows
from utils.pretraining.checkpoints import DELETE_IT, FORMAT_VERSION, UNRECORDED, load_tensors, refuse_other_fold
from utils.pretraining.variants import write_begun
from utils.protocol import audit, splits
from utils.results.results import FoldResult

STORED = {  # what a result.pt must have
    **dict.fromkeys(("windows", "truth", "probability"), torch.Tensor),
    "n_train": int,
    "audit": {},
    "seconds": float,
    "identity": {},
    "provenance": (None, {}),
    "train_classes": (None, [int]),
}


class CrossValidation:
    """Trains and tests folds, and takes up those that are complete.

    A subclass gives ``settings``, ``data``, ``labels`` (subjects, trials) and ``class_names``, and the methods
    ``identity``, all that a fold's result depends on, ``run_fold`` and ``report``.
    """

    stage, name, remedy = "", "", ""  # in files; in front of a fold's number; where a result was made otherwise
    other = None  # name and file of another network, whose errors become one line

    def open(self, manifest, folds, folder, front_end="raw", stream=None, per_person=False):
        """Choose the device and put the recordings there."""
        self.manifest, self.folds, self.folder = manifest, folds, folder
        self.device = choose_device(self.settings.DEVICE)
        set_precision(self.settings.PRECISION, self.device)
        modalities, pps_channels = self.settings.MODALITIES.split("+"), self.settings.PPS_CHANNELS
        inputs = dict(front_end=front_end, stream=stream, per_person=per_person)
        self.recordings = Recordings(self.data, modalities, pps_channels, self.device, **inputs)

    def run(self):
        """Train and test this process's folds that are missing, and report what is complete by then."""
        for fold in self.folds if self.settings.RESUME else ():
            self.result(fold)  # one that was made otherwise is refused before all work
        write_begun(self.folder, self.settings)
        reports = ranks.rank() == 0  # and so does every process that has added something
        for fold in ranks.share(self.folds):
            guard = in_one_line(*self.other) if self.other else contextlib.nullcontext()
            with only_writer(self.path(fold).parent), guard:
                if self.settings.RESUME and self.result(fold):
                    print(f"{self.name}fold {fold.index}: complete")
                else:
                    self.run_fold(fold)
                    reports = True
                reports = self.after_fold(fold) or reports
        if reports:
            with only_writer(self.folder / "metrics.json", wait=True):
                self.report()

    def after_fold(self, fold):
        """What else is to be done in a fold; whether anything was."""
        return False

    def path(self, fold):
        """Where the result of a fold is; its other files are next to it."""
        return self.folder / f"fold_{fold.index:02d}" / "result.pt"

    def result(self, fold, strict=True):
        """The stored result of a fold, or None; one of another identity is an error, or None if not ``strict``."""
        path = self.path(fold)
        if not path.exists():
            return None
        stored = {"train_classes": None, "provenance": None} | load_tensors(path, DELETE_IT)
        refuse_other_fold(path, stored, fold.index)
        if wrong := find_wrong(stored, STORED):
            raise InputError(path, f"lacks parts of a result ({wrong})", DELETE_IT)
        identity = self.identity(fold)
        names = identity if strict else identity.keys() - {"code"}  # the report says it of each fold
        if other := difference(stored["identity"], identity, names):
            if strict:
                raise InputError(path, f"was made with {other}", self.remedy)
            return None
        if "code" not in stored["identity"]:
            say_once(UNRECORDED.format(what=self.folder.name))
        if stored["provenance"] is None and (model := path.with_name("model.pt")).exists():  # where it was kept before
            stored["provenance"] = load_tensors(model, DELETE_IT, True).get("provenance")
        return as_result(stored, fold)

    def results(self):
        """All results that are complete by now. The process that comes here last finds all of them."""
        written = set(self.folder.glob("fold_*/*.pt"))  # a network file system may remember that one was missing
        chosen, results = {fold.index for fold in self.folds}, {}
        for fold in [fold for fold in self.manifest.folds if self.path(fold) in written]:
            results[fold.index] = self.result(fold, strict=self.settings.RESUME and fold.index in chosen)
        if other := ", ".join(str(number) for number, result in results.items() if not result):
            warn(f"{self.folder}: folds {other} were made otherwise, and are not part of this result")
        return [result for result in results.values() if result]

    def windows(self, fold):
        """(subject, trial, 5 s row) of every training window whose label is used, and of every test window."""
        per_trial = self.data.eeg.shape[2] // splits.WINDOW_SECONDS
        return splits.fold_windows(fold, per_trial, self.data.seen, self.settings)

    def inputs(self, fold, windows):
        """The signals of windows of a fold, standardised over its training seconds."""
        seconds = splits.training_seconds(fold, self.data.eeg.shape[:3])
        return FusionWindows(self.recordings.standardised(seconds), windows, self.data.eeg.shape[2])

    def truth(self, windows, labels=None):
        """Classes (n,) of windows, by these labels or the real ones."""
        return torch.from_numpy((self.labels if labels is None else labels)[windows[:, 0], windows[:, 1]])

    def predict(self, model, inputs):
        """Class probabilities (n, classes) of windows."""
        return fitting.predict(model, inputs, self.settings.BATCH_SIZE, self.settings.PRECISION == "bf16")

    def contents(self, fold, train, test, probability, start, encoders=None):
        """What a result.pt holds; ``encoders``: what they have seen of the test windows."""
        n_classes, nothing = len(self.class_names), {"encoder_1s": None, "encoder_5s": None}
        return {
            "format_version": FORMAT_VERSION,
            "stage": self.stage,
            "fold": fold.index,
            "identity": self.identity(fold),
            "provenance": provenance(self.device),
            "windows": torch.from_numpy(test),
            "truth": self.truth(test),
            "probability": probability,
            "n_train": len(train),
            "train_classes": np.bincount(self.truth(train), minlength=n_classes).tolist(),
            "audit": {"classifier": audit.count(test, train, self.data.groups)} | nothing | (encoders or {}),
            "seconds": time.perf_counter() - start,
        }


def as_result(stored, fold):
    """The contents of a result.pt as a result."""
    arrays = {name: stored[name].numpy() for name in ("windows", "truth", "probability")}
    others = {name: stored[name] for name in ("n_train", "audit", "seconds", "provenance", "train_classes")}
    return FoldResult(fold.index, **arrays, **others, code=stored["identity"].get("code"))
