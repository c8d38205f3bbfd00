"""How figures are drawn: in one style, with nothing of the user's Matplotlib used or changed."""

import contextlib
import functools
import io
import os
import sys
import warnings


@contextlib.contextmanager
def _whatever_backend():
    """Let Matplotlib be imported whatever MPLBACKEND says: a notebook exports a backend that is not here."""
    name = os.environ.pop("MPLBACKEND", None)
    new = "matplotlib" not in sys.modules
    try:
        yield
    finally:
        if name is not None:
            os.environ["MPLBACKEND"] = name
            with contextlib.suppress(ValueError):
                if new:  # what Matplotlib does itself, for whoever draws with pyplot afterwards
                    matplotlib.rcParams["backend"] = name


with _whatever_backend():
    import matplotlib
    import matplotlib.style
    from cycler import cycler
    from matplotlib.figure import Figure  # not pyplot, which would choose a backend

from utils.base.errors import shorten

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DPI = 200  # of PNG files, sharp on a phone too
LONGEST_NAME = 40  # characters of a name in a figure

STYLE = {
    "savefig.dpi": DPI,
    "savefig.bbox": "tight",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    "text.parse_math": False,  # a $ in somebody's name is no formula
    "svg.hashsalt": "PhysioSync",  # the same picture, the same bytes
}


@contextlib.contextmanager
def style():
    """The style of these figures and nothing of the user's, who has theirs back afterwards."""
    with matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", r"Glyph \d+ .*missing from", UserWarning
        )  # a name in a script that is not there
        yield


def styled(draw):
    """Decorate a function that makes a figure, for the figure to have this style."""

    @functools.wraps(draw)
    def drawn(*args, **kwargs):
        with style():
            return draw(*args, **kwargs)

    return drawn


def image(figure, kind, **options):
    """A figure as the bytes of a file; ``options`` are those of Matplotlib's ``savefig``."""
    content = io.BytesIO()
    with style():
        figure.savefig(content, format=kind, **options)
    return content.getvalue()


def plain(name):
    """A name from outside as a figure can show it: one line, not long, without what no font and no file can have."""
    name = " ".join(str(name).encode("utf-8", "backslashreplace").decode().split())
    return shorten("".join(letter if letter.isprintable() else "?" for letter in name), LONGEST_NAME)


def subplots(n_rows=1, n_columns=1, *, figsize, **options):
    """A figure and its panels; what pyplot's function of this name does, without anything global."""
    figure = Figure(figsize=figsize, layout="constrained")
    return figure, figure.subplots(n_rows, n_columns, **options)
