"""Does everything run on this GPU, compute the same as on the CPU, and how fast? One command.

    python benchmarks/check_gpu.py
    python benchmarks/check_gpu.py --device cpu --quick   # what a CPU can do of it, small

Runs the tests that need a GPU; compares losses and weights after a few steps (CPU, eager, captured, fp32, tf32, bf16);
pre-trains, fine-tunes and predicts with the real scripts, resident and streamed; times steps against the reference and
the floor. Ends with a verdict and a block of Markdown for benchmarks/RESULTS.md. Exit status 1 if anything failed.
"""

import contextlib
import csv
import io
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

import physiosync  # noqa: F401
import utils.base.errors
from benchmarks import bench_finetune, bench_pretrain, common
from models import ContrastiveModel, Encoder
from utils.base.devices import Captured, adam, choose_device, set_precision
from utils.base.settings import ROOT, read_settings
from utils.pretraining.checkpoints import load_tensors
from utils.pretraining.networks import Objective

DEVICE = "cuda"  # cuda | cpu: what a CPU can do of it | auto
SEED = 0  # of the weights and the batches that are compared
QUICK = False  # True: small networks are timed, for a look whether it runs

n_steps = 8  # that are compared; the captured step is replayed in half of them
# How far a loss, and the weights' way from their start, may be from the CPU's in fp32 (relative)
tolerance = {"fp32": (1e-4, 0.02), "tf32": (1e-2, 0.2), "bf16": (5e-2, 0.5)}
# Biases that the next normalisation takes away again: their gradients are rounding errors, which Adam blows up
no_effect = ("embedding.norm.bias", "projector.0.bias", "projector.1.bias", "projector.3.bias")


class Checks(list):
    """Lines of the verdict: (what, whether it holds, what was measured)."""

    def add(self, what, holds, measured):
        """Note a check, and print it."""
        self.append((what, holds, measured))
        print(f"{'ok  ' if holds else 'FAIL' if holds is not None else 'not run'}  {what}: {measured}", flush=True)


def main():
    settings = read_settings(globals())
    device = choose_device(settings.DEVICE)
    checks, machine = Checks(), common.machine(device)
    print(machine + "\n")
    gpu_tests(checks, device)
    with torch.random.fork_rng():
        same_steps(checks, device, settings.SEED)
    with tempfile.TemporaryDirectory() as folder:
        real_scripts(checks, device, Path(folder))
        rows = step_times(checks, device, Path(folder), settings.QUICK)
    failed = [what for what, holds, _ in checks if holds is False]
    verdict = f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}" if failed else "all checks hold"
    print("\n" + markdown(machine, checks, rows, verdict))
    print(f"verdict: {verdict}")
    sys.exit(1 if failed else 0)


def gpu_tests(checks, device):
    """The tests that are skipped without a GPU."""
    if device.type != "cuda":
        checks.add("tests that need CUDA", None, "needs a GPU")
        return
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_speed.py", "tests/test_batches.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    lines = (done.stdout or done.stderr).strip().splitlines()
    checks.add("tests that need CUDA", done.returncode == 0, lines[-1] if lines else "no output")


# --- the same numbers


def same_steps(checks, device, seed):
    """Losses and weights of a few pre-training steps, in every way that they can be computed here."""
    set_precision("fp32", device)
    expected_losses, expected_way = few_steps(torch.device("cpu"), seed)
    ways = [("fp32", False), ("bf16", False)]
    if device.type == "cuda":
        ways += [("tf32", False), ("fp32", True), ("tf32", True), ("bf16", True)]
    for precision, captured in ways:
        if device.type == "cuda":
            set_precision("tf32" if precision == "tf32" else "fp32", device)
        losses, way = few_steps(device, seed, precision == "bf16", captured)
        loss = np.abs(losses / expected_losses - 1).max()
        weights = (way - expected_way).norm() / expected_way.norm()
        most_loss, most_weights = tolerance[precision]
        name = f"{n_steps} steps, {device.type} {'captured' if captured else 'eager'} {precision} against CPU fp32"
        measured = (
            f"losses within {loss:.1e} (at most {most_loss:g}), weights' way {weights:.1e} (at most {most_weights})"
        )
        checks.add(name, bool(loss <= most_loss and weights <= most_weights), measured)
    set_precision("fp32", device)


