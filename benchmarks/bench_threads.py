"""Seconds of one fold of the robust recipe with one thread and with two, on a quiet machine and beside busy processes.

    python benchmarks/bench_threads.py

A fold is pre-training with 1 s and 5 s windows, fine-tuning and test, on 8 people and 12 stimuli, each script in a
process of its own, as a user runs them. Last line: JSON.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

import physiosync  # noqa: F401
import utils.base.errors
from benchmarks import common
from utils.base.settings import ROOT, read_settings

ROUNDS = 3  # folds with each number of threads, in turns
threads = (1, 2)
busy_processes = (0, 1, 3)


def main():
    settings = read_settings(globals())
    print(common.machine(torch.device("cpu")))
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        run("data_prep/make_synthetic.py", "--out-dir", home / "raw", "--subjects", 8, "--trials", 12)
        run("data_prep/prepare_deap.py", "--raw-dir", home / "raw", "--out-dir", home / "data")
        for busy in busy_processes:
            others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
            try:
                seconds = {n: [] for n in threads}
                for turn in range(settings.ROUNDS):
                    for n in threads:
                        seconds[n].append(fold(home, home / f"run_{busy}_{turn}_{n}", n))
            finally:
                for other in others:
                    other.kill()
                    other.wait()
            result[f"busy {busy}"] = {f"threads {n}": round(float(np.median(seconds[n])), 1) for n in threads}
            print(f"beside {busy}: " + ", ".join(f"{k} {v} s" for k, v in result[f"busy {busy}"].items()), flush=True)
    common.finish(result)


def fold(home, run_dir, n):
    """Seconds of the scripts of one fold."""
    where = ("--data-dir", home / "data", "--run-dir", run_dir, "--folds", 0, "--threads", n)
    start = time.perf_counter()
    for window in ("1s", "5s"):
        run(f"main_pretrain_{window}.py", *where, "--split", "trial", "--n-folds", 4, "--recipe", "robust")
    run("Fine_tuning/fine_tuning.py", *where, "--label", "arousal")
    return time.perf_counter() - start


def run(script, *flags):
    """Run a script quietly; its lines are shown only if it fails."""
    command = [sys.executable, str(ROOT / script), *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


if __name__ == "__main__":
    utils.base.errors.run(main)
