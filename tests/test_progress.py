"""What scripts say: a bar on a terminal, lines in a log, nothing with --quiet, and at the end what to run next."""

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import termios

import numpy as np
import pytest

from data_prep.formats import deap
from data_prep.make_synthetic import python2_pickle
from tests.support import ROOT, TINY, assert_refused, call, done, run
from utils.base.progress import duration
from utils.pretraining.checkpoints import load_tensors

SCRIPTS = [p for f in (".", "Fine_tuning", "data_prep", "utils", "docs") for p in (ROOT / f).glob("*.py")]
SCRIPTS = [p for p in SCRIPTS if "read_settings(globals()" in p.read_text()]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_every_script_can_be_quiet(path):
    assert re.search(r"^QUIET = False  # ", path.read_text(), re.MULTILINE)


def quiet(script, *flags):
    """Run quietly what must succeed, and say nothing but warnings."""
    outcome = call(script, *flags, "--quiet")
    assert (outcome.status, outcome.out) == (0, ""), outcome
    assert all(line.startswith("warning: ") for line in outcome.err.splitlines()), outcome


def test_quiet_scripts_say_nothing_and_write_everything(tmp_path, raw, prepared, pretrained):
    """The whole road without a word; weights, logs and results are those of a road with words, settings too."""
    sizes = ["--subjects", 4, "--trials", 4, "--seconds", 12]
    quiet("data_prep/make_synthetic.py", "--out-dir", tmp_path / "raw", *sizes)
    assert (tmp_path / "raw" / "s03.dat").read_bytes() == (raw / "s03.dat").read_bytes()
    quiet("data_prep/make_synthetic.py", "--format", "dreamer", "--out-dir", tmp_path / "dreamer", *sizes)
    mat = ["--raw-file", tmp_path / "dreamer" / "DREAMER.mat", "--segment-seconds", 12]
    quiet("data_prep/prepare_dreamer.py", *mat, "--out-dir", tmp_path / "dreamer_data", "--short-trials", "drop")
    data, run_dir = tmp_path / "data", tmp_path / "run"
    quiet("data_prep/prepare_deap.py", "--raw-dir", tmp_path / "raw", "--out-dir", data)
    assert (data / "dataset.json").read_bytes() == (prepared / "dataset.json").read_bytes()
    flags = ["--data-dir", data, "--run-dir", run_dir]
    for window in ("1s", "5s"):
        quiet(f"main_pretrain_{window}.py", *flags, "--split", "trial", "--epochs", 1, *TINY)
        paths = [folder / f"pretrain_{window}" / "fold_03" / "checkpoint.pt" for folder in (run_dir, pretrained)]
        made, loud = (load_tensors(path, "") for path in paths)
        for name, weight in made["encoders"]["eeg"]["weights"].items():
            assert weight.equal(loud["encoders"]["eeg"]["weights"][name])
        assert made["settings"] == loud["settings"] | {"DATA_DIR": str(data), "RUN_DIR": str(run_dir)}
        (entry,) = read_log(paths[0])
        assert {"epoch", "loss", "loss_cmca", "accuracy_eeg", "accuracy_pps", "steps", "seconds"} <= entry.keys()
    done("main_pretrain_1s.py", *flags, "--epochs", 2, "--folds", 0, *TINY)  # a quiet run goes on with words
    quiet("main_pretrain_1s.py", *flags, "--epochs", 3, "--folds", 0, *TINY)
    assert len(read_log(run_dir / "pretrain_1s" / "fold_00" / "checkpoint.pt")) == 3
    quiet("Fine_tuning/fine_tuning.py", *flags, "--epochs", 2, "--permutations", 1)
    log = read_log(run_dir / "finetune_arousal" / "fold_02" / "result.pt")
    assert [entry.keys() for entry in log] == [{"epoch", "loss", "accuracy", "lr", "seconds"}] * 2
    assert log[0]["lr"] == 1e-3
    before = (run_dir / "finetune_arousal" / "metrics.json").read_bytes()
    assert b"QUIET" not in before
    out = done("Fine_tuning/fine_tuning.py", *flags, "--epochs", 2, "--permutations", 1)
    assert out.count(": complete") == 4
    assert (run_dir / "finetune_arousal" / "metrics.json").read_bytes() == before
    quiet("Fine_tuning/baseline.py", *flags, "--models", "lda")
    quiet("Fine_tuning/report.py", "--run-dir", run_dir, "--no-feature-maps")
    assert (run_dir / "report.html").exists()
    compared = [run_dir / name for name in ("baseline_arousal_lda", "finetune_arousal")]
    quiet("Fine_tuning/compare_runs.py", *compared, "--out-dir", tmp_path)
    assert (tmp_path / "comparison.csv").exists()
    model = ["--model", run_dir / "finetune_arousal" / "fold_00" / "model.pt", "--out-file", tmp_path / "p.csv"]
    quiet("Fine_tuning/predict.py", *model, "--input", tmp_path / "raw" / "s01.dat")
    checkpoint = ["--checkpoint", run_dir / "pretrain_5s" / "fold_00" / "checkpoint.pt"]
    quiet("Fine_tuning/extract_features.py", *checkpoint, "--data-dir", data, "--out-file", tmp_path / "f.npz")
    assert {"p.csv", "p.png", "f.npz"} <= {path.name for path in tmp_path.iterdir()}


