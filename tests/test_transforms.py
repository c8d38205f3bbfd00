"""Normalisation keeps what is a signal and makes none of what is none."""

import numpy as np
import pytest

from data_prep import open_prepared, write_prepared
from data_prep.signals.transforms import prepare, zscore_channels, zscore_trial
from tests.support import refused
from utils.base.errors import InputError

CONSTANTS = (0.1, 0.3, 33.21, 36.6, 4.7e-6, 1234.567, 3.3)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("value", CONSTANTS)
def test_a_constant_becomes_zero(value, dtype):
    assert not zscore_trial(np.full((1, 60, 128), value, dtype)).any()
    for channels in (14, 32, 62):
        assert not zscore_channels(np.full((channels, 2, 128), value, dtype)).any()


@pytest.mark.parametrize("normalise", ["channels", "trial", "none", "subject"])
@pytest.mark.parametrize("value", CONSTANTS)
def test_a_constant_becomes_zero_behind_its_rest_too(value, normalise):
    """The mean of the rest is rounded, and what is left of a constant would be +1 or -1."""
    signal, rest = np.full((4, 10 * 128), value), np.full((4, 61 * 128), value)
    assert not prepare(signal, rest, 128, normalise).any()


@pytest.mark.parametrize("change", [1e-9, 0.29])
def test_a_constant_of_another_level_than_its_rest(change):
    signal, rest = np.full((4, 10 * 128), 33.21 + change), RNG.normal(33.21, 1e-3, (4, 3 * 128))
    rest[:] = 33.21
    assert not prepare(signal, rest, 128, "trial").any()
    np.testing.assert_allclose(prepare(signal, rest, 128, "none"), change, rtol=1e-4)


def test_identical_channels_become_zero():
    wave = np.broadcast_to(50 * np.sin(np.arange(1280) / 7) + 0.1, (32, 1280))
    for dtype in ("f4", "f8"):
        assert not zscore_channels(wave.reshape(32, 10, 128).astype(dtype)).any()
        assert not prepare(wave.astype(dtype), wave[:, :384].astype(dtype), 128, "channels").any()


@pytest.mark.parametrize(("dtype", "offset", "tolerance"), [("f8", 1e6, 1e-6), ("f4", 1000, 1e-3), ("f2", 20, 0.05)])
def test_a_small_signal_over_a_large_offset_stays(dtype, offset, tolerance):
    """What a type can tell apart is a signal: microvolts over an offset."""
    x = RNG.standard_normal((8, 1280))
    z = zscore_trial((x + offset).astype(dtype).reshape(8, 10, 128)).reshape(8, -1)
    np.testing.assert_allclose(z, (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True), atol=tolerance)
    z = zscore_channels((x + offset).astype(dtype)[:, None])[:, 0]
    np.testing.assert_allclose(z, (x - x.mean(0)) / x.std(0), atol=tolerance * 8)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6])
def test_units_do_not_matter(scale):
    """Volts or microvolts, siemens or microsiemens."""
    x = RNG.standard_normal((8, 10, 128))
    for function in (zscore_trial, zscore_channels):
        np.testing.assert_allclose(function(x * scale), function(x), rtol=1e-9, atol=1e-9)


def test_integer_samples_that_are_zero_are_values():
    x = RNG.integers(-2, 3, (32, 4, 128))
    assert (x == 0).mean() > 0.15
    expected = (x - x.mean(0)) / x.std(0)
    np.testing.assert_allclose(zscore_channels(x), expected, atol=1e-12)
    np.testing.assert_allclose(prepare(x.reshape(32, -1), None, 128, "channels"), expected, atol=1e-12)


