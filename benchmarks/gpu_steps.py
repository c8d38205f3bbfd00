"""What check_gpu.py measures: steps at the paper's sizes, their losses against the CPU's, and its other processes.

python benchmarks/gpu_steps.py check|1s,10 DEVICE FOLDER QUICK   (check_gpu.py starts it)
"""

import contextlib
import io
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

import physiosync  # noqa: F401
from benchmarks import bench_pretrain
from utils.base.devices import choose_device, set_precision

tolerance = {"fp32": 1e-3, "tf32": 2e-2, "bf16": 5e-2}  # how far losses may be from the CPU's (relative)
n_steps = 8  # that are compared; the captured step is replayed in half of them
n_folds = 10
small = ("--embed-dim", 16, "--projector-dims", "32,32,32")


class Report:
    """Checks and measurements, printed as they come, and the time that is left."""

    def __init__(self, seconds, begun):
        self.seconds, self.begun, self.checks, self.rows = seconds, begun, [], []

    def left(self):
        """Seconds."""
        return self.seconds - (time.perf_counter() - self.begun)

    def say(self, words):
        """Print with the time."""
        print(f"[{time.perf_counter() - self.begun:4.0f} s] {words}", flush=True)

    def check(self, what, holds, measured):
        """Note whether something holds; None: it was not run."""
        self.checks.append((what, holds, measured))
        self.say(f"{'ok' if holds else 'FAIL' if holds is not None else 'not run'}: {what}: {measured}")

    def row(self, what, measured, how="", memory=""):
        """Note a measurement; ``what`` may be in `known`."""
        self.rows.append((what, how, measured, memory))
        self.say(f"{what}{how and f', {how}'}: {measured}{memory and f', {memory}'}")

    def part(self, name, needs, function, *arguments):
        """Run a part of so many seconds if they are left; what it raises is a failed check."""
        if self.left() < needs:
            return self.check(name, None, f"it takes {needs} s, and {max(0, self.left()):.0f} s are left")
        try:
            return function(self, *arguments)
        except Exception as error:
            traceback.print_exc(limit=-5, file=sys.stdout)
            return self.check(name, False, f"{type(error).__name__}: {str(error).splitlines()[:1]}")
        except SystemExit as stop:
            return self.check(name, False, f"ended with {stop.code}")


def few_steps(device, few, folds=(0,), plan=None, precision="fp32", compiled=False, captured=False):
    """Losses (n_steps, folds) of the first steps, with no dropout and no augmentation, and what was drawn for them."""
    settings = SimpleNamespace(DEVICE=device.type, PRECISION=precision, BATCH_SIZE=8, SUBJECTS_PER_GROUP=2)
    flags = (*small, "--no-augmentation", "--split", "trial", "--n-folds", 4)
    with contextlib.redirect_stdout(io.StringIO()):
        made = bench_pretrain.make_folds(settings, "1s", few, 2, *flags)
    made = [made[number] for number in folds]
    for module in (module for fold in made for module in fold.model.modules()):
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # the one thing that two devices do not draw alike
    networks, step = bench_pretrain.make_step(made, compiled, captured)
    first, variants = networks.shuffle() if plan is None else (x.to(device) for x in plan)
    losses = [step(first[number], variants[number])[0].float().clone() for number in range(n_steps)]
    return torch.stack(losses).cpu(), (first.cpu(), variants.cpu())


def same_losses(report, device, few, compiled=False):
    """Losses of a few pre-training steps in every way that they can be computed here, against the CPU's."""
    cpu = torch.device("cpu")
    plans, expected = [], []
    for number in (0, 1):
        losses, plan = few_steps(cpu, few, (number,))
        plans.append(plan)
        expected.append(losses)
    both = [torch.stack(parts, 1) for parts in zip(*plans, strict=True)]
    cuda = device.type == "cuda"
    ways = [(1, "fp32", False), (2, "fp32", False), (1, "bf16", False)]
    if compiled:
        ways = [(1, "fp32", cuda), (2, "fp32", cuda)]
    elif cuda:
        ways += [(1, "fp32", True), (1, "tf32", True), (1, "bf16", True), (2, "fp32", True), (2, "tf32", True)]
    for n, precision, captured in ways:
        plan = plans[0] if n == 1 else both
        losses, _ = few_steps(device, few, range(n), plan, precision, compiled, captured)
        gap = float((losses / torch.cat(expected[:n], 1) - 1).abs().max())
        how = f"{'compiled, ' * compiled}{'captured' if captured else 'eager'}"
        name = f"losses of {n_steps} steps, folds: {n}, {device.type} {how} {precision} against CPU fp32"
        report.check(name, gap <= tolerance[precision], f"within {gap:.1e} (at most {tolerance[precision]:g})")
    set_precision("fp32", device)


def prepare(device, data, window, n, precision, compiled, captured, quick):
    """Networks of n folds at the paper's sizes, and their step by its number."""
    sizes = SimpleNamespace(DEVICE=device.type, PRECISION=precision, BATCH_SIZE=8, SUBJECTS_PER_GROUP=2)
    flags = ("--split", "trial", "--n-folds", n_folds, *(small if quick else ()))
    with contextlib.redirect_stdout(io.StringIO()):
        networks, step = bench_pretrain.make_step(
            bench_pretrain.make_folds(sizes, window, data, n, *flags), compiled, captured
        )
    first, variants = networks.shuffle()
    networks.step = step
    return networks, lambda number: step(first[number], variants[number])


def main(task, device, folder, quick):
    """Check compiled losses, or compile a step, which PyTorch's cache keeps."""
    device = choose_device(device)
    if task == "check":
        report = Report(600, time.perf_counter())
        same_losses(report, device, Path(folder), compiled=True)
        sys.exit(0 if all(holds for _, holds, _ in report.checks) else 1)
    window, n = task.split(",")
    _, step = prepare(device, Path(folder), window, int(n), "fp32", True, False, bool(int(quick)))
    step(0), step(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
