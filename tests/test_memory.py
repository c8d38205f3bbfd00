"""A process that trains many folds holds the networks and recordings of one at a time."""

import gc
import runpy
import weakref

import pytest
import torch

from tests.support import ROOT, TINY, done
from utils.base.settings import read_settings
from utils.finetuning import finetuning
from utils.inputs.recordings import Recordings
from utils.pretraining import fold_pretraining, pretraining

FOLDS = 12


@pytest.fixture(scope="module")
def twelve(tmp_path_factory):
    """A prepared folder of 12 people, so that a subject split has 12 folds."""
    folder = tmp_path_factory.mktemp("twelve")
    done(
        "data_prep/make_synthetic.py", "--out-dir", folder / "raw", "--subjects", FOLDS, "--trials", 2, "--seconds", 10
    )
    done("data_prep/prepare_deap.py", "--raw-dir", folder / "raw", "--out-dir", folder / "data")
    return folder / "data"


@pytest.fixture
def living(monkeypatch):
    """How many networks are alive whenever one more is made, without Python's search for rings."""
    torch.optim.Adam([torch.zeros(1)])  # the first one imports modules that keep the frames which led to them
    counts, alive = [], weakref.WeakSet()

    def watch(module, name):
        build = getattr(module, name)

        def watched(*args, **kwargs):
            network = build(*args, **kwargs)
            alive.add(next(network.parameters()))  # which an optimizer may keep when the network is gone
            counts.append(len(alive))
            return network

        monkeypatch.setattr(module, name, watched)

    gc.collect()
    gc.disable()
    yield watch, counts
    gc.enable()


def settings_of(script, *flags):
    constants = runpy.run_path(str(ROOT / script))
    return read_settings(constants, list(map(str, flags)))


@pytest.mark.parametrize("recipe", ["paper", "robust"])
def test_pretraining_keeps_no_former_fold(twelve, tmp_path, living, recipe):
    watch, counts = living
    watch(fold_pretraining, "build")
    where = ["--data-dir", twelve, "--run-dir", tmp_path, "--split", "subject", "--recipe", recipe, "--epochs", 1]
    pretraining.pretrain(settings_of("main_pretrain_5s.py", *where, *TINY))
    assert counts == [1] * FOLDS


def test_standardised_recordings_of_former_folds_are_freed(twelve, tmp_path, living, monkeypatch):
    alive, standardised = weakref.WeakSet(), Recordings.standardised

    def watched(self, training):
        other = standardised(self, training)
        alive.add(other)
        assert len(alive) == 1
        return other

    where = ["--data-dir", twelve, "--run-dir", tmp_path, "--split", "subject", "--recipe", "robust", "--epochs", 1]
    monkeypatch.setattr(Recordings, "standardised", watched)
    pretraining.pretrain(settings_of("main_pretrain_5s.py", *where, *TINY))


def test_fine_tuning_keeps_no_former_fold(twelve, tmp_path, living):
    watch, counts = living
    watch(finetuning.FirstEncoders, "build")
    where = ["--data-dir", twelve, "--run-dir", tmp_path, "--split", "subject", "--init", "random", "--epochs", 1]
    tiny = ["--embed-dim-1s", 8, "--embed-dim-5s", 8]
    finetuning.finetune(settings_of("Fine_tuning/fine_tuning.py", *where, *tiny))
    assert counts == [1] * (FOLDS + 1)  # one more in the beginning, whose size decides the threads
