"""What is there twice: a copy of a person or of a trial would be tested by who has seen it in training."""

import numpy as np
import pytest

from data_prep import open_prepared, write_prepared
from tests.support import assert_refused, call, done
from tests.test_deap import recording, write
from utils.errors import InputError

NAMES = dict(name="mine", sampling_rate=32, eeg_channels=["a", "b", "c"], pps_channels=["HR"], ratings=["arousal"])


def test_a_file_under_two_names_is_refused(tmp_path):
    data, labels = recording()
    files = dict(s01=(data, labels), s02=recording(1), s03=(data.astype("f4").astype("f8"), labels[::-1]))
    folder = write(tmp_path / "raw", **files)
    done("data_prep/prepare_deap.py", "--raw-dir", folder, "--out-dir", tmp_path / "rounded")  # another recording
    write(folder, s03=(data, labels[::-1]))  # with other ratings it is the same one
    outcome = call("data_prep/prepare_deap.py", "--raw-dir", folder, "--out-dir", tmp_path / "out")
    assert_refused(outcome, folder / "s03.dat", "same signals as trial 1 of subject s01", "keep one")
    assert not (tmp_path / "out").exists()


def people(change=lambda number, eeg, pps: None, trials=3):
    for number in range(3):
        rng = np.random.default_rng(number)
        eeg, pps = rng.standard_normal((trials, 3, 320)), rng.standard_normal((trials, 1, 320))
        change(number, eeg, pps)
        yield {"id": f"p{number}", "eeg": eeg, "pps": pps, "ratings": rng.uniform(1, 9, (trials, 1))}


def test_a_trial_that_is_there_twice_is_refused(tmp_path):
    def repeat(number, eeg, pps):
        if number == 1:
            eeg[2], pps[2] = eeg[0], pps[0]

    settings = NAMES | dict(rating_range=(1, 9), threshold=5)
    with pytest.raises(InputError, match="subject p1, trial 3, has the same signals as trial 1, to the last digit"):
        write_prepared(tmp_path / "data", people(repeat), **settings)
    assert not list(tmp_path.iterdir())


def test_what_a_slow_sensor_says_twice_is_no_copy(tmp_path):
    """Silence, and a heart rate that moves in one step, are alike in many trials."""

    def steps(number, eeg, pps):
        pps[:] = 60
        pps[0, :, 160:] = 61
        pps[2, :, 160:] = 61

    settings = NAMES | dict(rating_range=(1, 9), threshold=5, eeg_channels=[])
    some = ({k: v for k, v in person.items() if k != "eeg"} for person in people(steps))
    write_prepared(tmp_path / "data", some, **settings)
    assert open_prepared(tmp_path / "data").info["trials"] == 3
