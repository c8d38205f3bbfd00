"""Networks from braindecode and the user's own files: a class by its name, and a network by four arguments.

A network takes ``n_chans``, ``n_times``, ``sfreq`` and ``n_outputs`` by keyword and maps windows (n, n_chans, n_times)
to class scores (n, n_outputs). Names are those of braindecode's newest release; in earlier ones some are longer.
"""

import ast
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
from utils.base.surroundings import ROOT

FORMER = {"EEGNet": "EEGNetv4"}  # in releases up to 0.8
REMEDY = "python -m pip install -r requirements-networks.txt"
ONLY_5S = "n_times is less than at 5 s; for 5 s only, use main_pretrain_5s.py and fine_tuning.py --resolutions 5s"
_modules = {}  # that networks imported from their folders, by the networks' checksum
PROJECT = ["models", "utils", "data_prep", "benchmarks", "physiosync"]  # whose code a result records anyway


@dataclass(frozen=True)
class OtherNetwork:
    """A class of networks, and where it comes from."""

    name: str  # of the class, for folders and tables
    make: Callable
    version: str  # the package and its release, or the names and checksums in ``code``
    file: Path | None = None
    code: dict = field(default_factory=dict)  # checksums (`utils.base.identity`) of the file and of those it imports
    importing: Callable = contextlib.nullcontext  # in which the file can import from its folder

    @property
    def kind(self):
        """The name or the file by which `find` finds it again, from any folder."""
        return f"{self.file}:{self.name}" if self.file else self.name

    def build(self, n_chans, n_times, sfreq, n_outputs, as_encoder=False, **arguments):
        """A network on the CPU, after checking that it maps windows to class scores."""
        with self.importing():
            return self._build(n_chans, n_times, sfreq, n_outputs, as_encoder, **arguments)

    def _build(self, n_chans, n_times, sfreq, n_outputs, as_encoder, **arguments):
        asked = dict(n_chans=n_chans, n_times=n_times, sfreq=sfreq, n_outputs=n_outputs)
        remedy = ONLY_5S if as_encoder and n_times == sfreq else ""
        called = ", ".join(f"{name}={value}" for name, value in asked.items())
        with in_one_line(f"{self.name}({called})", self.file, remedy):
            network = self.make(**asked, **arguments)
            network.eval()
        for n in (2, 1):
            x = torch.randn(n, n_chans, n_times, generator=torch.Generator().manual_seed(0))
            windows = f"windows {tuple(x.shape)}, float32"
            with torch.no_grad(), in_one_line(f"{self.name} given {windows}", self.file, remedy):
                scores = network(x)
            shape = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
            if shape != (n, n_outputs):
                what = f"maps windows {tuple(x.shape)} to {shape}, not to class scores ({n}, {n_outputs})"
                raise InputError(self.name, what)
            if not scores.isfinite().all():
                raise InputError(self.name, "maps random windows to scores that are not finite")
            if (scores >= 0).all() and _add_to_one(scores):
                raise InputError(self.name, "ends in a softmax", "return class scores, without softmax")
            if as_encoder and _add_to_one(scores.exp()):
                raise InputError(self.name, "ends in a log-softmax", "return class scores, without log_softmax")
        return network.train()


def _add_to_one(scores):
    return torch.allclose(scores.double().sum(1), torch.ones(len(scores), dtype=torch.float64), atol=1e-4)


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
    networks = _networks_of(module)
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
    with in_one_line(path.name, path):
        files = _files(path)
        code = {
            file.relative_to(path.parent).as_posix(): code_hash(file.read_text(encoding="utf-8"))
            for file in files.values()
        }
        now = ", ".join(f"{file} {checksum}" for file, checksum in code.items())
        if version != f"{path.name} {code[path.name]}":  # of checkpoints from before imported files were recorded
            _refuse_other(now, version, where)  # before the file is run
        if version is not None:
            say_once(f"running {path}, as {where} asks for the network in it")
        checksum = hashlib.sha256(f"{path} {now}".encode()).hexdigest()
        importing = functools.partial(_importing, path, files, _modules.setdefault(checksum, {}))
        with importing():
            module = _run_with_imports(path, files, checksum)
    networks = _networks_of(module)
    if name not in networks:
        what = f"{path.name} has no torch.nn.Module {name}; it has {', '.join(networks) or 'none'}"
        raise InputError(f"{where}:", what)
    return OtherNetwork(name, networks[name], now, path, code, importing)


def _files(path):
    """A file, and what it imports from its own folder, directly or through each other, by module; runs none of it."""
    files, waiting = {}, {"": path}
    while waiting:
        module, file = waiting.popitem()
        files[module] = file
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(file.read_bytes(), file.name)):
            for name in _imported(node, package):
                if name in files or (path.parent == ROOT and name.split(".")[0] in PROJECT):
                    continue
                place = path.parent / name.replace(".", "/")
                for file in (place / "__init__.py", Path(f"{place}.py")):
                    if file.is_file():
                        waiting.setdefault(name, file)
    return files


def _imported(node, package):
    """Full names of the modules that a statement may import, and of the packages that they are in."""
    names = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        start = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        names = [f"{start}.{alias.name}" for alias in node.names]
    return [".".join(name.split(".")[:n]) for name in names for n in range(1, name.count(".") + 2)]


@contextlib.contextmanager
def _importing(path, files, modules):
    """Let a network's file import from its folder, for itself alone; ``modules`` has what it imported so far."""
    before = set(sys.modules)
    sys.path.append(str(path.parent))
    sys.modules.update(modules)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(path.parent))
        for name in (sys.modules.keys() - before) & files.keys():
            modules[name] = sys.modules.pop(name)


def _run_with_imports(path, files, checksum):
    """Run a file, once in a process."""
    for name in {name.split(".")[0] for name in files if name}:
        spec, place = importlib.util.find_spec(name), path.parent.resolve() / name
        origin = Path(spec.origin or next(iter(spec.submodule_search_locations)))  # the folder, without __init__.py
        if origin.resolve() not in (place, place / "__init__.py", Path(f"{place}.py")):
            raise InputError(path, f"imports {name} from its folder, which {origin} hides", "rename it")
    return _run_file(f"network_{checksum}", path)


def _refuse_other(version, wanted, where):
    if wanted not in (None, version):
        before, now = wanted.split(", "), version.split(", ")
        before, now = (", ".join(part for part in a if part not in b) for a, b in ((before, now), (now, before)))
        what = f"was {before or 'not this'} before, and is {now or 'without that'} now"
        raise InputError(where, what, "put that back, or train again")


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
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _networks_of(module):
    return {name: value for name, value in inspect.getmembers(module, inspect.isclass) if issubclass(value, nn.Module)}


@contextlib.contextmanager
def in_one_line(what, file=None, remedy=""):
    """Turn an error of another network into one line, with the line of ``file`` in which it happened."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except (InputError, MemoryError, OSError):
        raise
    except Exception as error:
        if is_out_of_memory(error) or "Dist" in type(error).__name__ or "gloo" in str(error):  # another process ended
            raise
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        where = f" (line {lines[-1]} of {Path(file).name})" if lines else ""
        remedy = "" if isinstance(error, TypeError) else remedy  # called with what it does not take
        raise InputError(f"{what}:", f"{type(error).__name__}{where}: {error}", remedy) from error
