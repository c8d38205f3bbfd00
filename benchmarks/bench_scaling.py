"""Time of a pre-training step by batch, people per group, channels and window; hours that the paper's protocols take.

    python benchmarks/bench_scaling.py

Last line: JSON.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors
from benchmarks import bench_finetune, bench_pretrain, common
from utils.base.devices import choose_device
from utils.base.settings import read_settings

DEVICE = "auto"  # auto | cpu | cuda
PRECISION = "fp32"  # fp32 | tf32 | bf16
ROUNDS = 2  # timed turns of each size

base = dict(BATCH_SIZE=8, SUBJECTS_PER_GROUP=2, CHANNELS=32)
varied = dict(BATCH_SIZE=(2, 8, 32, 128), SUBJECTS_PER_GROUP=(1, 2, 4, 8), CHANNELS=(8, 32, 64))
# data set, protocol: people, channels, trials, training people, share of the windows trained on, batch, N, folds,
# epochs of fine-tuning
protocols = {
    "DEAP subject-dependent": (32, 32, 40, 32, 0.9, 8, 2, 10, 6),
    "DEAP cross-subject": (32, 32, 40, 31, 1.0, 32, 2, 32, 10),
    "DREAMER subject-dependent": (23, 14, 18, 23, 0.9, 8, 2, 10, 15),
    "DREAMER cross-subject": (23, 14, 18, 22, 1.0, 8, 2, 23, 10),
}
pretrain_epochs = 500


def main():
    settings = read_settings(globals())
    device = choose_device(settings.DEVICE)
    print(common.machine(device))
    result = {"ms": {}, "hours": {}}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        times = {}

        def step_ms(window, channels, batch_size, people):
            key = (window, channels, batch_size, people)
            if key not in times:
                times[key] = measure(settings, home, device, *key)
            return times[key]

        for name, values in varied.items():
            for value in values:
                size = base | {name: value}
                key = (size["CHANNELS"], size["BATCH_SIZE"], size["SUBJECTS_PER_GROUP"])
                row = {window: step_ms(window, *key) for window in ("1s", "5s")}
                result["ms"][f"{name} {value}"] = row
                print(f"{name:19}{value:4}   1s {row['1s']:9.2f} ms   5s {row['5s']:9.2f} ms")
        tuning = bench_finetune.make_ours(data_folder(home, 32), device, 256, settings.PRECISION)
        tuning_ms = common.median_ms(common.paired({"": tuning}, settings.ROUNDS, device)[""])
        print(f"fine-tuning, 256 windows   {tuning_ms:9.2f} ms\n\nwhole protocols in hours, fine-tuning for one label:")
        for name, (n, channels, trials, people, share, batch, group, folds, epochs) in protocols.items():
            hours = {}
            for window, per_trial in (("1s", 60), ("5s", 12)):
                steps = 6 * trials * per_trial * share / batch * pretrain_epochs * folds
                hours[window] = steps * step_ms(window, channels, batch, group) / 3.6e6
            steps = trials * 12 * share * (people if share == 1 else n) / 256 * epochs * folds
            hours["fine-tuning"] = steps * tuning_ms / 3.6e6
            result["hours"][name] = {part: round(value, 2) for part, value in hours.items()}
            parts = ", ".join(f"{part} {value:.1f}" for part, value in hours.items())
            print(f"{name:26}{sum(hours.values()):9.1f}   ({parts})")
    common.finish(result)


def data_folder(home, channels):
    """Random recordings with so many EEG channels."""
    folder = home / f"channels_{channels}"
    if not folder.exists():
        common.random_recordings(folder, 32, 12, 60, channels)
    return folder


def measure(settings, home, device, window, channels, batch_size, people):
    """Median time of a step in ms."""
    settings.BATCH_SIZE, settings.SUBJECTS_PER_GROUP = batch_size, people
    _, step = bench_pretrain.make_training(settings, window, data_folder(home, channels))
    for _ in range(5 if device.type == "cuda" else 1):
        step()
    return common.median_ms(common.paired({"": step}, settings.ROUNDS, device)[""])


if __name__ == "__main__":
    utils.base.errors.run(main)
