"""Stress-Predict's raw files, tiny: what the wristband exports."""

import numpy as np

START = 1644227574
MARKS = np.array([30, 42, 52, 66, 77, 86, 97])  # s after the start; hyperventilation is the shortest
SIZES = ["--seconds", 6, "--delay", 1, "--baseline-before", 15]
LENGTH = 110  # s
FILES = {"BVP": (64, 1), "EDA": (4, 1), "TEMP": (4, 1), "HR": (1, 1), "ACC": (32, 3)}


def write_person(folder, marks=MARKS, seed=0, length=LENGTH, **changed):
    """As the wristband exports it: times with six decimals, three equal columns of acceleration, Windows line ends."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for name, (rate, columns) in FILES.items():
        start = START + (10 if name == "HR" else 0)
        time = np.arange((length - (start - START)) * rate) / rate + start - START
        values = np.stack([time + axis for axis in range(columns)], axis=1)  # a sample says when it was taken
        values = np.round(60 * rng.standard_normal(values.shape)) if name == "ACC" else values
        rows = [", ".join([f"{start:.6f}"] * columns), ", ".join([f"{rate:.6f}"] * columns)]
        rows += [",".join(f"{value:.6g}" if name != "ACC" else f"{value:.0f}" for value in row) for row in values]
        (folder / f"{name}.csv").write_text(changed.get(name, "\n".join(rows) + "\n"), encoding="utf-8")
    (folder / "IBI.csv").write_text(f"{START}, IBI\n", encoding="utf-8")
    tags = "".join(f"{START + mark}\r\n" for mark in marks)
    (folder / f"tags_{folder.name}.csv").write_bytes(changed.get("tags", tags).encode())
