"""What README.md says can be done: its commands, its Python, its pictures, its links."""

import re
import runpy
import shlex
import shutil
from types import SimpleNamespace

import pytest

from tests.support import ROOT, done
from utils.settings import _comments

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python (\S+\.py.*)$", README, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_scripts_and_flags_that_exist(command):
    script, *words = shlex.split(command)
    flags = {word for word in words if word.startswith("--")}
    assert flags <= {"--" + name.lower().replace("_", "-") for name in _comments(ROOT / script)}


def test_commands_are_found():
    scripts = {command.split()[0] for command in COMMANDS}
    assert len(scripts) >= 9
    assert all(
        f"`{name}" in README or name in scripts for name in ("Fine_tuning/compare_runs.py", "Fine_tuning/baseline.py")
    )


def test_the_python_example(pretrained, tmp_path, monkeypatch):
    """As it stands there, in a folder that has what it reads."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shutil.copytree(pretrained / "pretrain_5s", tmp_path / "runs" / "deap" / "pretrain_5s")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["features"].shape == (4, 4 * 8)
    assert names["features"].isfinite().all()


def test_links_and_pictures_are_there():
    for folder in (".", "data_prep"):
        text = (ROOT / folder / "README.md").read_text(encoding="utf-8")
        headings = {
            re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-")
            for line in re.findall("^#+ (.*)", text, re.M)
        }
        for target in re.findall(r"\]\(([^)]+)\)", text):
            path, _, anchor = target.partition("#")
            if "://" in target:
                continue
            assert (ROOT / folder / path).exists(), target
            assert path or anchor in headings, target
    pictures = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", README)
    assert [path for _, path in pictures] == ["docs/method.svg", "docs/splits.svg"]
    assert all(len(words) > 100 for words, _ in pictures)


def test_pictures_can_be_drawn_again(tmp_path):
    done("docs/figures.py", "--out-dir", tmp_path)
    for path in (ROOT / "docs").glob("*.svg"):
        drawn = (tmp_path / path.name).read_text()
        assert drawn.startswith("<?xml")
        assert len(drawn) == pytest.approx(len(path.read_text()), rel=0.2)


def test_the_picture_of_the_splits_is_true():
    """What the picture shows of each split is what the audit says of it: 0 unused, 1 training, 2 test."""
    figures = SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "figures.py")))
    grids = {split: figures.roles(split) for split in figures.HELD_OUT}
    per_trial = 4
    for split, (grid, leaked) in grids.items():
        people, windows = (grid == 2).any(axis=1), (grid == 2).any(axis=0)
        trials = windows.reshape(-1, per_trial)
        assert people.sum() == (1 if "subject" in split else figures.PEOPLE)
        assert (trials.all(axis=1) == trials.any(axis=1)).all() == ("trial" in split or split == "subject")
        assert leaked.any() == (split == "authors")
        assert (grid == 0).any() == (split == "subject+trial")
        if split == "subject+trial":
            assert not (grid[:, windows] == 1).any()
            assert not (grid[people] == 1).any()
