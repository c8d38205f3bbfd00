"""Every script imports this first: what a notebook has imported under the names of our packages is set aside.

When the script ends it is put back, and modules of ours that the notebook did not have are forgotten (`put_back`), so
that the next run sees what was edited.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PACKAGES = {path.parent.name for path in ROOT.glob("*/*.py")}


def _named_like_ours():
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] in PACKAGES}


def _is_ours(package):
    file = getattr(package, "__file__", None)
    return file is None or Path(file).resolve().is_relative_to(ROOT)  # None: a folder without __init__.py


def _imported_by_a_script():
    frame = sys._getframe(2)
    while frame and "importlib" in frame.f_globals["__name__"]:
        frame = frame.f_back
    return frame is not None and frame.f_globals["__name__"] == "__main__"


_before, _finders, _script = _named_like_ours(), list(sys.meta_path), _imported_by_a_script()
for _name in _before if _script else ():
    if not _is_ours(_before.get(_name.partition(".")[0])):
        del sys.modules[_name]


def put_back():
    """Leave the modules and finders that were there when a script imported this one."""
    for name in _named_like_ours().keys() - _before.keys() if _script else ():
        module, (package, _, last) = sys.modules.pop(name), name.rpartition(".")
        if package in _before and getattr(_before[package], last, None) is module:
            delattr(_before[package], last)
    if _script:
        sys.modules.update(_before)
        sys.meta_path[:] = [f for f in sys.meta_path if f in _finders or not type(f).__module__.startswith("utils.")]
        sys.modules.pop(__name__, None)
