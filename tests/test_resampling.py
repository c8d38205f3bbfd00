"""Signals at rates of their own come to one rate with their shape, their level and their timing."""

import numpy as np
import pytest

from data_prep.resampling import resample
from utils.errors import InputError


@pytest.mark.parametrize("rate", [64, 100, 256, 512, 1000, 511.9997, 2048 / 3])
def test_a_rhythm_below_both_nyquist_frequencies_keeps_its_shape_and_time(rate):
    n_samples, seconds, rhythm = int(np.ceil(10 * rate)), 10, 6.0
    resampled = resample(np.sin(2 * np.pi * rhythm * np.arange(n_samples) / rate), rate, 128, seconds)
    wanted = np.sin(2 * np.pi * rhythm * np.arange(seconds * 128) / 128)
    assert resampled.shape == (1280,)
    np.testing.assert_allclose(resampled[128:-128], wanted[128:-128], atol=0.01)


def test_what_lies_above_the_new_nyquist_frequency_does_not_fold_back():
    time = np.arange(5120) / 512
    assert np.abs(resample(np.sin(2 * np.pi * 100 * time), 512, 128, 10)[128:-128]).max() < 0.01


@pytest.mark.parametrize("rate", [1, 4, 10, 64])
def test_an_offset_does_not_ring_at_the_ends(rate):
    np.testing.assert_allclose(resample(np.full((2, 3, 8 * rate), 33.0), rate, 128, 8), 33.0, rtol=1e-9)


def test_a_slow_sensor_is_drawn_with_straight_lines_that_never_swing_over():
    steps = np.repeat([0.0, 5.0, 1.0, 1.0, 7.0], 4)  # 5 s at 4 Hz
    resampled = resample(steps, 4, 64, 5)
    assert resampled.min() == 0
    assert resampled.max() == 7
    np.testing.assert_array_equal(resampled[::16], steps)  # each sample at its own time
    assert resampled[56] == 2.5  # halfway between two


def test_one_sample_a_second_and_one_second():
    np.testing.assert_array_equal(resample(np.array([3.0]), 1, 8, 1), np.full(8, 3.0))
    np.testing.assert_array_equal(resample(np.arange(4.0), 4, 4, 1), np.arange(4.0))


def test_what_is_longer_is_cut_and_what_is_shorter_refused():
    assert resample(np.zeros(700), 64, 32, 10).shape == (320,)
    line = np.arange(640.0)  # of a signal that only rises the rate does not matter
    np.testing.assert_allclose(resample(line, 64, 32, 10), line[::2], atol=1e-9)
    with pytest.raises(InputError, match=r"639 samples at 64 Hz are 9\.984 s; 10 s are needed"):
        resample(np.zeros(639), 64, 32, 10)
    with pytest.raises(InputError, match="greater than 0"):
        resample(np.zeros(10), 0, 32, 1)


@pytest.mark.parametrize("rate", [4, 128, 100, 512, 2048 / 3])
def test_a_part_is_what_the_whole_has_there(rate):
    times = np.arange(int(20 * rate)) / rate
    signal = np.sin(2 * np.pi * 0.8 * times) + 7
    part = resample(signal, rate, 128, 5, start=6.5)
    wanted = np.sin(2 * np.pi * 0.8 * (6.5 + np.arange(640) / 128)) + 7
    np.testing.assert_allclose(part, wanted, atol=0.2 if rate == 4 else 0.005)


def test_a_part_at_the_edge_may_lie_between_two_samples_and_no_further():
    assert resample(np.arange(1000.0), 100, 100, 2, start=-0.004).shape == (200,)
    assert resample(np.arange(1000.0), 100, 128, 2, start=8.006).shape == (256,)
    with pytest.raises(InputError, match=r"are 10 s; 8\.02 to 10\.02 s"):
        resample(np.arange(1000.0), 100, 128, 2, start=8.02)
    with pytest.raises(InputError, match=r"-0\.02 to"):
        resample(np.arange(1000.0), 100, 128, 2, start=-0.02)
