"""What check_gpu.py measures: steps at the paper's sizes, their losses against the CPU's; and its list of results."""

import contextlib
import io
import sys
import time
import traceback
from types import SimpleNamespace

import torch

from benchmarks import bench_pretrain
from utils.base.devices import set_precision

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
        self.say(f"{ {True: 'ok', False: 'FAILED', None: 'not run'}[holds] }: {what}: {measured}")

    def row(self, what, measured, how="", memory=""):
        """Note a measurement."""
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


def make_folds(device, data, window, n, precision, *flags):
    """The first ``n`` folds' pre-training, as the script makes it."""
    settings = SimpleNamespace(DEVICE=device.type, PRECISION=precision, BATCH_SIZE=8, SUBJECTS_PER_GROUP=2)
    with contextlib.redirect_stdout(io.StringIO()):
        return bench_pretrain.make_folds(settings, window, data, n, "--split", "trial", *flags)


def few_steps(device, few, folds, plan=None, precision="fp32", compiled=False, captured=False):
    """Losses (n_steps, folds) of the first steps, with no dropout and no augmentation, and what was drawn for them."""
    training = make_folds(device, few, "1s", 2, precision, *small, "--no-augmentation", "--n-folds", 4)
    training = [training[number] for number in folds]
    for module in (module for fold in training for module in fold.model.modules()):
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # the one thing that two devices do not draw alike
    networks, step = bench_pretrain.make_step(training, compiled, captured)
    first, variants = networks.shuffle() if plan is None else (x.to(device) for x in plan)
    losses = [step(first[number], variants[number])[0].float().clone() for number in range(n_steps)]
    return torch.stack(losses).cpu(), (first.cpu(), variants.cpu())


def same_losses(report, device, few, compiled=False):
    """Losses of a few pre-training steps in every way that they can be computed here, against the CPU's."""
    expected, plans = zip(*(few_steps(torch.device("cpu"), few, [number]) for number in (0, 1)), strict=True)
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


def prepare(device, data, window, n, precision, compiled, quick):
    """Networks of ``n`` folds at the paper's sizes, their step, and the windows of an epoch's steps."""
    folds = make_folds(device, data, window, n, precision, "--n-folds", n_folds, *(small if quick else ()))
    networks, step = bench_pretrain.make_step(folds, compiled)
    return networks, step, networks.shuffle()
