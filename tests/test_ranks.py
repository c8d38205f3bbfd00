"""Several processes: the same bytes as one, whatever is killed, and one fold's batches computed together."""

import json
import multiprocessing
import os
import re
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
from models.together import MeanGradients
from tests.support import ROOT, TINY, call, done
from tests.test_kills import weights
from utils import ranks
from utils.devices import adam

CPU = torch.device("cpu")


def torchrun(n, script, *flags, restarts=0):
    """Start a script in ``n`` processes; `outcome` waits for it."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
    command = [*launcher, f"--max-restarts={restarts}", ROOT / script, *flags]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(process):
    """Exit status, standard output and standard error."""
    out, err = process.communicate(timeout=120)
    return SimpleNamespace(status=process.returncode, out=out, err=err)


def checkpoints(folder):
    """What the checkpoints of a pre-training say, by fold."""
    return {path.parent.name: weights(path) for path in sorted(folder.glob("pretrain_1s/fold_*/checkpoint.pt"))}


def pretraining(data_dir, run_dir, *flags):
    return ("main_pretrain_1s.py", "--data-dir", data_dir, "--run-dir", run_dir, "--split", "trial", *TINY, *flags)


def test_folds_of_any_number_of_processes_are_the_same(tmp_path, prepared, pretrained):
    few = outcome(torchrun(3, *pretraining(prepared, tmp_path, "--epochs", 1, "--folds", "2,0")))
    assert few.status == 0, few.err
    assert few.out.count("1 of 3 processes have nothing to do: folds to run: 2") == 1
    assert len(re.findall(r"^\[rank 1\] fold 0, epoch 1, loss", few.out, re.MULTILINE)) == 1
    assert few.out.count("\nEPOCHS = 1") == 1
    assert sorted(checkpoints(tmp_path)) == ["fold_00", "fold_02"]
    before = (tmp_path / "pretrain_1s" / "fold_02" / "checkpoint.pt").stat().st_mtime_ns
    rest = outcome(torchrun(2, *pretraining(prepared, tmp_path, "--epochs", 1)))
    assert rest.status == 0, rest.err
    assert rest.out.count("complete, 1 epochs") == 2
    assert rest.out.count("encoders and log.jsonl, folds: 4") == 1
    assert (tmp_path / "pretrain_1s" / "fold_02" / "checkpoint.pt").stat().st_mtime_ns == before
    assert checkpoints(tmp_path) == checkpoints(pretrained)
    assert not list(tmp_path.rglob(".*"))


def result(folder):
    """All that a result says, without time and place."""
    metrics = json.loads((folder / "metrics.json").read_text())
    for fold in metrics["folds"]:
        del fold["seconds"]
    del metrics["settings"]["RUN_DIR"], metrics["seconds"], metrics["provenance"]["threads"]
    return metrics, (folder / "predictions.csv").read_bytes()


def test_results_of_any_number_of_processes_are_the_same(tmp_path, prepared, pretrained):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    for folder in (alone, shared):
        shutil.copytree(pretrained, folder, ignore=shutil.ignore_patterns("finetune_*", "baseline_*"))
    flags = ["--data-dir", prepared, "--run-dir"]
    tuning = ["--epochs", 1, "--permutations", 3]
    processes = [torchrun(3, "Fine_tuning/fine_tuning.py", *flags, shared, *tuning)]
    done("Fine_tuning/fine_tuning.py", *flags, alone, *tuning)
    several = outcome(processes.pop())
    assert several.status == 0, several.err
    assert several.out.count("balanced accuracy per window") == 1
    assert several.out.count("[rank 2] fold 2, epoch 1") == 1
    name = "finetune_arousal"
    assert result(shared / name) == result(alone / name)
    permutations = [json.loads((folder / name / "permutations.json").read_text()) for folder in (shared, alone)]
    assert permutations[0]["accuracy"] == permutations[1]["accuracy"]
    processes = [torchrun(2, "Fine_tuning/baseline.py", *flags, shared)]
    done("Fine_tuning/baseline.py", *flags, alone)
    several = outcome(processes.pop())
    assert several.status == 0, several.err
    for model in ("logistic", "lda", "nearest"):
        assert result(shared / f"baseline_arousal_{model}") == result(alone / f"baseline_arousal_{model}")


def test_refusal_is_said_once_and_ends_all(tmp_path, prepared):
    start = time.monotonic()
    refused = outcome(torchrun(2, *pretraining(prepared, tmp_path, "--epochs", 1, "--folds", 9)))
    assert refused.status != 0
    assert time.monotonic() - start < 60  # a rank that waited for the lost one would be killed after 30 s more
    errors = [line for line in refused.err.splitlines() if line.startswith("error: ")]
    assert errors == ["error: --folds 9: the folds are 0 to 3"]
    assert "RuntimeError" not in refused.err


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


def test_a_killed_rank_ends_the_job_and_the_same_command_goes_on(tmp_path, prepared, undisturbed):
    command = pretraining(prepared, tmp_path, "--epochs", 3, "--folds", "0,1", "--save-every", 1)
    process = torchrun(2, *command)
    kill_a_rank(tmp_path, 1, process)
    killed = outcome(process)
    assert killed.status != 0
    assert "SIGKILL" in killed.err
    assert 'Traceback (most recent call last):\n  File "' + str(ROOT) not in killed.err
    again = call(*command)  # the same, by one process
    assert again.status == 0, again.err
    assert checkpoints(tmp_path) == undisturbed
    assert not list(tmp_path.rglob(".*"))


def test_torchrun_restarts_what_was_killed(tmp_path, prepared, undisturbed):
    process = torchrun(2, *pretraining(prepared, tmp_path, "--epochs", 3, "--folds", "0,1"), restarts=1)
    kill_a_rank(tmp_path, 0, process)
    restarted = outcome(process)
    assert restarted.status == 0, restarted.err
    assert "encoders and log.jsonl, folds: 2" in restarted.out
    assert checkpoints(tmp_path) == undisturbed
    assert not list(tmp_path.rglob(".*"))


# --- one fold's batches, computed together


def test_batches_computed_together(tmp_path, prepared, pretrained):
    command = pretraining(prepared, tmp_path, "--folds", 0, "--epochs", 1, "--parallel", "batch", "--stream")
    several = outcome(torchrun(2, *command))
    assert several.status == 0, several.err
    assert several.out.count("epoch 1, loss") == 1  # rank 0 speaks for all
    ours, alone = (checkpoints(folder)["fold_00"] for folder in (tmp_path, pretrained))
    assert ours.keys() == alone.keys()
    loss, expected = (entry["history"][0]["loss"] for entry in (ours, alone))
    assert loss == pytest.approx(expected, rel=0.1)  # the same batches, other noise
    done(*command[:-3], "--epochs", 2)  # one process goes on
    odd = ("--epochs", 1, "--parallel", "batch", "--batch-size", 3)
    refused = outcome(torchrun(2, *pretraining(prepared, tmp_path / "odd", *odd)))
    assert refused.status != 0
    assert refused.err.count("error: --parallel batch: 2 processes cannot share batches of 3; see --batch-size") == 1


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


def train(model, backward, batch):
    """Two steps: their losses; gradients and statistics of the first."""
    optimizer = adam(model, SimpleNamespace(LR=1e-3, WEIGHT_DECAY=1e-3), CPU)
    losses, first = [], {}
    for _ in range(2):
        loss, metrics = model(batch)
        optimizer.zero_grad(set_to_none=True)
        backward(loss)
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
    model.together = True
    part = 8 // n_ranks
    own = {name: x[:, rank * part : (rank + 1) * part] for name, x in batch.items()}
    torch.save(train(model, MeanGradients(model).backward, own), f"{folder}/{rank}.pt")
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
    expected = train(model, torch.Tensor.backward, batch)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    for rank in range(n_ranks):
        ours = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(ours[0], expected[0], rtol=1e-10, atol=1e-12)
        assert ours[1].keys() == expected[1].keys()
        torch.testing.assert_close(ours[1], expected[1], rtol=1e-9, atol=1e-11)


def test_work_is_shared_by_what_is_missing(monkeypatch):
    monkeypatch.setattr(ranks, "size", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(ranks, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(ranks, "gather", lambda _: [[item in "bd" for item in "abcdefg"]])
        shares.append("".join(ranks.share(list("abcdefg"), None)) if rank else None)
    assert shares[1:] == ["cg", "e"]


def test_streaming_changes_no_byte(tmp_path, prepared, pretrained):
    done(*pretraining(prepared, tmp_path, "--epochs", 1, "--folds", 0, "--stream"))
    assert checkpoints(tmp_path)["fold_00"] == checkpoints(pretrained)["fold_00"]
    flags = ["--data-dir", prepared, "--run-dir", tmp_path, "--init", "random", "--epochs", 2, "--folds", 0]
    flags += ["--embed-dim-1s", 8, "--embed-dim-5s", 8, "--modalities", "eeg+pps"]
    done("Fine_tuning/fine_tuning.py", *flags)
    expected = result(tmp_path / "finetune_arousal_random")[1]
    done("Fine_tuning/fine_tuning.py", *flags, "--stream", "--no-resume")
    assert result(tmp_path / "finetune_arousal_random")[1] == expected