def test_a_missing_channel_stays_zero_and_does_not_count():
    """Zero throughout a second, in that second only; its rest does not make a signal of it."""
    x, rest = RNG.standard_normal((6, 5 * 128)) + 3, RNG.standard_normal((6, 2 * 128)) + 3
    x[2], x[4, 128:256] = 0, 0
    for normalise in ("channels", "trial", "none"):
        blocks = prepare(x, rest, 128, normalise)
        assert not blocks[2].any()
        assert not blocks[4, 1].any()
        assert blocks[4, 0].any()
    blocks = prepare(x, rest, 128, "channels")
    kept = np.delete(blocks, 2, axis=0)
    np.testing.assert_allclose(kept[:, 0].std(axis=0), 1)
    np.testing.assert_allclose(np.delete(kept, 3, axis=0)[:, 1].std(axis=0), 1)
    trial = prepare(x, None, 128, "trial")[4, [0, 2, 3, 4]]
    assert trial.mean() == pytest.approx(0, abs=1e-12)
    assert trial.std() == pytest.approx(1)


def test_segments():
    x = RNG.standard_normal((3, 10 * 8))
    np.testing.assert_array_equal(prepare(x, None, 8, "none", "last 4 s"), x.reshape(3, 10, 8)[:, 6:])
    np.testing.assert_array_equal(prepare(x, None, 8, "none", "first 4 s"), x.reshape(3, 10, 8)[:, :4])
    np.testing.assert_array_equal(prepare(x, None, 8, "none", "last 40 s"), x.reshape(3, 10, 8))


def people(channels, dead=0, n=2, **changes):
    for number in range(n):
        eeg = RNG.standard_normal((2, channels, 8 * 32))
        eeg[:, channels - dead :] = 0
        person = {"id": f"p{number}", "eeg": eeg, "ratings": [[2.0], [8.0]]}
        yield person | {key: value[number] for key, value in changes.items() if value[number] is not None}


def write(folder, channels, people, **options):
    names = [f"E{number}" for number in range(channels)]
    described = dict(name="MINE", sampling_rate=32, eeg_channels=names, pps_channels=[], ratings=["valence"])
    write_prepared(folder, people, **described, rating_range=(1, 9), threshold=5, **options)
    return open_prepared(folder)


@pytest.mark.parametrize(("channels", "dead"), [(1, 0), (2, 0), (3, 1), (8, 7)])
def test_too_few_electrodes_for_standardisation_across_them(tmp_path, channels, dead):
    with pytest.raises(InputError, match="trial"):
        write(tmp_path / "own", channels, people(channels, dead))
    assert list(tmp_path.iterdir()) == []
    data = write(tmp_path / "own", channels, people(channels, dead), eeg_normalise="trial")
    alive = data.eeg[:, :, :, : channels - dead]
    np.testing.assert_allclose(alive.std(axis=(2, 4)), 1, rtol=1e-5)
    assert not data.eeg[:, :, :, channels - dead :].any()
    assert data.info["preparation"] == {"eeg": "trial", "pps": "trial", "segment": None, "baseline_seconds": None}


def test_seconds_without_any_channel_are_left_alone(tmp_path):
    """A headset that lost its connection for a second: zeros, nothing else."""
    made = list(people(4))
    for person in made:
        person["eeg"][:, :, 32:64] = 0
    data = write(tmp_path / "own", 4, made)
    assert not data.eeg[:, :, 1].any()
    np.testing.assert_allclose(data.eeg[:, :, 2].std(axis=2), 1, rtol=1e-5)


def test_what_was_done_is_recorded(tmp_path):
    rest = [RNG.standard_normal((2, 4, 32 * n)) for n in (3, 5)]
    data = write(tmp_path / "a", 4, people(4, eeg_baseline=rest), filters="1-40 Hz", pps_normalise="subject")
    expected = {"eeg": "channels", "pps": "subject", "baseline_seconds": [3, 5], "segment": None}
    assert data.info["preparation"] == expected | {"filters": "1-40 Hz"}
    with refused("some-people-have-baseline"):
        write(tmp_path / "b", 4, people(4, eeg_baseline=[rest[0], None]))
    for options, part in (
        (dict(pps_normalise="subjcet"), ["must-be-not", "subjcet"]),
        (dict(filters=""), ["must-be-not", "filters"]),
    ):
        with refused(*part):
            write(tmp_path / "b", 4, people(4), **options)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
