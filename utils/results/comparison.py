"""Is one result really better than another? Differences person by person, and a test that knows what is independent.

The people of one seed share its trained networks and its split, so a lucky training lifts them all: they are no
independent evidence for the method. Three designs:

- one seed: Student's t test over people. It speaks of these trained networks and other people.
- several seeds that test the same people (one data set, trained several times): people and seeds are crossed. The
  variance of the mean is that over people plus that over seeds, with Satterthwaite's degrees of freedom: the min F' of
  Clark (1973). It errs on the safe side where people differ little.
- several seeds with people of their own (simulations): people are nested in seeds. Student's t test over the seeds'
  means; with equal numbers of people it is the F test of a mixed model with a random intercept for every seed.
"""

import csv
import itertools
from pathlib import Path

import numpy as np
from scipy import stats

from utils.base.errors import InputError
from utils.base.identity import difference
from utils.base.rules import ROLES
from utils.results.stored import properties, read_result

MAY_DIFFER = {name for name, role in ROLES.items() if role.differs}  # between the seeds of one result
SAME = ("dataset", "label", "protocol", "split", "n_folds", "model", "features")  # of their metrics.json
LEVEL = 0.95  # of the intervals


def load(folder):
    """The result of a folder, or of its ``metrics.json``."""
    path = Path(folder) if str(folder).endswith(".json") else Path(folder) / "metrics.json"
    if not path.exists():
        raise InputError(path, "does not exist", "give a folder that fine_tuning.py or baseline.py has written")
    return read_result(path)


def check_comparable(runs):
    """Refuse what cannot be compared: other splits, labels, thresholds, folds or numbers of test windows."""
    reference = properties(runs[0])
    for run in runs[1:]:
        for what, value in properties(run).items():
            if value != reference[what]:
                values = f": {value}, and {reference[what]}" if len(f"{reference[what]}{value}") < 50 else ""
                raise InputError(f"{run['path'].parent} and {runs[0]['path'].parent} differ in their {what}{values}")


def check_seeds(seeds):
    """Refuse as seeds of one result what is not one method, trained again."""
    reference = seeds[0]
    for run in seeds[1:]:
        both = sorted((reference["settings"].keys() & run["settings"].keys()) - MAY_DIFFER)
        if other := difference(run, reference, SAME) or difference(run["settings"], reference["settings"], both):
            raise InputError(run["path"].parent, f"is not another seed of {reference['path'].parent}: it has {other}")
    for one, other in itertools.combinations(seeds, 2):
        same_split = one["manifest_hash"] == other["manifest_hash"]
        if one["path"].resolve().parents[1] == other["path"].resolve().parents[1]:
            wrong = ": every seed needs a run directory of its own"
        elif same_split and one["settings"].get("SEED") == other["settings"].get("SEED"):
            wrong = " are one seed: same data, split and SEED"
        elif same_split and _pretrained(one) & _pretrained(other):
            wrong = " start from one pre-training: give every seed one of its own (--seed in all scripts)"
        elif one["dataset_checksum"] != other["dataset_checksum"] and _truth(one) == _truth(other):
            wrong = ": the same people, prepared otherwise, are not another seed"
        else:
            continue
        raise InputError(f"{other['path'].parent} and {one['path'].parent}{wrong}")
    design(seeds)


def _pretrained(run):
    """Seeds of the pre-trained encoders; none for what has no such encoders, or is from before they were kept."""
    return set(run.get("provenance", {}).get("encoder_seeds", []))


def _truth(run):
    """The true class of every test window; people who are others have others."""
    path = run["path"].with_name("predictions.csv")
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return {(row["subject"], row["trial"], row["window"]): row["truth"] for row in csv.DictReader(file)}
    except (FileNotFoundError, KeyError):
        raise InputError(path, "is missing or damaged", "the command that made this result writes it again") from None


def design(seeds):
    """How the people of these seeds relate: ``"one seed"``, ``"same people"`` or ``"other people"``."""
    if len(seeds) == 1:
        return "one seed"
    n_data = len({run["dataset_checksum"] for run in seeds})
    if n_data == len(seeds):
        return "other people"
    if n_data > 1:
        raise InputError(f"the seeds of {seeds[0]['path'].parent} must all be of one data set, or each of its own")
    people = [{name for fold in run["folds"] for name in fold["subjects"]} for run in seeds]
    for run, tested in zip(seeds, people, strict=True):
        if tested != people[0]:
            names = f"{run['path'].parent} and {seeds[0]['path'].parent}"
            raise InputError(names, "test other people", "run the same folds with every seed")
    return "same people"


