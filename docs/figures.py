"""Draw the two pictures of README.md: the method, and what each split holds out.

    python docs/figures.py --out-dir docs

The picture of the splits is made of the folds that utils/protocol/splits.py makes, for a few people and stimuli.
"""

import contextlib
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import utils.base.errors
from utils.base.files import atomic
from utils.base.settings import read_settings
from utils.base.surroundings import Silence
from utils.protocol import splits
from utils.results.figures import COLOURS, image, matplotlib, style, subplots

OUT_DIR = "docs"  # folder for method.svg and splits.svg
QUIET = False  # True: say nothing but warnings and errors

patches = matplotlib.patches
blue, red, green = COLOURS[:3]
edge_grey = "#555555"
n_people, n_stimuli, n_seconds = 6, 8, 20  # of the picture of the splits: 4 windows per stimulus
drawn_fold = 1  # which is drawn
shades = {"unused": "#ececec", "training": "#a9cbe3", "test": "#b34700"}  # far apart in grey, too
titles = {
    "trial": "held out: whole stimuli",
    "window": "held out: single windows",
    "authors": "held out: single windows, but their\nseconds are in training (hatched)",
    "subject": "held out: a person",
    "subject+trial": "held out: a person at stimuli\nthat are not in training",
}


def main():
    """Draw and write both pictures."""
    settings = read_settings(globals())
    for name, draw in {"method": method, "splits": held_out}.items():
        content = image(draw(), "svg", facecolor="white", metadata={"Date": None})
        with atomic(settings.OUT_DIR / f"{name}.svg") as file:
            file.write(content)
    print(f"wrote {settings.OUT_DIR / 'method.svg'} and splits.svg")


# --- the method


@style()
def method():
    """The method's two stages (PhysioSync, arXiv 2504.17163), as boxes and arrows."""
    figure, axes = subplots(figsize=(10, 6.4))
    axes.set(xlim=(0, 100), ylim=(0, 64))
    axes.set_axis_off()
    heading = dict(fontsize=11.5, fontweight="bold")
    axes.text(0, 62, "1   Pre-training without labels, once on 1 s and once on 5 s windows", **heading)
    axes.text(0, 22.5, "2   Fine-tuning on labels", **heading)
    axes.plot([0, 100], [26, 26], color="#bbbbbb", linewidth=1)
    _pretraining(axes)
    _fine_tuning(axes)
    return figure


def _pretraining(axes):
    axes.text(9, 58.3, "one moment of one film", ha="center", fontsize=9, color=edge_grey)
    for bottom, name, colour in ((45, "EEG", blue), (29, "PPS", red)):
        axes.text(0, bottom + 5, name, ha="left", va="center", fontsize=11, fontweight="bold", color=colour)
        for height, group in ((7, "A"), (1, "B")):
            y = bottom + height + 1
            for person in (0, 1):
                _wave(axes, 6, y + 1 - 2 * person, 8, name, seed=2 * height + person)
            axes.text(15, y, f"group {group}", va="center", fontsize=9)
            _arrow(axes, (21.5, y), (26, bottom + 5 + (height - 4) * 0.5))
            _box(axes, 62, y - 2, 9, 4, f"{name} {group}", colour, fill=True)
            _arrow(axes, (57, bottom + 5 + (height - 4) * 0.5), (62, y))
        _box(axes, 26, bottom, 14, 10, f"{name}\nencoder", colour)
        _arrow(axes, (40, bottom + 5), (45, bottom + 5))
        _box(axes, 45, bottom, 12, 10, "maximum\nover the\ngroup", edge_grey)
        _arrow(axes, (66.5, bottom + 6), (66.5, bottom + 4), both=True, colour="black")
        text = f"LS-TCL: {name} alike for both groups,\nunlike at other moments"
        axes.text(77.5, bottom + 5, text, va="center", fontsize=9)
    axes.plot([72.5, 74.5, 74.5, 72.5], [54, 54, 30, 30], color="black", linewidth=1.2)
    axes.text(77.5, 42, "CM-CA: alike for EEG and PPS", va="center", fontsize=9)
    axes.plot([74.5, 76.5], [42, 42], color="black", linewidth=1.2)


def _fine_tuning(axes):
    axes.text(9, 19, "one person, 5 s", ha="center", fontsize=9, color=edge_grey)
    for bottom, name, colour in ((11, "EEG", blue), (2, "PPS", red)):
        axes.text(0, bottom + 3, name, va="center", fontsize=11, fontweight="bold", color=colour)
        _wave(axes, 6, bottom + 3, 13, name, seed=5)
        for y, length in ((bottom + 3.3, "5 s"), (bottom - 0.3, "1 s, five times")):
            _arrow(axes, (20, bottom + 3), (26, y + 1.5))
            _box(axes, 26, y, 20, 3, f"{name} encoder, {length}", colour)
            _arrow(axes, (46, y + 1.5), (51, y + 1.5))
    _box(axes, 51, 1.5, 13, 16, "gates:\neach feature by\nits confidence", edge_grey)
    _arrow(axes, (64, 9.5), (69, 9.5))
    _box(axes, 69, 1.5, 12, 16, "joined,\nclassifier", green)
    _arrow(axes, (81, 9.5), (86, 9.5))
    axes.text(87, 9.5, "low or high\narousal, ...", va="center", fontsize=10, fontweight="bold")


