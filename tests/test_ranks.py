"""Several processes: the same bytes as one, whoever comes late or is killed; one fold's batches computed together."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from torch import distributed

from models import ContrastiveModel, Encoder
from tests.builders.checkpoints import weights
from tests.support import ROOT, TINY, assert_refused, call, done, lines_of, refused
from utils.base import ranks
from utils.base.devices import adam
from utils.base.errors import InputError
from utils.pretraining.stacked import Objective
from utils.pretraining.together import gather, over_processes, own_part

CPU = torch.device("cpu")
FINETUNE = "Fine_tuning/fine_tuning.py"
THREADS = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # the bytes are promised for the same number


def torchrun(n, script, *flags, restarts=0):
    """Start a script in ``n`` processes; `outcome` waits for them."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
    return start([*launcher, f"--max-restarts={restarts}", ROOT / script, *flags])


def by_hand(rank, n, script, *flags):
    """Start one of ``n`` processes."""
    return start([sys.executable, ROOT / script, *flags], RANK=str(rank), WORLD_SIZE=str(n))


def start(command, **env):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(list(map(str, command)), **pipes, text=True, env=os.environ | THREADS | env)


def outcome(process):
    """Exit status, standard output and standard error."""
    out, err = process.communicate(timeout=120)
    return SimpleNamespace(status=process.returncode, out=out, err=err)


def computed_together(*command):
    """Outcome of two processes on one batch. Where PyTorch aborts one (docs/scaling.md), it is done again."""
    first = outcome(torchrun(2, *command))
    if first.status == 0 or "terminate called without an active exception" not in first.err:
        return first
    again = outcome(torchrun(2, *command))
    return SimpleNamespace(status=again.status, out=first.out + again.out, err=again.err)


@pytest.fixture
def turn(monkeypatch):
    """Run a script as one of several processes, in this one: the others come before or after it."""

    def turn(rank, n, script, *flags):
        with monkeypatch.context() as env:
            env.setenv("RANK", str(rank))
            env.setenv("WORLD_SIZE", str(n))
            return done(script, *flags)

    return turn


def checkpoints(folder):
    """What the checkpoints of a pre-training say, by fold."""
    return {path.parent.name: weights(path) for path in sorted(folder.glob("pretrain_1s/fold_*/checkpoint.pt"))}


def pretraining(data_dir, run_dir, *flags):
    return ("main_pretrain_1s.py", "--data-dir", data_dir, "--run-dir", run_dir, "--split", "trial", *TINY, *flags)


# --- which process this is


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, (0, 1, 0)),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, (5, 8, 1)),
        ({"RANK": "5", "WORLD_SIZE": "8"}, (5, 8, 5)),
        ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1"}, (3, 4, 1)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"}, (0, 1, 0)),  # a batch script without srun
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "0"}, (1, 2, 0)),
        (
            {"RANK": "2", "WORLD_SIZE": "3", "LOCAL_RANK": "0", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2"},
            (2, 3, 0),  # srun started one torchrun a node
        ),
        ({"RANK": "2", "WORLD_SIZE": "2"}, None),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, None),
        ({"RANK": "one", "WORLD_SIZE": "2"}, None),
        ({"RANK": "0"}, None),
        ({"WORLD_SIZE": "2"}, None),
    ],
)
def test_place_in_the_job(monkeypatch, environment, place):
    for names in ranks.NAMES:
        for name in names:
            monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if place is None:
        with pytest.raises(InputError, match="RANK"):
            ranks.rank()
    else:
        assert (ranks.rank(), ranks.size(), ranks.local_rank()) == place


def test_no_fold_is_left_out_or_run_twice(monkeypatch):
    folds = [SimpleNamespace(index=number) for number in range(7)]
    for n in (1, 2, 3, 9):
        monkeypatch.setenv("WORLD_SIZE", str(n))
        shares = []
        for rank in range(n):
            monkeypatch.setenv("RANK", str(rank))
            shares += ranks.share(folds)
        assert sorted(fold.index for fold in shares) == list(range(7))


def test_a_wrong_environment_is_refused(tmp_path, prepared, monkeypatch):
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert_refused(
        call(*pretraining(prepared, tmp_path, "--epochs", 1)), "environment-do-not-number", "RANK=2, WORLD_SIZE=2"
    )
    assert not list(tmp_path.rglob("*.pt"))


# --- folds that are shared out


