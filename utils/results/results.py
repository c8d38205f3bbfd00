"""From the predictions of all folds to the numbers that are reported."""

from dataclasses import dataclass

import numpy as np

from data_prep.folder.scales import one_if_alike, one_sided, thresholds_of
from data_prep.signals.channels import shorten
from utils.base.files import write_csv, write_json
from utils.base.identity import changed_code
from utils.inputs.normalise import PER_PERSON, kinds
from utils.protocol import audit, splits
from utils.results import metrics
from utils.results.overview import mean_std, print_summary
from utils.results.stored import properties, read_results


@dataclass
class FoldResult:
    """Predictions (n, n_classes) of one fold's test ``windows`` (n, 3: subject, trial, 5 s row).

    ``audit`` is of classifier and encoders, from `audit.count`; the defaults are of results from before they were kept.
    """

    fold: int
    windows: np.ndarray
    truth: np.ndarray
    probability: np.ndarray
    n_train: int
    audit: dict
    seconds: float
    provenance: dict | None = None
    code: dict | None = None
    train_classes: list | None = None

    def scores(self, subjects):
        """The fold's entry in ``metrics.json``; ``subjects`` are all ids."""
        subject, trial, _ = self.windows.T
        n_classes = self.probability.shape[1]
        predicted = self.probability.argmax(axis=1)
        trials = metrics.per_trial(subject, trial, self.truth, self.probability)
        confusion = metrics.confusion(self.truth, predicted, n_classes)
        trial_scores = metrics.scores(trials.truth, trials.predicted, n_classes)
        people = {}
        for s in np.unique(subject):
            of = subject == s
            person = metrics.scores(self.truth[of], predicted[of], n_classes)
            people[subjects[s]] = {"n_test": int(of.sum())} | person
        return {
            "fold": self.fold,
            "n_train": self.n_train,
            "train_classes": self.train_classes,
            "n_test": len(self.truth),
            "n_test_trials": len(trials.truth),
            **metrics.scores_from_confusion(confusion),
            **{f"trial_{name}": value for name, value in trial_scores.items()},
            "majority": float(confusion.sum(axis=1).max() / len(self.truth)),
            "confusion": confusion.tolist(),
            "subjects": people,
            "audit": self.audit,
            "seconds": self.seconds,
            "provenance": self.provenance,
        }


def describe(settings, data, manifest, class_names, results):
    """What a result came from: the first part of ``metrics.json``. ``provenance`` is the first fold's."""
    return {
        "dataset": data.name,
        "dataset_checksum": data.checksum,
        "simulated": bool(data.info.get("simulated")),
        "n_subjects": len(data.subjects),
        "n_trials": data.info["trials"],
        "protocol": manifest.protocol,
        "split": manifest.split,
        "split_seed": manifest.seed,
        "manifest_hash": manifest.hash,
        "n_folds": len(manifest.folds),
        "label": settings.LABEL,
        "transductive": is_transductive(settings, data, manifest),
        "class_names": class_names,
        "high_from": _threshold(settings, data),
        "settings": settings.as_dict(),
        "provenance": dict((results and results[0].provenance) or {}),
    }


def _threshold(settings, data):
    """The rating from which on a label is high; None for classes."""
    if settings.LABEL in data.info["classes"]:
        return None
    return one_if_alike(thresholds_of(data.info, settings.LABEL, settings.THRESHOLD))