def read_log(path):
    return [json.loads(line) for line in path.with_name("log.jsonl").read_text().splitlines()]


def test_quiet_scripts_still_warn_and_refuse(tmp_path, raw, prepared):
    folder = shutil.copytree(raw, tmp_path / "raw")
    data, labels, _ = deap.read_file(folder / "s01.dat")
    data = data.astype(np.float64)
    data[1, 36] = 0
    (folder / "s01.dat").write_bytes(python2_pickle({"labels": labels, "data": data}))
    outcome = call("data_prep/prepare_deap.py", "--raw-dir", folder, "--out-dir", tmp_path / "data", "--quiet")
    assert (outcome.status, outcome.out) == (0, "")
    assert outcome.err.startswith("warning: ")
    assert "GSR" in outcome.err
    assert len(outcome.err.splitlines()) == 1
    flags = ["--data-dir", prepared, "--run-dir", tmp_path / "run", "--quiet"]
    wrong = {
        "must-be-number-not": ["--lr", "fast"],
        "does-not-go-with": ["--split", "subject", "--protocol", "subject-dependent"],
    }
    for kind, words in wrong.items():
        outcome = call("main_pretrain_1s.py", *flags, *words)
        assert_refused(outcome, kind, words[0])
        assert outcome.out == ""


def on_a_terminal(*command):
    """Run a script with a terminal for its output; what it showed there."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (25, 80))
    process = subprocess.Popen([sys.executable, *map(str, command)], cwd=ROOT, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0, shown.decode()
    return shown.decode()


def test_one_bar_with_rate_time_left_loss_and_accuracy(tmp_path, prepared, pretrained):
    """On a terminal one bar per fold; elsewhere a line per epoch in its place; with --quiet neither."""
    flags = ["--data-dir", prepared, "--run-dir", tmp_path, "--split", "trial", "--folds", 0, *TINY]
    shown = on_a_terminal("main_pretrain_1s.py", *flags, "--epochs", 2)
    last = shown.rpartition("1s fold 0: 100%")[2].partition("\n")[0]
    assert re.match(r"\|.*\| 00:00 left, +[\d.]+(step/s|s/step), loss [\d.]+, acc. EEG [\d.]+ PPS 0\.\d\d\b", last), (
        shown
    )
    assert "epoch 1 of 2, loss" not in shown
    assert on_a_terminal("main_pretrain_1s.py", *flags, "--epochs", 3, "--quiet") == ""
    outcome = run("main_pretrain_1s.py", *flags, "--epochs", 4)
    line = r"^fold 0, epoch 4 of 4, loss [\d.]+, contrastive accuracy EEG [\d.]+ PPS [\d.]+ \(chance"
    assert re.search(line, outcome.out, re.MULTILINE)
    assert outcome.err == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (70, "70 s"), (95, "1.6 min"), (900, "15 min"), (7560, "2.1 h"), (3e5, "3.5 days")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_every_epoch_says_how_long_it_will_take(tmp_path, prepared):
    """In a log, too: for this fold and for all folds that are left; what is complete does not count."""
    flags = ["--data-dir", prepared, "--run-dir", tmp_path, "--split", "trial", *TINY]
    done("main_pretrain_1s.py", *flags, "--epochs", 2, "--folds", 1)
    out = done("main_pretrain_1s.py", *flags, "--epochs", 2, "--folds", "0,1,2")
    assert "1s: 4 epochs are left, of 3 folds with 2 each" in out
    left = re.findall(r"^fold (\d), epoch (\d) of 2, .*?\)(.*)$", out, re.M)
    assert [words[:2] for words in left] == [("0", "1"), ("0", "2"), ("2", "1"), ("2", "2")]
    times = [re.sub(r"[\d.]+ (s|min)", "T", words[2]) for words in left]
    here = ", about T left for this fold"
    assert times == [f"{here}, T left in all", ", T left in all", here, ""]


def test_what_to_run_next_can_be_copied(tmp_path, monkeypatch):
    """From simulated files to the report by the last line of each script, where paths have blanks."""
    monkeypatch.chdir(tmp_path)
    sizes = ["--subjects", 3, "--trials", 4, "--seconds", 10]
    out = done("data_prep/make_synthetic.py", "--out-dir", "my raw's files", *sizes)
    small = ["--epochs", 1, "--folds", 1, *TINY]
    ran = []
    for more in (["--out-dir", "my data"], [*small, "--run-dir", "my run"], [], ["--epochs", 1], []):
        words = shlex.split(out.splitlines()[-1].removeprefix("next: python "))
        ran.append(words[0].removeprefix(f"{ROOT}/"))
        out = done(ran[-1], *words[1:], *more)
    road = ["data_prep/prepare_deap.py", "main_pretrain_1s.py", "main_pretrain_5s.py", "Fine_tuning/fine_tuning.py"]
    assert ran == [*road, "Fine_tuning/report.py"]
    assert (tmp_path / "my run" / "report.html").exists()
    out = done("Fine_tuning/baseline.py", "--data-dir", "my data", "--run-dir", tmp_path / "my run", "--models", "lda")
    assert out.splitlines()[-1] == f"next: python {ROOT}/Fine_tuning/report.py --run-dir 'my run'"
