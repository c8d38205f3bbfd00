"""Moments of new stimuli: recognised, and by how much more than the clock."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from tests.support import done
from utils.pretraining import moments

N_SECONDS = 10


class Signals:
    """People whose blocks are what the stimulus, the second and they themselves add."""

    def __init__(self, stimulus, clock, n_people=6, n_trials=4):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((n_people, n_trials, N_SECONDS, 1, 24))
        x += stimulus * rng.standard_normal((1, n_trials, N_SECONDS, 1, 24))
        x += clock * rng.standard_normal((1, 1, N_SECONDS, 1, 24))
        self.blocks = {"eeg": torch.from_numpy(x).float()}
        self.trial_seconds, self.seconds_per_subject = N_SECONDS, n_trials * N_SECONDS
        self.seen = torch.ones(n_people, n_trials, dtype=bool)

    def take(self, modality, subjects, first_seconds, n_seconds):
        places = subjects * self.seconds_per_subject + first_seconds
        return self.blocks[modality].flatten(0, 2)[places][:, None]


class Identity(nn.Module):
    """An encoder that leaves everything as it is."""

    def forward(self, x):
        return x.flatten(1)

    def project(self, x):
        return x


class Model(nn.Module):
    alignment = None

    def __init__(self):
        super().__init__()
        self.encoders = nn.ModuleDict({"eeg": Identity()})


@pytest.mark.parametrize(
    ("stimulus", "clock", "expected"), [(0, 0, (0.025, 0.025)), (3, 0, (0.95, 0.025)), (0, 3, (0.25, 0.25))]
)
def test_what_is_planted_is_counted(stimulus, clock, expected):
    """Of 40 moments, four at each second: all by the stimulus, a quarter by the clock alone, or 1 of 40 by chance."""
    all_moments = np.stack(np.meshgrid(np.arange(4), np.arange(N_SECONDS), indexing="ij"), -1).reshape(-1, 2)
    found = moments.look(Model(), Signals(stimulus, clock), np.arange(6), all_moments, 1, 2, 40)
    assert found["chance"] == 1 / 40
    assert found["eeg"] == pytest.approx(expected[0], abs=0.1)
    assert found["eeg_clock"] == pytest.approx(expected[1], abs=0.13)
    signals = Signals(stimulus, clock)
    signals.seen[:3, 3] = False  # too few saw it for two groups
    fewer = moments.look(Model(), signals, np.arange(6), all_moments, 1, 2, 40)
    assert fewer["chance"] == 1 / 30
    alone = moments.look(Model(), Signals(3, 0), np.arange(6), all_moments[:N_SECONDS], 1, 2, 40)
    assert "eeg_clock" not in alone  # no other stimulus
    assert moments.in_words(alone) is None


def test_a_trend_over_the_trial_is_the_clock(tmp_path):
    """Alpha that grows and skin conductance that falls in all trials alike: the control finds them, and says so."""
    looks = {}
    for trend in (0, 6):
        raw, data, run_dir = (tmp_path / f"{name}{trend}" for name in ("raw", "data", "run"))
        sizes = ["--subjects", 6, "--trials", 6, "--seconds", 30, "--effect", 0]
        done("data_prep/make_synthetic.py", "--out-dir", raw, *sizes, "--trend", trend)
        done("data_prep/prepare_deap.py", "--raw-dir", raw, "--out-dir", data, "--pps-normalise", "subject")
        where = ["--data-dir", data, "--run-dir", run_dir, "--recipe", "robust", "--n-folds", 2]
        out = done("main_pretrain_5s.py", *where, "--folds", 0)
        assert "by the clock alone" in out
        log = [json.loads(line) for line in (run_dir / "pretrain_5s/fold_00/log.jsonl").read_text().splitlines()]
        assert "held_out" not in log[0]
        looks[trend] = log[-1]["held_out"]
        again = done("main_pretrain_5s.py", *where, "--folds", 0)
        assert "complete" in again
        assert json.loads((run_dir / "pretrain_5s/fold_00/log.jsonl").read_text().splitlines()[-1]) == log[-1]
    for name in ("eeg", "pps"):
        assert looks[0][f"{name}_clock"] < 0.14 < looks[6][f"{name}_clock"], looks  # chance: 1 of 18
    done("Fine_tuning/baseline.py", *where[:4], "--models", "lda", "--standardise", "none")
    done("Fine_tuning/report.py", "--run-dir", run_dir, "--no-feature-maps")
    page = (run_dir / "report.html").read_text()
    assert f"{looks[6]['eeg_clock']:.3f} already by the clock alone" in page


def test_not_where_all_stimuli_are_known(tmp_path, prepared):
    where = ["--data-dir", prepared, "--run-dir", tmp_path, "--recipe", "robust", "--epochs", 1, "--folds", 0]
    assert "by the clock" not in done("main_pretrain_5s.py", *where, "--split", "subject", "--n-folds", 2)
