"""All errors and warnings of the project in one file, `tests/messages.txt`, and the names by which tests know them.

A line is a message: its kind, where it is raised, and its words with {fields}; a part of other messages (a remedy, a
constant) has no kind. ``python tests/messages.py`` writes the file from the code. A message keeps its kind when its
words change; where they change too much to be recognised, the kind can be put back by hand, in the file.
"""

import ast
import functools
import itertools
import re
from difflib import SequenceMatcher
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = Path(__file__).with_suffix(".txt")
SHOWN = ("InputError", "warn", "say_once", "note", "_fail")  # calls whose text a user sees, as that of a raised error
FIELD = re.compile(r"\{[^}]*\}")
NAMELESS = {"an", "and", "are", "as", "at", "by", "in", "is", "it", "its", "of", "on", "so", "that", "the", "was"}


def is_part(name):
    """Whether a variable's text has a line of its own, and is a field in the messages that have it."""
    return name == "remedy" or name.isupper()


def texts(node, known):
    """What an expression of text may be, with every field as its source in braces."""
    match node:
        case ast.Constant():
            return [str(node.value)]
        case ast.JoinedStr():
            return joined("", *(texts(value, known) for value in node.values))
        case ast.BinOp(op=ast.Add()) if not isinstance(node.right, ast.Constant) or isinstance(node.right.value, str):
            return joined("", texts(node.left, known), texts(node.right, known))
        case ast.IfExp():
            return texts(node.body, known) + texts(node.orelse, known)
        case ast.FormattedValue() | ast.Subscript(value=ast.JoinedStr()):
            return texts(node.value, known)
    name = getattr(node, "id", getattr(getattr(node, "func", None), "id", ""))
    values = [] if is_part(name) else known.get(name, [])
    found = [text for value in values for text in texts(value, {**known, name: []}) if text != "None"]
    sentences = [" " in FIELD.sub("", text).strip() for text in found if text]
    if len(found) <= 12 and sentences and all(sentences):
        return found
    return ["{" + re.sub(r"[{}]", "", ast.unparse(node)) + "}"]


def joined(between, *parts):
    return [between.join(filter(None, words)) for words in itertools.islice(itertools.product(*parts), 24)]


def assigned(nodes):
    """What is assigned to each name, a list of expressions."""
    values = {}
    for node in nodes:
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            both = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            for name, part in zip(target.elts, value.elts, strict=True) if both else [(target, value)]:
                values.setdefault(getattr(name, "id", ""), []).append(part)
    return values


def said(function, known):
    """The messages of a function, and the remedies and other parts of them that are in variables."""
    for node in ast.walk(function):
        call = node.exc if isinstance(node, ast.Raise) else node
        if not (isinstance(call, ast.Call) and call.args):
            continue
        name = getattr(call.func, "id", "")
        if name in SHOWN or isinstance(node, ast.Raise):
            where, *more = [texts(value, known) for value in (call.args if name == "InputError" else call.args[:1])]
            yield from joined("; ", joined(" ", where, *more[:1]), *more[1:])
    for value in known.get("remedy", []):
        yield from ("; " + text.removeprefix("; ") for text in texts(value, known))


def messages():
    """(place, words) of every message in the code; a part of messages begins with a semicolon."""
    found, constants = {}, {}
    for path in sorted(ROOT.rglob("*.py")):
        if {"tests", ".venv"} & set(path.relative_to(ROOT).parts):
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        known = {f.name: [n.value for n in ast.walk(f) if isinstance(n, ast.Return) and n.value] for f in functions}
        known |= assigned(tree.body)
        constants |= {f"{module}:{name}": texts(value[0], {})[0] for name, value in known.items() if name.isupper()}
        for function in functions:
            for words in said(function, known | assigned(ast.walk(function))):
                found.setdefault(" ".join(words.split()), f"{module}:{function.name}")
    alone = {word for words in found if not cause(words) for word in re.findall(r"^\{([A-Z_]+)", words)}
    fields = " ".join(field for words in found for field in FIELD.findall(words))
    for place, text in constants.items():
        name = place.split(":")[1]
        if " " in text and re.search(rf"\b{name}\b", fields):
            found[("" if name in alone else "; ") + text] = place
    return sorted((place, words) for words, place in found.items() if cause(words))


def read():
    """The lines of the snapshot: (kind, place, words)."""
    return [line.split(" | ", 2) for line in FILE.read_text(encoding="utf-8").splitlines()] if FILE.exists() else []


def cause(words):
    """What a message says, without its remedy: the words between its fields."""
    for part in FIELD.sub("\0", words).split("; "):
        pieces = [piece.strip(" ,:;.()'") for piece in part.split("\0") if re.search("[a-z]{2}", piece)]
        if set(pieces) - {"and", "or", "is"}:
            return tuple(pieces)
    return ()


@functools.cache
def patterns():
    """A regular expression for the cause of each kind."""
    causes = {kind: cause(words) for kind, _, words in read() if kind}
    return {kind: ".*".join(map(whole, pieces)) for kind, pieces in causes.items()}


def whole(words):
    """An expression for words that do not begin or end within others."""
    begin, end = r"\b" if words[0].isalnum() else "", r"\b" if words[-1].isalnum() else ""
    return begin + re.escape(words) + end


def kinds_of(text):
    """The kinds of message that a text may be, those with the most words first."""
    found = [kind for kind, pattern in patterns().items() if re.search(pattern, text)]
    return sorted(found, key=lambda kind: -len(patterns()[kind]))


def name(words, taken):
    """A kind for a new message: its first words that say something, as many as it takes."""
    pieces = [re.findall("[a-z0-9]{2,}", re.sub(r"--[\w-]+", "", piece).lower()) for piece in cause(words)]
    begin = next((i for i, piece in enumerate(pieces) if len(piece) > 1), 0)
    every = [word for piece in pieces[begin:] + pieces[:begin] for word in piece] or ["values"]
    said = [word for word in every if word not in NAMELESS]
    best = said if len(said) > 1 else every
    names = ["-".join(best[:n]) for n in range(min(4, len(best)), len(best) + 1)]
    return next(kind for kind in (*names, *(f"{names[-1]}-{n}" for n in range(2, 99))) if kind not in taken)


def write():
    """Write the snapshot. A message whose words have changed keeps its kind: it is the one most like it."""
    before, now = read(), messages()
    kinds = {cause(words): kind for kind, _, words in before if kind}
    lost = [line for line in before if line[0] and not any(cause(line[2]) == cause(words) for _, words in now)]
    for place, words in now:
        if words.startswith("; ") or cause(words) in kinds:
            continue
        likeness = [SequenceMatcher(None, words, old).ratio() + (place == there) / 3 for _, there, old in lost]
        match = likeness.index(max(likeness)) if max(likeness, default=0) > 0.6 else None
        kinds[cause(words)] = name(words, kinds.values()) if match is None else lost.pop(match)[0]
    lines = [f"{kinds.get(cause(words), '')} | {place} | {words}\n" for place, words in now]
    FILE.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    write()
