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
import socket
import unicodedata
from pathlib import Path

from utils.base.errors import InputError
from utils.base.surroundings import signals_call

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two processes apart there
    fcntl = None


@contextlib.contextmanager
def finish_first():
    """Ctrl-C and SIGTERM wait until the block ends, for what must be written whole or together."""
    caught = []
    with signals_call(lambda *_: caught.append(True)):
        yield
    if caught:
        raise KeyboardInterrupt


@contextlib.contextmanager
def atomic(path):
    """Open a temporary file for writing bytes; it takes the name ``path`` only if the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    with finish_first():
        _remove_left_by_killed(path)
        try:
            with _open_locked(temporary, "x") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if fcntl is not None:  # while it is locked
                    os.replace(temporary, path)
            if fcntl is None:  # Windows does not rename an open file
                os.replace(temporary, path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            if isinstance(error, OSError) and error.filename in (None, str(temporary)):
                error.filename = str(path)
            raise


def _remove_left_by_killed(path):
    """Remove the temporary files of ``path`` that no process writes: those are locked, or open on Windows."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        with contextlib.suppress(OSError):
            if fcntl is None:
                left.unlink()
                continue
            with open(left, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()


def _open_locked(path, mode, wait=True):
    """Open a file of bytes and lock it, where there are locks; BlockingIOError if another process holds it."""
    while True:
        file = open(path, mode + "b")  # noqa: SIM115 (the caller closes it)
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.close()
            raise
        except OSError:  # a file system without locks
            pass
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        file.close()  # another process has removed it before it was locked


@contextlib.contextmanager
def only_writer(path, wait=False):
    """Lock a file or folder against other writers, up to the process's end; ``wait`` for them, or raise InputError."""
    path = Path(path)
    if fcntl is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    try:
        file = _open_locked(lock, "a+", wait)
    except BlockingIOError:
        who = "another process"
        with contextlib.suppress(FileNotFoundError):
            who = lock.read_text(encoding="utf-8") or who
        raise InputError(path, f"is being written by {who}", "wait for it to end, or choose another folder") from None
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        file.flush()
        yield
    finally:
        lock.unlink(missing_ok=True)
        file.close()


@contextlib.contextmanager
def atomic_folder(folder, flag):
    """Yield a temporary folder that is renamed to ``folder``, new or empty, if the block ends well."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{flag} {folder}", "already exists", "delete it or choose another folder")
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


def safe_name(text, taken):
    """A file name from any text, which differs from those ``taken`` regardless of case, and is added to them."""
    name = re.sub(r"[^\w+.-]+", "_", unicodedata.normalize("NFKC", text)).encode()[:150].decode(errors="ignore")
    stem = name = name.lstrip(".-") or "_"
    numbers = itertools.count(2)
    while name.casefold() in taken:
        name = f"{stem}-{next(numbers)}"
    taken.add(name.casefold())
    return name


def check_new_file(path, flag):
    """Refuse an output file that exists or cannot be made, before any work; ``flag`` names it in the message."""
    if os.path.lexists(path):
        raise InputError(f"{flag}: {path}", "already exists", "delete it or choose another name")
    folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not folder.is_dir():
        raise InputError(f"{flag} {path}:", f"{folder} is a file, not a folder", "choose another name")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{flag} {path}:", f"you may not write into {folder}", "choose another folder")


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
        raise InputError(path, "does not exist", remedy) from None
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"is not a JSON file ({error})", remedy) from None
    if not isinstance(value, dict):
        raise InputError(path, "does not hold a JSON object", remedy)
    return value


def sha256(path):
    """Checksum of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
