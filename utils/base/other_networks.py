"""Networks from braindecode and the user's own files: a class by its name, and a network by four arguments.

A network takes ``n_chans``, ``n_times``, ``sfreq`` and ``n_outputs`` by keyword and maps windows (n, n_chans, n_times)
to class scores (n, n_outputs). Names are those of braindecode's newest release; in earlier ones some are longer.
"""

import contextlib
import difflib
import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from utils.base.errors import InputError, is_out_of_memory
from utils.base.identity import code_hash
from utils.base.progress import say_once

FORMER = {"EEGNet": "EEGNetv4"}  # in releases up to 0.8
REMEDY = "python -m pip install -r requirements-networks.txt"


@dataclass(frozen=True)
class OtherNetwork:
    """A class of networks, and where it comes from."""

    name: str  # of the class, for folders and tables
    make: Callable
    version: str  # the package and its release, or the file's name and the checksum of its code
    file: Path | None = None
    code: dict = field(default_factory=dict)  # that checksum by the file's name (`utils.base.identity`)

    @property
    def kind(self):
        """The name or the file by which `find` finds it again, from any folder."""
        return f"{self.file}:{self.name}" if self.file else self.name

    def build(self, n_chans, n_times, sfreq, n_outputs, **arguments):
        """A network on the CPU, after checking that it maps windows to class scores."""
        with in_one_line(self.name, self.file):
            network = self.make(n_chans=n_chans, n_times=n_times, sfreq=sfreq, n_outputs=n_outputs, **arguments)
            network.eval()
            for n in (2, 1):
                x = torch.randn(n, n_chans, n_times, generator=torch.Generator().manual_seed(0))
                with torch.no_grad():
                    scores = network(x)
                shape = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
                if shape != (n, n_outputs):
                    what = f"maps windows {tuple(x.shape)} to {shape}, not to class scores ({n}, {n_outputs})"
                    raise InputError(self.name, what)
        return network.train()


def find(asked, flag, version=None):
    """The network called ``EEGNet``, or ``my_net.py:Net`` for one in a file, refused if it has another ``version``."""
    path, is_file, name = asked.rpartition(":")
    if is_file:
        return _of_file(Path(path).absolute(), name, f"{flag} {asked}", version)
    return _of_braindecode(name, f"{flag} {asked}", version)


def _of_braindecode(name, where, version):
    with warnings.catch_warnings(action="ignore"):
        try:
            _import_torchaudio()
            module = importlib.import_module("braindecode.models")
        except (ImportError, OSError) as error:
            raise InputError(f"{where}:", f"braindecode cannot be imported ({error})", REMEDY) from None
    package = f"braindecode {importlib.metadata.version('braindecode')}"
    _refuse_other(package, version, where)
    networks = {key: value for key, value in vars(module).items() if _is_network(value)}
    make = networks.get(name) or networks.get(FORMER.get(name))
    if make is None:
        near = " or ".join(difflib.get_close_matches(name, networks, n=2))
        remedy = f"did you mean {near}?" if near else "give one of its models, or a class of your own as my_net.py:Net"
        raise InputError(f"{where}:", f"there is none of this name in {package}", remedy)
    lengths = {"final_conv_length", "final_fc_length"} & set(inspect.signature(make).parameters)
    return OtherNetwork(name, functools.partial(make, **dict.fromkeys(lengths, "auto")), package)  # as the windows are


def _of_file(path, name, where, version):
    if path.suffix != ".py" or not path.is_file():
        remedy = "give the file and a class in it, my_net.py:Net"
        raise InputError(f"{where}:", f"{path} is not a Python file", remedy)
    source = path.read_bytes()
    with in_one_line(path.name, path):
        code = {path.name: code_hash(source.decode("utf-8"))}
        _refuse_other(f"{path.name} {code[path.name]}", version, where)  # before the file is run
        if version is not None:
            say_once(f"running {path}, as {where} asks for the network in it")
        module = _run_file(f"networks_of_{hashlib.sha256(source).hexdigest()}", path)  # once in a process
    networks = {key: value for key, value in vars(module).items() if _is_network(value)}
    if name not in networks:
        what = f"{path.name} has no torch.nn.Module {name}; it has {', '.join(networks) or 'none'}"
        raise InputError(f"{where}:", what)
    return OtherNetwork(name, networks[name], f"{path.name} {code[path.name]}", path, code)


def _refuse_other(version, wanted, where):
    if wanted not in (None, version):
        raise InputError(where, f"was {wanted} before, and is {version} now", "put that back, or train again")


def _import_torchaudio():
    """Import torchaudio for braindecode, without its compiled part if that does not load, as where there is no CUDA."""
    if importlib.util.find_spec("torchaudio") is None:  # braindecode up to 0.8 needs none
        return
    try:
        importlib.import_module("torchaudio")
    except OSError:
        for name in [name for name in sys.modules if name.startswith("torchaudio")]:
            del sys.modules[name]
        path = Path(importlib.util.find_spec("torchaudio").origin).with_name("_extension") / "utils.py"
        module = _run_file("torchaudio._extension.utils", path)
        module._load_lib = lambda name: False  # what it answers where the compiled part is not there
        importlib.import_module("torchaudio")


def _run_file(name, path):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        sys.path.append(str(path.parent))  # for what it imports from files beside it
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        finally:
            sys.path.remove(str(path.parent))
    return sys.modules[name]


def _is_network(value):
    return inspect.isclass(value) and issubclass(value, nn.Module)


@contextlib.contextmanager
def in_one_line(what, file=None):
    """Turn an error of somebody else's network into one line, with the line of ``file`` in which it happened."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except (InputError, MemoryError, OSError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        where = f" (line {lines[-1]} of {Path(file).name})" if lines else ""
        raise InputError(f"{what}: {type(error).__name__}{where}: {error}") from error
