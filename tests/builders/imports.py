"""Which files of ours a file imports."""

import ast

from tests.support import ROOT


def imported(path):
    """Files of ours that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name == "physiosync":  # what every script imports first
                continue
            part = ROOT / name.replace(".", "/")
            yield from (p for p in (part.with_suffix(".py"), part / "__init__.py") if p.exists())
