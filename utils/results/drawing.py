"""The style of all figures; the user's Matplotlib settings are neither used nor changed."""

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

from utils.base.errors import shorten

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DPI = 200  # of PNG files, sharp on a phone too
LONGEST_NAME = 40  # characters of a name in a figure
STYLE = Path(__file__).parent / "templates" / "figures.mplstyle"


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


def plain(name):
    """A name as a figure can show it: one short line of printable characters."""
    name = " ".join(str(name).encode("utf-8", "backslashreplace").decode().split())
    return shorten("".join(letter if letter.isprintable() else "?" for letter in name), LONGEST_NAME)


def subplots(n_rows=1, n_columns=1, *, figsize, **options):
    """A figure and its panels, like pyplot's function of this name, but without global state."""
    figure = Figure(figsize=figsize, layout="constrained")
    return figure, figure.subplots(n_rows, n_columns, **options)
