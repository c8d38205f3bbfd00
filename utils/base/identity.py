"""What a result was made of, besides its settings: the code that computes it and the weights that it starts from."""

import ast
import functools
import hashlib
from pathlib import Path

import torch

from utils.base.surroundings import ROOT

_STAGES = {  # by folder: files, and the initials of what their code decides the results of
    "models": {"adapted encoder front_end": "epf", "contrastive losses": "p", "fusion": "f"},
    "utils/base": {"devices kernels": "pfn", "other_networks": "n"},
    "utils/inputs": {"features front_end": "epf", "normalise recordings": "epfn", "streaming": "pf"},
    "utils/protocol": {"windows": "epfn", "held_out": "pn", "permutation": "f"},
    "utils/pretraining": {"batches": "pfn", "fold_pretraining networks pretraining schedule stacked": "p"},
    "utils/finetuning": {
        "cross_validation fitting": "fn",
        "finetuning permutation_test": "f",
        "foundation networks": "n",
    },
}  # tests/test_identity.py lists the files that these import besides, and why their code decides nothing


def _files(initial):
    groups = [(folder, *group) for folder, in_folder in _STAGES.items() for group in in_folder.items()]
    return [f"{folder}/{name}.py" for folder, names, of in groups if initial in of for name in names.split()]


CODE = {stage: _files(stage[0]) for stage in ("pretrain", "finetune", "network")}  # files by stage
NETWORK = _files("e")  # what decides an encoder's features of a window


@functools.cache  # at the start of a process: what is edited later is not what runs
def code(stage, *files_of_user):
    """Checksums of a stage's code and of the user's files, by file; comments and docstrings do not count."""
    files = {name: ROOT / name for name in CODE[stage]} | {Path(path).name: Path(path) for path in files_of_user}
    return {name: code_hash(path.read_text(encoding="utf-8")) for name, path in files.items()}


def code_hash(source):
    """Checksum of the syntax tree of a module, the same in every version of Python."""
    return hashlib.sha256(repr(_tree(ast.parse(source))).encode()).hexdigest()[:16]


def _tree(node):
    if isinstance(node, list):
        return [_tree(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
        fields["body"] = node.body[1:]
    return type(node).__name__, [(name, _tree(value)) for name, value in fields.items() if value not in (None, [])]


def weights_hash(encoders):
    """Checksum of weights: of the names and the bytes of all tensors of a nest of dictionaries."""
    digest = hashlib.sha256()

    def add(value, name):
        if isinstance(value, torch.Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        else:
            for key in sorted(value):
                add(value[key], f"{name}.{key}")

    add(encoders, "")
    return digest.hexdigest()[:16]


def difference(before, now, names=None):
    """The first of ``names`` (by default all) in which two records differ, in words after "made with"; or ``""``."""
    for name in names or dict.fromkeys([*now, *before]):
        a, b = before.get(name), now.get(name)
        if a == b or (name not in before and name.startswith(("code", "weights "))):  # older records lack these
            continue
        if name == "code":
            return f"other code: {' and '.join(changed_code(a, b)[:3])} changed since"
        if name.startswith("weights "):
            return f"other weights of the {name.removeprefix('weights ')} encoders, which were pre-trained again since"
        if isinstance(a, dict) and isinstance(b, dict):
            return f"{name}: {difference(a, b)}"
        return f"{name} = {a}, not {b}"
    return ""


def changed_code(before, now, files=None):
    """Files whose code differs, of those that are in both records; of all where one lacks some."""
    names = files or sorted({*before, *now})
    return [name for name in names if before.get(name) != now.get(name)]