def scores(run, score, pairs):
    """Scores of a run by subject (mean over its folds) or by fold."""
    values = {}
    for fold in run["folds"]:
        units = fold["subjects"] if pairs == "subjects" else {fold["fold"]: fold}
        for name, unit in units.items():
            if score not in unit:
                raise InputError(f"--score {score}", f"is not kept for {pairs}", "use --pairs folds")
            values.setdefault(name, []).append(unit[score])
    return {name: float(np.mean(value)) for name, value in values.items()}


def compare(values, baseline, crossed=False, overlap=0.0):
    """One comparison: means, difference with its interval, test and effect size, as a row of ``comparison.json``.

    ``values``, ``baseline``: for every seed, `scores` by unit. ``crossed``: all seeds have the same people; else seeds
    are what is independent. ``overlap``: test units per training unit of folds that share training data (Nadeau &
    Bengio 2003).
    """
    pairs = zip(values, baseline, strict=True)
    by_seed = [np.round([a[name] - b[name] for name in b], 12) for a, b in pairs]  # equal accuracies are ties
    of_seeds = np.array([np.mean(seed) for seed in by_seed])
    if len(by_seed) == 1:
        people = by_seed[0]
        test = t_test([people], overlap)
    elif crossed:
        people = np.mean(by_seed, axis=0).round(12)
        test = t_test([people, of_seeds])
    else:
        people = np.concatenate(by_seed)
        test = t_test([of_seeds])
    moved = people[people != 0]
    ranks = stats.rankdata(np.abs(moved))
    return {
        "n": len(people),
        "n_seeds": len(by_seed),
        "mean": float(np.mean([np.mean(list(seed.values())) for seed in values])),
        **test,
        "difference_by_seed": of_seeds.tolist(),
        "better": int((people > 0).sum()),
        "worse": int((people < 0).sum()),
        "rank_biserial": float((ranks * np.sign(moved)).sum() / ranks.sum()) if len(moved) else 0.0,
    }


def t_test(samples, overlap=0.0):
    """Whether a mean differs from 0 if it varies with one or two crossed sets of units, each given by its means (n,).

    If nothing varies, p is a sign test's and there is no interval.
    """
    mean = float(np.mean(samples[0]))
    sizes = np.array([len(sample) for sample in samples])
    spread = np.array([np.var(sample, ddof=1) if len(sample) > 1 else 0.0 for sample in samples])
    parts = spread * (1 / sizes + overlap)
    if min(sizes) < 2 or np.sqrt(parts.sum()) < 1e-9:
        p = 1.0 if mean == 0 else float(2.0 ** (1 - min(sizes)))
        return {"difference": mean, "ci95": None, "df": None, "p": p}
    error = float(np.sqrt(parts.sum()))
    df = float(parts.sum() ** 2 / (parts**2 / (sizes - 1)).sum())
    half, p = float(stats.t.ppf((1 + LEVEL) / 2, df)) * error, float(2 * stats.t.sf(abs(mean) / error, df))
    return {"difference": mean, "ci95": [mean - half, mean + half], "df": df, "p": p}


def holm(p_values):
    """Holm's step-down correction: adjusted p-values in the same order."""
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.minimum(1, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    return [float(p) for _, p in sorted(zip(order, adjusted, strict=True))]


def add_holm(rows):
    """Add ``p_holm`` to all comparisons of a table."""
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p


def in_words(seeds, pairs):
    """The test of a result's seeds, and what its p-value is about, in words."""
    if pairs == "folds":
        return "t test over folds, its variance corrected for the training data that they share (Nadeau & Bengio 2003)"
    if design(seeds) == "one seed":
        shared = any(len(fold["subjects"]) > 1 for fold in seeds[0]["folds"])
        what = "these trained models" if shared else "one trained model each"
        return f"t test over people: p is about other people with {what}; it does not know what another seed would give"
    if design(seeds) == "same people":
        few = "; two seeds are few to tell how much trainings vary: trust no p near .05" if len(seeds) == 2 else ""
        return f"t test over people and seeds (min F'): p is about other people and other seeds{few}"
    return "t test over the seeds' means: people of a seed share its trained models and are not independent"
