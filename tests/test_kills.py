"""Kill -9 at random moments: the same command goes on, and ends with the same bytes as if nothing had happened.

KILLS=200 ./test.sh -k kills    # the long version; 21 moments by default
"""

import json
import multiprocessing
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.builders.checkpoints import weights
from tests.support import ROOT, TINY, assert_refused, call, done, run, says

KILLS = int(os.environ.get("KILLS", 21))  # over the three stages
EPOCHS = 3


def main_program(script, flags):
    """Be a script."""
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (as long as the process)
    sys.argv = [str(ROOT / script), *flags]
    runpy.run_path(sys.argv[0], run_name="__main__")


@pytest.fixture(scope="module")
def start():
    """Start a script in a process of its own that has the libraries loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["tests.support", "utils.pretraining.pretraining", "utils.finetuning.finetuning", "data_prep.prepare_deap"]
    )

    def start(script, flags):
        process = context.Process(target=main_program, args=(script, list(map(str, flags))))
        process.start()
        return process

    return start


def outcome(folder, stage):
    """All results of a stage, to compare."""
    if stage == "prepare":
        return {path.name: path.read_bytes() for path in sorted((folder / "prepared").iterdir())}
    if stage == "pretrain":
        return {str(p.relative_to(folder)): weights(p) for p in sorted(folder.rglob("checkpoint.pt"))}
    metrics = json.loads((folder / "run" / "finetune_arousal_random" / "metrics.json").read_text())
    for fold in metrics["folds"]:
        del fold["seconds"]
    del metrics["settings"]["RUN_DIR"], metrics["seconds"]
    return metrics, (folder / "run" / "finetune_arousal_random" / "predictions.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["prepare", "pretrain", "finetune"])
def test_kills(tmp_path, raw, prepared, start, stage):
    def command(folder):
        where = ["--data-dir", prepared, "--run-dir", folder / "run", *TINY, "--split", "trial"]
        if stage == "prepare":
            return "data_prep/prepare_deap.py", ["--raw-dir", raw, "--out-dir", folder / "prepared"]
        if stage == "pretrain":
            return "main_pretrain_1s.py", [*where, "--epochs", EPOCHS, "--folds", "0,1"]
        small = ["--embed-dim-1s", 8, "--embed-dim-5s", 8]
        return "Fine_tuning/fine_tuning.py", [*where[:4], "--split", "trial", *small, "--init", "random", "--epochs", 2]

    def to_the_end(folder):
        process = start(*command(folder))
        process.join()
        assert process.exitcode == 0

    to_the_end(tmp_path / "undisturbed")
    began = time.perf_counter()
    to_the_end(tmp_path / "timed")
    seconds = time.perf_counter() - began
    expected = outcome(tmp_path / "undisturbed", stage)
    assert outcome(tmp_path / "timed", stage) == expected

    rng, kills, tries = np.random.default_rng(0), 0, 0
    while kills < KILLS / 3:
        tries += 1
        assert tries < KILLS, "the runs end before they are killed"
        folder = tmp_path / f"killed_{tries}"
        for _ in range(4):
            process = start(*command(folder))
            time.sleep(rng.uniform(0.05, 0.95) * seconds)
            process.kill()
            process.join()
            if process.exitcode == 0:  # it had ended by then
                break
            assert process.exitcode == -signal.SIGKILL
            kills += 1
        to_the_end(folder)
        assert outcome(folder, stage) == expected
        assert not list(folder.rglob(".*")), "left over from the killed processes"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_says_how_to_go_on(tmp_path, prepared, number):
    flags = ["--data-dir", prepared, "--run-dir", tmp_path / "a run", *TINY, "--split", "trial", "--epochs", 100_000]
    command = [sys.executable, ROOT / "main_pretrain_1s.py", *flags, "--folds", 0]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    checkpoint = tmp_path / "a run" / "pretrain_1s" / "fold_00" / "checkpoint.pt"
    while not checkpoint.exists():
        assert process.poll() is None
        time.sleep(0.05)
    # a second process keeps its hands off
    second = run("main_pretrain_1s.py", *flags)
    assert second.status == 2
    says(second.err, "being-written", f"process {process.pid}")
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    last = error.strip().splitlines()[-1]
    assert last.startswith("error: interrupted; to go on from what is complete: python ")
    assert "'" + str(tmp_path / "a run") + "'" in last
    epochs = weights(checkpoint)["epoch"]
    assert epochs >= 1
    assert not list(tmp_path.rglob(".*.partial"))
    assert not list(tmp_path.rglob(".*.lock"))


@pytest.mark.parametrize("script", ["main_pretrain_1s.py", "Fine_tuning/report.py"])
def test_interrupted_while_libraries_are_loaded(tmp_path, script):
    """Ctrl-C in the first seconds is one line, whatever is being imported; here when NumPy begins to be."""
    flags = [sys.executable, "-X", "importtime", ROOT / script, "--run-dir", tmp_path / "run"]
    process = subprocess.Popen(list(map(str, flags)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "numpy.version" in line:
            break
    process.send_signal(signal.SIGINT)
    error = [line for line in process.stderr if not line.startswith("import time:")]
    assert process.wait(60) == 130
    assert error == ["error: interrupted before it began; nothing was written\n"]
    assert not list(tmp_path.iterdir())


def test_stale_lock_does_not_hold(tmp_path, start, prepared):
    """The lock's file may outlive its process; the lock does not."""
    flags = ["--data-dir", prepared, "--run-dir", tmp_path, *TINY, "--split", "trial", "--epochs", 1, "--folds", 0]
    lock = tmp_path / "pretrain_1s" / ".fold_00.lock"
    lock.parent.mkdir()
    lock.write_text("process 1 on elsewhere, killed long ago")
    process = start("main_pretrain_1s.py", flags)
    process.join()
    assert process.exitcode == 0
    assert not lock.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of files are Unix'")
def test_full_disk_keeps_the_last_checkpoint(tmp_path, prepared):
    """A limit on the size of files stands for the disk's."""
    flags = ["--data-dir", prepared, "--run-dir", tmp_path, *TINY, "--split", "trial", "--folds", 0]
    assert run("main_pretrain_1s.py", *flags, "--epochs", 1).status == 0
    checkpoint = tmp_path / "pretrain_1s" / "fold_00" / "checkpoint.pt"
    before = checkpoint.read_bytes()
    script = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) // 2},) * 2); import sys, runpy;"
    )
    script += "sys.argv = sys.argv[1:]; sys.path.insert(0, '.'); runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", script, "main_pretrain_1s.py", *map(str, flags), "--epochs", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith(f"error: {checkpoint}: File too large; ")
    assert "Traceback" not in done.stderr
    assert checkpoint.read_bytes() == before
    assert not list(tmp_path.rglob(".*.partial"))
    assert run("main_pretrain_1s.py", *flags, "--epochs", 3).status == 0


def test_complete_preparation_says_so_and_clears_up(tmp_path, raw, prepared):
    """A process killed after its last write leaves a lock's file and nothing to do."""
    out = tmp_path / "prepared"
    shutil.copytree(prepared, out)
    (tmp_path / ".prepared.lock").write_text("process 1 on elsewhere, killed a moment ago")
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert "complete" in done("data_prep/prepare_deap.py", "--raw-dir", raw, "--out-dir", out)
    assert [path.name for path in tmp_path.iterdir()] == ["prepared"]
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    outcome = call("data_prep/prepare_deap.py", "--raw-dir", raw, "--out-dir", out, "--pps-normalise", "none")
    assert_refused(outcome, "already-exists")
