"""Where and how the scripts run makes no difference: folders, interpreter flags, no network, nothing else written."""

import json
import os

from tests.support import ROOT, TINY, run

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
    env |= {"LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1"}

    def step(script, *flags):
        outcome = run(script, *flags, cwd=home, python=["-O"], env=env)
        assert outcome.status == 0, outcome.err
        return outcome.out

    common = ["--data-dir", "prepared data", "--run-dir", "runs/ö 1"]
    step("data_prep/make_synthetic.py", "--out-dir", "raw", "--subjects", 4, "--trials", 4, "--seconds", 10)
    step("data_prep/prepare_deap.py", "--raw-dir", "raw", "--out-dir", "prepared data")
    for window in ("1s", "5s"):
        out = step(f"main_pretrain_{window}.py", *common, "--split", "trial", "--epochs", 1, *TINY)
        assert "next: python" in out
    step("Fine_tuning/fine_tuning.py", *common, "--epochs", 1, "--batch-size", 16)
    step("Fine_tuning/baseline.py", *common)
    step("Fine_tuning/report.py", "--run-dir", "runs/ö 1", "--no-feature-maps")
    metrics = json.loads((home / "runs/ö 1/finetune_arousal/metrics.json").read_text(encoding="utf-8"))
    assert 0 <= metrics["accuracy"]["mean"] <= 1
    assert files_of_the_repository() == before