def _box(axes, x, y, width, height, text, colour, fill=False):
    face = colour if fill else "white"
    axes.add_patch(
        patches.FancyBboxPatch(
            (x, y), width, height, boxstyle="round,pad=0,rounding_size=1", fc=face, ec=colour, lw=1.6
        )
    )
    style = dict(color="white", fontweight="bold") if fill else dict(color="black")
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9, **style)


def _arrow(axes, start, end, both=False, colour=edge_grey):
    style = "<|-|>" if both else "-|>"
    axes.add_patch(
        patches.FancyArrowPatch(start, end, arrowstyle=style, mutation_scale=10, shrinkA=0, shrinkB=0, color=colour)
    )


def _wave(axes, x, y, width, name, seed):
    """A little signal: EEG quick, peripheral ones slow."""
    noise = np.random.default_rng(seed).standard_normal(40 * width)
    signal = np.convolve(noise, np.hanning(9 if name == "EEG" else 110), "same")
    signal *= 0.8 / np.abs(signal).max()
    axes.plot(np.linspace(x, x + width, len(signal)), y + signal, color=blue if name == "EEG" else red, linewidth=0.8)


# --- the splits


@style()
def held_out():
    """People x windows for every split, coloured by what one fold trains on and tests."""
    figure, axes = subplots(2, 3, figsize=(9.5, 5.2))
    figure.get_layout_engine().set(wspace=0.04, hspace=0.06)
    per_trial = n_seconds // splits.WINDOW_SECONDS
    for (split, words), panel in zip(titles.items(), axes.flat, strict=False):
        grid, leaked = roles(split)
        panel.pcolormesh(
            grid, cmap=matplotlib.colors.ListedColormap(list(shades.values())), vmin=0, vmax=2, ec="white", lw=0.4
        )
        for person, window in np.argwhere(leaked):
            panel.add_patch(patches.Rectangle((window, person), 1, 1, fill=False, hatch="////", ec="white", lw=0))
        for trial in range(1, n_stimuli):
            panel.axvline(trial * per_trial, color="black", linewidth=0.6)
        panel.set_xticks(np.arange(n_stimuli) * per_trial + per_trial / 2, range(1, n_stimuli + 1), fontsize=8)
        panel.set_yticks(np.arange(n_people) + 0.5, range(1, n_people + 1), fontsize=8)
        panel.tick_params(length=0)
        panel.invert_yaxis()
        panel.grid(visible=False)
        panel.set_title(split, fontsize=11, fontweight="bold")
        panel.set_xlabel(f"stimulus\n{words}", fontsize=9, linespacing=1.6)
        panel.set_ylabel("person", fontsize=9)
    handles = [patches.Patch(fc=colour, ec="#999999", label=name) for name, colour in shades.items()]
    axes[1, 2].set_axis_off()
    title = f"{n_seconds // per_trial} s windows of {n_people} people and {n_stimuli} stimuli\nin one of the folds\n"
    axes[1, 2].legend(handles=handles, loc="center", fontsize=10, title=title, title_fontsize=9)
    return figure


def roles(split):
    """What a fold does with every window, from the manifest's own code.

    Returns
    -------
    grid : numpy.ndarray, int, shape (people, stimuli * windows)
        Index into ``shades``.
    leaked : numpy.ndarray, bool, of the same shape
        Test windows of which a second is among the training rows of 1 s.
    """
    data = SimpleNamespace(
        name="",
        folder="",
        checksum="",
        subjects=[str(s) for s in range(n_people)],
        eeg=np.empty((n_people, n_stimuli, n_seconds)),
        seen=np.ones((n_people, n_stimuli), bool),
        groups=None,
    )
    per_trial = n_seconds // splits.WINDOW_SECONDS
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(Silence()):
        n_folds = 4 if split in ("window", "trial") else None  # else the split's own number
        settings = SimpleNamespace(RUN_DIR=folder, PROTOCOL=None, SPLIT=split, N_FOLDS=n_folds, SEED=0)
        fold = splits.load_or_create(settings, data).folds[drawn_fold]
    grid = np.zeros((n_people, n_stimuli * per_trial), int)
    leaked = np.zeros(grid.shape, bool)
    for value, part in enumerate((fold.train, fold.test), start=1):
        grid[np.ix_(part.subjects, part.rows["5s"])] = value
    seen = np.isin(splits.seconds_of_windows(fold.test.rows["5s"], n_seconds), fold.train.rows["1s"]).any(axis=1)
    both = np.intersect1d(fold.test.subjects, fold.train.subjects)
    leaked[np.ix_(both, fold.test.rows["5s"][seen])] = True
    return grid, leaked


if __name__ == "__main__":
    utils.base.errors.run(main)
