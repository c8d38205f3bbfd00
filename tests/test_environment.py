"""Where and how the scripts run makes no difference: folders, interpreter flags, no network, nothing else written."""

import ast
import json
import os
import pickle
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_prep import write_prepared
from tests.support import ROOT, TINY, assert_refused, call, done, run
from utils.base.errors import InputError, command

NO_NETWORK = """
import socket

def refuse(*_, **__):
    raise AssertionError("the network was asked for")

socket.socket.connect = socket.socket.connect_ex = socket.socket.bind = socket.getaddrinfo = refuse
socket.create_connection = refuse
"""


def files_of_the_repository():
    skipped = {".git", ".venv", "__pycache__", ".pytest_cache", ".ruff_cache", "runs", "data"}
    found = set()
    for folder, folders, names in os.walk(ROOT):
        if folder == str(ROOT):
            folders[:] = [name for name in folders if name not in skipped]
        else:
            folders[:] = [name for name in folders if name != "__pycache__"]
        found |= {os.path.join(folder, name) for name in names}
    return found


def test_the_whole_road_from_elsewhere(tmp_path):
    """Without network, from another folder, with relative paths of strange names, -O, and a random hash seed."""
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text(NO_NETWORK)
    home = tmp_path / "Müller's données 数据"
    home.mkdir()
    before = files_of_the_repository()
    env = {"PYTHONPATH": str(tmp_path / "blocked"), "PYTHONHASHSEED": "random", "HOME": str(tmp_path / "nowhere")}
    env |= {"LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "error::UserWarning"}

    def step(script, *flags):
        outcome = run(script, *flags, cwd=home, python=["-O"], env=env)
        assert outcome.status == 0, outcome.err
        return outcome.out

    common = ["--data-dir", "prepared data", "--run-dir", "runs/ö 1"]
    step("data_prep/make_synthetic.py", "--out-dir", "raw", "--subjects", 3, "--trials", 5, "--seconds", 11)
    step("data_prep/prepare_deap.py", "--raw-dir", "raw", "--out-dir", "prepared data")
    for window in ("1s", "5s"):
        out = step(f"main_pretrain_{window}.py", *common, "--split", "trial", "--n-folds", 2, "--epochs", 1, *TINY)
        assert "next: python" in out
    out = step("Fine_tuning/fine_tuning.py", *common, "--label", "four", "--epochs", 1)
    assert all(words in out for words in ("F1 per window", "trial split", "encoder 5s"))
    run_dir = home / "runs/ö 1"
    result = json.loads((run_dir / "finetune_four" / "metrics.json").read_text(encoding="utf-8"))
    assert [np.shape(fold["confusion"]) for fold in result["folds"]] == [(4, 4)] * 2
    assert {path.name for path in home.iterdir()} == {"raw", "prepared data", "runs"}
    stages = {"pretrain_1s": ("checkpoint.pt", "log.jsonl"), "pretrain_5s": ("checkpoint.pt", "log.jsonl")}
    stages["finetune_four"] = ("model.pt", "model_card.md", "result.pt", "log.jsonl")
    assert {str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file()} == {
        "split.json",
        "finetune_four/metrics.json",
        "finetune_four/predictions.csv",
        *(f"{stage}/begun.json" for stage in stages),
        *(f"{stage}/fold_0{fold}/{name}" for stage, names in stages.items() for fold in (0, 1) for name in names),
    }
    step("Fine_tuning/baseline.py", *common, "--models", "lda")
    step("Fine_tuning/report.py", "--run-dir", "runs/ö 1", "--no-feature-maps")
    assert files_of_the_repository() == before


def test_output_in_any_encoding(tmp_path):
    """What an encoding lacks is written as an escape; files are UTF-8 all the same, whatever the locale."""
    raw, data, runs = (tmp_path / f"{name} ± 数据" for name in ("raw", "data", "runs"))
    steps = [
        ("data_prep/make_synthetic.py", "--out-dir", raw, "--subjects", 3, "--trials", 4, "--seconds", 10),
        ("data_prep/prepare_deap.py", "--raw-dir", raw, "--out-dir", data),
        ("Fine_tuning/baseline.py", "--data-dir", data, "--run-dir", runs, "--models", "lda", "--n-folds", 2),
    ]

    def step(encoding, script, *flags):
        command = [sys.executable, str(ROOT / script), *map(str, flags)]
        env = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        return subprocess.run(command, capture_output=True, env=env, timeout=600)

    for script, *flags in steps:
        outcome = step("ascii", script, *flags)
        assert outcome.returncode == 0, outcome.stderr
    for encoding in ("ascii", "cp1252", "utf-8"):
        outcome = step(encoding, "Fine_tuning/report.py", "--run-dir", runs)
        assert outcome.returncode == 0, outcome.stderr
        shown = outcome.stdout.decode(encoding)
        assert ("±" if encoding != "ascii" else "\\xb1") in shown
        assert ("数据" if encoding == "utf-8" else "\\u6570\\u636e") in shown
        assert "±" in (runs / "report.html").read_text(encoding="utf-8")
        outcome = step(encoding, "Fine_tuning/report.py", "--run-dir", "没有")
        assert outcome.returncode == 2
        assert b"Traceback" not in outcome.stderr


@pytest.mark.skipif(os.name != "posix", reason="names of files that are no text are Unix'")
def test_names_that_are_no_text(tmp_path):
    """A folder's name in an old encoding, with what a shell takes for its own; the next command can be copied."""
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n$x 'y'  \"z")
    sizes = ["--subjects", 3, "--trials", 4, "--seconds", 10]
    outcome = run("data_prep/make_synthetic.py", "--out-dir", folder, *sizes)
    assert outcome.status == 0, outcome.err
    following = outcome.out.split("next: python ")[1].strip()
    assert "\n" not in following
    words = subprocess.run(["bash", "-c", f"printf '%s\\0' {following}"], capture_output=True, check=True).stdout
    assert words.split(b"\0")[2] == os.fsencode(folder)
    done("data_prep/prepare_deap.py", "--raw-dir", folder, "--out-dir", f"{folder}/data")
    flags = ["--data-dir", f"{folder}/data", "--run-dir", f"{folder}/run"]
    done("Fine_tuning/baseline.py", *flags, "--models", "lda", "--n-folds", 2)
    done("Fine_tuning/report.py", "--run-dir", f"{folder}/run")


