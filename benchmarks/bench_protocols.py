"""Hours of whole protocols at the size of DEAP and DREAMER.

    python benchmarks/bench_protocols.py                   (robust recipe: one fold is run, preparation included)
    python benchmarks/bench_protocols.py --recipe paper    (500 epochs: derived from the times of single steps)

Simulated recordings; hours are for all folds, the robust recipe's for three labels, the paper's for one. On a CPU the
robust recipe's times are the processor's, which other processes disturb little; else the clock's. Last line: JSON.
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
from benchmarks import bench_finetune, bench_pretrain, common
from utils.base.devices import choose_device
from utils.base.settings import ROOT, read_settings

RECIPE = "robust"  # robust | paper
DEVICE = "auto"  # auto | cpu | cuda | mps
PRECISION = "fp32"  # of the paper's steps: fp32 | tf32 | bf16
QUICK = False  # True: 4 people and 4 stimuli, to see that it runs

sizes = {"deap": (32, 40, 32), "dreamer": (23, 18, 14)}  # people, stimuli of 60 s, EEG channels
# Data set, flags, folds; for the paper's recipe: training people, share of their windows, batch, epochs of fine-tuning
protocols = {
    "DEAP subject-dependent": ("deap", ("--split", "trial", "--n-folds", 10), 10, 32, 0.9, 8, 6),
    "DEAP across subjects": ("deap", ("--protocol", "cross-subject"), 32, 31, 1.0, 32, 10),
    "DREAMER subject-dependent": ("dreamer", ("--split", "trial", "--n-folds", 10), 10, 23, 0.9, 8, 15),
    "DREAMER across subjects": ("dreamer", ("--protocol", "cross-subject"), 23, 22, 1.0, 8, 10),
}
epochs = 500
n_labels = 3


def main():
    settings = read_settings(globals())
    device = choose_device(settings.DEVICE)
    print(common.machine(device))
    with tempfile.TemporaryDirectory() as folder:
        result = (robust if settings.RECIPE == "robust" else paper)(settings, device, Path(folder))
    common.finish(result)


def robust(settings, device, folder):
    """Run fold 0 of every protocol, each script in a process of its own, as a user starts it."""
    result = {}
    for data_set, (people, trials, _) in sizes.items():
        people, trials = (4, 4) if settings.QUICK else (people, trials)
        raw, data = folder / f"{data_set}_raw", folder / data_set
        size = ("--subjects", people, "--trials", trials, "--seconds", 60)
        run(device, "data_prep/make_synthetic.py", "--format", data_set, "--out-dir", raw, *size)
        source = ("--raw-dir", raw) if data_set == "deap" else ("--raw-file", raw / "DREAMER.mat")
        result[f"{data_set} preparation"] = run(device, f"data_prep/prepare_{data_set}.py", *source, "--out-dir", data)
        print(f"{data_set}: preparation {result[f'{data_set} preparation']:.0f} s", flush=True)
        for name, (_, flags, folds, *_) in protocols.items():
            if protocols[name][0] != data_set:
                continue
            flags = (*flags[:-1], 2) if settings.QUICK and "--n-folds" in flags else flags
            where = ("--data-dir", data, "--run-dir", folder / name, "--device", settings.DEVICE, *flags, "--folds", 0)
            parts = {
                "1 s": run(device, "main_pretrain_1s.py", *where, "--recipe", "robust"),
                "5 s": run(device, "main_pretrain_5s.py", *where, "--recipe", "robust"),
                "fine-tuning": run(device, "Fine_tuning/fine_tuning.py", *where, "--label", "arousal"),
            }
            hours = folds * (parts["1 s"] + parts["5 s"] + n_labels * parts["fine-tuning"]) / 3600
            memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9  # of the largest so far
            result[name] = parts | {"hours": hours, "memory_gb": memory}
            shown = ", ".join(f"{part} {value:.0f} s" for part, value in parts.items())
            print(f"{name}: {shown}, whole protocol {hours:.2f} h, {memory:.2f} GB", flush=True)
    return result


def run(device, script, *flags):
    """Seconds of a script; its output is shown only if it fails."""
    clock = time.perf_counter if device.type != "cpu" else _processor_seconds
    start = clock()
    done = subprocess.run([sys.executable, str(ROOT / script), *map(str, flags)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return clock() - start


def _processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def paper(settings, device, folder):
    """Hours from steps x time of a step."""
    times, result = {}, {}
    for name, (data_set, _, folds, people, share, batch_size, tuning_epochs) in protocols.items():
        _, trials, channels = sizes[data_set]
        data = folder / data_set
        if not data.exists():
            common.random_recordings(data, *((4, 2) if settings.QUICK else (32, 12)), 60, channels)
        settings, hours = settings.replace(BATCH_SIZE=batch_size, SUBJECTS_PER_GROUP=2), {}
        for window, per_trial in (("1s", 60), ("5s", 12)):
            key = (window, channels, batch_size)
            if key not in times:
                times[key] = step_ms(bench_pretrain.make_training(settings, window, data)[1], device)
            steps = 6 * trials * per_trial * share / batch_size * epochs * folds
            hours[window] = steps * times[key] / 3.6e6
        if "tuning" not in times:
            times["tuning"] = step_ms(bench_finetune.make_ours(data, device, 256, settings.PRECISION), device)
        steps = trials * 12 * share * people / 256 * tuning_epochs * folds
        hours["fine-tuning"] = steps * times["tuning"] / 3.6e6
        result[name] = hours
        shown = ", ".join(f"{part} {value:.1f}" for part, value in hours.items())
        print(f"{name}: {sum(hours.values()):.1f} h ({shown})", flush=True)
    for key, value in times.items():
        print(f"step {key}: {value} ms")
    return result


def step_ms(step, device):
    """Median time of a step in ms."""
    for _ in range(5 if device.type == "cuda" else 1):
        step()
    return common.median_ms(common.paired({"": step}, 2, device)[""])


if __name__ == "__main__":
    utils.base.errors.run(main)
