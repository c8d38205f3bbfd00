"""PERMUTATIONS: the chance of such an accuracy if labels meant nothing; see `utils.protocol.permutation`."""

import numpy as np
import torch

from utils.base.files import read_json, write_json
from utils.base.identity import difference
from utils.base.progress import Progress
from utils.finetuning import fitting
from utils.protocol import permutation
from utils.protocol.permutation import permuted_stimuli

FEW = 20  # so many are run by fine-tuning, more by a linear probe


class PermutationTest:
    """Of a `FineTuning`: by training again with permuted labels, fold by fold, or by a linear probe."""

    def __init__(self, tuning):
        self.tuning, self.n, self.method = tuning, tuning.settings.PERMUTATIONS, tuning.settings.PERMUTATION_METHOD
        if self.method == "auto":
            self.method = "finetune" if self.n <= FEW else "probe"
        self.trained = self.n > 0 and self.method == "finetune"

    def complete(self, folds):
        """Those of these folds (numbers) that have all their permutations."""
        return {number for number in folds if self._is_complete(self.tuning.manifest.folds[number])}

    def _is_complete(self, fold):
        return not self.trained or len(self._stored(fold)) >= self.n

    def test(self, results):
        """The entry of ``metrics.json``; nothing without permutations."""
        if not self.n:
            return {}
        folds = [self.tuning.manifest.folds[result.fold] for result in results]
        if self.method == "probe":
            labels = [self.tuning.labels, *(self._permuted(number) for number in range(1, self.n + 1))]
            score, *null = self._probe(folds, np.stack(labels))
            return {"permutation": permutation.result(self.method, "accuracy per trial", score, null)}
        complete = [(r, fold) for r, fold in zip(results, folds, strict=True) if self._is_complete(fold)]
        score = np.mean([(result.probability.argmax(axis=1) == result.truth).mean() for result, _ in complete])
        null = np.mean([self._stored(fold)[: self.n] for _, fold in complete], axis=0)
        return {"permutation": permutation.result(self.method, "accuracy per window", score, null)}

    def run(self, fold):
        """Fine-tune and test a fold with permuted labels, as often as is missing; whether anything was.

        The accuracies are kept in the fold's folder, in the order of the permutations.
        """
        if not self.trained:
            return False
        tuning = self.tuning
        train, test = tuning.windows(fold)
        null = self._stored(fold) if tuning.settings.RESUME else []
        missing = range(len(null) + 1, self.n + 1)
        with Progress(desc=f"fold {fold.index} permuted", total=len(missing), unit="run") as progress:
            for number in missing:
                labels = self._permuted(number)
                model, _ = tuning.fit(fold, train, labels)
                predicted = tuning.predict(model, tuning.inputs(fold, test)).argmax(1)
                null.append((predicted == tuning.truth(test, labels)).double().mean().item())
                write_json(self._path(fold), self._identity(fold) | {"accuracy": null})
                progress.update()
                progress.note(f"fold {fold.index}, permutation {number}: accuracy {null[-1]:.3f}")
        return len(missing) > 0

    def _permuted(self, number):
        return permuted_stimuli(self.tuning.labels, self.tuning.settings.SEED, number, self.tuning.data.groups)

    def _path(self, fold):
        return self.tuning.path(fold).with_name("permutations.json")

    def _identity(self, fold):
        """What stored permutations must be of; earlier versions shuffled each person's labels apart."""
        return {"identity": self.tuning.encoders.identity(fold), "moved": "stimuli"}

    def _stored(self, fold):
        """The accuracies with permuted labels that are stored for a fold."""
        stored, now = {}, self._identity(fold)
        if self._path(fold).exists():
            stored = read_json(self._path(fold), "delete it")
        before = stored.get("identity") if stored.get("moved") == now["moved"] else None
        same = isinstance(before, dict) and not difference(before, now["identity"])
        return stored.pop("accuracy") if same else []

    def _probe(self, folds, labels):
        """Mean accuracy over folds (n_labellings,) of a linear probe of the first encoders' features."""
        tuning, accuracy = self.tuning, []
        size, bf16 = tuning.settings.BATCH_SIZE, tuning.settings.PRECISION == "bf16"
        with Progress(desc="probing", total=len(folds), unit="fold") as progress:
            for fold in folds:
                torch.manual_seed(tuning.seed(fold))
                model, parts = tuning.build(fold), []
                for windows in tuning.windows(fold):
                    features = fitting.features(model, tuning.inputs(fold, windows), size, bf16)
                    parts.append(permutation.trial_means(windows, torch.cat(features, dim=1).cpu().numpy()))
                accuracy.append(permutation.probe_accuracy(*parts, labels, len(tuning.class_names)))
                progress.update()
        return np.mean(accuracy, axis=0)
