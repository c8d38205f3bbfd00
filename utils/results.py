"""From the predictions of all folds to the numbers that are reported, and to words about them."""

import numpy as np

from utils import audit, metrics

KINDS = {"": "window", "trial_": "trial"}  # prefix of a score: what is counted


def summarise(results, subjects, protocol):
    """Metrics of all folds.

    Parameters
    ----------
    results : list of dict
        One per fold: ``fold``, ``windows`` (n, 3) of (subject, trial, row), ``truth`` (n,), ``probability``
        (n, n_classes), ``n_train``, ``audit``, ``seconds``.
    subjects : list of str
        Ids of all subjects.
    protocol : str
        Decides what is independent: subjects across subjects, else trials (a stimulus with all its viewers).

    Returns
    -------
    dict
        The part of ``metrics.json`` that comes from predictions.
    """
    folds, units = [], {kind: [] for kind in KINDS}
    for result in results:
        subject, trial, _ = result["windows"].numpy().T
        truth, probability = result["truth"].numpy(), result["probability"].numpy()
        n_classes = probability.shape[1]
        predicted = probability.argmax(axis=1)
        unit = subject if protocol == "cross-subject" else trial
        trials = metrics.per_trial(subject, trial, truth, probability)
        trial_unit = trials.subject if protocol == "cross-subject" else trials.trial
        units[""].append((unit, truth, predicted))
        units["trial_"].append((trial_unit, trials.truth, trials.predicted))
        confusion = metrics.confusion(truth, predicted, n_classes)
        scores = metrics.scores_from_confusion(confusion)
        trial_scores = metrics.scores_from_confusion(metrics.confusion(trials.truth, trials.predicted, n_classes))
        folds.append(
            {
                "fold": result["fold"],
                "n_train": result["n_train"],
                "n_test": len(truth),
                "n_test_trials": len(trials.truth),
                **scores,
                **{f"trial_{name}": value for name, value in trial_scores.items()},
                "majority": float(confusion.sum(axis=1).max() / len(truth)),
                "confusion": confusion.tolist(),
                "subject_accuracy": {
                    subjects[s]: float((predicted == truth)[subject == s].mean()) for s in np.unique(subject)
                },
                "audit": result["audit"],
                "seconds": result["seconds"],
            }
        )
    summary = {"folds": folds}
    for prefix, parts in units.items():
        pooled = (np.concatenate(column) for column in zip(*parts, strict=True))
        intervals = metrics.bootstrap_interval(*pooled, n_classes)
        for name in metrics.SCORES:
            values = [fold[prefix + name] for fold in folds]
            mean, std = float(np.mean(values)), float(np.std(values))
            summary[prefix + name] = {"mean": mean, "std": std, "ci95": intervals[name]}
    n_test = np.array([fold["n_test"] for fold in folds])
    share = n_test / n_test.sum()
    class_sizes = sum(np.array(fold["confusion"]).sum(axis=1) for fold in folds)
    summary["majority"] = float(class_sizes.max() / n_test.sum())
    summary["audit"] = {
        part: seen and {key: float(share @ [fold["audit"][part][key] for fold in folds]) for key in seen}
        for part, seen in folds[0]["audit"].items()
    }
    summary["audit_in_words"] = audit.in_words(summary["audit"])
    return summary


def print_summary(summary):
    """The result as a table for people, with its protocol and its audit."""
    done, n_folds = len(summary["folds"]), summary["n_folds"]
    n = sum(fold["n_test"] for fold in summary["folds"])
    print(f"\n{summary['dataset']}, {summary['label']}: {summary['protocol']}, {summary['split']} split")
    print(f"{done} of {n_folds} folds, {n} test windows of 5 s, initial weights {summary['settings']['INIT']}\n")
    print(f"{'':30}mean ± std over folds   95 % interval")
    for prefix, kind in KINDS.items():
        for name in metrics.SCORES:
            value = summary[prefix + name]
            interval = "{:.3f} to {:.3f}".format(*value["ci95"]) if value["ci95"] else "(one unit only)"
            label = f"{name.replace('_', ' ')} per {kind}".replace("f1", "F1")
            print(f"{label:30}{value['mean']:.3f} ± {value['std']:.3f}           {interval}")
    print(f"{'majority class':30}{summary['majority']:.3f}\n")
    print("share of the test windows whose ... was seen in training")
    print(f"{'':14}{'window':>10}{'trial':>10}{'subject':>10}{'stimulus':>10}")
    for part, seen in summary["audit"].items():
        if seen:
            print(f"{part.replace('_', ' '):14}" + "".join(f"{seen[key]:10.0%}" for key in seen))
    for line in summary["audit_in_words"]:
        print(f"- {line}")
    print()


def print_overview(results):
    """One line per result: accuracy per window and per trial beside the majority class, then protocol and audit.

    Parameters
    ----------
    results : dict of str to dict
        Contents of ``metrics.json`` by the name of the folder.
    """
    groups = {}
    for name, result in results.items():
        protocol = (result["dataset"], result["label"], result["protocol"], result["split"])
        groups.setdefault(protocol, {})[name] = result
    width = max(len(name) for name in (*results, "always the majority class"))
    for (dataset, label, protocol, split), group in groups.items():
        print(f"\n{dataset}, {label}: {protocol}, {split} split; accuracy as mean ± std over folds, 95 % interval")
        print(f"{'':{width}}  {'per window of 5 s':31} per trial")
        for name, result in group.items():
            cells = []
            for score in ("accuracy", "trial_accuracy"):
                value = result[score]
                interval = " ({:.2f} to {:.2f})".format(*value["ci95"]) if value["ci95"] else ""
                cells.append(f"{value['mean']:.3f} ± {value['std']:.3f}{interval}")
            print(f"{name:{width}}  {cells[0]:31} {cells[1]}")
        majority = next(iter(group.values()))["majority"]
        print(f"{'always the majority class':{width}}  {majority:.3f}")
        for line in dict.fromkeys(line for result in group.values() for line in result["audit_in_words"]):
            print(f"- {line}")
