"""What a result was made of, besides its settings: the code that computes it and the weights that it starts from."""

import ast
import functools
import hashlib
from pathlib import Path

import torch

from utils.base.surroundings import ROOT


def _of(folder, names):
    return tuple(f"{folder}/{name}.py" for name in names.split())


NETWORK = (  # what decides the features of a window, in every stage that has an encoder
    *_of("models", "adapted encoder front_end"),
    *_of("utils/inputs", "features front_end normalise recordings"),
    *_of("utils/protocol", "windows"),
)
CODE = {  # by stage: the files whose code decides what it computes; what they import besides is in NO_CODE
    "pretrain": (
        *NETWORK,
        *_of("models", "contrastive losses"),
        *_of("utils/base", "devices"),
        *_of("utils/inputs", "streaming"),
        *_of("utils/pretraining", "batches fold_pretraining networks pretraining schedule stacked"),
        *_of("utils/protocol", "held_out"),
    ),
    "finetune": (
        *NETWORK,
        *_of("models", "fusion"),
        *_of("utils/base", "devices"),
        *_of("utils/finetuning", "cross_validation finetuning fitting permutation_test"),
        *_of("utils/inputs", "streaming"),
        *_of("utils/pretraining", "batches"),
        *_of("utils/protocol", "permutation"),
    ),
    "network": (  # of others, as a baseline
        *_of("utils/base", "devices other_networks"),
        *_of("utils/finetuning", "cross_validation fitting foundation networks"),
        *_of("utils/inputs", "normalise recordings"),
        *_of("utils/pretraining", "batches"),
        *_of("utils/protocol", "held_out windows"),
    ),
}
NO_CODE = (  # what they only record, check, show or write: settings, data and split are recorded as such
    *("utils/base", "utils/results", "data_prep", "models/__init__.py", "models/authors.py"),
    *_of("utils/protocol", "audit splits"),
    *_of("utils/finetuning", "first_encoders labels"),
    *_of("utils/pretraining", "checkpoints moments recipes resolve together variants"),
)


@functools.cache  # at the start of a process: what is edited later is not what runs
def code(stage, *own):
    """Checksums of a stage's code and of the user's files, by file; comments and docstrings do not count."""
    files = {name: ROOT / name for name in CODE[stage]} | {Path(path).name: Path(path) for path in own}
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
    """The first entry in which two records (settings and others by name) differ, as words after "made with".

    Empty if none does. ``names`` are those to compare, by default all. ``code`` is of `code`, ``weights ...`` of
    `weights_hash`; a record from before these were kept agrees with all.
    """
    for name in names or dict.fromkeys([*now, *before]):
        a, b = before.get(name), now.get(name)
        if a == b or (name not in before and (name == "code" or name.startswith("weights "))):
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
