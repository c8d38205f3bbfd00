"""Time and memory of preparing recordings, against a straightforward preparation.

    python benchmarks/bench_prepare.py

Simulates recordings of DEAP's size (or of DREAMER's), prepares them with the script, and one person's with plain loops,
once per label, window length and modality, as programs without a shared format do. Last line: JSON.
"""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

import physiosync  # noqa: F401
import utils.base.errors
from benchmarks import common
from data_prep.formats import deap
from utils.base.settings import ROOT, read_settings

FORMAT = "deap"  # deap | dreamer (without reference)
SUBJECTS = 32  # people; DREAMER has 23
TRIALS = 40  # stimuli; DREAMER has 18
SECONDS = 60  # length of a stimulus in s; of the shortest one for dreamer
OUT_DIR = "runs/bench_prepare"  # where the recordings are made, and stay for the next time


def main():
    settings = read_settings(globals())
    print(common.machine(torch.device("cpu")))
    raw, prepared = settings.OUT_DIR / f"{settings.FORMAT}_raw", settings.OUT_DIR / settings.FORMAT
    if not raw.exists():
        sizes = ("--subjects", settings.SUBJECTS, "--trials", settings.TRIALS, "--seconds", settings.SECONDS)
        run("data_prep/make_synthetic.py", "--format", settings.FORMAT, "--out-dir", raw, *sizes)
    shutil.rmtree(prepared, ignore_errors=True)
    deap = settings.FORMAT == "deap"
    where = ("--raw-dir", raw) if deap else ("--raw-file", raw / "DREAMER.mat")
    run("data_prep/make_synthetic.py", "--help")  # reads the libraries from the disk, not timed
    seconds, peak = run(f"data_prep/prepare_{settings.FORMAT}.py", *where, "--out-dir", prepared)
    result = {"seconds": round(seconds, 1), "peak_mb": round(peak)}
    print(f"\nprepare_{settings.FORMAT}.py: {seconds:.1f} s, {peak:.0f} MB")
    if deap:
        start = time.perf_counter()
        straightforward(next(raw.glob("s*.dat")))
        reference = (time.perf_counter() - start) * settings.SUBJECTS
        result |= {"reference_seconds": round(reference, 1), "ratio": round(reference / seconds, 1)}
        print(f"straightforward: {reference:.0f} s (one person's time x {settings.SUBJECTS})")
    common.finish(result)


def run(script, *flags):
    """Run a script; its seconds and its peak of memory in MB."""
    measure = (
        "import resource, runpy, sys; sys.argv = sys.argv[1:]\ntry: runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    measure += "finally: print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    command = [sys.executable, "-c", measure, str(ROOT / script), *map(str, flags)]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return time.perf_counter() - start, int(re.search(r"PEAK (\d+)", done.stderr)[1]) / 1024


def straightforward(path):
    """One person's file with plain loops: for each of 3 labels, 2 window lengths and 2 modalities anew."""
    for _label in range(3):
        for n_seconds in (1, 5):
            for channels in (slice(0, 32), slice(36, 37)):
                recording, *_ = deap.read_file(path)
                windows = []
                for trial in recording[:, channels]:
                    baseline = sum(trial[:, k * 128 : (k + 1) * 128] for k in range(3)) / 3
                    for second in range(3, trial.shape[1] // 128):
                        block = trial[:, second * 128 : (second + 1) * 128] - baseline
                        if channels.start == 0:
                            for sample in range(128):
                                column = block[:, sample]
                                block[:, sample] = (column - column.mean()) / column.std()
                        windows.append(block)
                np.array([np.concatenate(windows[k : k + n_seconds], 1) for k in range(0, len(windows), n_seconds)])


if __name__ == "__main__":
    utils.base.errors.run(main)
