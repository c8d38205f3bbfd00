"""Results in words: one by itself, and all of a run directory side by side."""

from data_prep.folder.scales import threshold_in_words
from utils.results.metrics import SCORES
from utils.results.stored import task


def print_summary(result):
    """One result (``metrics.json``) as a table for people, with its protocol and its audit."""
    n = sum(fold["n_test"] for fold in result["folds"])
    if line := above_majority([result]):
        print(f"\n{line}", end="")
    print(f"\n{headline(result)}")
    print(f"{len(result['folds'])} of {result['n_folds']} folds, {n} test windows of 5 s, {who(result)}\n")
    print(f"{'':30}{'mean ± std over folds':24}{'all folds together':21}95 % interval of that")
    for prefix, kind in ("", "window"), ("trial_", "trial"):
        for name in SCORES:
            value = result[prefix + name]
            ends = interval(value, ".3f") or f"(too few {result['interval_unit']}s, or all alike)"
            label = f"{name.replace('_', ' ')} per {kind}".replace("f1", "F1")
            print(f"{label:30}{mean_std(result, prefix + name):24}{value['pooled']:<21.3f}{ends}")
    print(f"{'majority class':30}{result['majority']:.3f}")
    if result["high_from"] is not None:
        print(f"high: rated {threshold_in_words(result['high_from'])} or more")
    print(f"intervals: Student's t over {result['interval_unit']}s, with all their windows\n")
    if "permutation" in result:
        print(permutation_in_words(result["permutation"]) + "\n")
    print("share of the test windows whose ... was seen in training")
    parts = {part: seen for part, seen in result["audit"].items() if seen}
    print(f"{'':14}" + "".join(f"{key:>10}" for key in next(iter(parts.values()))))
    for part, seen in parts.items():
        print(f"{part.replace('_', ' '):14}" + "".join(f"{share:10.0%}" for share in seen.values()))
    for line in result["audit_in_words"]:
        print(f"- {line}")
    print()


def print_overview(results):
    """One line per result (``metrics.json`` by folder): accuracy per window and per trial; then protocol and audit."""
    shown = {name: f"{name} ({part})" if (part := missing_folds(results[name])) else name for name in results}
    width = max(len(name) for name in (*shown.values(), "always the majority class"))
    for other, group in by_task(results):
        if line := above_majority(group.values()):
            print(f"\n{line}", end="")
        example = next(iter(group.values()))
        print(f"\n{headline(example)}{other}; accuracy as mean ± std over folds, 95 % interval")
        print(f"{'':{width}}  {'per window of 5 s':31} per trial")
        for name, result in group.items():
            cells = []
            for score in ("accuracy", "trial_accuracy"):
                ends = interval(result[score])
                cells.append(mean_std(result, score) + (f" ({ends})" if ends else ""))
            print(f"{shown[name]:{width}}  {cells[0]:31} {cells[1]}")
        print(f"{'always the majority class':{width}}  {most_complete(group.values())['majority']:.3f}")
        for line in audit_lines(group.values()):
            print(f"- {line}")


def audit_lines(results):
    """The sentences of the audits of several results, each once."""
    return list(dict.fromkeys(line for result in results for line in result["audit_in_words"]))


def headline(result):
    """Data set, label and protocol of a result, in words."""
    simulated = ", simulated" if result.get("simulated") else ""
    return f"{result['dataset']}{simulated}, {result['label']}: {result['protocol']}, {result['split']} split"


def by_task(results):
    """Groups of results of the same split, label and threshold: list of (words, results by name in order).

    The words tell groups apart that have label, protocol and split in common.
    """
    groups, in_words = {}, []
    for name, result in in_order(results).items():
        groups.setdefault(task(result), {})[name] = result
    titles = {key: headline(next(iter(group.values()))) for key, group in groups.items()}
    for (manifest, label, rating), group in groups.items():
        alike = [key for key, title in titles.items() if title == titles[manifest, label, rating]]
        words = f", split.json {manifest[:8]}" if any(key[0] != manifest for key in alike) else ""
        if rating is not None and any(key[2] != rating for key in alike):
            words += f", high from {threshold_in_words(rating)} on"
        in_words.append((words, group))
    return in_words


def above_majority(results):
    """A sentence where none of these results (one label, one split) is above the majority class; else None.

    Results of permuted labels do not count.
    """
    real = [result for result in results if not result["settings"].get("PERMUTE_LABELS")]
    if not real or any(r["accuracy"].get("pooled", r["accuracy"]["mean"]) > r["majority"] for r in real):
        return None
    what = "The result is not" if len(results) == 1 else "No result is"
    return f"{what} above the majority class: nothing here predicts {real[0]['label']}."


def mean_std(result, score):
    """A score as text: mean ± standard deviation over folds; a single fold has none."""
    value = result[score]
    return f"{value['mean']:.3f}" + (f" ± {value['std']:.3f}" if len(result["folds"]) > 1 else "")


def interval(value, form=".2f"):
    """The 95 % interval of a score or a difference as text; empty if there is none."""
    return " to ".join(f"{end:{form}}" for end in value["ci95"] or ())


def in_order(results):
    """Results label by label: pre-trained, random weights, baselines from the best on, then permuted labels."""

    def place(name):
        result, label = results[name], results[name]["label"]
        if result["settings"].get("PERMUTE_LABELS"):
            return label, 3, 0, name
        if "model" in result:
            return label, 2, -result["accuracy"]["mean"], name
        return label, int(result["settings"]["INIT"] != "pretrained"), len(name), name  # options make names longer

    return {name: results[name] for name in sorted(results, key=place)}


def who(result):
    """The model of a result, in words."""
    settings, model, network = result["settings"], result.get("model"), result.get("network") or {}
    if model == "stimulus":
        return "without signals: what most training people rated this stimulus"
    if model is None:
        words = {"pretrained": "pre-trained encoders", "random": "random first weights"}[settings["INIT"]]
    else:
        words = f"network: {model} of {network['version']}" if network else f"classical baseline: {model}"
    options = {
        "pre-trained elsewhere": network.get("weights"),
        f"variant {settings.get('PRETRAIN_VARIANT')}": settings.get("PRETRAIN_VARIANT"),
        "robust recipe": settings.get("RECIPE") == "robust",
        "EEG only": settings.get("MODALITIES") == "eeg",
        "PPS only": settings.get("MODALITIES") == "pps",
        "last layer only" if model else "frozen": settings.get("FREEZE"),
        "standardised per person": settings.get("STANDARDISE") == "subject",
        "labels permuted": settings.get("PERMUTE_LABELS"),
    }
    return ", ".join([words, *(text for text, holds in options.items() if holds)])


def missing_folds(result):
    """How many folds a result has, in words; an empty text if complete."""
    done, n_folds = len(result["folds"]), result["n_folds"]
    return f"{done} of {n_folds} folds" if done < n_folds else ""


def most_complete(results):
    """The result with the most folds."""
    return max(results, key=lambda result: len(result["folds"]))


def permutation_in_words(test):
    """The permutation test's result as a sentence."""
    probe = "a linear probe of the frozen encoders' features, averaged over each trial"
    what = {"finetune": "fine-tuning", "probe": probe}[test["method"]]
    return (
        f"permutation test ({what}, labels moved to other stimuli, for all people alike, {test['n']} times): "
        f"{test['score_name']} {test['score']:.3f} against {test['null_mean']:.3f} ± {test['null_std']:.3f}, "
        f"p = {test['p_value']:.4f}"
    )
