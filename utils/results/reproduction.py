"""The page of benchmarks/reproduce.py: the paper's figures beside ours, what differs, and what a leak adds."""

from utils.base.errors import InputError
from utils.base.progress import warn
from utils.base.rules import ALL_SPLITS
from utils.results import comparison, published
from utils.results.overview import mean_std, who
from utils.results.page import Page

LEAKS = ("authors", "window")
ALPHA = 0.05
DIFFERENCES = (
    "Differences person by person with their 95 % interval; p after Holm's correction for all comparisons of a table. "
    "There is one seed, so p is about other people with these trained networks. Marked: p below 0.05."
)
OURS = "finetune_{label}"


def write(out_dir, run_dirs, labels, failed):
    """Write ``report.html`` of the results in these run directories, by split; returns how many there are."""
    results = {split: _read(run_dir) for split, run_dir in run_dirs.items()}
    results = {split: some for split, some in results.items() if some}
    if not results:
        return 0
    every = [run for some in results.values() for run in some.values()]
    page, example = Page(out_dir), every[0]
    title = f"PhysioSync's experiments on {example['dataset']}{', simulated' if example.get('simulated') else ''}"
    page.heading(title, 1)
    if example.get("simulated"):
        page.text("These recordings are simulated. The numbers say nothing about people.", "warn")
    elif not published.is_published_data(example):
        page.text("These are not the published recordings: the paper's figures do not speak of them.", "warn")
    tests = {(split, label): _tests(some, label) for split, some in results.items() for label in labels}
    for line in in_words(results, labels, tests):
        page.text(line)
    for line in failed:
        page.text(f"Not done: {line}", "warn")
    for label in labels:
        page.heading(f"{label.capitalize()}: the paper's experiments")
        columns = ["split", "PhysioSync", "random weights", "best other", "majority", "the paper"]
        page.table(columns, _main(results, label))
        page.text("Accuracy per 5 s window, mean ± standard deviation over folds, F1 below it.")
    if leak := _leak(results, labels):
        page.heading("What a leaking split adds to accuracy")
        page.table(["result", "leaking", "accuracy", "new trials", "difference"], leak)
    page.heading("All results, compared with PhysioSync")
    page.text(DIFFERENCES)
    for (split, label), rows in tests.items():
        if rows:
            page.heading(f"{label}, {split} split", 3)
            page.table(["result", "accuracy", "PhysioSync is better by", "p (Holm)"], [_row(*row) for row in rows])
    page.heading("Audit")
    for split, some in results.items():
        page.text(f"{split} split: {ALL_SPLITS[split]}.")
        for line in dict.fromkeys(line for run in some.values() for line in run["audit_in_words"]):
            page.text(line, "warn")
    page.write(title)
    return len(every)


def _read(run_dir):
    """All results of a run directory by the name of their folder; a damaged one is left out with a warning."""
    results = {}
    for path in sorted(run_dir.glob("*/metrics.json")):
        try:
            results[path.parent.name] = comparison.load(path)
        except InputError as error:
            warn(str(error))
    return results


def _of(results, split, label, name=OURS):
    return results.get(split, {}).get(name.format(label=label))


def _others(some, label):
    """Baselines and networks of others of a label, the best first."""
    known = [run for name, run in some.items() if name.startswith(f"baseline_{label}_") and run["label"] == label]
    return sorted(known, key=lambda run: -run["accuracy"]["mean"])


def _tests(some, label):
    """Every result of a split and label beside PhysioSync's: (result, comparison) with Holm's p in it."""
    ours = some.get(OURS.format(label=label))
    if ours is None:
        return []
    rows = []
    for run in some.values():
        if run is not ours and run["label"] == label:
            try:
                comparison.check_comparable([ours, run])
            except InputError as error:
                warn(str(error))
                continue
            values = [comparison.scores(one, "accuracy", "subjects") for one in (ours, run)]
            rows.append((run, comparison.compare(values[:1], values[1:])))
    for (_, test), p in zip(rows, comparison.holm([test["p"] for _, test in rows]), strict=True):
        test["p_holm"] = p
    return sorted(rows, key=lambda row: -row[0]["accuracy"]["mean"])


