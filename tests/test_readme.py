"""What README.md says can be done: its commands, its Python, its pictures, its links."""

import re
import runpy
import shlex
import shutil
from types import SimpleNamespace

import pytest

from tests.support import ROOT, done
from utils.base.settings import _comments

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "data_prep/README.md")]
PAGES += [*sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "RESULTS.md"]
README = PAGES[0].read_text(encoding="utf-8")
COMMANDS = {c for p in PAGES for c in re.findall(r"^python (\S+\.py.*)$", p.read_text(encoding="utf-8"), re.MULTILINE)}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_commands_have_scripts_and_flags_that_exist(command):
    script, *words = shlex.split(command.replace("...", ""))
    flags = {word for word in words if word.startswith("--")}
    names = {name.lower().replace("_", "-") for name in _comments(ROOT / script)}
    assert flags <= {f"--{prefix}{name}" for name in names for prefix in ("", "no-")}


def test_commands_are_found():
    in_readme = {command.split()[0] for command in re.findall(r"^python (\S+\.py.*)$", README, re.MULTILINE)}
    assert len(in_readme) >= 9
    assert len({command.split()[0] for command in COMMANDS}) >= 12


def test_readme_is_short():
    """What a newcomer needs; everything else is a page of docs/, which begins with the question that it answers."""
    assert len(README.splitlines()) <= 180
    for path in (ROOT / "docs").glob("*.md"):
        title = path.read_text(encoding="utf-8").splitlines()[0]
        assert title.startswith("# ")
        assert title.endswith("?") or title == "# Questions", path


def test_the_python_example(pretrained, tmp_path, monkeypatch):
    """As it stands there, in a folder that has what it reads."""
    (code,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "questions.md").read_text(encoding="utf-8"), re.DOTALL
    )
    shutil.copytree(pretrained / "pretrain_5s", tmp_path / "runs" / "deap" / "pretrain_5s")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["features"].shape == (4, 4 * 8)
    assert names["features"].isfinite().all()


def headings(path):
    """Anchors of a page."""
    lines = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_are_there(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        assert (page.parent / path).exists(), target
        assert not anchor or anchor in headings(page.parent / path if path else page), target


def test_pictures_have_words():
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
    grids = {split: figures.roles(split) for split in figures.titles}
    per_trial = 4
    for split, (grid, leaked) in grids.items():
        people, windows = (grid == 2).any(axis=1), (grid == 2).any(axis=0)
        trials = windows.reshape(-1, per_trial)
        assert people.sum() == (1 if "subject" in split else figures.n_people)
        assert (trials.all(axis=1) == trials.any(axis=1)).all() == ("trial" in split or split == "subject")
        assert leaked.any() == (split == "authors")
        assert (grid == 0).any() == (split == "subject+trial")
        if split == "subject+trial":
            assert not (grid[:, windows] == 1).any()
            assert not (grid[people] == 1).any()
