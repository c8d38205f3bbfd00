"""The simulated recordings: formats, reproducibility, and that the planted structure is there."""

import numpy as np
import pytest
import scipy.io
import scipy.signal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_prep.formats import deap, dreamer, synthetic
from tests.support import assert_refused, call, done

SCRIPT = "data_prep/make_synthetic.py"
SMALL = ["--subjects", 2, "--trials", 2, "--seconds", 6]


def generate(folder, *flags):
    done(SCRIPT, "--out-dir", folder, *SMALL, *flags)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("form", ["deap", "dreamer"])
def test_same_seed_same_bytes(tmp_path, form):
    first = generate(tmp_path / "a", "--format", form)
    assert generate(tmp_path / "b", "--format", form) == first
    assert generate(tmp_path / "c", "--format", form, "--seed", 1) != first


def test_null_changes_the_ratings_only(tmp_path):
    generate(tmp_path / "real")
    generate(tmp_path / "null", "--null")
    for name in ("s01.dat", "s02.dat"):
        (data, ratings, _), (same, other, _) = (deap.read_file(tmp_path / kind / name) for kind in ("real", "null"))
        np.testing.assert_array_equal(data, same)
        assert not np.array_equal(ratings, other)


def test_dreamer_has_the_structure_of_the_real_file(tmp_path):
    generate(tmp_path / "raw", "--format", "dreamer")
    structure = scipy.io.loadmat(tmp_path / "raw" / "DREAMER.mat")["DREAMER"][0, 0]
    assert structure["Data"].shape == (1, 2)
    assert structure["EEG_SamplingRate"].item() == 128
    assert structure["ECG_SamplingRate"].item() == 256
    assert [name.item() for name in structure["EEG_Electrodes"].ravel()] == dreamer.EEG_CHANNELS
    assert (structure["noOfSubjects"].item(), structure["noOfVideoSequences"].item()) == (2, 2)
    person = structure["Data"][0, 1]
    assert set(person.dtype.names) >= {"Age", "Gender", "EEG", "ECG"}
    for trial, seconds in ((0, 6), (1, 13)):  # clips differ in length
        for signal, channels, rate in (("EEG", 14, 128), ("ECG", 2, 256)):
            part = person[signal][0, 0]
            assert part["stimuli"][0, 0][trial, 0].shape == (seconds * rate, channels)
            assert part["baseline"][0, 0][trial, 0].shape == (61 * rate, channels)
    for name in ("ScoreValence", "ScoreArousal", "ScoreDominance"):
        scores = person[name][0, 0]
        assert scores.shape == (2, 1)
        assert set(scores.ravel()) <= {1, 2, 3, 4, 5}


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "s01.dat").write_bytes(b"precious")
    assert_refused(call(SCRIPT, "--out-dir", tmp_path, *SMALL), "already-exists", "--out-dir")
    assert (tmp_path / "s01.dat").read_bytes() == b"precious"


@pytest.fixture(scope="module")
def people():
    """6 people x 16 stimuli x 30 s: (S, T, 40, samples) after the rest, and the stimuli's mean arousal and valence."""
    stimuli = synthetic.make_stimuli(0, 16, 30)
    from data_prep.make_synthetic import deap_channels

    signals = np.empty((6, 16, 40, 30 * 128))
    for s in range(6):
        person, rng = synthetic.Person(0, s, deap.EEG_CHANNELS), np.random.default_rng([0, 3, s])
        for t, stimulus in enumerate(stimuli):
            signals[s, t] = deap_channels(synthetic.Trial(rng, person, stimulus, 3, 30))[:, 3 * 128 :]
    return signals, np.stack([stimulus.courses.mean(axis=1) for stimulus in stimuli])


def log_power(signals, low, high):
    """Per 5 s window: (..., windows, channels)."""
    windows = signals.reshape(*signals.shape[:-1], -1, 640)
    power = np.square(np.abs(np.fft.rfft(windows)))
    frequencies = np.fft.rfftfreq(640, 1 / 128)
    return np.log(power[..., (frequencies >= low) & (frequencies < high)].mean(axis=-1)).swapaxes(-1, -2)


def correlation(values, target):
    return np.corrcoef(values.mean(axis=0), target)[0, 1]  # over stimuli, of the mean over people


def test_emotions_drive_the_bands(people):
    signals, (arousal, valence) = people[0], people[1].T
    index = deap.EEG_CHANNELS.index
    alpha, theta, beta = (
        log_power(signals[:, :, :32], *synthetic.BANDS[b]).mean(2) for b in ("alpha", "theta", "beta")
    )
    assert correlation(alpha[:, :, [index("O1"), index("Oz"), index("O2")]].mean(-1), arousal) < -0.7
    assert correlation(theta[:, :, [index("Fz"), index("AF3")]].mean(-1), arousal) > 0.5
    assert correlation(beta[:, :, index("Cz")], arousal) > 0.5
    assert correlation(alpha[:, :, index("F4")] - alpha[:, :, index("F3")], valence) > 0.7