def test_folds_of_any_number_of_processes_are_the_same(tmp_path, prepared, pretrained, turn):
    few = outcome(torchrun(3, *pretraining(prepared, tmp_path, "--epochs", 1, "--folds", "2,0")))
    assert few.status == 0, few.err
    for line in ("rank 0 of 3: folds 2", "rank 1 of 3: folds 0", "rank 2 of 3: no fold is left for this process"):
        assert few.out.count(line) == 1
    assert few.out.count("next: python main_pretrain_5s.py") == 1
    assert sorted(checkpoints(tmp_path)) == ["fold_00", "fold_02"]
    before = (tmp_path / "pretrain_1s" / "fold_02" / "checkpoint.pt").stat().st_mtime_ns
    late = turn(1, 2, *pretraining(prepared, tmp_path, "--epochs", 1))
    assert "rank 1 of 2: folds 1, 3" in late
    assert "next:" not in late
    assert sorted(checkpoints(tmp_path)) == ["fold_00", "fold_01", "fold_02", "fold_03"]
    later = turn(0, 2, *pretraining(prepared, tmp_path, "--epochs", 1))
    assert later.count("complete, 1 epochs") == 2
    assert (tmp_path / "pretrain_1s" / "fold_02" / "checkpoint.pt").stat().st_mtime_ns == before
    assert checkpoints(tmp_path) == checkpoints(pretrained)
    assert not list(tmp_path.rglob(".*"))


def result(folder):
    """All that a result says, without time and place."""
    metrics = json.loads((folder / "metrics.json").read_text())
    for fold in metrics["folds"]:
        del fold["seconds"]
    del metrics["settings"]["RUN_DIR"], metrics["settings"]["FOLDS"], metrics["seconds"]
    return metrics, (folder / "predictions.csv").read_bytes()


@pytest.fixture(scope="module")
def alone(prepared, pretrained, tmp_path_factory):
    """Results by one process: fine-tuning with a permutation test by fine-tuning, and one by a linear probe."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    for n in (2, 30):
        shutil.copytree(pretrained, folder / str(n), ignore=shutil.ignore_patterns("finetune_*", "baseline_*"))
        done(FINETUNE, "--data-dir", prepared, "--run-dir", folder / str(n), "--epochs", 1, "--permutations", n)
    return {n: result(folder / str(n) / "finetune_arousal") for n in (2, 30)}


@pytest.fixture
def run_dir(pretrained, tmp_path):
    """A copy of the pre-trained run directory, to write into."""
    return shutil.copytree(
        pretrained, tmp_path / "run", ignore=shutil.ignore_patterns("finetune_*", "baseline_*", ".*")
    )


@pytest.mark.slow
@pytest.mark.parametrize("n_permutations", [2, 30])
def test_processes_that_come_one_after_the_other_end_with_the_same_metrics(
    run_dir, prepared, turn, alone, n_permutations
):
    flags = ["--data-dir", prepared, "--run-dir", run_dir, "--epochs", 1, "--permutations", n_permutations]
    folder = run_dir / "finetune_arousal"
    first = turn(2, 3, FINETUNE, *flags)
    assert "1 of 4 folds" in first
    assert "folds 0, 1, 3 are not complete; who ends last prints the result" in first
    assert [fold["fold"] for fold in result(folder)[0]["folds"]] == [2]
    turn(0, 3, FINETUNE, *flags)
    assert [fold["fold"] for fold in result(folder)[0]["folds"]] == [0, 2, 3]
    assert "permutation" not in result(folder)[0]
    last = turn(1, 3, FINETUNE, *flags)
    assert last.count("balanced accuracy per window") == 1
    assert last.count("permutation test") == 1
    assert "next: python Fine_tuning/report.py" in last
    assert result(folder) == alone[n_permutations]
    before = (folder / "metrics.json").stat().st_mtime_ns
    assert "balanced accuracy" not in turn(1, 3, FINETUNE, *flags)  # had nothing to add
    assert (folder / "metrics.json").stat().st_mtime_ns == before
    (folder / "metrics.json").unlink()  # as if the last had been killed before it wrote it
    assert "balanced accuracy" in turn(0, 3, FINETUNE, *flags)
    assert result(folder) == alone[n_permutations]


@pytest.mark.slow
def test_processes_at_the_same_time_end_with_the_same_metrics(run_dir, prepared, alone):
    flags = ["--data-dir", prepared, "--run-dir", run_dir, "--epochs", 1, "--permutations", 2]
    several = outcome(torchrun(2, FINETUNE, *flags))
    assert several.status == 0, several.err
    assert "balanced accuracy per window" in several.out
    assert result(run_dir / "finetune_arousal") == alone[2]
    assert not list(run_dir.rglob(".*"))


@pytest.mark.slow
def test_a_job_array_ends_with_the_same_metrics(run_dir, prepared, alone):
    for fold in (3, 0, 2, 1):
        where = ["--data-dir", prepared, "--run-dir", run_dir, "--folds", fold]
        done(FINETUNE, *where, "--epochs", 1, "--permutations", 2)
    assert result(run_dir / "finetune_arousal") == alone[2]


def test_results_made_otherwise_are_not_mixed_in(run_dir, prepared, turn, monkeypatch):
    """With other settings the folds of earlier processes count as missing, and without --no-resume are refused."""
    flags = ["--data-dir", prepared, "--run-dir", run_dir, "--folds", "0,1", "--epochs"]
    done(FINETUNE, *flags, 1)
    turn(0, 2, FINETUNE, *flags, 2, "--no-resume")
    metrics = json.loads((run_dir / "finetune_arousal" / "metrics.json").read_text())
    assert [fold["fold"] for fold in metrics["folds"]] == [0]
    turn(1, 2, FINETUNE, *flags, 2, "--no-resume")
    metrics = json.loads((run_dir / "finetune_arousal" / "metrics.json").read_text())
    assert [fold["fold"] for fold in metrics["folds"]] == [0, 1]
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert_refused(call(FINETUNE, *flags, 3), "made-with-not", "EPOCHS", "2", "3")


def test_baselines_are_rank_0s(run_dir, prepared, turn):
    flags = ["--data-dir", prepared, "--run-dir", run_dir, "--models", "lda"]
    assert "rank 0 computes the classical models" in turn(1, 2, "Fine_tuning/baseline.py", *flags)
    assert not (run_dir / "baseline_arousal_lda").exists()
    turn(0, 2, "Fine_tuning/baseline.py", *flags)
    expected = result(run_dir / "baseline_arousal_lda")
    done("Fine_tuning/baseline.py", *flags)
    assert result(run_dir / "baseline_arousal_lda") == expected
    assert len(expected[0]["folds"]) == 4


def test_a_refusal_ends_all(tmp_path, prepared):
    began = time.monotonic()
    refused = outcome(torchrun(2, *pretraining(prepared, tmp_path, "--epochs", 1, "--folds", 9)))
    assert refused.status != 0
    assert time.monotonic() - began < 60  # who waited for the other one would be killed after 30 s more
    errors = [line for line in refused.err.splitlines() if line.startswith("error: ")]
    assert "--folds 9" in lines_of("\n".join(errors), "folds-to")[0]
    assert "exitcode  : 2" in refused.err
    assert 'Traceback (most recent call last):\n  File "' + str(ROOT) not in refused.err


# --- processes that are killed


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    """Three epochs of two folds, by one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done(*pretraining(prepared, folder, "--epochs", 3, "--folds", "0,1"))
    return checkpoints(folder)


