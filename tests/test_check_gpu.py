"""The check of a GPU, with what a CPU can do of it."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from benchmarks import common, gpu_steps
from tests.support import ROOT, run

pytestmark = pytest.mark.slow
CPU = torch.device("cpu")
QUICK = ["benchmarks/check_gpu.py", "--device", "cpu", "--quick", "--no-compile"]


def test_it_runs_on_a_cpu_and_ends_with_a_verdict():
    outcome = run(*QUICK, "--seconds", 600)
    assert outcome.status == 0, outcome.out + outcome.err
    assert outcome.out.splitlines()[-1] == "verdict: all checks hold"
    table = [line for line in outcome.out.splitlines() if line.startswith("| ")]
    assert sum("| holds |" in line for line in table) == 3
    for name in ("fine-tuning step", "step, 1s x 1", "an epoch, 1s x 2", "robust, 10 folds: 5s"):
        assert any(line.startswith(f"| {name} |") for line in table), name
    (page,) = [line for line in table if "to the report" in line]
    assert re.search(r"\| 2 folds, 3 labels \| \d+ s \|", page)


def test_too_little_time_and_an_interruption_are_said():
    outcome = run(*QUICK, "--seconds", 10)
    assert "are left |" in outcome.out
    assert "parts were not run" in outcome.out.splitlines()[-1]
    process = subprocess.Popen([sys.executable, *QUICK], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "recordings:" in line:
            break
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGTERM)
    lines = process.communicate()[0].splitlines()
    assert process.returncode == 1
    assert any("| holds |" in line for line in lines)
    assert re.search(r"stopped after \d+ s$", lines[-1])


def test_it_can_fail(monkeypatch, tmp_path):
    """Losses that differ by more than the tolerance are a failure, such as bf16 taken for fp32; others are run."""
    monkeypatch.setitem(gpu_steps.tolerance, "bf16", gpu_steps.tolerance["fp32"])
    common.random_recordings(tmp_path / "few", 6, 4, 20, 4)
    report = gpu_steps.Report(600, time.perf_counter())
    report.part("broken", 1, lambda report: 1 / 0)
    report.part("losses", 1, gpu_steps.same_losses, CPU, tmp_path / "few")
    assert [holds for _, holds, _ in report.checks] == [False, True, True, False]
