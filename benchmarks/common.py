"""What the benchmarks share: random recordings in the prepared format, paired timing, the machine's limits."""

import contextlib
import io
import json
import multiprocessing
import runpy
import sys
import time

import numpy as np
import torch

from data_prep import write_prepared
from utils.base.devices import provenance
from utils.base.files import write_text
from utils.base.progress import next_command
from utils.base.settings import ROOT

REST = 0.05  # s between two turns, until the threads of the form that had its turn no longer look out for work
TURN = 3  # calls in a row; the first finds the caches as the other form has left them, and is not counted
BYTES_PER_PARAMETER = 40  # weights read twice, gradient written, Adam reads 4 words and writes 3
OPERATIONS_PER_PARAMETER = 6  # and row: a multiplication and an addition, forward, and backward twice


def random_recordings(folder, subjects, trials, seconds, channels, pps=("GSR",), rate=128, name="DEAP"):
    """A prepared folder of white noise, which costs what recordings of this size cost."""
    rng = np.random.default_rng(0)

    def people():
        for number in range(subjects):
            yield {
                "id": f"{number:02d}",
                "eeg": rng.standard_normal((trials, channels, seconds * rate)),
                "pps": rng.standard_normal((trials, len(pps), seconds * rate)),
                "ratings": rng.uniform(1, 9, (trials, 2)),
            }

    write_prepared(
        folder,
        people(),
        name=name,
        sampling_rate=rate,
        eeg_channels=[f"E{number}" for number in range(channels)],
        pps_channels=list(pps),
        ratings=["valence", "arousal"],
        rating_range=[1, 9],
        threshold=5,
    )


def script(path, *flags):
    """Run a script in this process, which has the libraries loaded; its own lines are shown only if it fails."""
    words = [str(ROOT / path), *map(str, flags)]
    print(next_command(path, *flags), flush=True)
    out, argv = io.StringIO(), sys.argv
    sys.argv = words
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as stop:
        if stop.code:
            print(out.getvalue())
            raise
    finally:
        sys.argv = argv


def paired(functions, rounds, device):
    """Run functions by name in turns of `TURN` calls; their times in seconds, after one round to warm up."""
    times = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            time.sleep(REST)
            _, *seconds = (timed(function, device) for _ in range(TURN))
            if number:
                times[name] += seconds
    return times


class Elsewhere:
    """The step that ``make(*arguments)`` returns, in a process of its own: it shares nothing with the other form."""

    def __init__(self, make, *arguments):
        context = multiprocessing.get_context("spawn")
        self.here, there = context.Pipe()
        self.process = context.Process(target=_serve, args=(there, make, arguments), daemon=True)
        self.process.start()
        self.here.recv()

    def __call__(self):
        self.here.send(True)
        self.here.recv()

    def close(self):
        """End the process, and free its memory."""
        self.here.send(False)
        self.process.join()


def _serve(there, make, arguments):
    step = make(*arguments)
    there.send(True)
    while there.recv():
        step()
        there.send(True)


def timed(function, device):
    """Seconds that a call takes, the device's work included."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - start


def median_ms(seconds):
    """Median in milliseconds, to 0.01 ms."""
    return round(float(np.median(seconds)) * 1e3, 2)


def copy_bandwidth(device):
    """Bytes per second of copying 512 MiB, those read and those written."""
    source = torch.ones(2**26, device=device)
    target = torch.empty_like(source)
    best = min(timed(lambda: target.copy_(source), device) for _ in range(8))
    return 2 * source.nbytes / best


def gemm_rate(device):
    """Single precision operations per second of a large matrix product."""
    n = 2048 if device.type == "cpu" else 8192
    a = torch.randn(n, n, device=device)
    best = min(timed(lambda: a @ a, device) for _ in range(6))
    return 2 * n**3 / best


def floor_ms(n_parameters, rows, bandwidth, rate):
    """The least that a step can take, in ms: by its memory traffic, and by its operations."""
    traffic = BYTES_PER_PARAMETER * n_parameters / bandwidth
    operations = OPERATIONS_PER_PARAMETER * n_parameters * rows / rate
    return round(traffic * 1e3, 2), round(operations * 1e3, 2)


def machine(device):
    """One line on hardware and versions."""
    made = provenance(device)
    return (
        f"{made['device']}, {made['threads']} threads, PyTorch {made['torch']}, NumPy {made['numpy']}, "
        f"Python {made['python']}, commit {(made['git_commit'] or 'none')[:10]}"
    )


def finish(result, out_file=None):
    """Print the result as the last line, one JSON object, and write it to a file if one is given."""
    line = json.dumps(result)
    if out_file:
        write_text(out_file, line + "\n")
    print(line)