def kill_a_rank(folder, fold, process):
    """Kill -9 the process that has written an epoch of this fold."""
    lock, end = folder / "pretrain_1s" / f".fold_{fold:02d}.lock", time.monotonic() + 60
    while not (folder / "pretrain_1s" / f"fold_{fold:02d}" / "checkpoint.pt").exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(int(lock.read_text().split()[1]), signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_process_keeps_no_other_from_its_folds(tmp_path, prepared, undisturbed, turn):
    command = pretraining(prepared, tmp_path, "--epochs", 3, "--folds", "0,1", "--save-every", 1)
    processes = [by_hand(rank, 2, *command) for rank in range(2)]
    kill_a_rank(tmp_path, 1, processes[1])
    assert outcome(processes[1]).status == -signal.SIGKILL
    other = outcome(processes[0])
    assert other.status == 0, other.err
    assert checkpoints(tmp_path)["fold_00"] == undisturbed["fold_00"]
    turn(1, 2, *command)
    assert checkpoints(tmp_path) == undisturbed
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.slow
def test_torchrun_ends_the_job_and_the_same_command_goes_on(tmp_path, prepared, undisturbed):
    command = pretraining(prepared, tmp_path, "--epochs", 3, "--folds", "0,1", "--save-every", 1)
    process = torchrun(2, *command)
    kill_a_rank(tmp_path, 1, process)
    killed = outcome(process)
    assert killed.status != 0
    assert "SIGKILL" in killed.err
    assert 'Traceback (most recent call last):\n  File "' + str(ROOT) not in killed.err
    done(*command)  # the same, by one process
    assert checkpoints(tmp_path) == undisturbed
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.slow
def test_torchrun_restarts_what_was_killed(tmp_path, prepared, undisturbed):
    process = torchrun(2, *pretraining(prepared, tmp_path, "--epochs", 3, "--folds", "0,1"), restarts=1)
    kill_a_rank(tmp_path, 0, process)
    restarted = outcome(process)
    assert restarted.status == 0, restarted.err
    assert checkpoints(tmp_path) == undisturbed
    assert not list(tmp_path.rglob(".*"))


# --- one fold's batches, computed together


def test_batches_computed_together(tmp_path, prepared, pretrained):
    command = pretraining(prepared, tmp_path, "--folds", 0, "--epochs", 1, "--parallel", "batch", "--stream")
    several = computed_together(*command)
    assert several.status == 0, several.err
    assert several.out.count("epoch 1 of 1, loss") == 1  # rank 0 speaks for all
    ours, alone = (checkpoints(folder)["fold_00"] for folder in (tmp_path, pretrained))
    assert ours.keys() == alone.keys()
    loss, expected = (entry["history"][0]["loss"] for entry in (ours, alone))
    assert loss == pytest.approx(expected, rel=0.1)  # the same batches, other noise
    assert "Warning" not in several.err
    more = computed_together(*command, "--epochs", 2)
    assert more.status == 0, more.err
    assert "epoch 2 of 2" in more.out
    done(*command[:-3], "--epochs", 3)  # one process goes on


def test_batches_that_cannot_be_computed_together(tmp_path, prepared, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert [own_part(8), own_part(2)] == [slice(4, 8), slice(1, 2)]
    with refused("processes-cannot-share-batches", "--parallel batch", "2 processes", "3", "--batch-size"):
        own_part(3)
    command = pretraining(prepared, tmp_path, "--epochs", 1, "--parallel", "batch")
    assert_refused(
        call(*command), "processes-meet-master-addr", "--parallel batch"
    )  # by hand, and not told where to meet


def contrastive(group_losses=("eeg", "pps")):
    """A model in double precision, without dropout, and a batch for it."""
    torch.manual_seed(0)
    small = dict(embed_dim=12, projector_dims=(16, 24, 32))
    encoders = {"eeg": Encoder(4, 32, prompt_tokens=2, **small), "pps": Encoder(2, 32, **small)}
    model = ContrastiveModel(encoders, 0.1, group_losses).double()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for module in model.encoders.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.eval()  # a CPU's normalise by the statistics of their own process
    return model, {name: torch.randn(2, 8, 2, c, 32, dtype=torch.float64) for name, c in (("eeg", 4), ("pps", 2))}


def train(model, forward, batch):
    """Two steps: their losses; gradients and statistics of the first."""
    optimizer = adam(model.parameters(), SimpleNamespace(LR=1e-3, WEIGHT_DECAY=1e-3), CPU)
    losses, first = [], {}
    for _ in range(2):
        terms = forward(batch)
        loss, metrics = terms["loss"], torch.stack(list(terms.values())).detach()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if not first:
            first = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
            first |= {name: buffer.clone() for name, buffer in model.named_buffers()}
        optimizer.step()
        losses.append(metrics)
    return losses, first


def be_a_rank(rank, n_ranks, folder, group_losses):
    """Train on this rank's part of the batch."""
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=n_ranks)
    model, batch = contrastive(group_losses)
    forward = over_processes(Objective(model, gather=gather), 0, CPU)
    part = 8 // n_ranks
    own = {name: x[:, rank * part : (rank + 1) * part] for name, x in batch.items()}
    torch.save(train(model, forward, own), f"{folder}/{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.parametrize(("n_ranks", "group_losses"), [(2, ("eeg", "pps")), (4, ("eeg", "pps")), (2, ("pps",))])
def test_loss_and_gradients_are_those_of_the_whole_batch(tmp_path, n_ranks, group_losses):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.test_ranks"])
    arguments = [(rank, n_ranks, str(tmp_path), group_losses) for rank in range(n_ranks)]
    processes = [context.Process(target=be_a_rank, args=each) for each in arguments]
    for process in processes:
        process.start()
    model, batch = contrastive(group_losses)
    expected = train(model, model, batch)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    for rank in range(n_ranks):
        ours = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(ours[0], expected[0], rtol=1e-10, atol=1e-12)
        assert ours[1].keys() == expected[1].keys()
        torch.testing.assert_close(ours[1], expected[1], rtol=1e-9, atol=1e-11)


def test_streaming_changes_no_byte(tmp_path, prepared, pretrained):
    done(*pretraining(prepared, tmp_path, "--epochs", 1, "--folds", 0, "--stream"))
    assert checkpoints(tmp_path)["fold_00"] == checkpoints(pretrained)["fold_00"]
    flags = ["--data-dir", prepared, "--run-dir", tmp_path, "--init", "random", "--epochs", 2, "--folds", 0]
    flags += ["--embed-dim-1s", 8, "--embed-dim-5s", 8, "--modalities", "eeg+pps"]
    done("Fine_tuning/fine_tuning.py", *flags)
    expected = result(tmp_path / "finetune_arousal_random")[1]
    done("Fine_tuning/fine_tuning.py", *flags, "--stream", "--no-resume")
    assert result(tmp_path / "finetune_arousal_random")[1] == expected
