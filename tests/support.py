"""Helpers of the tests: run a script as a user would, make small data."""

import ast
import contextlib
import io
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.messages import kinds_of, patterns
from utils.base.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
TINY = ["--embed-dim", "8", "--projector-dims", "8,8,8"]


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


def run(script, *flags, cwd=ROOT, python=(), env=None):
    """Run a script of the repository in a process of its own."""
    command = [sys.executable, *python, str(ROOT / script), *map(str, flags)]
    env = {**os.environ, **(env or {})}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=env, timeout=600)
    return Outcome(done.returncode, done.stdout, done.stderr)


def call(script, *flags):
    """Run a script's file as the main program, but in this process: no wait for the imports."""
    out, err, argv, path = io.StringIO(), io.StringIO(), sys.argv, list(sys.path)
    sys.argv = [str(ROOT / script), *map(str, flags)]
    status = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_path(str(ROOT / script), run_name="__main__")
    except SystemExit as stop:
        status = stop.code or 0
    finally:
        sys.argv, sys.path = argv, path
    return Outcome(status, out.getvalue(), err.getvalue())


def done(script, *flags):
    """Run in this process what must succeed; its standard output."""
    outcome = call(script, *flags)
    assert outcome.status == 0, outcome.err
    return outcome.out


def assert_refused(outcome, kind, *where):
    """Exit status 2 and one line on standard error, of this kind (`says`); no traceback."""
    lines = [line for line in outcome.err.splitlines() if line.strip()]
    assert outcome.status == 2, outcome
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("error: "), outcome.err
    says(lines[0], kind, *where)


@contextlib.contextmanager
def refused(kind, *where, error=InputError):
    """An exception of this kind (`says`), in place of ``pytest.raises``."""
    with pytest.raises(error) as caught:
        yield caught
    says(str(caught.value), kind, *where)


def says(text, kind, *where):
    """A message of a kind of `tests/messages.txt`, or of any if None, that names the files, flags and values."""
    assert kind is None or kind in kinds_of(text), f"not {kind}, but {kinds_of(text)}: {text}"
    for part in where:
        assert str(part) in text, f"{part!r} is not in {text!r}"


def lines_of(text, kind):
    """The lines on standard error that are a message of this kind."""
    assert kind in patterns(), f"tests/messages.txt has no {kind}"
    return [line for line in text.splitlines() if kind in kinds_of(line)]


def imported(path):
    """Files of ours that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name == "physiosync":  # what every script imports first
                continue
            part = ROOT / name.replace(".", "/")
            yield from (p for p in (part.with_suffix(".py"), part / "__init__.py") if p.exists())
