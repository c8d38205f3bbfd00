"""Predictions as tables, and recordings to predict."""

import csv
import pickle

from data_prep.formats import deap


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def table(path):
    """Probabilities by subject, trial and window."""
    rows = read(path)
    key = "window" if "window" in rows[0] else "start_second"
    scale = 1 if key == "window" else 5
    return {
        (r["subject"], int(r["trial"]), int(r[key]) // scale): [float(v) for k, v in r.items() if "prob" in k]
        for r in rows
    }


def recording(raw):
    """The first person's arrays, as a user has them: EEG and GSR apart, with their baselines."""
    with open(raw / "s01.dat", "rb") as file:
        data = pickle.load(file, encoding="latin1")["data"]  # our own file
    rest, signal = data[:, :, :384], data[:, :, 384:]
    arrays = dict(eeg=signal[:, :32], eeg_baseline=rest[:, :32], pps=signal[:, 36:37], pps_baseline=rest[:, 36:37])
    return arrays | dict(sampling_rate=128, eeg_channels=deap.EEG_CHANNELS, pps_channels=["GSR"])
