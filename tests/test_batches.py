"""Sampling and augmentation: statistics as specified."""

import numpy as np
import pytest
import torch

from data_prep import open_prepared
from utils.inputs.streaming import CHUNK
from utils.pretraining.batches import ContrastiveBatches, FusionWindows, Recordings, augment


@pytest.fixture
def numbered(prepared):
    """Recordings in which every value tells its subject and second: subject * 1000 + trial * seconds + second."""
    data = open_prepared(prepared)
    recordings = Recordings(data, ("eeg", "pps"), ["GSR", "zEMG"], torch.device("cpu"))
    n_subjects, trials, seconds = data.eeg.shape[:3]
    number = torch.arange(n_subjects)[:, None] * 1000.0 + torch.arange(trials * seconds)
    for name, x in recordings.blocks.items():
        recordings.blocks[name] = number.view(n_subjects, trials, seconds, 1, 1).expand_as(x).contiguous()
    return recordings, data


NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="copies to a GPU")
WINDOWS = (0, 5, 12, 17, 24, 29, 36)


def make_batches(recordings, n_subjects=4, windows=WINDOWS, batch_size=3, n=2):
    return ContrastiveBatches(recordings, torch.arange(n_subjects), torch.tensor(windows), 5, batch_size, n)


def test_epoch_visits_every_window_in_every_variant_once(numbered):
    recordings, _ = numbered
    batches = make_batches(recordings, batch_size=7)
    first, variants = batches.shuffle()
    assert first.shape == (6, 2, 7, 2)
    windows = first % recordings.seconds_per_subject
    assert (windows == windows[:, :1, :, :1]).all()  # everyone in both groups sees the same
    assert torch.equal(variants[:, 0], variants[:, 1])
    pairs = list(zip(windows[:, 0, :, 0].flatten().tolist(), variants[:, 0].flatten().tolist(), strict=True))
    assert len(pairs) == 7 * 6 == len(set(pairs))
    assert (windows[:, 0, :, 0].sort(1).values == torch.tensor(WINDOWS)).all()  # each pass has every window
    assert not torch.equal(first, batches.shuffle()[0])


def test_last_batch_that_is_not_full_is_left_out(numbered):
    first, variants = make_batches(numbered[0], batch_size=4).shuffle()
    assert first.shape == (10, 2, 4, 2)  # 42 items
    assert variants.shape == (10, 2, 4)


