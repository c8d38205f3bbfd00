"""Does everything run on this GPU, compute the same as on the CPU, and how fast? One command, at most 4 minutes.

    python benchmarks/check_gpu.py
    python benchmarks/check_gpu.py --device cpu --quick   # what a CPU can do of it, tiny

Every part prints as it goes; one that fails does not stop the others, and one for which too little time is left is
skipped and listed (--seconds 600 has time for all). Ends with a verdict and a block of Markdown for
benchmarks/RESULTS.md, also when it is interrupted. Exit status 1 if a part failed.
"""

import gc
import multiprocessing
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

begun = time.perf_counter()

import torch

import physiosync  # noqa: F401
import utils.base.errors
from benchmarks import bench_finetune, common
from benchmarks.gpu_steps import Report, n_folds, prepare, same_losses
from utils.base.devices import choose_device, set_precision
from utils.base.settings import ROOT, read_settings
from utils.pretraining.pretraining import train_one_epoch

DEVICE = "cuda"  # cuda | cpu: what a CPU can do of it | auto
SECONDS = 220  # after which no more is measured
COMPILE = True  # False: leave out what is compiled, which takes a minute
QUICK = False  # True: small networks and recordings, to see that it runs

epochs = 500
sizes = dict(subjects=32, trials=40, seconds=60, channels=32)  # and 8 peripheral ones: DEAP
pps = ("GSR", "hEOG", "vEOG", "zEMG", "tEMG", "Resp", "Plet", "Temp")
labels = ("arousal", "valence", "four")
fine_tune = "Fine_tuning/fine_tuning.py"
whole = "robust, 10 folds"
# The authors' loop, this program before, and the target: of an H200 in fp32
known = {
    "step, 1s x 1": ("39.9 ms", "2.80 ms", "1.2 ms"),
    "step, 5s x 1": ("46.9 ms", "5.38 ms", "2.6 ms"),
    "step, 1s x 10": ("399 ms", "28.0 ms", "6 ms"),
    "step, 5s x 10": ("469 ms", "53.8 ms", "22 ms"),
    "fine-tuning step": ("102.5 ms", "55 ms", "5 ms"),
    "an epoch, 1s x 10": ("650 s", "50 s", ""),
    "an epoch, 5s x 10": ("150 s", "21 s", ""),
    "paper's protocol, 500 epochs (projected)": ("111 h", "9.9 h", "2 h"),
    f"{whole}: 1s": ("", "49 s", ""),
    f"{whole}: 5s": ("", "26 s", ""),
    f"{whole}: fine-tuning, a label": ("", "200 s", ""),
    f"{whole}: from the prepared folder to the report": ("", "", "90 s"),
}


def main():
    settings = read_settings(globals())
    device = choose_device(settings.DEVICE)
    report, machine, stopped = Report(settings.SECONDS, begun), common.machine(device), ""
    print(machine + "\n", flush=True)
    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGALRM") if hasattr(signal, name)]
    for number in signals:
        signal.signal(number, _stop)
    if hasattr(signal, "alarm"):
        signal.alarm(settings.SECONDS + 3)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            measure(report, settings, device, Path(folder))
        except KeyboardInterrupt:
            stopped = f", stopped after {time.perf_counter() - begun:.0f} s"
        for number in (signal.SIGINT, *signals):  # the block is printed whatever comes now
            signal.signal(number, signal.SIG_IGN)
    failed = [what for what, holds, _ in report.checks if holds is False]
    missing = sum(holds is None for _, holds, _ in report.checks)
    verdict = "all checks hold"
    if failed:
        verdict = f"{len(failed)} of {len(report.checks)} checks failed: {'; '.join(failed)}"
    verdict += f", {missing} parts were not run" * bool(missing) + stopped
    print("\n" + markdown(machine, report, verdict))
    print(f"verdict: {verdict}", flush=True)
    sys.exit(1 if failed or stopped else 0)


def _stop(*_):
    raise KeyboardInterrupt


def measure(report, settings, device, folder):
    """All parts: what the targets rest on first, the longest last."""
    quick, cuda, compiled = settings.QUICK, device.type == "cuda", settings.COMPILE
    data, few = folder / "deap", folder / "few"
    size = sizes if not quick else dict(subjects=6, trials=10, seconds=10, channels=4)
    making = multiprocessing.get_context("spawn").Process(
        target=common.random_recordings, args=(data, *size.values(), pps), daemon=True
    )
    making.start()
    common.random_recordings(few, 6, 4, 20, 4, pps[:1])
    report.part("losses", 5, same_losses, device, few)
    making.join()
    report.say(f"recordings: {size}, {len(pps)} peripheral channels")
    where = settings, device, data
    precisions = ("fp32", "tf32", "bf16") if cuda else ("fp32",)
    windows, at_once = ("1s",) if quick else ("1s", "5s"), 2 if quick else n_folds
    for window in windows:
        needs = 60 if compiled else 25
        report.part(f"step, {window} x {at_once}", needs, step_times, *where, window, at_once, "fp32", compiled)
    for window in windows:
        for precision in precisions[:2]:
            report.part(f"step, {window} x 1, {precision}", 6, step_times, *where, window, 1, precision, False)
    for precision in precisions:
        report.part(f"fine-tuning step, {precision}", 6, fine_tuning, *where, precision)
    projected(report)
    report.part(whole, 20, robust, *where, folder)
    if compiled:
        for window in windows:
            report.part(f"step, {window} x 1, compiled", 40, step_times, *where, window, 1, "fp32", True)
        report.part("losses, compiled", 90, same_losses, device, few, True)


