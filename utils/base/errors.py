"""One clear line instead of a traceback."""

import contextlib
import errno
import importlib.util
import os
import re
import shlex
import signal
import sys
from pathlib import Path

from utils.base.surroundings import ROOT, left_as_found

NEEDED = ("torch", "numpy", "scipy", "sklearn", "tqdm", "matplotlib", "jinja2")  # of requirements.txt
LONGEST = 290  # characters of a message, whatever it quotes
LONGEST_WORD = 120  # of a path or a value in it, where the message is too long
SIGPIPE = 13  # its number where there is one; Windows has none


class InputError(Exception):
    """Something the user gave is wrong; ``where what; remedy`` in one line: the file or flag, the cause, what to do."""

    def __init__(self, where, what="", remedy=""):
        self.where, self.what, self.remedy = (str(where), what, remedy) if what else ("", str(where), remedy)
        sentence = " ".join(filter(None, (self.where, self.what)))
        super().__init__(one_line("; ".join(filter(None, (sentence, self.remedy)))))


def one_line(message):
    """A message as one line, first its longest words and then the whole shortened in the middle if need be."""
    message = " ".join(message.split())
    if len(message) > LONGEST:
        message = re.sub(r"\S+", lambda word: shorten(word[0], LONGEST_WORD), message)
    return shorten(message, LONGEST)


def shorten(text, longest):
    """A text of at most so many characters; of a longer one the beginning and the end, where the file's name is."""
    if len(text) <= longest:
        return text
    n = longest - 5
    return f"{text[: n // 2]} ... {text[len(text) - (n - n // 2) :]}"


def run(main):
    """Call a script's ``main()``; a user's error is one line and exit status 2, Ctrl-C and SIGTERM are status 130."""
    if signal.getsignal(signal.SIGINT) is _ended_early:
        signal.signal(signal.SIGINT, _handler_before or signal.default_int_handler)
    with left_as_found(main):
        try:
            main()
            sys.stdout.flush()
        except InputError as error:
            _fail(error, 2)
        except MemoryError:
            _fail(_out_of_memory(main), 2)
        except BrokenPipeError:  # who read the output has ended, as in: python ... | head -1
            if sys.stdout is sys.__stdout__:  # let Python not try to write the rest of it at its end
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + SIGPIPE)
        except OSError as error:
            _fail(_cannot(error, main), 2)
        except KeyboardInterrupt:
            launcher = "torchrun ..." if "TORCHELASTIC_RUN_ID" in os.environ else "python"
            again = os.environ.get("PHYSIOSYNC_DEMO") or f"{launcher} {command(sys.argv)}"
            _fail(f"interrupted; to go on from what is complete: {again}", 130)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            _fail(_out_of_memory(main), 2)


def is_out_of_memory(error):
    """Whether an exception of PyTorch says that there is no memory left, on a GPU or off it."""
    return type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)


def _out_of_memory(main):
    """The remedy depends on the script's constants, found in its ``main``'s globals."""
    if "BATCH_SIZE" not in main.__globals__:
        return "out of memory; end other programs, or use a machine with more"
    gpu = ", or on a GPU --precision bf16" if "PRECISION" in main.__globals__ else ""
    return f"out of memory; use a smaller --batch-size or fewer channels{gpu}"


def _cannot(error, main):
    """An error of the system in words, with what to do about that one."""
    name = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOMEM:
        return name + _out_of_memory(main)
    remedies = {
        FileExistsError: "a file is in the way of a folder; give another path",
        NotADirectoryError: "a file is in the way of a folder; give another path",
        IsADirectoryError: "give a file, not a folder",
        FileNotFoundError: "check the path",
        PermissionError: "check its permissions, or give another path",
    }
    remedy = remedies.get(type(error), "check the path, its permissions and the free disk space")
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):  # no space, or no quota, which Windows lacks
        remedy = "free some space; the same command goes on from what is complete"
    return f"{name}{error.strerror or error}; {remedy}"


def command(words):
    """A command line for a POSIX shell; what cannot be printed, such as a line break, is written as its bytes."""
    return " ".join(shlex.quote(word) if word.isprintable() else _quote_bytes(word) for word in map(str, words))


def _quote_bytes(word):
    is_shown = {byte: 32 <= byte < 127 and byte not in b"'\\" for byte in range(256)}
    letters = (chr(byte) if is_shown[byte] else f"\\x{byte:02x}" for byte in os.fsencode(word))
    return f"$'{''.join(letters)}'"


def _fail(message, status):
    with contextlib.suppress(BrokenPipeError):
        print(f"error: {message}" if status == 130 else f"error: {one_line(str(message))}", file=sys.stderr)
    sys.exit(status)


def _look_at_packages():
    """The first command of somebody who forgot the environment: one line, as this module comes before all packages."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        remedy = "source .venv/bin/activate in the project's folder first, or python -m pip install -r requirements.txt"
        _fail(f"this Python ({sys.executable}) has no {', '.join(missing)}; {remedy}", 2)


def _ended_early(number, frame):
    """Ctrl-C while a script's libraries are loaded, before it has begun: one line."""
    print("error: interrupted before it began; nothing was written", file=sys.stderr, flush=True)
    os._exit(130)


_look_at_packages()
_script = Path(sys.argv[0] if sys.argv else os.sep).resolve()
if ROOT in (_script.parent, _script.parent.parent):  # one of ours, and not a test runner or a notebook
    with contextlib.suppress(ValueError):  # not in the main thread, which alone may do this
        _handler_before = signal.signal(signal.SIGINT, _ended_early)
