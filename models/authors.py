"""The authors' checkpoints in our modules.

Their files hold ``{"epoch", "state_dict", "optimizer"}``. Read one without running code from it, then convert::

    state = torch.load("checkpoint.pth", map_location="cpu", weights_only=True)["state_dict"]
    encoder = models.authors.encoder(state, n_channels=32)

Each function also takes the whole dictionary of the file, NumPy arrays, and names with ``module.`` in front.
"""

import re

import torch

from models.encoder import N_BLOCKS, Encoder
from models.fusion import N_SECONDS, FusionClassifier
from models.losses import CrossModalAlignment

_SAME_IN_BLOCKS = [f"{name}.{leaf}" for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2") for leaf in ("weight", "bias")]
_BLOCK_NAMES = {  # their name: ours
    "gamma_1": "scale1.gamma",
    "gamma_2": "scale2.gamma",
    **{f"attn.{n}": f"attention.{n}" for n in ("qkv.weight", "q_bias", "v_bias", "proj.weight", "proj.bias")},
    **{name: name for name in _SAME_IN_BLOCKS},
}
_MODULES = {  # their module: ours
    "bn_fc_p1": "projector.1",
    "bn_fc_p2": "projector.4",
    "fc_projector1": "projector.0",
    "fc_projector2": "projector.3",
    "fc_projector3": "projector.6",
    "norm": "norm",
    "layers.clf.0": "linear",
    "bn": "norm",
    "Classification.layers.0.clf.0": "gates.5s",
    "Classification_1s.layers.0.clf.0": "gates.1s",
    "fc_classifier1": "classifier.0",
    "bn_fc1": "classifier.1",
    "fc_classifier2": "classifier.3",
    "bn_fc2": "classifier.4",
    "fc_classifier3": "classifier.7",
}


def encoder(state_dict, n_channels):
    """Encoder with the weights of one of the authors' pre-training checkpoints, EEG or PPS.

    Parameters
    ----------
    state_dict : dict of str to torch.Tensor or numpy.ndarray
        Weights by the authors' names.
    n_channels : int
        Channels of the windows it was trained on: 32 (DEAP EEG), 14 (DREAMER EEG), 1 (GSR), 2 (ECG).

    Returns
    -------
    Encoder
        In the checkpoint's precision. Weights that never took part in the authors' computation are left out: the
        second MLP of the last block and the EEG encoder's prompts for GSR.

    Raises
    ------
    ValueError
        If names or sizes are not those of such a checkpoint, or the window is no multiple of ``n_channels``.
    """
    source = _plain(state_dict)
    kind = "eeg" if "eeg_cls_token" in source else "gsr"
    try:
        values, gates = (source.pop(f"{kind}_transform.transform{i}.weight") for i in (1, 2))
        biases = [source.pop(f"{kind}_transform.transform{i}.bias") for i in (1, 2)]
        dims = [len(source[f"fc_projector{i}.weight"]) for i in (1, 2, 3)]
    except KeyError as error:
        raise ValueError(f"not a pre-training checkpoint of the authors: it has no {error}") from None
    embed_dim, n_inputs = values.shape
    if n_inputs % n_channels:
        raise ValueError(f"the checkpoint's windows have {n_inputs} values, which {n_channels} channels do not divide")
    target = {
        "embedding.linear.weight": torch.cat([values, gates]),
        "embedding.linear.bias": torch.cat(biases),
    }
    names = {
        f"{kind}_cls_token": "class_token",
        f"{kind}_type_embed": "type_embedding",
        f"{kind}_pos_embed": "position_embedding",
    }
    for i in range(N_BLOCKS):
        names |= {f"blocks.{i}.{theirs}": f"blocks.{i}.{ours}" for theirs, ours in _BLOCK_NAMES.items()}
        names[f"blocks.{i}.eeg_prompt"] = f"blocks.{i}.prompt.tokens"
    modules = {f"{kind}_transform.bn": "embedding.norm"} | _MODULES
    for name, tensor in source.items():
        module, _, leaf = name.rpartition(".")
        if name in names and not (kind == "gsr" and name.endswith("_prompt")):
            target[names[name]] = tensor
        elif module in modules:
            target[f"{modules[module]}.{leaf}"] = tensor
        elif not re.fullmatch(r"blocks\.\d+\.((mlp|norm2)_\w+\..*|\w+_prompt)", name):
            raise ValueError(f"not a pre-training checkpoint of the authors: what is {name}?")
    prompt = target.get("blocks.0.prompt.tokens")
    module = Encoder(
        n_channels,
        n_inputs // n_channels,
        embed_dim,
        prompt_tokens=0 if prompt is None else prompt.shape[1],
        input_dropout=0.2 if kind == "eeg" else 0.0,
        projector_dims=dims,
    )
    return _load(module, target)


def alignment(state_dict):
    """CM-CA module with the weights of the authors' checkpoint; errors as `encoder`."""
    target = _renamed(state_dict)
    try:
        shared_dim, feature_dim = target["linear.weight"].shape
    except KeyError:
        raise ValueError("not an alignment checkpoint of the authors: it has no layers.clf.0.weight") from None
    return _load(CrossModalAlignment(feature_dim, shared_dim), target)


def fusion(state_dict):
    """Fusion classifier (EEG and PPS, 5 s and 1 s) with the authors' weights; errors as `encoder`."""
    target = _renamed(state_dict)
    try:
        n_classes, feature_dim_5s = target["gates.5s.weight"].shape
        feature_dim_1s = target["gates.1s.weight"].shape[1]
        n_inputs = target["classifier.0.weight"].shape[1]
    except KeyError as error:
        raise ValueError(f"not a fusion checkpoint of the authors: it has no {error}") from None
    n_modalities = n_inputs // (feature_dim_5s + N_SECONDS * feature_dim_1s)
    return _load(FusionClassifier(n_classes, feature_dim_5s, feature_dim_1s, n_modalities), target)


def _plain(state_dict):
    """Tensors by name, from a state dict or a checkpoint that holds one."""
    state_dict = state_dict.get("state_dict", state_dict)
    return {name.removeprefix("module."): torch.as_tensor(value) for name, value in state_dict.items()}


def _renamed(state_dict):
    target = {}
    for name, tensor in _plain(state_dict).items():
        module, _, leaf = name.rpartition(".")
        if module not in _MODULES:
            raise ValueError(f"not a checkpoint of the authors: what is {name}?")
        target[f"{_MODULES[module]}.{leaf}"] = tensor
    return target


def _load(module, target):
    module.to(next(t.dtype for t in target.values() if t.is_floating_point()))
    try:
        module.load_state_dict(target)
    except RuntimeError as error:
        raise ValueError(f"not a checkpoint of the authors: {' '.join(str(error).split())}") from None
    return module