def few_steps(device, seed, bf16=False, captured=False):
    """Losses (n_steps,), and the way of all weights from their start as one vector; without dropout."""
    torch.manual_seed(seed)
    small = dict(embed_dim=64, projector_dims=(128, 128, 128))
    encoders = {"eeg": Encoder(32, 128, prompt_tokens=2, **small), "pps": Encoder(1, 128, **small)}
    model = ContrastiveModel(encoders, 0.1)
    objective = Objective(model, bf16)
    batches = {name: torch.randn(n_steps, 2, 8, 2, c, 128) for name, c in (("eeg", 32), ("pps", 1))}
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # the one thing that two devices do not draw alike
    start = torch.cat([p.detach().flatten() for name, p in model.named_parameters() if not name.endswith(no_effect)])
    model, batches = model.to(device), {name: x.to(device) for name, x in batches.items()}
    optimizer = adam(model, SimpleNamespace(LR=7e-4, WEIGHT_DECAY=1e-3), device)
    losses, number = torch.zeros(n_steps, device=device), torch.zeros(1, dtype=torch.int64, device=device)

    def step():
        loss = objective({name: x.index_select(0, number)[0] for name, x in batches.items()})["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.index_copy_(0, number, loss.detach()[None].float())
        number.add_(1)

    run = Captured(step) if captured else step
    for _ in range(n_steps):
        run()
    end = torch.cat([p.detach().flatten() for name, p in model.named_parameters() if not name.endswith(no_effect)])
    return losses.cpu().numpy(), end.float().cpu() - start


# --- the real scripts


def runs(checks, path, *flags):
    """Run a script of the repository; whether it ended well. What it said is above, if not."""
    try:
        common.script(path, *flags)
    except SystemExit:
        checks.add(path, False, "see its message above")
        return False
    return True


def real_scripts(checks, device, folder):
    """Pre-training resident and streamed, fine-tuning, and prediction on both devices."""
    raw, data, run_dir, on = folder / "raw", folder / "deap", folder / "run", ["--device", device.type]
    where = ["--data-dir", data, "--run-dir", run_dir, "--folds", 0, *on]
    sizes = ["--embed-dim", 16, "--projector-dims", "32,32,32"]
    road = [
        ("data_prep/make_synthetic.py", "--out-dir", raw, "--subjects", 4, "--trials", 4, "--seconds", 20),
        ("data_prep/prepare_deap.py", "--raw-dir", raw, "--out-dir", data),
        ("main_pretrain_1s.py", *where, "--split", "trial", "--epochs", 1, *sizes, "--no-stream"),
        ("main_pretrain_5s.py", *where, "--epochs", 1, *sizes),
        ("main_pretrain_1s.py", *where, "--epochs", 1, *sizes, "--stream", "--tag", "streamed"),
        ("Fine_tuning/fine_tuning.py", *where, "--label", "arousal", "--epochs", 2),
        ("Fine_tuning/fine_tuning.py", *where, "--label", "arousal", "--epochs", 2, "--stream", "--tag", "streamed"),
        ("Fine_tuning/fine_tuning.py", *where, "--label", "arousal", "--epochs", 2, "--freeze", "--precision", "bf16"),
    ]
    for path, *flags in road:
        if not runs(checks, path, *flags):
            return
    checks.add(f"pre-training and fine-tuning on {device.type}", True, "ran, also streamed, frozen and with bf16")
    paths = [run_dir / f"pretrain_1s{tag}" / "fold_00" / "checkpoint.pt" for tag in ("", "_streamed")]
    resident, streamed = (load_tensors(path, "run it again")["encoders"]["eeg"]["weights"] for path in paths)
    gap = max(float((resident[name].double() - streamed[name].double()).abs().max()) for name in resident)
    checks.add(
        "streamed weights equal resident ones", gap <= (0 if device.type == "cpu" else 1e-4), f"within {gap:.1e}"
    )
    predicted = []
    for name in {device.type: None, "cpu": None}:
        out = folder / f"predicted_{name}.csv"
        model = run_dir / "finetune_arousal" / "fold_00" / "model.pt"
        flags = ("--model", model, "--input", raw / "s01.dat", "--out-file", out, "--device", name)
        if not runs(checks, "Fine_tuning/predict.py", *flags):
            return
        with open(out, newline="", encoding="utf-8") as file:
            predicted.append(np.array([[float(value) for value in row[3:]] for row in list(csv.reader(file))[1:]]))
    gap = float(np.abs(predicted[0] - predicted[-1]).max())
    checks.add(f"probabilities on {device.type} and on the CPU", gap <= 1e-3, f"within {gap:.1e}")


# --- speed


def step_times(checks, device, folder, quick):
    """Times of our steps, of the reference and of the floor, with the peak of memory; rows of a table."""
    small = dict(SUBJECTS=6, TRIALS=2, CHANNELS=4) if quick else dict(SUBJECTS=32, TRIALS=10, CHANNELS=32)
    bandwidth, rate = common.copy_bandwidth(device), common.gemm_rate(device)
    data_dir, rows = folder / "timed", []
    with contextlib.redirect_stdout(io.StringIO()):
        common.random_recordings(data_dir, small["SUBJECTS"], small["TRIALS"], 60, small["CHANNELS"])
    for precision in ("fp32", "tf32", "bf16") if device.type == "cuda" else ("fp32",):
        for window in ("1s",) if quick else ("1s", "5s"):
            settings = SimpleNamespace(
                DEVICE=device.type, PRECISION=precision, BATCH_SIZE=8, SUBJECTS_PER_GROUP=2, ROUNDS=10, QUICK=quick
            )
            forget_peak(device)
            with contextlib.redirect_stdout(io.StringIO()):
                row = bench_pretrain.measure(settings, window, data_dir, device, bandwidth, rate)
            rows.append((f"pre-training step, {window}, {precision}", row, peak(device)))
    set_precision("fp32", device)
    forget_peak(device)
    ours = bench_finetune.make_ours(data_dir, device, 8 if quick else 256, "fp32")
    theirs = common.Elsewhere(bench_finetune.make_reference, data_dir, device, 8 if quick else 256)
    times = common.paired({"ours": ours, "reference": theirs}, 2 if quick else 5, device)
    theirs.close()
    mine, other = (common.median_ms(times[name]) for name in ("ours", "reference"))
    row = {"ours_ms": mine, "reference_ms": other, "ratio": round(other / mine, 2), "floor_ms": None}
    rows.append(("fine-tuning step, fp32", row, peak(device)))
    if device.type == "cuda" and not quick:
        for name, row, _ in rows[:2]:
            checks.add(f"{name}: at least 25 x the reference", row["ratio"] >= 25, f"{row['ratio']} x")
            times_floor = row["ours_ms"] / row["floor_memory_ms"]
            checks.add(f"{name}: within 2 x of the memory floor", times_floor <= 2, f"{times_floor:.1f} x")
    return rows


def forget_peak(device):
    """Begin to measure the device's memory anew."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak(device):
    """Most memory since `forget_peak`; on a CPU of the whole process so far."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**20:.0f} MiB"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB (process)"


def markdown(machine, checks, rows, verdict):
    """The block for benchmarks/RESULTS.md."""
    lines = [f"`python benchmarks/check_gpu.py` on {machine}: {verdict}.", ""]
    lines += ["| check | result | measured |", "| --- | --- | --- |"]
    words = {True: "holds", False: "**fails**", None: "not run"}
    lines += [f"| {what} | {words[holds]} | {measured} |" for what, holds, measured in checks]
    lines += ["", "| step | ours | reference | ratio | floor | peak memory |", "| --- | --- | --- | --- | --- | --- |"]
    for name, row, memory in rows:
        floor = "" if row["floor_ms"] is None else f"{row['floor_ms']} ms"
        lines.append(
            f"| {name} | {row['ours_ms']} ms | {row['reference_ms']} ms | {row['ratio']} | {floor} | {memory} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    utils.base.errors.run(main)
