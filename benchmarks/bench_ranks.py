"""Memory of one, two and four processes that train folds of the same recordings side by side.

    python benchmarks/bench_ranks.py

Private memory is what each process has to itself (networks, gradients, Adam); shared memory is what they map together,
the recordings' pages among it, counted in proportion (PSS). Linux only. Last line: JSON.
"""

import os
import re
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import distributed

import physiosync  # noqa: F401
import utils.base.errors
from benchmarks import common
from data_prep import open_prepared
from utils.base.errors import InputError
from utils.base.settings import ROOT, read_settings
from utils.pretraining.pretraining import trainings

SUBJECTS = 32  # people in the recordings
TRIALS = 10  # stimuli of 60 s
CHANNELS = 32  # EEG channels, beside one peripheral signal
EMBED_DIM = 16  # of the networks, small, so that what is seen is the recordings

n_processes = (1, 2, 4)
steps = 320
of_a_rank = "BENCH_RANKS_DATA"  # the environment's name for the recordings, set for the processes that are measured


def main():
    settings = read_settings(globals())
    if not Path("/proc/self/smaps_rollup").exists():
        raise InputError("bench_ranks.py reads /proc/self/smaps_rollup, which only Linux has")
    print(common.machine(torch.device("cpu")))
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        common.random_recordings(data_dir, settings.SUBJECTS, settings.TRIALS, 60, settings.CHANNELS)
        data = open_prepared(data_dir)
        result["recordings_mb"] = round((data.eeg.nbytes + data.pps.nbytes) / 1e6)
        print(f"recordings {result['recordings_mb']} MB")
        print(f"{'':10}{'PSS of all':>12}{'each: PSS':>12}{'private':>10}{'RSS':>8}")
        for n in n_processes:
            launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
            command = [sys.executable, *launcher, __file__, "--embed-dim", str(settings.EMBED_DIM)]
            env = os.environ | {of_a_rank: str(data_dir), "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
            found = re.findall(r"pss (\d+) private (\d+) rss (\d+)", done.stdout)
            if done.returncode or len(found) != n:
                raise InputError(f"{n} processes failed: {done.stderr.strip().splitlines()[-1]}")
            rows = [[int(value) / 1e3 for value in row] for row in found]
            pss, private, rss = (round(sum(column) / n) for column in zip(*rows, strict=True))
            result[f"{n}"] = {"total_pss_mb": pss * n, "pss_mb": pss, "private_mb": private, "rss_mb": rss}
            print(f"{n:2} ranks  {pss * n:9} MB{pss:9} MB{private:7} MB{rss:5} MB")
    common.finish(result)


def be_a_rank():
    """Train some steps, then say how much memory this process has while the others have theirs."""
    settings = read_settings(globals())
    data_dir = Path(os.environ[of_a_rank])
    script = runpy.run_path(str(ROOT / "main_pretrain_5s.py"))
    flags = {"data-dir": data_dir, "run-dir": data_dir.with_name("run"), "device": "cpu"}
    flags |= {"embed-dim": settings.EMBED_DIM, "projector-dims": "16,16,16", "epochs": 1}
    argv = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    distributed.init_process_group("gloo")  # the benchmark's processes wait for each other, a run's do not
    training = next(trainings(read_settings(script, argv)))
    training.batches.recordings.release = lambda: None  # the pages that were read stay mapped, to be counted
    training.start_epoch()
    for _ in range(min(steps, training.batches.n_steps)):
        training.step()
    distributed.barrier()
    rollup = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8")
    kb = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB", rollup, re.MULTILINE)}
    distributed.barrier()
    print(f"pss {kb['Pss']} private {kb['Private_Clean'] + kb['Private_Dirty']} rss {kb['Rss']}", flush=True)
    distributed.destroy_process_group()


if __name__ == "__main__":
    if of_a_rank in os.environ:
        utils.base.errors.run(be_a_rank)
    else:
        utils.base.errors.run(main)
