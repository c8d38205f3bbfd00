"""What the tests compare of checkpoints."""

import torch


def weights(path):
    """What a checkpoint says, without the time it took."""
    checkpoint = torch.load(path, weights_only=True)
    for entry in checkpoint["history"]:
        del entry["seconds"]
    parts = {"history": checkpoint["history"], "epoch": checkpoint["epoch"]}
    for name, encoder in checkpoint["encoders"].items():
        parts |= {f"{name}.{key}": value.numpy().tobytes() for key, value in encoder["weights"].items()}
    for key, state in checkpoint["training"]["optimizer"]["state"].items():
        parts |= {f"adam.{key}.{name}": value.numpy().tobytes() for name, value in state.items()}
    return parts
