"""Run directories in which things are mixed: nothing of another fold, split, threshold or training goes unnoticed."""

import json
import re
import shutil

import pytest
import torch

from tests.support import TINY, assert_refused, call, done, lines_of, says

PRETRAIN = {window: f"main_pretrain_{window}.py" for window in ("1s", "5s")}
FINETUNE, BASELINE, REPORT = (f"Fine_tuning/{name}.py" for name in ("fine_tuning", "baseline", "report"))
FAST = ["--epochs", 1]


@pytest.fixture
def run_dir(pretrained, tmp_path):
    return shutil.copytree(pretrained, tmp_path / "run")


def change(path, **settings):
    made = torch.load(path, weights_only=True)
    made["settings"] |= settings
    torch.save(made, path)


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_an_interrupted_pretraining_is_not_fine_tuned(run_dir, prepared):
    """It goes on, or fewer epochs are asked for: nothing that is whole is computed again."""
    path, flags = run_dir / "pretrain_1s" / "fold_01" / "checkpoint.pt", ["--data-dir", prepared, "--run-dir", run_dir]
    change(path, EPOCHS=500)
    assert_refused(
        call(FINETUNE, *flags, *FAST),
        "epoch-pre-training-has",
        path,
        "epoch 1",
        "of 500",
        "main_pretrain_1s.py",
        "--epochs 1",
    )
    assert not (run_dir / "finetune_arousal").exists()
    done(FINETUNE, *flags, *FAST, "--folds", "0,2")
    before = torch.load(path, weights_only=True)["training"]["model"]
    assert "fold 1: complete, 1 epochs" in done(PRETRAIN["1s"], *flags, *FAST, *TINY)
    after = torch.load(path, weights_only=True)["training"]["model"]
    assert all(torch.equal(after[name], value) for name, value in before.items())
    done(FINETUNE, *flags, *FAST)


def test_untrained_weights_replace_trained_ones_where_asked(run_dir, prepared):
    flags = ["--data-dir", prepared, "--run-dir", run_dir, "--folds", 0, *TINY]
    done(PRETRAIN["1s"], *flags, "--epochs", 0, "--no-resume")
    assert torch.load(run_dir / "pretrain_1s" / "fold_00" / "checkpoint.pt", weights_only=True)["epoch"] == 0


def test_files_of_another_fold_are_refused(run_dir, prepared):
    flags = ["--data-dir", prepared, "--run-dir", run_dir, *FAST]
    done(FINETUNE, *flags)
    of = run_dir / "finetune_arousal"
    shutil.copy(of / "fold_00" / "result.pt", of / "fold_01" / "result.pt")
    assert_refused(call(FINETUNE, *flags), "fold-not-fold", of / "fold_01" / "result.pt", "fold 0", "fold 1")
    of = run_dir / "pretrain_5s"
    shutil.copy(of / "fold_02" / "checkpoint.pt", of / "fold_03" / "checkpoint.pt")
    for outcome in (call(PRETRAIN["5s"], *flags, *TINY), call(FINETUNE, *flags, "--tag", "again")):
        assert_refused(outcome, "fold-not-fold", of / "fold_03" / "checkpoint.pt", "fold 2", "fold 3")


def test_encoders_that_were_trained_otherwise_are_told(tmp_path, prepared):
    """In the audit, of folds and of window sizes; not where all are alike."""
    flags = ["--data-dir", prepared, "--run-dir", tmp_path]
    done(PRETRAIN["1s"], *flags, *TINY, *FAST, "--folds", 0)
    done(PRETRAIN["5s"], *flags, *TINY, *FAST, "--folds", 0)
    done(FINETUNE, *flags, *FAST, "--folds", 0)
    alike = metrics(tmp_path / "finetune_arousal")
    assert not any("alike" in line for line in alike["audit_in_words"])
    assert alike["provenance"]["encoder_seeds"] == [0]
    done(PRETRAIN["1s"], *flags, *TINY, "--folds", 1, "--epochs", 2)
    done(PRETRAIN["5s"], *flags, *TINY, *FAST, "--folds", 1, "--seed", 7)
    out = done(FINETUNE, *flags, *FAST, "--folds", "0,1")
    line = "the encoders were not all pre-trained alike: SEED 0 and 7, EPOCHS 1 and 2"
    assert f"- {line}\n" in out
    assert line in metrics(tmp_path / "finetune_arousal")["audit_in_words"]
    assert metrics(tmp_path / "finetune_arousal")["provenance"]["encoder_seeds"] == [0, 7]
    assert f"- {line}\n" in done(REPORT, "--run-dir", tmp_path, "--no-feature-maps")


