"""Networks of others, from braindecode, and of the user's own: a class by its name, and a network by four arguments.

A network takes ``n_chans``, ``n_times``, ``sfreq`` and ``n_outputs`` by keyword and maps windows (n, n_chans, n_times)
to class scores (n, n_outputs). Names are those of braindecode's newest release; in earlier ones some are longer.
"""

import contextlib
import difflib
import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

import models
from models.adapted import AdaptedEncoder
from utils.base.errors import InputError, is_out_of_memory
from utils.base.identity import code_hash

FORMER = {"EEGNet": "EEGNetv4", "TSception": "TSceptionV1"}  # in releases up to 0.8
N_OUTPUTS = 2  # of a network whose last layer will be taken off
REMEDY = "python -m pip install -r requirements-networks.txt"


@dataclass(frozen=True)
class OtherNetwork:
    """A class of networks, and where it comes from.

    Attributes
    ----------
    name : str
        Of the class, for folders and tables.
    make : type
    origin : dict of str to str
        ``package`` (with its version), or ``file`` (its path) and ``sha256``.
    code : dict of str to str
        Checksum of the file by its name (`utils.base.identity`); empty for a package.
    """

    name: str
    make: type
    origin: dict
    code: dict = field(default_factory=dict)

    def build(self, n_chans, n_times, sfreq, n_outputs, **arguments):
        """A network on the CPU, after checking that it maps windows to class scores."""
        with in_one_line(self.name, self.origin.get("file")):
            network = self.make(n_chans=n_chans, n_times=n_times, sfreq=sfreq, n_outputs=n_outputs, **arguments)
            network.eval()
            for n in (2, 1):
                x = torch.randn(n, n_chans, n_times, generator=torch.Generator().manual_seed(0))
                with torch.no_grad():
                    scores = network(x)
                if not isinstance(scores, torch.Tensor) or scores.shape != (n, n_outputs):
                    shape = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
                    raise InputError(
                        f"{self.name} maps windows {tuple(x.shape)} to {shape}, not to class scores ({n}, {n_outputs})"
                    )
        return network.train()

    def encoder(self, sfreq, origin, **arguments):
        """The network as an encoder of `models.build`; one of another release or file than ``origin`` is refused."""
        if origin != self.version:
            made, now = (f"{self.name} of {text}" for text in (origin, self.version))
            raise InputError(f"the encoder was pre-trained as {made}, and this is {now}: put that back, or pre-train again")
        with torch.device("cpu"), in_one_line(self.name, self.origin.get("file")):
            network = self.build(arguments["n_channels"], arguments["n_samples"], sfreq, N_OUTPUTS)
            return AdaptedEncoder(network, N_OUTPUTS, sfreq=sfreq, origin=origin, **arguments)

    @property
    def version(self):
        """Of the package, or of the file's code."""
        return self.origin.get("package") or "".join(f"{name} {code}" for name, code in self.code.items())

    @property
    def kind(self):
        """Its name for `models.build`, which finds it again."""
        return f"{self.origin['file']}:{self.name}" if "file" in self.origin else self.name


def register(asked, flag):
    """The network of a name or a file, which `models.build` knows by its ``kind`` from now on."""
    network = find(asked, flag)
    models.ENCODERS[network.kind] = network.encoder
    return network


def build_encoder(entry, path):
    """The encoder of a checkpoint's entry: its ``kind``, if there is one, and ``arguments``; ``path`` is for messages."""
    kind = entry.get("kind", "physiosync")
    if kind != "physiosync":
        register(kind, f"{path}: encoder")
    return models.build(kind, **entry["arguments"])


def find(asked, flag):
    """The network of a name, such as ``EEGNet``, or of a file, such as ``my_net.py:Net``; ``flag`` is for messages."""
    path, is_file, name = asked.rpartition(":")
    if is_file:
        return _of_file(Path(path).absolute(), name, f"{flag} {asked}")
    package = _braindecode(f"{flag} {asked}")
    version = importlib.metadata.version("braindecode")
    make = getattr(package, asked, None) or getattr(package, FORMER.get(asked, asked), None)
    if not _is_network(make):
        names = [key for key, value in vars(package).items() if _is_network(value)]
        near = " or ".join(difflib.get_close_matches(asked, names, n=2)) or "a class of your own, my_net.py:Net"
        raise InputError(f"{flag} {asked}: there is none of this name in braindecode {version}; did you mean {near}?")
    return OtherNetwork(asked, make, {"package": f"braindecode {version}"})


def _braindecode(where):
    """``braindecode.models``; beside a PyTorch for CPUs too, where the compiled part of torchaudio does not load."""
    with warnings.catch_warnings(action="ignore"):
        try:
            _import_torchaudio()
            return importlib.import_module("braindecode.models")
        except (ImportError, OSError) as error:
            raise InputError(f"{where}: braindecode cannot be imported ({error}); {REMEDY}") from None


def _import_torchaudio():
    """Import torchaudio, without its compiled part if that asks for CUDA: torchaudio's functions work without it."""
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


def _of_file(path, name, where):
    if path.suffix != ".py" or not path.is_file():
        raise InputError(f"{where}: {path} is not a Python file; give the file and a class in it, my_net.py:Net")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with in_one_line(path.name, path):
        module = _run_file(f"networks_of_{digest}", path)  # the same file is run once in a process
    make = getattr(module, name, None)
    if not _is_network(make):
        there = [key for key, value in vars(module).items() if _is_network(value)]
        raise InputError(f"{where}: {path.name} has no torch.nn.Module {name}; it has {', '.join(there) or 'none'}")
    code = {path.name: code_hash(path.read_text(encoding="utf-8"))}
    return OtherNetwork(name, make, {"file": str(path), "sha256": digest}, code)


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
