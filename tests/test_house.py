"""Where things live, and that imports go one way: scripts, then stations, then what they stand on, then the ground."""

import ast

import pytest

from tests.support import ROOT

GROUND = ["utils"]  # its files, not its folders
MAY_IMPORT = {  # each room, and what else of ours it may import
    "utils": [],
    "models": ["models"],
    "data_prep": [*GROUND, "data_prep"],
    "utils/protocol": [*GROUND, "data_prep", "models", "utils/protocol"],
    "utils/results": [*GROUND, "data_prep", "models", "utils/protocol", "utils/results"],
    "utils/training": [*GROUND, "data_prep", "models", "utils/protocol", "utils/results", "utils/training"],
}
ROOMS = sorted(path for room in MAY_IMPORT for path in (ROOT / room).glob("*.py"))


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
            part = ROOT / name.replace(".", "/")
            yield from (p for p in (part.with_suffix(".py"), part / "__init__.py") if p.exists())


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    rooms = {str(other.parent.relative_to(ROOT)) for other in imported(path)}
    own = str(path.parent.relative_to(ROOT))
    assert rooms <= {own, *MAY_IMPORT[own]}


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_hold_nothing_to_run_but_preparations(path):
    runs = "__main__" in path.read_text(encoding="utf-8")
    assert not runs or path.parent.name == "data_prep"


def test_every_import_was_seen():
    """The test can fail: files that are known to import each other."""
    files = set(imported(ROOT / "utils" / "training" / "finetuning.py"))
    assert {ROOT / "data_prep" / "__init__.py", ROOT / "utils" / "files.py"} <= files
    assert {ROOT / "utils" / "protocol" / "splits.py", ROOT / "utils" / "results" / "results.py"} <= files
