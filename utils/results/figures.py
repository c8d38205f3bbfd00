"""Figures in one style that grey print and colour-blind readers can tell apart.

The user's Matplotlib settings are neither used nor changed.
"""

import base64
import contextlib
import io
import os
import sys
import warnings
from pathlib import Path


@contextlib.contextmanager
def _without_backend():
    """Import Matplotlib without MPLBACKEND: a notebook's backend may not be installed here."""
    name = os.environ.pop("MPLBACKEND", None)
    new = "matplotlib" not in sys.modules
    try:
        yield
    finally:
        if name is not None:
            os.environ["MPLBACKEND"] = name
            with contextlib.suppress(ValueError):
                if new:  # as Matplotlib does itself, for later use of pyplot
                    matplotlib.rcParams["backend"] = name


with _without_backend():
    import matplotlib
    import matplotlib.style
    from matplotlib.figure import Figure  # not pyplot, which would choose a backend

import numpy as np

from utils.base.errors import shorten
from utils.base.files import atomic, safe_name
from utils.protocol.windows import WINDOW_SECONDS
from utils.results.overview import most_complete

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DPI = 200  # of PNG files, sharp on a phone too
LONGEST_NAME = 40  # characters of a name in a figure
STYLE = Path(__file__).parent / "templates" / "figures.mplstyle"
WIDTH = 3.9  # in, of every figure of the page: a telephone shows it as large as it is
MAP_WINDOWS = 600  # of a feature map, drawn at random where there are more
MOST_TRIALS = 12  # of which probabilities are drawn
PRETRAINING = (
    ({"loss_eeg": "EEG", "loss_pps": "PPS", "loss_cmca": "CM-CA", "loss": "all"}, "loss"),
    ({"accuracy_eeg": "EEG", "accuracy_pps": "PPS"}, "contrastive accuracy"),
)
FINE_TUNING = (({"loss": "training windows"}, "cross-entropy"), ({"accuracy": "training windows"}, "accuracy"))


@contextlib.contextmanager
def style():
    """A context, or decorator, with the style of these figures; the user's is restored afterwards."""
    with matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)  # a name in another script
        yield


def image(figure, kind, **options):
    """A figure as the bytes of a file; ``options`` are those of Matplotlib's ``savefig``."""
    content = io.BytesIO()
    with style():
        figure.savefig(content, format=kind, dpi=DPI, **options)
    return content.getvalue()


class Figures:
    """The figures of a page, which are also saved to ``folder/figures``."""

    def __init__(self, folder):
        self.folder, self.names = Path(folder) / "figures", set()

    def add(self, figure, name, caption):
        """Save a figure as PNG and SVG; returns its source, caption and width in CSS pixels for the page."""
        images, name = {kind: image(figure, kind) for kind in ("png", "svg")}, safe_name(name, self.names)
        for kind, content in images.items():
            with atomic(self.folder / f"{name}.{kind}") as file:
                file.write(content)
        source = "data:image/png;base64," + base64.b64encode(images["png"]).decode()
        width = int.from_bytes(images["png"][16:20], "big") * 96 // DPI
        return {"source": source, "caption": caption, "width": width}


def plain(name):
    """A name as a figure can show it: one short line of printable characters."""
    name = " ".join(str(name).encode("utf-8", "backslashreplace").decode().split())
    return shorten("".join(letter if letter.isprintable() else "?" for letter in name), LONGEST_NAME)


def subplots(n_rows=1, n_columns=1, *, figsize, **options):
    """A figure and its panels, like pyplot's function of this name, but without global state."""
    figure = Figure(figsize=figsize, layout="constrained")
    return figure, figure.subplots(n_rows, n_columns, **options)


@style()
def accuracies(results):
    """Accuracy per window of every result (``metrics.json`` by name) with its 95 % interval, and the majority class."""
    figure, axes = subplots(figsize=(WIDTH, 0.8 + 0.55 * len(results)))
    ends = []
    for row, (name, result) in enumerate(results.items()):
        value, network = result["accuracy"], "model" not in result
        ends += value["ci95"] or (value["mean"], value["mean"])
        axes.plot(ends[-2:], [row, row], color=COLOURS[not network], linewidth=3, alpha=0.6)
        axes.plot(value["mean"], row, MARKERS[not network], color=COLOURS[not network], markersize=8)
        look = dict(va="bottom", fontsize=9, bbox=dict(facecolor="white", edgecolor="none", pad=0.5))
        axes.annotate(plain(name), (0.01, row - 0.25), xycoords=("axes fraction", "data"), **look)
    majority = most_complete(results.values())["majority"]
    axes.axvline(majority, color="black", linestyle="--", linewidth=1, label=f"majority class, {majority:.2f}")
    axes.legend(fontsize=9, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    limits = max(0, min([*ends, majority]) - 0.05), min(1.02, max([*ends, majority]) + 0.05)
    axes.set(xlim=limits, yticks=[], ylim=(len(results) - 0.5, -0.8), xlabel="accuracy per window, 95 % interval")
    axes.grid(axis="y", visible=False)
    return figure


@style()
def confusion(result):
    """Confusion matrix over all folds, as shares of each true class."""
    counts = np.sum([fold["confusion"] for fold in result["folds"]], axis=0)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    names = [plain(name).replace(", ", ",\n") for name in result["class_names"]]
    size = min(WIDTH, 1.8 + 0.9 * len(names))
    figure, axes = subplots(figsize=(size, max(2.6, size - 0.4)))
    axes.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        text = f"{share:.0%}\n{counts[row, column]}"
        look = dict(color="white" if share > 0.55 else "black", fontsize=10 if len(names) < 5 else 7)
        axes.text(column, row, text, ha="center", va="center", **look)
    axes.set_xticks(range(len(names)), names, fontsize=8, rotation=90 if len(names) > 2 else 0)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="predicted", ylabel="true (windows)")
    axes.grid(visible=False)
    return figure