def test_two_recipes_are_told_from_a_flag(tmp_path, prepared):
    flags = ["--data-dir", prepared, "--run-dir", tmp_path, "--folds", 0]
    done(PRETRAIN["1s"], *flags, *TINY, *FAST, "--recipe", "robust")
    done(PRETRAIN["5s"], *flags, *TINY, *FAST)
    assert_refused(
        call(FINETUNE, *flags), "trained-with-not-leave", "pretrain_5s", "--front-end raw", "bandpower", "--recipe"
    )


def test_seeds_of_one_pretraining_are_no_seeds(run_dir, prepared, tmp_path):
    """A copied run directory with another seed in fine-tuning alone."""
    other = shutil.copytree(run_dir, tmp_path / "other")
    for number, folder in enumerate((run_dir, other)):
        flags = ["--data-dir", prepared, "--run-dir", folder, "--seed", number]
        done(FINETUNE, *flags, *FAST)
        done(FINETUNE, *flags, *FAST, "--init", "random")
    words = [f"{run_dir / name},{other / name}" for name in ("finetune_arousal_random", "finetune_arousal")]
    outcome = call("Fine_tuning/compare_runs.py", *words, "--out-dir", tmp_path / "out")
    assert_refused(outcome, "start-from-one-pre", "--seed")


def test_results_of_other_tasks_are_not_compared(tmp_path, prepared):
    """Thresholds, controls and splits stand apart, on the terminal and on the page."""
    flags = ["--data-dir", prepared, "--run-dir", tmp_path / "run", "--models", "lda", "--standardise", "none"]
    done(BASELINE, *flags)
    done(BASELINE, *flags, "--permute-labels")
    out = done(BASELINE, *flags, "--threshold", 7, "--tag", "t7")
    assert "to compare with" not in out
    done(BASELINE, *flags, "--threshold", 7, "--tag", "t7", "--modalities", "eeg")
    out = done(BASELINE, *flags, "--threshold", 7, "--tag", "t7")
    assert "to compare with: baseline_arousal_lda_eeg_t7" in out
    assert out.count("to compare with") == 1
    foreign = tmp_path / "foreign"
    done(BASELINE, *flags[:2], "--run-dir", foreign, *flags[4:], "--split", "window", "--n-folds", 2)
    shutil.copytree(foreign / "baseline_arousal_lda", tmp_path / "run" / "baseline_arousal_lda_window")
    out = done(REPORT, "--run-dir", tmp_path / "run")
    assert "arousal: subject-dependent, trial split, high from 5 on;" in out
    assert "arousal: subject-dependent, trial split, high from 7 on;" in out
    assert "arousal: subject-dependent, window split;" in out
    assert re.search(r"baseline_arousal_lda_window +made with another split.json: not of this run\n", out)
    assert "baseline.py" not in out  # nobody has to complete its folds
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for title in ("trial split, high from 7 on</h2>", "window split</h2>", " split; subject-dependent, "):
        assert title in page


def test_a_label_without_two_classes_is_warned_about(tmp_path, prepared):
    flags = ["--data-dir", prepared, "--run-dir", tmp_path, "--models", "lda", "--threshold", 0.5]
    said = lines_of(call(BASELINE, *flags).err, "every-trial-nothing-can")
    assert len(said) == 1
    says(said[0], None, "--label arousal", "'high arousal'", "0.5")


def test_a_file_of_a_later_version_is_not_called_damaged(run_dir, prepared, tmp_path):
    """And nobody is told to compute it again."""
    path = run_dir / "pretrain_1s" / "fold_00" / "checkpoint.pt"
    made = torch.load(path, weights_only=True)
    torch.save(made | {"format_version": 2}, path)
    outcome = call(FINETUNE, "--data-dir", prepared, "--run-dir", run_dir, *FAST)
    assert_refused(outcome, "whole-but-format-later", path, "format 2")
    assert "delete" not in outcome.err