def test_emotions_drive_the_body(people):
    signals, (arousal, valence) = people[0], people[1].T
    pps = {name: signals[:, :, 32 + i] for i, name in enumerate(deap.PPS_CHANNELS)}
    rise = pps["GSR"][..., -640:].mean(-1) - pps["GSR"][..., :640].mean(-1)
    assert correlation(rise, arousal) > 0.8
    assert correlation(np.log(pps["zEMG"].std(-1)), valence) > 0.8
    assert correlation(np.log(pps["tEMG"].std(-1)), arousal) > 0.8
    assert correlation(pps["temperature"][..., -1] - pps["temperature"][..., 0], arousal) < -0.8
    assert correlation(beats_per_minute(pps["plethysmograph"], 128), arousal) > 0.8


def test_drift_of_skin_conductance():
    """It wanders by so much within a minute, around what it would have been."""
    stimulus, person = synthetic.make_stimuli(0, 1, 60)[0], synthetic.Person(0, 0, deap.EEG_CHANNELS)

    def conductance(number, drift):
        trial = synthetic.Trial(np.random.default_rng(number), person, stimulus, 0, 60, drift=drift)
        return trial.skin_conductance(128)

    ends = [conductance(number, 0.3)[-1] - conductance(number, 0.0)[-1] for number in range(200)]
    assert np.std(ends) == pytest.approx(0.3, rel=0.15)
    assert abs(np.mean(ends)) < 0.1


def beats_per_minute(signal, rate):
    spectrum = np.abs(np.fft.rfft(signal - signal.mean(-1, keepdims=True), 16 * signal.shape[-1]))
    frequencies = np.fft.rfftfreq(16 * signal.shape[-1], 1 / rate)
    inside = (frequencies > 0.8) & (frequencies < 2)
    return 60 * frequencies[inside][spectrum[..., inside].argmax(-1)]


def test_ecg_beats_at_the_planted_rate():
    stimulus, person = synthetic.make_stimuli(0, 1, 60)[0], synthetic.Person(0, 0, dreamer.EEG_CHANNELS)
    trial = synthetic.Trial(np.random.default_rng(0), person, stimulus, 61, 60)
    lead = trial.ecg(256)[0]
    peaks, _ = scipy.signal.find_peaks(lead, height=0.6, distance=80)
    planted = (trial.heart_phase[-1] - trial.heart_phase[0]) / (2 * np.pi)
    assert len(peaks) == pytest.approx(planted, abs=1.5)


def test_evoked_waveforms_are_shared():
    stimuli = synthetic.make_stimuli(0, 2, 30)
    trials = [
        synthetic.Trial(np.random.default_rng(s), synthetic.Person(0, s, deap.EEG_CHANNELS), stimuli[t], 3, 30)
        for s, t in ((0, 0), (1, 0), (1, 1))
    ]
    first, other_person, other_stimulus = (trial._evoked(128) for trial in trials)
    np.testing.assert_array_equal(first, other_person)
    assert abs(np.corrcoef(first[0], other_stimulus[0])[0, 1]) < 0.2


def test_windows_of_a_trial_recognise_each_other(people):
    """The fingerprint: a nearest neighbour finds the trial, whatever its label; for new trials it is at chance."""
    bands = [log_power(people[0][:, :, :32], *band) for band in synthetic.BANDS.values()]
    features = np.concatenate(bands, axis=-1)  # (S, T, 6 windows, 128)
    noise = np.broadcast_to(np.random.default_rng(0).integers(0, 2, (6, 16, 1)), features.shape[:3])
    nearest = make_pipeline(StandardScaler(), KNeighborsClassifier(1))
    x, y = features.reshape(-1, 128), noise.ravel()
    held_out = np.random.default_rng(1).random(len(y)) < 0.1
    assert nearest.fit(x[~held_out], y[~held_out]).score(x[held_out], y[held_out]) > 0.9
    new_trial = np.broadcast_to(np.arange(16)[:, None] % 4 == 0, features.shape[:3]).ravel()
    assert nearest.fit(x[~new_trial], y[~new_trial]).score(x[new_trial], y[new_trial]) < 0.65


def test_emotion_generalises_to_new_trials(people):
    """A linear map of band power tells the stimulus's arousal on stimuli that it has not seen."""
    bands = [log_power(people[0][:, :, :32], *band) for band in synthetic.BANDS.values()]
    features = np.concatenate(bands, axis=-1)
    high = np.broadcast_to((people[1][:, 0] > 0)[:, None], features.shape[:3])
    linear = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
    hits = []
    for held_out in np.arange(16).reshape(4, 4):
        train = np.setdiff1d(np.arange(16), held_out)
        linear.fit(features[:, train].reshape(-1, 128), high[:, train].ravel())
        hits.append(linear.score(features[:, held_out].reshape(-1, 128), high[:, held_out].ravel()))
    assert np.mean(hits) > 0.7
