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
        self.tuning, self.n, self.seed = tuning, tuning.settings.PERMUTATIONS, tuning.settings.SEED
        auto = "finetune" if self.n <= FEW else "probe"
        asked = tuning.settings.PERMUTATION_METHOD
        self.method = None if not self.n else auto if asked == "auto" else asked

    def complete(self, folds):
        """Those of these folds (numbers) that have all their permutations."""
        if self.method != "finetune":
            return folds
        return {fold.index for fold in self.tuning.folds if len(self._stored(fold)) >= self.n} & folds

    def test(self, results):
        """The entry of ``metrics.json``; nothing without permutations."""
        if not self.method:
            return {}
        complete = {result.fold for result in results}
        folds = [fold for fold in self.tuning.manifest.folds if fold.index in complete]
        if self.method == "probe":
            labels = [self.tuning.labels, *(self._permuted(number) for number in range(1, self.n + 1))]
            score, *null = self._probe(folds, np.stack(labels))
            return {"permutation": permutation.result(self.method, "accuracy per trial", score, null)}
        folds = [fold for fold in folds if len(self._stored(fold)) >= self.n]
        complete = {fold.index for fold in folds}
        score = np.mean([(r.probability.argmax(axis=1) == r.truth).mean() for r in results if r.fold in complete])
        null = np.mean([self._stored(fold)[: self.n] for fold in folds], axis=0)
        return {"permutation": permutation.result(self.method, "accuracy per window", score, null)}

    def run(self, fold):
        """Fine-tune and test a fold with permuted labels, as often as is missing; whether anything was.

        The accuracies are kept in the fold's folder, in the order of the permutations.
        """
        if self.method != "finetune":
            return False
        tuning = self.tuning
        train, test = tuning.windows(fold)
        null = self._stored(fold) if tuning.settings.RESUME else []
        missing = range(len(null) + 1, self.n + 1)
        with Progress(desc=f"fold {fold.index} permuted", total=len(missing), unit="run") as progress:
            for number in missing:
                labels = self._permuted(number)
                model, _ = tuning.fit(fold, train, labels)
                predicted = tuning.predict(fold, model, test).argmax(1).numpy()
                null.append(float((predicted == labels[test[:, 0], test[:, 1]]).mean()))
                write_json(self._path(fold), self._identity(fold) | {"accuracy": null})
                progress.update()
                progress.note(f"fold {fold.index}, permutation {number}: accuracy {null[-1]:.3f}")
        return len(missing) > 0

    def _permuted(self, number):
        return permuted_stimuli(self.tuning.labels, self.seed, number, self.tuning.data.groups)

    def _path(self, fold):
        return self.tuning.path(fold).with_name("permutations.json")

    def _identity(self, fold):
        """What stored permutations must be of; earlier versions shuffled each person's labels apart."""
        return {"identity": self.tuning.first.identity(fold), "moved": "stimuli"}

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
                    features = fitting.features(model, tuning.on_device(fold, windows), size, bf16)
                    parts.append(permutation.trial_means(windows, torch.cat(features, dim=1).cpu().numpy()))
                accuracy.append(permutation.probe_accuracy(*parts, labels, len(tuning.class_names)))
                progress.update()
        return np.mean(accuracy, axis=0)
