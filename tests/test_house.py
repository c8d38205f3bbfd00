"""Where things live, and that imports go one way: scripts, then stations, then what they stand on, then the ground."""

import importlib

import pytest

from tests.support import ROOT, imported

GROUND = ["utils", "utils/base"]
DATA = ["data_prep", "data_prep/folder", "data_prep/formats", "data_prep/signals"]
MAY_IMPORT = {  # each room, and what else of ours it may import
    "utils": ["utils/base"],
    "utils/base": GROUND,
    "models": ["models"],
    "data_prep": [*GROUND, "data_prep/folder", "data_prep/formats", "data_prep/amplifiers", "data_prep/signals"],
    "data_prep/signals": [*GROUND, "data_prep/signals"],
    "data_prep/folder": [*GROUND, "data_prep/signals", "data_prep/folder"],
    "data_prep/formats": [
        *GROUND,
        "data_prep/signals",
        "data_prep/folder",
        "data_prep/amplifiers",
        "data_prep/formats",
    ],
    "data_prep/amplifiers": [
        *GROUND,
        "data_prep/signals",
        "data_prep/formats",
        "data_prep/folder",
        "data_prep/amplifiers",
    ],
    "utils/protocol": [*GROUND, *DATA, "models", "utils/protocol"],
    "utils/results": [*GROUND, *DATA, "models", "utils/inputs", "utils/protocol", "utils/results"],
    "utils/inputs": [*GROUND, *DATA, "models", "utils/protocol", "utils/inputs"],
    "utils/pretraining": [
        "utils/inputs",
        *GROUND,
        *DATA,
        "models",
        "utils/protocol",
        "utils/results",
        "utils/pretraining",
    ],
    "utils/finetuning": [
        "utils/inputs",
        *GROUND,
        *DATA,
        "models",
        "utils/protocol",
        "utils/results",
        "utils/pretraining",
    ],
}
ROOMS = sorted(path for room in MAY_IMPORT for path in (ROOT / room).glob("*.py"))


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    rooms = {str(other.parent.relative_to(ROOT)) for other in imported(path)}
    own = str(path.parent.relative_to(ROOT))
    assert rooms <= {own, *MAY_IMPORT[own]}


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_hold_nothing_to_run_but_preparations(path):
    runs = "__main__" in path.read_text(encoding="utf-8")
    assert not runs or path.parent.name == "data_prep"


@pytest.mark.parametrize("path", sorted((ROOT / "tests").glob("test_*.py")), ids=lambda path: path.name)
def test_no_test_imports_from_another_test_file(path):
    assert not [other for other in imported(path) if other.name.startswith("test_")]


def test_every_import_was_seen():
    """The test can fail: files that are known to import each other."""
    files = set(imported(ROOT / "utils" / "finetuning" / "finetuning.py"))
    assert {ROOT / "data_prep" / "__init__.py", ROOT / "utils" / "base" / "files.py"} <= files
    assert {ROOT / "utils" / "protocol" / "splits.py", ROOT / "utils" / "results" / "results.py"} <= files


def test_former_names_of_modules_are_the_modules_of_today():
    from utils.errors import InputError

    from utils.base import errors, former_names

    assert InputError is errors.InputError
    for former, today in former_names.FORMER.items():
        assert importlib.import_module(former) is importlib.import_module(today)
        assert importlib.import_module(today).__spec__.name == today
