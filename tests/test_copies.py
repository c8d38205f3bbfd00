"""Copies of a person or of a trial leak from training to test."""

import json

import numpy as np

from data_prep import open_prepared, write_prepared
from tests.builders.deap import recording, write
from tests.support import call, done, lines_of, says

PREPARE = "data_prep/prepare_deap.py"
NAMES = dict(name="mine", sampling_rate=32, eeg_channels=["a", "b", "c"], pps_channels=["HR"], ratings=["arousal"])


def test_a_file_under_two_names_is_told(tmp_path):
    """When it is prepared, and in every result."""
    data, labels = recording(trials=4)
    labels = np.where(np.arange(4)[:, None] < 2, 8, 2) * np.ones((4, 4))
    files = dict(s01=(data, labels), s02=recording(1, trials=4), s03=(data.astype("f4").astype("f8"), labels))
    folder, flags = write(tmp_path / "raw", **files), ["--raw-dir", tmp_path / "raw", "--out-dir"]
    other = call(PREPARE, *flags, tmp_path / "rounded")  # another recording
    assert not lines_of(other.err, "trials-with-signals-another")
    write(folder, s03=(data, labels[::-1]))  # with other ratings it is the same one
    outcome = call(PREPARE, *flags, tmp_path / "out")
    assert outcome.status == 0
    says(outcome.err, "trials-with-signals-another", "s03 trial 1 is s01 trial 1, s03 trial 2 is")
    run = ["--run-dir", tmp_path / "run", "--models", "lda", "--split", "subject"]
    out = done("Fine_tuning/baseline.py", "--data-dir", tmp_path / "out", *run)
    words = "trials are there twice, so that test data may be training data: s03 trial 1 is s01 trial 1"
    assert f"- {words}" in out
    metrics = json.loads((tmp_path / "run" / "baseline_arousal_lda" / "metrics.json").read_text())
    assert any(line.startswith(words) for line in metrics["audit_in_words"])


def people(change=lambda number, eeg, pps: None, trials=3):
    for number in range(3):
        rng = np.random.default_rng(number)
        eeg, pps = rng.standard_normal((trials, 3, 320)), rng.standard_normal((trials, 1, 320))
        change(number, eeg, pps)
        yield {"id": f"p{number}", "eeg": eeg, "pps": pps, "ratings": rng.uniform(1, 9, (trials, 1))}


def test_a_trial_that_is_there_twice_is_told(tmp_path, capsys):
    def repeat(number, eeg, pps):
        if number == 1:
            eeg[2], pps[2] = eeg[0], pps[0]

    settings = NAMES | dict(rating_range=(1, 9), threshold=5)
    write_prepared(tmp_path / "data", people(repeat), **settings)
    says(capsys.readouterr().err, "trials-with-signals-another", "p1 trial 3 is p1 trial 1;")
    assert open_prepared(tmp_path / "data").info["copies"] == ["p1 trial 3 is p1 trial 1"]


def test_what_a_slow_sensor_says_twice_is_no_copy(tmp_path):
    """Silence, and a heart rate that moves in one step, are alike in many trials."""

    def steps(number, eeg, pps):
        pps[:] = 60
        pps[0, :, 160:] = 61
        pps[2, :, 160:] = 61

    settings = NAMES | dict(rating_range=(1, 9), threshold=5, eeg_channels=[])
    some = ({k: v for k, v in person.items() if k != "eeg"} for person in people(steps))
    write_prepared(tmp_path / "data", some, **settings)
    assert open_prepared(tmp_path / "data").info["copies"] == []
