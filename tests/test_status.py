"""Where a run stands: the report of an unfinished one."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from tests.support import ROOT, TINY, assert_refused, call, done
from utils.pretraining.checkpoints import load_tensors, save_tensors

REPORT = "Fine_tuning/report.py"


def follow(out):
    """The script and the flags of the last line, which say what comes next."""
    words = shlex.split(out.splitlines()[-1].removeprefix("next: python "))
    return str(Path(words[0]).resolve().relative_to(ROOT)) if words[0].startswith("/") else words[0], words[1:]


def test_from_the_first_stage_to_the_report(prepared, tmp_path):
    """At each stage the report says what is there, and its next command does what is missing, as it was begun."""
    run_dir = tmp_path / "my run"
    flags = ["--data-dir", prepared, "--run-dir", run_dir]
    done("main_pretrain_1s.py", *flags, "--split", "trial", "--epochs", 1, "--no-cmca", *TINY, "--folds", "0,1")
    seen = []
    for _ in range(6):
        out = done(REPORT, "--run-dir", run_dir, "--no-feature-maps")
        if not out.splitlines()[-1].startswith("next: python"):
            break
        script, words = follow(out)
        seen.append(script.rpartition("/")[2])
        assert "pretrain_1s_no-cmca" in out
        assert "complete: folds 0, 1 of 4" in out
        assert "DEAP, subject-dependent, trial split, 4 folds" in out
        assert words[words.index("--run-dir") + 1] == str(run_dir)
        done(script, *words, *(["--epochs", 1] if "fine_tuning" in script else []))
    assert seen == ["main_pretrain_5s.py", "fine_tuning.py", "baseline.py", "fine_tuning.py"]
    assert "open it in a browser" in out
    metrics = json.loads((run_dir / "finetune_arousal_no-cmca" / "metrics.json").read_text())
    assert [fold["fold"] for fold in metrics["folds"]] == [0, 1]


def test_interrupted_stages(prepared, pretrained, tmp_path):
    """A fold in the middle of its epochs; folds that are not there; a fine-tuning without all of its folds."""
    run_dir = shutil.copytree(pretrained, tmp_path / "run")
    path = run_dir / "pretrain_5s" / "fold_01" / "checkpoint.pt"
    checkpoint = load_tensors(path, "")
    save_tensors(path, checkpoint | {"settings": checkpoint["settings"] | {"EPOCHS": 9}})
    shutil.rmtree(run_dir / "pretrain_5s" / "fold_03")
    out = done(REPORT, "--run-dir", run_dir)
    assert "pretrain_1s  complete: all 4 folds" in out
    assert "2 of 4 folds complete; missing: folds 1, 3; fold 1 is at epoch 1 of 9" in out
    assert follow(out)[0].endswith("main_pretrain_5s.py")
    assert {"--epochs", "--embed-dim", "--split"} <= set(follow(out)[1])
    run_dir = shutil.copytree(pretrained, tmp_path / "other")
    done(
        "Fine_tuning/fine_tuning.py", "--data-dir", prepared, "--run-dir", run_dir, "--epochs", 1, "--label", "valence"
    )
    (run_dir / "finetune_valence" / "metrics.json").unlink()
    (run_dir / "finetune_valence" / "fold_02" / "result.pt").unlink()
    out = done(REPORT, "--run-dir", run_dir)
    assert "3 of 4 folds complete; missing: fold 2" in out
    script, words = follow(out)
    assert words[4:] == ["--label", "valence", "--epochs", "1"]
    done(script, *words)
    assert "open it in a browser" in done(REPORT, "--run-dir", run_dir, "--no-feature-maps")
    for path in (run_dir / "finetune_valence").iterdir():  # as if it had been interrupted in its first fold
        if path.name != "begun.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert follow(done(REPORT, "--run-dir", run_dir))[1][4:] == ["--label", "valence", "--epochs", "1"]


def test_a_split_alone(pretrained, tmp_path):
    shutil.copy(pretrained / "split.json", tmp_path)
    out = done(REPORT, "--run-dir", tmp_path)
    assert "no stage has begun" in out
    assert follow(out)[0].endswith("main_pretrain_1s.py")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{}", "does-not-describe-folds"),
        ("[]", "does-not-hold-json"),
        ('{"folds": 3}', "does-not-describe-folds"),
        ("no", "not-json-file"),
    ],
)
def test_damaged(tmp_path, text, kind):
    (tmp_path / "split.json").write_text(text)
    assert_refused(call(REPORT, "--run-dir", tmp_path), kind, "split.json")


def test_damaged_checkpoint(pretrained, tmp_path):
    shutil.copy(pretrained / "split.json", tmp_path)
    folder = tmp_path / "pretrain_1s" / "fold_00"
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").write_text("text")
    assert_refused(call(REPORT, "--run-dir", tmp_path), "damaged-or-not-checkpoint", "checkpoint.pt")
    save_tensors(folder / "checkpoint.pt", {"fold": 0})
    assert_refused(call(REPORT, "--run-dir", tmp_path), "lacks-parts-checkpoint", "checkpoint.pt")
