"""DEAP's raw files, tiny."""

import numpy as np

from data_prep.make_synthetic import python2_pickle


def recording(seed=0, trials=2, seconds=8, channels=40):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((trials, channels, seconds * 128)), rng.uniform(1, 9, (trials, 4))


def write(folder, **files):
    """Raw files by subject: (data, labels) or bytes."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        stream = content if isinstance(content, bytes) else python2_pickle({"labels": content[1], "data": content[0]})
        (folder / f"{name}.dat").write_bytes(stream)
    return folder


GOOD = python2_pickle({"labels": recording()[1], "data": recording()[0]})