@style()
def subjects(result):
    """Accuracy of every person, sorted, with the majority class of all windows."""
    people = {}
    for fold in result["folds"]:
        for name, person in fold["subjects"].items():
            people.setdefault(name, []).append((person["accuracy"], person["n_test"]))
    scores = {name: sum(a * n for a, n in parts) / sum(n for _, n in parts) for name, parts in people.items()}
    people = sorted(scores, key=scores.get)
    figure, axes = subplots(figsize=(WIDTH, 0.19 * len(people) + 1.1))
    axes.barh(range(len(people)), [scores[name] for name in people], color=COLOURS[0], height=0.7)
    axes.axvline(result["majority"], color="black", linestyle="--", linewidth=1, label="majority class")
    axes.axvline(1 / len(result["class_names"]), color="#777777", linestyle=":", linewidth=1.5, label="chance")
    axes.set_yticks(range(len(people)), [plain(name) for name in people], fontsize=8)
    axes.set(ylim=(-0.6, len(people) - 0.4), xlim=(0, 1), xlabel="accuracy per window")
    axes.legend(fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    axes.grid(axis="y", visible=False)
    return figure


@style()
def curves(logs, panels):
    """What was logged by epoch: one panel above the other, each (names of what is logged and their labels, y label)."""
    figure, axes = subplots(len(panels), 1, figsize=(WIDTH, 2.3 * len(panels)))
    figure.get_layout_engine().set(hspace=0.05)
    for panel, (names, ylabel) in zip(axes, panels, strict=True):
        _curves(panel, logs, names, ylabel)
        if "accuracy" in ylabel:
            panel.set_ylim(0, 1)
    return figure


def _curves(axes, logs, names, ylabel):
    """Mean over folds of each logged value, with the range of the folds."""
    n_epochs = min(len(log) for log in logs)
    epochs = np.arange(1, n_epochs + 1)
    for number, (name, label) in enumerate(names.items()):  # a name's colour does not depend on what else is shown
        if not all(name in entry for log in logs for entry in log):
            continue
        values = np.array([[entry[name] for entry in log[:n_epochs]] for log in logs])
        look = dict(color=COLOURS[number], linestyle=LINES[number % len(LINES)], label=label)
        axes.plot(epochs, values.mean(axis=0), marker=MARKERS[number] if n_epochs < 15 else None, **look)
        axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=COLOURS[number], alpha=0.15, lw=0)
    axes.legend(fontsize=8)
    limits = min(0.5, 1 - 0.03 * n_epochs), max(n_epochs + 0.5, 1.03 * n_epochs)
    axes.set(xlabel="epoch", ylabel=ylabel, xlim=limits)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, min_n_ticks=1))


@style()
def feature_maps(features, groups):
    """Features of test windows in two dimensions, coloured by label, subject, trial.

    ``features``: (n, width) by state of the encoder; ``groups``: (n,) by name. Returns a figure per method: PCA, and
    t-SNE if there are enough windows.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    n = len(next(iter(features.values())))
    methods = {"PCA": PCA(2, random_state=0)}
    if n > 10:
        methods["t-SNE"] = TSNE(2, perplexity=min(30, (n - 1) / 3), init="pca", random_state=0)
    by_method = {}
    for method, reduction in methods.items():
        size = (WIDTH, 2.05 * len(groups))
        by_method[method], axes = subplots(len(groups), len(features), figsize=size, squeeze=False)
        for (state, x), column in zip(features.items(), axes.T, strict=True):
            points = reduction.fit_transform(x.astype(np.float64))
            for (name, values), panel in zip(groups.items(), column, strict=True):
                _scatter(panel, points, values)
                panel.set_title(f"{state}, by {name}", fontsize=9)
                panel.set(xticks=[], yticks=[])
    return by_method


def _scatter(axes, points, values):
    """Points of each value in a colour and a marker of their own."""
    distinct = np.unique(values)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.95, len(distinct))) if len(distinct) > 7 else COLOURS
    for number, value in enumerate(distinct):
        look = dict(color=colours[number], marker=MARKERS[number % len(MARKERS)], linewidths=0, alpha=0.8)
        axes.scatter(*points[values == value].T, s=9, label=plain(value), **look)
    if len(distinct) <= 4:
        axes.legend(fontsize=7, loc="best", handletextpad=0.1)


@style()
def probabilities(curves, class_names):
    """Probability of each class over time for the first trials; ``curves``: (windows, classes) by trial."""
    shown = list(curves.items())[:MOST_TRIALS]
    n_rows = -(-len(shown) // 3)
    figure, axes = subplots(n_rows, 3, figsize=(9, 2 * n_rows + 0.4), sharey=True, squeeze=False)
    for panel in axes.flat[len(shown) :]:
        panel.set_axis_off()
    for (name, values), panel in zip(shown, axes.flat, strict=False):
        seconds = (np.arange(len(values)) + 0.5) * WINDOW_SECONDS
        for number, label in enumerate(class_names):
            look = dict(color=COLOURS[number % 7], linestyle=LINES[number % len(LINES)], marker=MARKERS[number % 7])
            panel.plot(seconds, values[:, number], markersize=3, label=plain(label), **look)
        panel.set_title(plain(name), fontsize=9)
        panel.set_ylim(0, 1)
        panel.set_xlabel("time in s", fontsize=8)
    axes[0, 0].set_ylabel("probability")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    return figure
