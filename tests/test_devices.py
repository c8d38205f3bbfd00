"""Threads, and where the computation runs."""

import os
from types import SimpleNamespace

import pytest
import torch

from tests.support import ROOT, run
from utils.base import devices

CODE = """
import sys, torch
sys.path.insert(0, {root!r})
from utils.base.devices import use_threads
for asked, width in ((None, 8), (None, 4000), (1, 4000), (3, 8), (50, 8)):
    use_threads(asked, torch.nn.Linear(width, width))
    print(torch.get_num_threads())
"""


@pytest.fixture
def kept_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("kept_threads")
def test_small_networks_take_one_thread_and_large_ones_all_that_are_allowed(monkeypatch):
    monkeypatch.setattr(devices, "START_THREADS", 3)
    monkeypatch.setattr(devices, "cpu_count", lambda: 5)
    found = []
    for asked, width in ((None, 8), (None, 4000), (1, 4000), (2, 8), (50, 8)):
        devices.use_threads(asked, torch.nn.Linear(width, width, device="meta"))
        found.append(torch.get_num_threads())
    assert found == [1, 3, 1, 2, 3]
    monkeypatch.setattr(devices, "cpu_count", lambda: 2)  # an affinity or a control group's limit
    devices.use_threads(None, torch.nn.Linear(4000, 4000, device="meta"))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("limit", ["OMP_NUM_THREADS", "affinity"])
def test_limits_of_the_process_go_before(tmp_path, limit):
    (tmp_path / "threads.py").write_text(CODE.format(root=str(ROOT)))
    before = os.sched_getaffinity(0)
    env = {"OMP_NUM_THREADS": "1"} if limit == "OMP_NUM_THREADS" else {"OMP_NUM_THREADS": ""}
    try:
        if limit == "affinity":
            os.sched_setaffinity(0, {min(before)})
        outcome = run(tmp_path / "threads.py", env=env)
    finally:
        os.sched_setaffinity(0, before)
    assert outcome.status == 0, outcome.err
    assert outcome.out.split() == ["1"] * 5


def test_a_checkpoint_of_another_device_changes_no_option_of_adam():
    """Adam's state from a CPU goes on on CUDA, where a captured step needs ``capturable``, and the other way."""
    settings = SimpleNamespace(LR=1e-3, WEIGHT_DECAY=0.0)
    network = torch.nn.Linear(2, 2)
    before = devices.adam(network.parameters(), settings, torch.device("cpu"))
    network(torch.ones(1, 2)).sum().backward()
    before.step()
    state = before.state_dict()
    here = torch.optim.Adam(network.parameters(), fused=False, capturable=True)
    devices.load_optimizer(here, state)
    group = here.param_groups[0]
    assert (group["capturable"], group["fused"], group["lr"]) == (True, False, 1e-3)
    assert here.state[network.weight]["step"] == 1
