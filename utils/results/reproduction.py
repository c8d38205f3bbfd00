"""The page of benchmarks/reproduce.py: the paper's figures beside ours, what differs, and what a leak adds."""

from utils.base.errors import InputError
from utils.base.progress import warn
from utils.base.rules import ALL_SPLITS
from utils.results import comparison, overview, published
from utils.results.page import write_page
from utils.results.stored import read_results

LEAKS = ("authors", "window")
ALPHA = 0.05


def write(out_dir, run_dirs, labels, failed):
    """Write ``report.html`` of the results in these run directories, by split; returns how many there are.

    ``labels`` are what each is called in the names of folders.
    """
    results = {split: read_results(run_dir) for split, run_dir in run_dirs.items()}
    results = {split: runs for split, runs in results.items() if runs}
    failed = list(failed)
    every = [run for runs in results.values() for run in runs.values()]
    if not every:
        return 0
    experiments = {
        label: [Experiment(split, label, folder, runs, failed) for split, runs in results.items()]
        for label, folder in labels.items()
    }
    simulated = bool(every[0].get("simulated"))
    write_page(
        out_dir,
        "reproduction.html",
        title=f"PhysioSync's experiments on {every[0]['dataset']}{', simulated' if simulated else ''}",
        simulated=simulated,
        published=published.is_published_data(every[0]),
        sentences=[line for of_label in experiments.values() for line in in_words(of_label)],
        failed=failed,
        results=results,
        experiments=experiments,
        splits=ALL_SPLITS,
        leak=list(_leak(results, labels)),
        alpha=ALPHA,
        overview=overview,
    )
    return len(every)


class Experiment:
    """The results of one split and label: PhysioSync's own, with random weights, the best of others, and ``tests``:
    every other result with its comparison to PhysioSync's, the best first. What cannot be compared is added to
    ``failed``.
    """

    def __init__(self, split, label, folder, results, failed):
        runs = {name: run for name, run in results.items() if run["label"] == label}
        by_accuracy = sorted(runs.values(), key=lambda run: -run["accuracy"]["mean"])
        self.split, self.label = split, label
        self.ours, self.random = runs.get(f"finetune_{folder}"), runs.get(f"finetune_{folder}_random")
        others = [run for run in by_accuracy if "model" in run and not run["settings"].get("PERMUTE_LABELS")]
        self.best = next((run for run in others if _same_folds(run, self.ours)), None)
        self.majority = (self.ours or self.best or {}).get("majority")
        others = [run for run in by_accuracy if run is not self.ours]
        self.tests = self._compare(others, failed) if self.ours else []

    @property
    def paper(self):
        """The paper's accuracy and F1 for its own splits, of which alone they are; empty for others."""
        key = self.ours and (self.ours["dataset"], self.ours["protocol"], self.label)
        if self.split not in ("authors", "subject") or key not in published.PAPER:
            return ()
        accuracy, f1 = published.PAPER[key]
        return f"{accuracy} %", f"F1 {f1 or 'not given'}"

    def _compare(self, others, failed):
        tests = []
        for run in others:
            try:
                comparison.check_comparable([self.ours, run])
            except InputError as error:
                warn(str(error))
                failed.append(f"{self.split} split, comparison: {error}")
                continue
            values = [comparison.scores(one, "accuracy", "subjects") for one in (self.ours, run)]
            tests.append((run, comparison.compare(values[:1], values[1:])))
        comparison.add_holm([test for _, test in tests])
        return tests


def _same_folds(run, other):
    """Whether two results are of the same folds; without another, whether none is missing."""
    if other is None:
        return not overview.missing_folds(run)
    return {fold["fold"] for fold in run["folds"]} == {fold["fold"] for fold in other["folds"]}


def _leak(results, labels):
    """(name, split, accuracy with a leaking split, that on new trials of the same people) of what was run on both."""
    for split in LEAKS:
        for name, run in results.get(split, {}).items():
            clean = results.get("trial", {}).get(name)
            if clean and run["label"] in labels and _same_folds(run, clean):
                yield name, split, run["accuracy"]["mean"], clean["accuracy"]["mean"]


def in_words(experiments):
    """Sentences that follow from the numbers of a label: what is above chance, what differs, what a leak adds."""
    accuracies, ours = {}, {}
    for one in (one for one in experiments if one.ours):
        accuracies[one.split], ours[one.split] = one.ours["accuracy"]["mean"], one.ours
        missing = overview.missing_folds(one.ours)
        missing = f" ({missing})" if missing else ""
        low, high = one.ours["accuracy"]["ci95"] or (0, 1)
        beats = "above" if low > one.majority else "below" if high < one.majority else "not shown to differ from"
        line = f"{one.label.capitalize()}, {one.split} split ({ALL_SPLITS[one.split]}): PhysioSync classifies "
        line += f"{accuracies[one.split]:.1%} of the windows correctly{missing}, which is {beats} the majority class "
        line += f"({one.majority:.1%})."
        for run, test in one.tests:
            if run is one.random or run is one.best:
                name = "random weights" if run is one.random else f"the best baseline ({run['model']})"
                line += f" {_difference(test, name)}"
        yield line
    for split in LEAKS:
        if {split, "trial"} <= ours.keys() and _same_folds(ours[split], ours["trial"]):
            added = 100 * (accuracies[split] - accuracies["trial"])
            leak = ": its leak adds them, and they do not measure emotion." if added > 0 else "."
            more = f"{abs(added):.1f} points {'higher' if added > 0 else 'lower'}"
            line = f"{experiments[0].label.capitalize()}: with the {split} split PhysioSync's accuracy is {more}"
            yield f"{line} than for new trials of the same people{leak}"


def _difference(test, name):
    p = f"p = {test['p_holm']:.3f}" if test["p_holm"] >= 0.001 else "p < 0.001"
    if test["p_holm"] >= ALPHA:
        return f"A difference from {name} is not shown ({100 * test['difference']:+.1f} points, {p})."
    better = "better" if test["difference"] > 0 else "worse"
    return f"It is {better} than {name} ({100 * test['difference']:+.1f} points, {p})."
