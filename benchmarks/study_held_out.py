"""What pre-training learns, on data that it does not see: fold 0's test windows after every epoch, for study.py."""

import contextlib
import io
import runpy

from utils.base.settings import ROOT, read_settings
from utils.pretraining.moments import look, moments_of
from utils.pretraining.pretraining import trainings


def follow(data, cell, seed, recipes, n_epochs):
    """Pre-train fold 0 at 5 s, and look at its held-out windows before the first epoch and after every one.

    Parameters
    ----------
    data, cell : pathlib.Path
        Prepared data set, and the folder with a run directory per recipe.
    seed : int
    recipes : dict of str to list
        Flags by recipe.
    n_epochs : int

    Returns
    -------
    dict of str to list of dict
        By recipe: what `look` returns, and ``training``, the contrastive accuracy of the epoch by modality.
    """
    results = {}
    for recipe, extra in recipes.items():
        where = ["--data-dir", data, "--run-dir", cell / recipe, "--seed", seed, "--folds", 0, "--device", "cpu"]
        flags = [*where, "--recipe", recipe, *extra, "--epochs", n_epochs]
        constants = runpy.run_path(str(ROOT / "main_pretrain_5s.py"))
        with contextlib.redirect_stdout(io.StringIO()):
            training = next(trainings(read_settings(constants, list(map(str, flags)))))
        moments = moments_of(training)
        results[recipe] = [look(training.model, *moments, seed)]
        for _ in range(n_epochs):
            training.start_epoch()
            for _ in range(training.batches.n_steps):
                training.step()
            results[recipe].append(look(training.model, *moments, seed) | {"training": training_accuracy(training)})
    return results


def training_accuracy(training):
    """Contrastive accuracy of the epoch's steps, by modality."""
    means = training.record.mean(0).tolist()
    names = training.model.metric_names
    return {name[-3:]: value for name, value in zip(names, means, strict=True) if name.startswith("accuracy")}
