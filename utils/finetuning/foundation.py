"""Weights of foundation models that the user has: found, read without running code, and loaded strictly."""

import inspect
from pathlib import Path

import torch

from utils.base.errors import InputError
from utils.base.files import read_json, sha256
from utils.base.other_networks import in_one_line
from utils.pretraining.checkpoints import load_tensors

# What the EEG of their pre-training was: sampling rate in Hz, and standard deviation in the units that they take.
# CBraMod (arXiv 2412.07236): 200 Hz, units of 100 uV, of which 20 uV are taken as an EEG's deviation, because a
# prepared folder holds standardised samples that have no unit any more.
FOUNDATION = {"CBraMod": dict(rate=200, deviation=0.2)}
FILES = ("*.safetensors", "*.bin", "*.pth", "*.pt")
GIVEN = ("n_chans", "n_times", "sfreq", "n_outputs", "chs_info", "input_window_seconds", "return_encoder_output")


class Weights:
    """Weights of a foundation model on the disk: a file, or a folder with one and perhaps a ``config.json``."""

    def __init__(self, name, path, where):
        path = Path(path).expanduser()
        if name not in FOUNDATION:
            raise InputError(f"{where}: weights can be given for {', '.join(FOUNDATION)} only")
        if not path.exists():
            raise InputError(f"{where}: {path} does not exist; give the file of the weights, or its folder")
        files = sorted(file for kind in FILES for file in path.glob(kind)) if path.is_dir() else [path]
        if len(files) != 1:
            names = ", ".join(file.name for file in files) or f"none of {', '.join(FILES)}"
            raise InputError(f"{where}: {path} must have one file of weights, and it has {names}; give the file itself")
        self.where, self.file, self.digest = where, files[0], sha256(files[0])
        self.config = files[0].with_name("config.json")
        self.tensors = self._read()

    def _read(self):
        """Weights by name; no code of the file is run."""
        remedy = "give the file of the weights, as PyTorch or safetensors wrote it"
        if self.file.suffix == ".safetensors":
            try:
                from safetensors.torch import load_file
            except ImportError:
                remedy = "python -m pip install -r requirements-networks.txt"
                raise InputError(f"{self.where}: {self.file.name} needs the package safetensors; {remedy}") from None
            try:
                tensors = load_file(self.file)
            except Exception as error:  # its own class of errors, which is not public
                raise InputError(f"{self.where}: {self.file} is damaged ({error}); {remedy}") from None
        else:
            tensors = load_tensors(self.file, remedy)
            inside = [tensors[key] for key in ("state_dict", "model") if isinstance(tensors.get(key), dict)]
            tensors = inside[0] if inside else tensors
        if not tensors or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
            raise InputError(f"{self.where}: {self.file} holds other things than weights by name; {remedy}")
        return tensors

    def arguments(self, make):
        """Arguments of the class: what ``config.json`` says, or else what the sizes of the weights tell."""
        if not self.config.exists():
            return self._arguments_of_sizes()
        config = read_json(self.config, "put back the one that came with the weights, or take it away")
        known, arguments = inspect.signature(make).parameters, {}
        for name, value in config.items() if isinstance(config, dict) else ():
            if name in known and name not in GIVEN:
                default = known[name].default
                if not isinstance(default, type):
                    arguments[name] = value
                elif value != f"{default.__module__}.{default.__qualname__}":
                    raise InputError(f"{self.where}: {self.config} asks for {name} = {value}, which is not supported")
        return arguments

    def _arguments_of_sizes(self):
        sizes = {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}
        layers = {name.split(".")[2] for name in sizes if name.startswith("encoder.layers.")}
        known = {
            "n_layer": (len(layers),) if layers else None,
            "dim_feedforward": sizes.get("encoder.layers.0.linear1.weight"),
            "emb_dim": sizes.get("proj_out.0.weight"),
        }
        return {name: size[0] for name, size in known.items() if size}

    def load_into(self, network):
        """All weights but those of the last layer, which is trained for the task; other names or sizes are refused."""
        wanted, given = (
            {name: tuple(x.shape) for name, x in some.items() if not name.startswith("final_layer.")}
            for some in (network.state_dict(), self.tensors)
        )
        missing, unknown = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
        other = sorted(name for name in set(wanted) & set(given) if wanted[name] != given[name])
        for what, names in (("lacks", missing), ("has unknown", unknown), ("has other sizes of", other)):
            if names:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                remedy = "give the weights of this class, with their config.json if its sizes are not the default"
                raise InputError(f"{self.where}: {self.file.name} {what} {names[0]}{more}; {remedy}")
        with in_one_line(self.where):
            network.load_state_dict({name: self.tensors[name] for name in wanted}, strict=False)