def test_commands_to_copy(tmp_path):
    words = ["plain", "a  b", "-x", "it's", "$HOME", "line\nbreak", "`id`", "数据", ""]
    shown = subprocess.run(["bash", "-c", f"printf '%s\\0' {command(words)}"], capture_output=True, check=True).stdout
    assert shown.decode().split("\0")[:-1] == words
    assert command(words[:3]) == shlex.join(words[:3])


NAMES = ("Zoë $_{1$", "<b>&'\"数据\t1", "n" * 120)


def test_foreign_names_in_everything_that_is_drawn(tmp_path, capfd):
    """Formulas, tags, other scripts and long names: shown as they are, and nothing about fonts on the terminal."""
    rng = np.random.default_rng(0)
    people = (
        {
            "id": name,
            "eeg": rng.standard_normal((4, 4, 1280)),
            "pps": rng.standard_normal((4, 1, 1280)),
            "ratings": np.tile([[2.0], [8.0]], (2, 1)),
        }
        for name in NAMES
    )
    made = dict(name="<i>$x$", sampling_rate=128, eeg_channels=["α", "β", "γ", "$δ"], pps_channels=["ECG <1>"])
    write_prepared(tmp_path / "d", people, **made, ratings=["joy"], rating_range=(1, 9), threshold=5)
    flags = ["--data-dir", tmp_path / "d", "--run-dir", tmp_path / "r"]
    network = ["--init", "random", "--embed-dim-1s", 8, "--embed-dim-5s", 8]
    outcome = run("Fine_tuning/fine_tuning.py", *flags, "--label", "joy", "--n-folds", 2, "--epochs", 1, *network)
    assert outcome.status == 0, outcome.err
    outcome = run("Fine_tuning/report.py", "--run-dir", tmp_path / "r")
    assert outcome.status == 0, outcome.err
    assert outcome.err == ""
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "<i>$x$" not in page
    assert "&lt;i&gt;$x$" in page
    model = ["--model", tmp_path / "r" / "finetune_joy_random" / "fold_00" / "model.pt", "--input", tmp_path / "d"]
    outcome = run("Fine_tuning/predict.py", *model, "--out-file", tmp_path / "p.csv")
    assert outcome.status == 0, outcome.err
    assert "Glyph" not in outcome.err


