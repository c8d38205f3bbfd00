"""DEAP's reader: the preparation against the golden file."""

from pathlib import Path

import numpy as np

from data_prep import deap
from tests.golden.weights import raw_deap

GOLDEN = np.load(Path(__file__).parent / "golden" / "prep_deap.npz", allow_pickle=False)


def test_preparation_equals_golden():
    data, labels = raw_deap(GOLDEN["raw_seed"], int(GOLDEN["trials"]))
    eeg, pps = deap.to_prepared(data, pps_normalise="none")
    seconds = eeg.reshape(-1, 32, 128)
    windows = eeg.reshape(-1, 5, 32, 128).swapaxes(1, 2).reshape(-1, 32, 640)
    gsr = pps[:, :, deap.PPS_CHANNELS.index("GSR")]
    rows_1s, rows_5s = GOLDEN["eeg_1s_rows"], GOLDEN["eeg_5s_rows"]
    np.testing.assert_allclose(seconds[rows_1s], GOLDEN["eeg_1s"][:, 0, 0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(windows[rows_5s], GOLDEN["eeg_5s"][:, 0, 0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gsr.reshape(-1, 128)[rows_1s], GOLDEN["gsr_1s"][:, 0, 0, 0], rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(gsr.reshape(-1, 640)[rows_5s], GOLDEN["gsr_5s"][:, 0, 0, 0], rtol=1e-6, atol=1e-5)