def forget_peak(device):
    """Free memory, and measure its peak from here."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak(device):
    """Most memory of the device since `forget_peak`."""
    return f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB" if device.type == "cuda" else ""


def in_ms(call, device, quick):
    """Median of the milliseconds of a call with its number, in rounds."""
    n, rounds, warm_up = (2, 1, 1) if quick else (20, 5, 8)  # the capture is among the first calls
    numbers = iter(range(warm_up + n * rounds))
    for _ in range(warm_up):
        call(next(numbers))
    return common.median_ms(
        [common.timed(lambda: [call(next(numbers)) for _ in range(n)], device) / n for _ in range(rounds)]
    )


def fine_tuning(report, settings, device, data, precision):
    """A step of fine-tuning, 256 windows."""
    forget_peak(device)
    step = bench_finetune.make_ours(data, device, 8 if settings.QUICK else 256, precision)
    ms = in_ms(lambda number: step(), device, settings.QUICK)
    report.row("fine-tuning step", f"{ms} ms", precision, peak(device))
    set_precision("fp32", device)


def step_times(report, settings, device, data, window, n, precision, compiled):
    """A step of pre-training of n folds; of several folds also an epoch."""
    forget_peak(device)
    start = time.perf_counter()
    networks, step, (first, variants) = prepare(device, data, window, n, precision, compiled, settings.QUICK)
    step(first[0], variants[0])
    seconds = time.perf_counter() - start
    n_steps = len(first)
    ms = in_ms(lambda number: step(first[number % n_steps], variants[number % n_steps]), device, settings.QUICK)
    how = f"{precision}{', compiled' * compiled}"
    report.row(f"step, {window} x {n}", f"{ms} ms", how, f"{peak(device)} (ready after {seconds:.0f} s)")
    if n > 1:
        record = torch.zeros(n_steps, len(networks.folds[0].model.metric_names), n, device=device)
        seconds = common.timed(lambda: train_one_epoch(step, networks, record), device)
        report.row(f"an epoch, {window} x {n}", f"{seconds:.2f} s", f"{how}, {n_steps} steps")
        if not bool((record[:, 0] > 0).all()):
            report.check(f"losses of an epoch, {window} x {n}", False, "not all are positive")


def projected(report):
    """What the paper's protocol takes, from an epoch of ten folds of each window and from a step of fine-tuning."""
    measured = {}
    for what, how, value, _ in report.rows:
        if how.startswith("fp32"):
            measured[what] = float(value.split()[0])
    names = [f"an epoch, {window} x {n_folds}" for window in ("1s", "5s")]
    if not {*names, "fine-tuning step"} <= measured.keys():
        return
    tuning = n_folds * 6 * (sizes["trials"] * 12 * 0.9 * sizes["subjects"] / 256) * measured["fine-tuning step"] / 1e3
    hours = (epochs * sum(measured[name] for name in names) + tuning) / 3600
    report.row(f"paper's protocol, {epochs} epochs (projected)", f"{hours:.2f} h", "from an epoch of each window")


def robust(report, settings, device, data, folder):
    """The robust protocol by its scripts; one that takes too long is ended, and its complete folds are counted."""
    run_dir, n, seconds = folder / "run", 2 if settings.QUICK else n_folds, []
    where = ["--data-dir", data, "--run-dir", run_dir, "--folds", ",".join(map(str, range(n)))]
    flags = [*where, "--device", settings.DEVICE]
    split = ["--split", "trial", "--n-folds", n_folds, "--recipe", "robust"]
    stages = [
        ("1s", "pretrain_1s*/fold_*/checkpoint.pt", ["main_pretrain_1s.py", *flags, *split]),
        ("5s", "pretrain_5s*/fold_*/checkpoint.pt", ["main_pretrain_5s.py", *flags, *split]),
        *(
            (f"fine-tuning, {label}", f"finetune_{label}*/fold_*/result.pt", [fine_tune, *flags, "--label", label])
            for label in labels
        ),
        ("report", "report.html", ["Fine_tuning/report.py", "--run-dir", run_dir]),
    ]
    for stage, files, command in stages:
        start, left, command = time.perf_counter(), report.left(), [sys.executable, *map(str, command)]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=max(1, left))
            if done.returncode:
                raise RuntimeError(f"{' '.join(command[1:])}: {(done.stdout + done.stderr)[-600:]}")
        except subprocess.TimeoutExpired:
            report.check(f"{whole}: {stage}", None, f"not complete when its time was over, after {left:.0f} s")
        seconds.append(time.perf_counter() - start)
        complete, wanted = len(list(run_dir.glob(files))), 1 if stage == "report" else n
        report.row(f"{whole}: {stage}", f"{seconds[-1]:.1f} s", f"{complete} of {wanted} complete")
        if complete < wanted:
            return
    name = f"{whole}: from the prepared folder to the report"
    report.row(name, f"{sum(seconds):.0f} s", f"{n} folds, {len(labels)} labels")


def markdown(machine, report, verdict):
    """The block for benchmarks/RESULTS.md."""
    lines = [f"`python benchmarks/check_gpu.py` on {machine}: {verdict}.", ""]
    lines += ["| check | result | measured |", "| --- | --- | --- |"]
    words = {True: "holds", False: "**fails**", None: "not run"}
    lines += [f"| {what} | {words[holds]} | {measured} |" for what, holds, measured in report.checks]
    lines += ["", "Authors' loop, before and target: an H200, fp32.", ""]
    lines += ["| what | how | measured | authors' loop | before | target | memory and remarks |", "| --- " * 7 + "|"]
    for what, how, measured, memory in report.rows:
        one = f"{whole}: fine-tuning, a label" if "fine-tuning, " in what else what
        lines.append(f"| {' | '.join([what, how, measured, *known.get(one, ('', '', '')), memory])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    utils.base.errors.run(main)