@pytest.mark.parametrize("n_subjects", [4, 3])
def test_people_of_the_two_groups_are_disjoint_and_equally_often_drawn(numbered, n_subjects, monkeypatch):
    monkeypatch.setattr("utils.pretraining.batches.DRAWS_AT_ONCE", 50)  # in parts
    recordings, _ = numbered
    batches = make_batches(recordings, n_subjects, batch_size=7, n=n_subjects // 2)
    counts = torch.zeros(2, n_subjects)
    for _ in range(50):
        first, _ = batches.shuffle()
        people = (first // recordings.seconds_per_subject).transpose(0, 1).flatten(1, 2)  # (2, 42, N)
        both = people.transpose(0, 1).flatten(1)
        assert all(len(set(row)) == len(row) for row in both.tolist())
        for group in range(2):
            counts[group] += torch.bincount(people[group].flatten(), minlength=n_subjects)
    expected = counts.sum() / counts.numel()
    assert (counts / expected - 1).abs().max() < 0.1


def test_draw_takes_the_right_seconds_of_both_modalities(numbered):
    recordings, _ = numbered
    batches = make_batches(recordings, batch_size=3)
    people = torch.tensor([[[0, 1], [2, 3], [1, 0]], [[2, 3], [0, 1], [3, 2]]])  # (2, B, N)
    first = people * recordings.seconds_per_subject + torch.tensor([0, 17, 36])[None, :, None]
    batch = batches.draw(first, torch.zeros(2, 3, dtype=torch.long))
    assert batch["eeg"].shape == (2, 3, 2, 32, 640)
    assert batch["pps"].shape == (2, 3, 2, 2, 640)
    for x in batch.values():
        assert torch.equal(x[..., 0, 0] // 1000, people.float())
        seconds = x[..., 0, ::128] % 1000  # (2, B, N, 5)
        expected = torch.tensor([0, 17, 36])[:, None] + torch.arange(5)
        assert (seconds == expected[None, :, None]).all()


def test_modalities_take_the_same_variant_with_independent_draws(numbered):
    batches = make_batches(numbered[0], windows=(5, 10, 17, 22, 29), batch_size=5)
    batch, plain = batches.draw(batches.shuffle()[0][0], torch.ones(2, 5, dtype=torch.long)), {}
    for name, x in batch.items():
        plain[name] = x[..., 0, 0] / (x[..., 0, 128] - x[..., 0, 0])  # scale cancels: the number of the first second
    torch.testing.assert_close(plain["eeg"], plain["pps"], rtol=1e-3, atol=0)
    scale = {name: x[..., 0, 128] - x[..., 0, 0] for name, x in batch.items()}  # neighbouring seconds differ by 1
    for s in scale.values():
        assert ((s > 0.69) & (s < 0.81)).all()
    assert not torch.allclose(scale["eeg"], scale["pps"], atol=1e-3)


def test_augmentation_statistics():
    torch.manual_seed(0)
    x = torch.randn(6 * 500, 4, 256) * 3 + 1
    variants = torch.arange(6).repeat_interleave(500)
    y = augment(x, variants)
    assert torch.equal(y[:500], x[:500])
    low, high = {0: (1, 1), 1: (0.7, 0.8), 2: (1.2, 1.3)}, {}
    for variant in range(6):
        part, original = y[variants == variant], x[variants == variant]
        scale = (part * original).sum((1, 2)) / (original**2).sum((1, 2))  # least squares
        expected = low[variant % 3]
        if variant < 3:
            torch.testing.assert_close(part, original * scale[:, None, None])
            assert scale.min() >= expected[0] - 1e-5
            assert scale.max() <= expected[1] + 1e-5
        assert scale.mean() == pytest.approx(sum(expected) / 2, abs=0.01)
        if variant % 3:
            assert scale.std() > 0.02
        noise = part - original * scale[:, None, None]
        if variant >= 3:
            snr = 10 * torch.log10((original * scale[:, None, None]).var((1, 2)) / noise.var((1, 2)))
            assert snr.mean() == pytest.approx(5, abs=0.1)
            assert snr.std() < 0.4
            high[variant] = noise
    assert abs(np.corrcoef(high[3].flatten()[:-1], high[3].flatten()[1:])[0, 1]) < 0.01  # white


def test_augmentation_of_a_constant_window_stays_finite():
    assert augment(torch.ones(6, 2, 8), torch.arange(6)).isfinite().all()


def test_fusion_windows(numbered):
    recordings, data = numbered
    windows = np.array([[3, 2, 2 * 2 + 1], [0, 1, 2]])  # subject 3, trial 2, second window; subject 0, trial 1, first
    labelled = FusionWindows(recordings, windows, data.eeg.shape[2])
    blocks = labelled.take(torch.tensor([0, 1]))
    assert blocks["eeg"].shape == (2, 5, 32, 128)
    assert blocks["eeg"][:, :, 0, 0].tolist() == [[3029, 3030, 3031, 3032, 3033], [12, 13, 14, 15, 16]]


@pytest.mark.parametrize("positives", ["stimulus", "augmentation"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
def test_streamed_windows_are_the_resident_ones(prepared, positives, device):
    """More steps than the buffer holds, so that its halves are filled again and again."""
    data = open_prepared(prepared)
    drawn = {}
    for stream in (False, True):
        recordings = Recordings(data, ("eeg", "pps"), ["zEMG", "GSR"], torch.device(device), stream)
        items = torch.arange(4, device=device), torch.tensor(WINDOWS * 3, device=device)
        batches = ContrastiveBatches(recordings, *items, 5, 2, 2, positives)
        torch.manual_seed(0)
        for _ in range(2):  # epochs
            first, variants = batches.shuffle()
            first = batches.place(first)
            drawn[stream] = []
            for step in range(batches.n_steps):
                batches.ready(step)
                drawn[stream].append(batches.draw(first[step], variants[step]))
    assert len(drawn[True]) > 3 * CHUNK
    for resident, streamed in zip(drawn[False], drawn[True], strict=True):
        assert torch.equal(resident["eeg"], streamed["eeg"])
        assert torch.equal(resident["pps"], streamed["pps"])