def is_transductive(settings, data, manifest):
    """Whether signals of test people were standardised with their own: features, or samples of their PPS."""
    front_end = getattr(settings, "FRONT_END", "raw")
    fitted = [kinds(name, data.info["preparation"], front_end) for name in settings.MODALITIES.split("+")]
    if not any(fitted) and getattr(settings, "STANDARDISE", "none") not in PER_PERSON:
        return False
    per_trial = data.info["seconds"] // splits.WINDOW_SECONDS
    return manifest.protocol == "cross-subject" or any(
        # a person whose trials are all in the test part
        not data.seen[fold.train.subjects][:, np.unique(fold.train.rows["5s"] // per_trial)].any(axis=1).all()
        for fold in manifest.folds
    )


def report(folder, description, results, data, extra=None, show=True, remarks=()):
    """Write ``metrics.json`` and ``predictions.csv`` of a result and print it.

    ``description`` is of `describe`, ``extra`` are more entries, ``remarks`` more sentences for the audit; ``show`` is
    False where other processes are still at work on the same result.
    """
    of_data = data.subjects, description["protocol"], description["class_names"], data.groups
    summary = description | summarise(results, *of_data) | (extra or {})
    lines = [audit.TRANSDUCTIVE] if summary["transductive"] else []
    lines += remarks
    if differ := _differ(results):
        lines.append(f"the folds were not all computed by the same code and versions: {differ}")
    if copies := data.info["copies"]:
        lines.append(f"trials are there twice, so that test data may be training data: {shorten(copies)}")
    if not data.seen.all():
        n = (~data.seen).sum()
        lines.append(f"incomplete design: {n} of {data.seen.size} trials were not seen, and count nowhere")
    summary["audit_in_words"] += lines
    write_json(folder / "metrics.json", summary)
    write_csv(folder / "predictions.csv", *_predictions(results, data, description["class_names"]))
    if not show:
        print(f"wrote {folder / 'metrics.json'}: {len(results)} of {description['n_folds']} folds")
        return
    print_summary(summary)
    for name, other in read_results(folder.parent, f"baseline_{data.folder_name(summary['label'])}_*").items():
        if name != folder.name and properties(other) == properties(summary):
            print(f"to compare with: {name}, accuracy per window {mean_std(other, 'accuracy')}")
    print(f"wrote {folder / 'metrics.json'} and predictions.csv beside it")


def _differ(results):
    """In what the folds differ that is not known to be without effect, with the folds' numbers; empty for nothing."""
    parts = []
    codes = {fold.fold: fold.code for fold in results if fold.code}
    if changed := sorted({n for code in codes.values() for n in changed_code(code, next(iter(codes.values())))}):
        parts.append(f"other code in {shorten(changed)}")
    for name in ("git_commit", "torch", "python", "numpy", "device"):
        folds = {}
        for result in results:
            if result.provenance:
                folds.setdefault(str(result.provenance.get(name)), []).append(str(result.fold))
        if len(folds) > 1:
            parts.append(f"{name} " + ", ".join(f"{value} (fold {','.join(some)})" for value, some in folds.items()))
    return "; ".join(parts)


def _predictions(results, data, class_names):
    """Header and rows of ``predictions.csv``: every test window with its truth and its class probabilities.

    Trials and windows count from 0; ``stimulus`` is the trial's name: the film's, or its number in the raw files.
    """
    columns = ["fold", "subject", "trial", "stimulus", "window", "truth"]
    per_trial, stimuli, rows = data.eeg.shape[2] // splits.WINDOW_SECONDS, data.info["stimuli"], []
    for result in results:
        windows = zip(result.windows, result.truth, result.probability, strict=True)
        for (subject, trial, row), truth, probability in windows:
            which = [result.fold, data.subjects[subject], trial, stimuli[trial], row % per_trial, truth]
            rows.append([*which, *(f"{p:.7g}" for p in probability)])
    return [*columns, *(f"probability of {name}" for name in class_names)], rows


def summarise(results, subjects, protocol, class_names=None, groups=None):
    """Metrics of all folds: the part of ``metrics.json`` that comes from predictions.

    Independent are subjects across subjects, else trials (a stimulus with all its viewers) or their ``groups``.
    """
    folds = [result.scores(subjects) for result in results]
    windows, truth, probability = (
        np.concatenate([getattr(result, name) for result in results]) for name in ("windows", "truth", "probability")
    )
    n_classes = probability.shape[1]
    trials = [metrics.per_trial(*r.windows.T[:2], r.truth, r.probability) for r in results]
    trials = metrics.TrialPredictions(*(np.concatenate(parts) for parts in zip(*trials, strict=True)))
    kind = "subject" if protocol == "cross-subject" else "trial" if groups is None else "group"
    unit, trial_unit = (windows[:, 0], trials.subject) if kind == "subject" else (windows[:, 1], trials.trial)
    if kind == "group":
        unit, trial_unit = groups[unit], groups[trial_unit]
    summary = {"folds": folds}
    counted = {"": (unit, truth, probability.argmax(axis=1)), "trial_": (trial_unit, trials.truth, trials.predicted)}
    for prefix, (units, true, predicted) in counted.items():
        pooled, intervals = (
            metrics.scores(true, predicted, n_classes),
            metrics.interval(units, true, predicted, n_classes),
        )
        for name in metrics.SCORES:
            values = [fold[prefix + name] for fold in folds]
            mean, std = float(np.mean(values)), float(np.std(values))
            summary[prefix + name] = {"mean": mean, "std": std, "pooled": pooled[name], "ci95": intervals[name]}
    summary["interval_unit"] = kind
    summary["majority"] = float(np.bincount(truth).max() / len(truth))
    share = np.array([len(result.truth) for result in results]) / len(truth)
    summary["audit"] = {
        part: seen and {key: float(share @ [result.audit[part][key] for result in results]) for key in seen}
        for part, seen in results[0].audit.items()
    }
    class_names = class_names or [f"class {number}" for number in range(n_classes)]
    lines = [*_one_class(results), one_sided(truth, class_names, "test windows")]
    summary["audit_in_words"] = audit.in_words(summary["audit"]) + [line for line in lines if line]
    summary["seconds"] = sum(result.seconds for result in results)
    return summary


def _one_class(results):
    """Sentences about folds in which training or test has labels of one class only."""
    constant = [str(result.fold) for result in results if np.count_nonzero(result.train_classes or [1, 1]) == 1]
    if constant:
        yield (
            f"all labels used in training are of one class in fold {shorten(constant)} of {len(results)}: what was "
            "trained there always says the same; raise --label-fraction, or take another seed"
        )
    single = sum(len(np.unique(result.truth)) == 1 for result in results)
    if single:
        yield (
            f"{single} of {len(results)} test folds hold one class only: their accuracy may be a guess, their F1 and "
            "balanced accuracy are all or nothing; read the scores of all folds together, or take fewer folds"
        )