def _cell(run):
    return (f"{mean_std(run, 'accuracy')}\nF1 {run['f1']['mean']:.3f}" if run else "", "n")


def _main(results, label):
    rows = []
    for split, some in results.items():
        ours = _of(results, split, label)
        best = next(iter(_others(some, label)), None)
        known = published.PAPER.get((ours["dataset"], ours["protocol"], label)) if ours else None
        # the paper's subject-dependent figures are of its own split, and so stand there alone
        theirs = known if split in ("authors", "subject") else None
        other = f"{mean_std(best, 'accuracy')}\n{best['model']}" if best else ""
        majority = f"{(ours or best)['majority']:.3f}" if ours or best else ""
        paper = f"{theirs[0]} %\nF1 {theirs[1] or 'not given'}" if theirs else ""
        cells = [_cell(ours), _cell(_of(results, split, label, OURS + "_random")), (other, "n"), (majority, "n")]
        rows.append([f"{split}\n{ALL_SPLITS[split]}", *cells, (paper, "n")])
    return rows


def _leak(results, labels):
    """Accuracy with a leaking split less that on new trials of the same people, of everything that was run on both."""
    rows = []
    for split in LEAKS:
        for name, run in results.get(split, {}).items():
            clean = results.get("trial", {}).get(name)
            if clean and run["label"] in labels:
                a, b = (one["accuracy"]["mean"] for one in (run, clean))
                rows.append([name, (split, ""), (f"{a:.3f}", "n"), (f"{b:.3f}", "n"), (f"{a - b:+.3f}", "n")])
    return rows


def _row(run, test):
    interval = "\n{:+.3f} to {:+.3f}".format(*test["ci95"]) if test["ci95"] else ""
    difference = (f"{test['difference']:+.3f}{interval}", "seen" if test["p_holm"] < ALPHA else "n")
    return [f"{run['name']}\n{who(run)}", _cell(run), difference, (f"{test['p_holm']:.3f}", "n")]


def in_words(results, labels, tests):
    """Sentences that follow from the numbers: what is above chance, what a difference is worth, what a leak adds."""
    for label in labels:
        for split in results:
            ours = _of(results, split, label)
            if ours is None:
                continue
            majority, (low, high) = ours["majority"], ours["accuracy"]["ci95"] or (0, 1)
            beats = "above" if low > majority else "below" if high < majority else "not shown to differ from"
            accuracy = f"{ours['accuracy']['mean']:.1%} of the windows, {beats} the majority class ({majority:.1%})"
            line = f"{label.capitalize()}, {split} split ({ALL_SPLITS[split]}): {accuracy}."
            for run, test in tests[split, label]:
                random = run["name"] == (OURS + "_random").format(label=label)
                if random or run in _others(results[split], label)[:1]:
                    name = "random weights" if random else f"the best baseline, {run['model']}"
                    line += f" {_difference(test, name)}"
            yield line
        clean = _of(results, "trial", label)
        for split in LEAKS:
            leaking = _of(results, split, label)
            if clean and leaking:
                added = leaking["accuracy"]["mean"] - clean["accuracy"]["mean"]
                line = f"{label.capitalize()}: with the {split} split PhysioSync's accuracy is {added:+.1%}"
                yield f"{line} against new trials of the same people" + (
                    ": what its leak adds, which does not measure emotion." if added > 0 else "."
                )


def _difference(test, name):
    if test["p_holm"] >= ALPHA:
        return f"A difference to {name} is not shown ({test['difference']:+.1%}, p = {test['p_holm']:.2f})."
    better = "better" if test["difference"] > 0 else "worse"
    return f"It is {better} than {name} ({test['difference']:+.1%}, p = {test['p_holm']:.3f})."
