"""Folds that one step trains, by the real script: a checkpoint each, gone on with after a kill, the number recorded."""

import json
import shutil

import torch

from tests.support import TINY, assert_refused, call, done

SCRIPT = "main_pretrain_1s.py"


def test_folds_at_once(prepared, pretrained, tmp_path):
    command = [SCRIPT, "--data-dir", prepared, "--run-dir", tmp_path, "--split", "trial", *TINY]
    assert "fold 2: 30 windows" in done(*command, "--epochs", 1, "--folds-at-once", 3)  # and the fourth by itself
    folder, alone = tmp_path / "pretrain_1s", pretrained / "pretrain_1s"
    paths = [folder / f"fold_{k:02d}" / "checkpoint.pt" for k in range(4)]
    saved = [torch.load(path, weights_only=True) for path in paths]
    assert [one["provenance"]["folds_at_once"] for one in saved] == [3] * 4
    weights = [one["encoders"]["eeg"]["weights"]["embedding.linear.weight"] for one in saved]
    assert not any(torch.equal(weights[0], other) for other in weights[1:])
    size = (alone / "fold_00" / "checkpoint.pt").stat().st_size
    assert abs(paths[0].stat().st_size - size) < 0.02 * size  # nothing of the other folds is stored with it
    losses = [json.loads((f / "fold_00" / "log.jsonl").read_text())["loss"] for f in (folder, alone)]
    assert abs(losses[0] - losses[1]) < 0.1 * losses[1]  # other noise and dropout, the same batches
    assert_refused(
        call(*command, "--epochs", 2, "--folds-at-once", 1), "trained-with-folds-once", "3", "not 1", paths[0]
    )
    shutil.copytree(paths[1].parent, tmp_path / "before")
    done(*command, "--epochs", 2)
    shutil.rmtree(paths[1].parent)
    shutil.copytree(tmp_path / "before", paths[1].parent)  # killed after one of them was saved
    out = done(*command, "--epochs", 3)
    assert "epoch 3 of 3" in out
    for path in paths:
        one = torch.load(path, weights_only=True)
        assert one["epoch"] == len(one["history"]) == len((path.parent / "log.jsonl").read_text().splitlines()) == 3
        assert one["provenance"]["folds_at_once"] == 3
        assert all(
            state["step"] == 3 * one["history"][0]["steps"] for state in one["training"]["optimizer"]["state"].values()
        )
    assert out.count("complete") == 0
    assert done(*command, "--epochs", 3).count("complete, 3 epochs") == 4


def test_best_epochs_of_stacked_folds(prepared, tmp_path):
    """Each fold is validated with its own weights, which are views of the stacked ones."""
    where = ["--data-dir", prepared, "--run-dir", tmp_path, "--split", "trial", "--folds", "0,1", "--recipe", "robust"]
    done(SCRIPT, *where, "--epochs", 2, "--keep", "best", "--folds-at-once", 2)
    logs = [(tmp_path / "pretrain_1s" / f"fold_{k:02d}" / "log.jsonl").read_text().splitlines() for k in (0, 1)]
    first, second = ([json.loads(line)["validation_loss"] for line in log] for log in logs)
    assert len({*first, *second}) == 4
