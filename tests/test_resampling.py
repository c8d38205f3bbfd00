"""Signals at rates of their own come to one rate with their shape, their level and their timing."""

import numpy as np
import pytest

from data_prep import open_prepared, write_prepared
from data_prep.signals.resampling import resample
from tests.support import refused


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
    with refused("samples-hz", "639 samples", "64 Hz", "9.984 s", "10 s"):
        resample(np.zeros(639), 64, 32, 10)
    with refused("sampling-rate-must-be"):
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
    with refused("samples-hz", "10 s", "8.02 to 10.02 s"):
        resample(np.arange(1000.0), 100, 128, 2, start=8.02)
    with refused("samples-hz", "-0.02 to"):
        resample(np.arange(1000.0), 100, 128, 2, start=-0.02)


RATES = {"BVP": 64, "ACC": 32, "EDA": 4, "HR": 1}


def wristband(n_trials=2, seconds=6):
    """People with EEG at 256 Hz and a wristband's signals, each a ramp in time: second of the trial plus its number."""
    for person in ("p1", "p2"):
        pps = {name: np.stack([np.arange(seconds * f) / f + t for t in range(n_trials)]) for name, f in RATES.items()}
        eeg = np.random.default_rng(0).standard_normal((n_trials, 4, seconds * 256 + 100))
        rest = {name: values[:, : 2 * RATES[name]] * 0 for name, values in pps.items()}
        rest = {"pps_baseline": rest, "eeg_baseline": eeg[:, :, :512] * 0}
        yield {"id": person, "eeg": eeg, "pps": pps, "ratings": np.full((n_trials, 1), 5.0), **rest}


def write(folder, people, **changes):
    settings = {"sampling_rate": 128, "eeg_channels": list("abcd"), "pps_channels": list(RATES), "ratings": ["arousal"]}
    settings |= {
        "rating_range": (1, 9),
        "threshold": 5,
        "sampling_rates": {"eeg": 256, **RATES},
        "pps_normalise": "none",
    }
    write_prepared(folder, people, name="wristband", **(settings | changes))
    return open_prepared(folder)


def test_arrays_at_rates_of_their_own_become_one_folder(tmp_path):
    made = write(tmp_path / "out", wristband())
    assert made.eeg.shape == (2, 2, 6, 4, 128)
    assert made.pps.shape == (2, 2, 6, 4, 128)
    times = np.arange(6 * 128) / 128
    for channel, rate in enumerate(RATES.values()):
        for trial in range(2):
            wanted = np.minimum(times, 6 - 1 / rate) if rate < 16 else times  # the last sample is held
            np.testing.assert_allclose(made.pps[0, trial, :, channel].ravel(), wanted + trial, atol=1e-5)
    assert made.info["preparation"]["resampling"] == "1, 4, 32, 64, 256 to 128 Hz"


def test_arrays_at_rates_that_do_not_fit_are_refused(tmp_path):
    with refused("sampling-rates-has-which", "PPG"):
        write(tmp_path / "out", wristband(), sampling_rates={"PPG": 4})
    with refused("has-channels-not-pps", "BVP, ACC, EDA, HR", "BVP"):
        write(tmp_path / "out", wristband(), pps_channels=["BVP"], sampling_rates={"BVP": 64})
    people = [person | {"pps": np.zeros((2, 4, 384))} for person in wristband()]
    with refused("with-sampling-rates-pps"):
        write(tmp_path / "out", people)
    assert not (tmp_path / "out").exists()
