"""Small data that several tests share; made by the real scripts."""

import shutil

import pytest

from tests.support import TINY, done

SUBJECTS, TRIALS, SECONDS = 4, 4, 12


@pytest.fixture(scope="session")
def raw(tmp_path_factory):
    """Raw DEAP-format files of 4 subjects x 4 trials x 12 s (two 5 s windows and 2 s that fill none)."""
    folder = tmp_path_factory.mktemp("deap") / "raw"
    sizes = ["--subjects", SUBJECTS, "--trials", TRIALS, "--seconds", SECONDS]
    done("data_prep/make_synthetic.py", "--out-dir", folder, *sizes)
    return folder


@pytest.fixture(scope="session")
def prepared(raw):
    """The prepared folder of `raw`."""
    folder = raw.with_name("prepared")
    done("data_prep/prepare_deap.py", "--raw-dir", raw, "--out-dir", folder)
    return folder


@pytest.fixture(scope="session")
def pretrained(prepared):
    """A run directory with both pre-trainings of all 4 folds of the trial split; do not write into it."""
    run_dir = prepared.with_name("run")
    for script in ("main_pretrain_1s.py", "main_pretrain_5s.py"):
        done(script, "--data-dir", prepared, "--run-dir", run_dir, "--split", "trial", "--epochs", 1, *TINY)
    return run_dir


@pytest.fixture(scope="module")
def run_dir(prepared, pretrained, tmp_path_factory):
    """A run directory with fine-tuned models of fold 0."""
    folder = tmp_path_factory.mktemp("predict") / "run"
    shutil.copytree(pretrained, folder)
    flags = ["--data-dir", prepared, "--run-dir", folder, "--epochs", 2, "--folds", 0]
    done("Fine_tuning/fine_tuning.py", *flags)
    done("Fine_tuning/fine_tuning.py", *flags, "--modalities", "eeg", "--resolutions", "1s")
    return folder
