"""Time and memory of the robust recipe at the full size of DEAP and DREAMER, and hours of whole protocols.

    python benchmarks/bench_robust.py

Random recordings; each script runs in a process of its own, as a user starts it. Whole protocols are derived from the
chosen folds: all folds, pre-training once, fine-tuning for three labels. On a CPU the times are the processor's, which
other processes disturb little; on a GPU those of the clock. Last line: JSON.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors
from benchmarks import common
from utils.base.devices import choose_device
from utils.base.settings import ROOT, read_settings

FOLDS = [0]  # which of them to run
DEVICE = "auto"  # auto | cpu | cuda | mps

data_sets = {  # people, stimuli, EEG channels and peripheral signals, of 60 s
    "DEAP": (32, 40, 32, ["GSR"]),
    "DREAMER": (23, 18, 14, ["ECG1", "ECG2"]),
}
protocols = {  # flags, folds of it (None: one for each person)
    "subject-dependent": (("--split", "trial", "--n-folds", 10), 10),
    "across subjects": (("--protocol", "cross-subject"), None),
}
labels = 3


def main():
    settings = read_settings(globals())
    device = choose_device(settings.DEVICE)
    print(common.machine(device))
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (people, trials, channels, pps) in data_sets.items():
            data = Path(folder) / name
            common.random_recordings(data, people, trials, 60, channels, pps, name=name)
            for protocol, (flags, n_folds) in protocols.items():
                where = ("--data-dir", data, "--run-dir", Path(folder) / f"{name} {protocol}")
                folds = (*where, "--device", settings.DEVICE, *flags, "--folds", ",".join(map(str, settings.FOLDS)))
                seconds = {
                    "1 s": run(device, "main_pretrain_1s.py", *folds, "--recipe", "robust"),
                    "5 s": run(device, "main_pretrain_5s.py", *folds, "--recipe", "robust"),
                    "fine-tuning": run(device, "Fine_tuning/fine_tuning.py", *folds, "--label", "arousal"),
                }
                share = (n_folds or people) / len(settings.FOLDS)
                hours = share * (seconds["1 s"] + seconds["5 s"] + labels * seconds["fine-tuning"]) / 3600
                row = {part: round(value, 1) for part, value in seconds.items()}
                memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # KB on Linux, of the largest so far
                row |= {"hours of the protocol": round(hours, 2), "memory_gb": round(memory * 1024 / 1e9, 2)}
                result[f"{name} {protocol}"] = row
                print(f"{name} {protocol}: " + ", ".join(f"{part} {value}" for part, value in row.items()), flush=True)
    common.finish(result)


def run(device, script, *flags):
    """Seconds of a script; its lines are shown only if it fails."""
    clock = time.perf_counter if device.type != "cpu" else _processor_seconds
    start = clock()
    done = subprocess.run([sys.executable, str(ROOT / script), *map(str, flags)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return clock() - start


def _processor_seconds():
    """Of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    utils.base.errors.run(main)
