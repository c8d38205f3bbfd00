"""Files are written under a temporary name and renamed, so that a reader never sees a part."""

import contextlib
import csv
import glob
import hashlib
import io
import itertools
import json
import os
import re
import secrets
import shutil
import signal
import socket
import threading
import unicodedata
from pathlib import Path

from utils.base.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two processes apart there
    fcntl = None


@contextlib.contextmanager
def finish_first():
    """Ctrl-C and SIGTERM wait until the block ends, for what must be written whole or together."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = []
    before = {s: signal.signal(s, lambda *_: caught.append(True)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if caught:
        raise KeyboardInterrupt


@contextlib.contextmanager
def atomic(path):
    """Open a temporary file for writing bytes; it takes the name ``path`` only if the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with finish_first():
        file, temporary = _open_temporary(path)
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if fcntl is not None:  # while it is locked
                    os.replace(temporary, path)
            if fcntl is None:  # Windows does not rename an open file
                os.replace(temporary, path)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(path)
            raise


def _open_temporary(path):
    """A file beside ``path`` of a name that no other process has; those that killed processes left are removed."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        with contextlib.suppress(OSError):  # locked, on Windows open: a process writes it
            if fcntl is not None:
                with open(left, "r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    left.unlink()
            else:
                left.unlink()
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        try:
            file = open(temporary, "xb")  # noqa: SIM115 (the caller closes it)
        except OSError as error:
            error.filename = str(path)
            raise
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        if _same_file(file, temporary):
            return file, temporary
        file.close()  # a process that looked before it was locked has removed it


@contextlib.contextmanager
def only_writer(path, wait=False):
    """Lock a file or folder against other writers, up to the process's end; ``wait`` for them, or raise InputError."""
    path = Path(path)
    if fcntl is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    while True:
        file = open(lock, "a+", encoding="utf-8")  # noqa: SIM115 (open as long as the lock is held)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            who = file.read().strip() or "another process"
            file.close()
            remedy = "wait for it to end, or choose another folder"
            raise InputError(f"{path} is being written by {who}; {remedy}") from None
        except OSError:  # a file system without locks
            pass
        if _same_file(file, lock):
            break
        file.close()  # its last holder has just removed it
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
    finally:
        lock.unlink(missing_ok=True)
        file.close()


def _same_file(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def atomic_folder(folder, flag):
    """Yield a temporary folder that is renamed to ``folder``, new or empty, if the block ends well."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{flag} {folder} already exists; delete it or choose another folder")
    temporary = folder.with_name(f".{folder.name}.partial")
    new = [parent for parent in folder.parents if not parent.exists()]
    try:
        with only_writer(folder):
            shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
            try:
                temporary.mkdir(parents=True)
                yield temporary
                os.replace(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except BaseException:
        with contextlib.suppress(OSError):  # somebody else has put something there
            for parent in new:
                parent.rmdir()
        raise


def write_text(path, text):
    """Write a text file (UTF-8), atomically; bytes of a file's name that are no text become escapes like JSON's."""
    with atomic(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def safe_name(text, taken=None):
    """A file name from any text: letters, digits and ``_ + - .``, as long as file systems allow.

    It is added to ``taken`` and differs from those there, also without regard to case and Unicode form.
    """
    name = re.sub(r"[^\w+.-]+", "_", unicodedata.normalize("NFKC", text)).encode()[:150].decode(errors="ignore")
    name = name.lstrip(".-") or "_"
    numbers = (f"{name}-{number}" for number in itertools.count(2))
    while taken is not None and name.casefold() in taken:
        name = next(numbers)
    if taken is not None:
        taken.add(name.casefold())
    return name


def check_new_file(path, flag):
    """Refuse an output file that exists or cannot be made, before any work; ``flag`` names it in the message."""
    if os.path.lexists(path):
        raise InputError(f"{flag}: {path} already exists; delete it or choose another name")
    folder = next((parent for parent in path.absolute().parents if os.path.lexists(parent)), None)
    if folder is not None and not folder.is_dir():
        raise InputError(f"{flag} {path}: {folder} is a file, not a folder; choose another name")
    if folder is not None and not os.access(folder, os.W_OK):
        raise InputError(f"{flag} {path}: you may not write into {folder}; choose another folder")


def write_json(path, value):
    """Write a JSON file for people to read, atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path, header, rows):
    """Write a table as CSV, atomically."""
    csv.writer(text := io.StringIO(), lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())


def read_json(path, remedy):
    """Parse a JSON object; a missing or broken file is an `InputError` that ends in ``remedy``."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a JSON file ({error}); {remedy}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} does not hold a JSON object; {remedy}")
    return value


def sha256(path):
    """Checksum of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
