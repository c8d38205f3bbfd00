"""Restores what a script changed in the process when it ends, as it may run in a notebook."""

import contextlib
import io
import os
import signal
import sys
import threading
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_running = []  # an ExitStack for each script that runs in this process, the innermost last


class Silence(io.TextIOBase):
    """What --quiet puts in the place of standard output: everything printed is dropped."""

    def write(self, text):
        """Drop ``text``."""
        return len(text)


@contextlib.contextmanager
def left_as_found(main):
    """Restore what a script changes: streams, signals, environment, warnings, PyTorch's settings, the import path."""
    with contextlib.ExitStack() as stack:
        if not _running and "physiosync" in sys.modules:
            stack.callback(sys.modules["physiosync"].put_back)
        _running.append(stack)
        stack.callback(_running.remove, stack)
        if main.__globals__.get("__spec__") is None:  # of a script that runs, not of a module that was imported
            stack.callback(_forget_path, main.__globals__.get("__file__"))
        stack.callback(os.environ.update, dict(os.environ))
        stack.callback(os.environ.clear)  # first, as the last callback is called first
        stack.enter_context(warnings.catch_warnings())
        _use_streams(stack)
        stack.enter_context(signals_call(signal.default_int_handler))  # a shell starts background jobs without them
        if "torch" in sys.modules:
            _keep_torch(stack, sys.modules["torch"])
        yield


def at_end(function, *arguments):
    """Call a function when the script that runs now has ended; where none runs, it is not called."""
    if _running:
        _running[-1].callback(function, *arguments)


def _forget_path(script):
    """Take back a script's own ``sys.path.insert``; those in the root need none."""
    if script and Path(script).resolve().parent != ROOT and str(ROOT) in sys.path:
        sys.path.remove(str(ROOT))


def _use_streams(stack):
    """Standard output and error that take every character, and are there (Windows' pythonw has none)."""
    for stream, redirect in ((sys.stdout, contextlib.redirect_stdout), (sys.stderr, contextlib.redirect_stderr)):
        stack.enter_context(redirect(stream or Silence()))
        if hasattr(stream, "reconfigure"):
            stack.callback(_set_errors, stream, stream.errors)
            stream.reconfigure(errors="backslashreplace")  # what the terminal's encoding lacks, such as the sign of ±


def _set_errors(stream, errors):
    with contextlib.suppress(OSError, ValueError):  # closed
        stream.reconfigure(errors=errors)


@contextlib.contextmanager
def signals_call(handler):
    """Ctrl-C and SIGTERM call ``handler`` within the block; only the main thread may set this, and does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, previous in before.items():
            if previous is not None:  # None: set by something else than Python, and out of reach
                signal.signal(number, previous)


def _keep_torch(stack, torch):
    """Threads, precision and random numbers of PyTorch, as they are now."""
    stack.callback(torch.set_num_threads, torch.get_num_threads())
    stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
    stack.callback(torch.set_rng_state, torch.get_rng_state())
    if torch.cuda.is_initialized():
        stack.callback(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())
        stack.callback(torch.cuda.set_device, torch.cuda.current_device())