def test_a_message_has_parts():
    error = InputError(Path("a/file.json"), "has no rate", "prepare it again")
    assert str(error) == "a/file.json has no rate; prepare it again"
    assert (error.where, error.what, error.remedy) == ("a/file.json", "has no rate", "prepare it again")
    again = pickle.loads(pickle.dumps(error))  # as it crosses from one process to another
    assert (str(again), again.where) == (str(error), error.where)
    assert str(InputError("--folds 9", "does not exist")) == "--folds 9 does not exist"
    assert str(InputError("one sentence; and what to do")) == "one sentence; and what to do"


def test_messages_are_one_line_of_300_characters_at_most(tmp_path):
    """Whatever is quoted; the beginning (what is wrong) and the end (what to do) stay."""
    for length in (10, 250, 300, 10_000):
        for quoted in ("x" * length, "x " * (length // 2), {f"key {i}": i for i in range(length // 10)}, "/" * length):
            message = str(InputError(f"--flag of a/file.json: it holds\n{quoted}; do this about it"))
            assert len(message) < 300
            assert "\n" not in message
            assert message.startswith("--flag of a/file.json: ")
            assert message.endswith("; do this about it")
    long = "y" * 5000
    for script, *flags in (
        ("main_pretrain_1s.py", "--data-dir", long),
        ("main_pretrain_1s.py", f"--{long}"),
        ("main_pretrain_1s.py", "--epochs", long),
        ("main_pretrain_1s.py", "--split", long),
        ("main_pretrain_1s.py", "--folds", ",".join(map(str, range(2000))), "--data-dir", tmp_path),
        ("Fine_tuning/compare_runs.py", long, long),
        ("Fine_tuning/report.py", "--run-dir", long),
        ("Fine_tuning/predict.py", "--out-file", "a/" * 2000),
        ("data_prep/prepare_deap.py", "--raw-dir", f"/{long}"),
        ("data_prep/prepare_deap.py", "--raw-dir", f"~{long[:500]}"),
    ):
        outcome = call(script, *flags)
        assert_refused(outcome, None)
        assert len(outcome.err) < 300, outcome.err


def test_settings_that_differ_are_named_alone(tmp_path, prepared):
    """Of a dictionary of settings only the one that is another (all of them were 1,031 characters)."""
    flags = [
        "--data-dir",
        prepared,
        "--run-dir",
        tmp_path,
        "--embed-dim-1s",
        8,
        "--embed-dim-5s",
        8,
        "--init",
        "random",
    ]
    done("Fine_tuning/fine_tuning.py", *flags, "--split", "trial", "--epochs", 1, "--folds", 0)
    flags[flags.index("--embed-dim-5s") + 1] = 16
    outcome = call("Fine_tuning/fine_tuning.py", *flags, "--epochs", 1, "--folds", 0)
    assert_refused(outcome, "made-with-not", "embed_dim", "8", "not 16", "--tag")


FIRST = {  # what a newcomer's first command says, before there is anything
    "main_pretrain_1s.py": ["not-folder-2", "data/DEAP", "data_prep/prepare_deap.py", "./demo.sh"],
    "main_pretrain_5s.py": ["not-folder-2", "data/DEAP", "data_prep/prepare_deap.py", "./demo.sh"],
    "Fine_tuning/fine_tuning.py": ["not-folder-2", "data/DEAP", "data_prep/prepare_deap.py", "./demo.sh"],
    "Fine_tuning/baseline.py": ["not-folder-2", "data/DEAP", "data_prep/prepare_deap.py", "./demo.sh"],
    "Fine_tuning/predict.py": ["does-not-exist", "model.pt", "Fine_tuning/fine_tuning.py"],
    "Fine_tuning/extract_features.py": ["does-not-exist", "checkpoint.pt", "main_pretrain_5s.py"],
    "Fine_tuning/compare_runs.py": ["needs-least-two-folders", "--runs"],
    "Fine_tuning/report.py": ["does-not-exist-nothing", "main_pretrain_1s.py"],
    "data_prep/prepare_deap.py": ["not-folder-3", "s01.dat", "data_prep/make_synthetic.py"],
    "data_prep/prepare_dreamer.py": ["not-file", "DREAMER.mat", "data_prep/make_synthetic.py"],
}


@pytest.mark.parametrize("script", FIRST)
def test_first_message_names_what_to_do_first(script, tmp_path):
    """In a fresh clone, without flags: the paths of the constants hold nothing."""
    source, flags = (ROOT / script).read_text(encoding="utf-8"), []
    for name in ("DATA_DIR", "RUN_DIR", "RAW_DIR", "RAW_FILE", "MODEL", "CHECKPOINT"):
        if constant := re.search(rf'^{name} = "(.*?)"', source, re.MULTILINE):
            flags += ["--" + name.lower().replace("_", "-"), tmp_path / constant[1]]
    outcome = call(script, *flags)
    assert_refused(outcome, *FIRST[script])
    assert " again" not in outcome.err


def test_text_files_are_read_and_written_in_utf8():
    """Everywhere, not in whatever the locale says."""
    for path in ROOT.glob("**/*.py"):
        inside = path.relative_to(ROOT).parts
        if inside[0] in (".venv", "tests"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            words = ast.unparse(node)
            if name == "read_text" or (name == "open" and isinstance(node.func, ast.Name) and "b'" not in words):
                assert "encoding=" in words, f"{path}: {words}"


def test_windows_clone_has_lines_of_unix(tmp_path):
    """Git for Windows turns line ends around; what a shell of WSL or Git Bash runs then would not run."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    clone = tmp_path / "clone"
    subprocess.run(["git", "-c", "core.autocrlf=true", "clone", "-q", str(ROOT), str(clone)], check=True)
    names = subprocess.run(["git", "ls-files", "-z"], cwd=clone, capture_output=True, check=True).stdout.decode()
    for name in names.strip("\0").split("\0"):
        content = (clone / name).read_bytes()
        assert b"\0" in content or name.endswith(".dat") or b"\r\n" not in content, name
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, check=True).stdout
    assert changed == b""


def test_reader_that_ends_is_no_error(tmp_path):
    """``python ... --help | head -1``: nobody reads the rest, and nobody is told to look at the disk."""
    line = f"{sys.executable} -u {ROOT / 'main_pretrain_1s.py'} --data-dir /nowhere | true"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert "free disk space" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_ascii_locale(tmp_path):
    """As in a bare container: even names of files are ASCII to Python there."""
    env = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    sizes = ["--subjects", 3, "--trials", 4, "--seconds", 10]
    outcome = run("data_prep/make_synthetic.py", "--out-dir", tmp_path / "数据", *sizes, env=env)
    assert outcome.status == 0, outcome.err
    assert (tmp_path / "数据" / "s01.dat").exists()
