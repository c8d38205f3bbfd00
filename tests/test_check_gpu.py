"""The check of a GPU, with what a CPU can do of it."""

import pytest
import torch

from benchmarks import check_gpu
from tests.support import run

pytestmark = pytest.mark.slow
CPU = torch.device("cpu")


def test_it_runs_on_a_cpu_and_ends_with_a_verdict():
    outcome = run("benchmarks/check_gpu.py", "--device", "cpu", "--quick")
    assert outcome.status == 0, outcome.out + outcome.err
    assert outcome.out.splitlines()[-1] == "verdict: all checks hold"
    table = [line for line in outcome.out.splitlines() if line.startswith("| ")]
    assert sum("| holds |" in line for line in table) == 5
    assert sum("needs a GPU" in line for line in table) == 1
    assert any(line.startswith("| pre-training step, 1s, fp32 |") for line in table)


def test_it_can_fail(monkeypatch):
    """Numbers that differ by more than the tolerance are a failure, such as bf16 taken for fp32."""
    monkeypatch.setitem(check_gpu.tolerance, "bf16", check_gpu.tolerance["fp32"])
    checks = check_gpu.Checks()
    with torch.random.fork_rng():
        check_gpu.same_steps(checks, CPU, 0)
    assert [holds for _, holds, _ in checks] == [True, False]
