"""Sampling and augmentation: statistics as specified."""

import numpy as np
import pytest
import torch

from data_prep import open_prepared
from utils.batches import ContrastiveBatches, FusionWindows, Recordings, augment


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


def make_batches(recordings, n_subjects=4, windows=(0, 5, 12, 17, 24, 29, 36), batch_size=3, n=2):
    return ContrastiveBatches(recordings, torch.arange(n_subjects), torch.tensor(windows), 5, batch_size, n)


def test_epoch_visits_every_window_in_every_variant_once(numbered):
    batches = make_batches(numbered[0], batch_size=7)
    windows, variants = batches.shuffle()
    pairs = list(zip(windows.flatten().tolist(), variants.flatten().tolist(), strict=True))
    assert len(pairs) == 7 * 6 == len(set(pairs))
    assert (windows.sort(1).values == torch.arange(7)).all()  # each pass has every window
    assert not torch.equal(windows, batches.shuffle()[0])


def test_last_batch_that_is_not_full_is_left_out(numbered):
    windows, variants = make_batches(numbered[0], batch_size=4).shuffle()
    assert windows.shape == variants.shape == (10, 4)  # 42 items


@pytest.mark.parametrize("n_subjects", [4, 3])
def test_people_of_the_two_groups_are_disjoint_and_equally_often_drawn(numbered, n_subjects):
    batches = make_batches(numbered[0], n_subjects, batch_size=7, n=n_subjects // 2)
    counts = torch.zeros(2, n_subjects)
    for _ in range(300):
        x = batches.draw(torch.arange(7), torch.zeros(7, dtype=torch.long))["eeg"]
        people = (x[..., 0, 0] // 1000).long()  # (2, B, N)
        both = people.transpose(0, 1).flatten(1)
        assert all(len(set(row)) == len(row) for row in both.tolist())
        for group in range(2):
            counts[group] += torch.bincount(people[group].flatten(), minlength=n_subjects)
    expected = counts.sum() / counts.numel()
    assert (counts / expected - 1).abs().max() < 0.1


def test_draw_takes_the_right_seconds_of_both_modalities(numbered):
    batches = make_batches(numbered[0], batch_size=3)
    batch = batches.draw(torch.tensor([0, 3, 6]), torch.zeros(3, dtype=torch.long))
    assert batch["eeg"].shape == (2, 3, 2, 32, 640)
    assert batch["pps"].shape == (2, 3, 2, 2, 640)
    for x in batch.values():
        seconds = x[..., 0, ::128] % 1000  # (2, B, N, 5)
        expected = torch.tensor([0, 17, 36])[:, None] + torch.arange(5)
        assert (seconds == expected[None, :, None]).all()
    assert torch.equal(batch["eeg"][..., 0, 0], batch["pps"][..., 1, 0])  # the same people


def test_modalities_take_the_same_variant_with_independent_draws(numbered):
    batches = make_batches(numbered[0], windows=(5, 10, 17, 22, 29), batch_size=5)
    weaker = torch.ones(5, dtype=torch.long)
    batch, plain = batches.draw(torch.arange(5), weaker), {}
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
