"""Output of a script: a progress bar on a terminal, lines in a log, nothing with --quiet."""

import functools
import os
import sys
from pathlib import Path

from tqdm import tqdm

from utils.base import ranks
from utils.base.errors import command
from utils.base.surroundings import ROOT, Silence


class Progress(tqdm):
    """A tqdm bar with time left and rate, drawn only on a terminal; elsewhere `note` prints ``lines``."""

    FORMAT = "{l_bar}{bar}| {remaining} left, {rate_fmt}{postfix}"  # leaves room for the note in 80 columns

    def __init__(self, *args, lines=True, **kwargs):
        silent = ranks.size() > 1 or Silence in (type(sys.stdout), type(sys.stderr))  # one terminal has one bar
        disable = True if silent else None  # None: unless standard error is a terminal
        self.lines = lines
        super().__init__(*args, disable=disable, bar_format=self.FORMAT, dynamic_ncols=True, **kwargs)

    def note(self, line, postfix=None):
        """Show ``postfix`` (or ``line``) behind the bar; print ``line`` if standard output is not a terminal."""
        if not self.disable:
            self.set_postfix_str(postfix or line)
        is_terminal = hasattr(sys.stdout, "isatty") and sys.stdout.isatty()  # a notebook's may lack it
        if self.lines and (self.disable or not is_terminal):
            print(line, flush=True)


def warn(text):
    """Print a warning on standard error, above the bar if there is one."""
    Progress.write(f"warning: {text}", file=sys.stderr)


@functools.cache
def say_once(line):
    """Print a line, once in a process."""
    Progress.write(line)


def duration(seconds):
    """A duration as text, rounded for an estimate."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}" if seconds < 10 * length else f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def say_next(script, *arguments):
    """Print the next command, ready to copy; not in the demo, which runs it."""
    if "PHYSIOSYNC_DEMO" not in os.environ:
        print(f"next: {next_command(script, *arguments)}")


def say_pretraining(data_dir, *flags):
    """Print the command that follows a preparation; the run directory has the name of the data."""
    where = ("--data-dir", data_dir, "--run-dir", f"runs/{Path(data_dir).name.lower()}")
    say_next("main_pretrain_1s.py", *where, "--recipe", "robust", *flags)


def next_command(script, *arguments):
    """A command, ready to copy; a path inside the working directory is shown relative to it."""
    here = Path.cwd()
    words = [script if here == ROOT else str(ROOT / script)]
    for argument in arguments:
        if isinstance(argument, Path):
            path = argument.relative_to(here) if argument.is_absolute() and argument.is_relative_to(here) else argument
            argument = f"{os.curdir}{os.sep}{path}" if str(path).startswith("-") else path  # else it looks like a flag
        words.append(str(argument))
    return f"python {command(words)}"
