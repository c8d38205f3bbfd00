"""A step of few and long kernels: compiled where that pays back; on CUDA the modalities' encoders side by side."""

import functools

import torch

PAYS_BACK = 50_000  # steps of a fold from which compiling, which takes a minute, saves time on CUDA


def is_compiled(asked, device, n_steps):
    """The constant COMPILE: None, where it pays back."""
    return device.type == "cuda" and n_steps >= PAYS_BACK if asked is None else asked


def write_out_attention(network):
    """Let its attention be computed by sums and products, for `torch.vmap` and `torch.compile`."""
    for module in network.modules():
        if hasattr(module, "fused"):
            module.fused = False


def side_by_side(encode, windows):
    """What ``encode`` makes of windows, some dictionaries; on CUDA each modality, and its gradient, has its own stream.

    Alone, an encoder is a chain of kernels that are too small for a GPU (a quarter of a step).
    """
    if next(iter(windows.values())).device.type != "cuda":
        return encode(windows)
    here, parts = torch.cuda.current_stream(), []
    for name, x in windows.items():
        _stream_of(name).wait_stream(here)
        with torch.cuda.stream(_stream_of(name)):
            parts.append(encode({name: x}))
    for name in windows:
        here.wait_stream(_stream_of(name))
    return tuple({name: x for part in some for name, x in part.items()} for some in zip(*parts, strict=True))


@functools.cache
def _stream_of(modality):
    """The CUDA stream of a modality's encoder: always the same, as memory is kept by stream."""
    if hasattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch"):  # not before PyTorch 2.10
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)  # the streams differ on purpose
    return torch.cuda.Stream()
