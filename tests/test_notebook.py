"""Scripts in somebody's notebook: %run is a call in the same process, and leaves everything there as it was."""

import contextlib
import os
import random
import runpy
import signal
import sys
import threading
import warnings

import matplotlib
import numpy as np
import pytest
import sklearn  # noqa: F401 (sets two variables of OpenMP when it is imported, as in any notebook)
import torch

from tests.support import ROOT, TINY, Outcome, assert_refused, call, run

SMALL = ["--subjects", 3, "--trials", 4, "--seconds", 10]


class Cell:
    """A notebook's output: text goes to a browser; there is no file behind it, and nothing to configure."""

    encoding = "UTF-8"

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass


def state():
    """What a script could leave changed."""
    return {
        "streams": (sys.stdout, sys.stderr),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
        "environment": dict(os.environ),
        "warnings": (warnings.filters, list(warnings.filters), warnings.showwarning),
        "Matplotlib": dict(matplotlib.rcParams.copy()),
        "backend": matplotlib.rcParams._get("backend"),
        "threads": torch.get_num_threads(),
        "precision": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "gradients": torch.is_grad_enabled(),
        "type": torch.get_default_dtype(),
        "random": (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()),
        "path": list(sys.path),
        "folder": os.getcwd(),
    }


@pytest.fixture
def notebook(monkeypatch):
    """Settings of a user that no script has by itself; a function that runs a script in the midst of them."""
    torch.set_num_threads(2)
    torch.set_float32_matmul_precision("medium")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}

    def in_a_cell(script, *flags):
        sys.argv, status = [str(ROOT / script), *map(str, flags)], 0
        out, err = Cell(), Cell()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            within = state()
            try:
                runpy.run_path(sys.argv[0], run_name="__main__")
            except SystemExit as stop:
                status = stop.code or 0
            found = state()
        for name, value in found.items():
            assert value == within[name], name
        return Outcome(status, out.text, err.text)

    monkeypatch.setattr(sys, "argv", sys.argv)
    with warnings.catch_warnings(), matplotlib.rc_context({"lines.linewidth": 7, "font.size": 23}):
        warnings.simplefilter("error", ResourceWarning)
        yield in_a_cell
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    for number, handler in before.items():
        signal.signal(number, handler)


def road(folder):
    """Every script with what it needs, in an order that works."""
    run_dir, deap, dreamer = folder / "run", folder / "deap", folder / "dreamer"
    data = ["--data-dir", deap, "--run-dir", run_dir]
    model = ["--model", run_dir / "finetune_arousal" / "fold_00" / "model.pt", "--input", folder / "raw" / "s01.dat"]
    checkpoint = ["--checkpoint", run_dir / "pretrain_5s" / "fold_00" / "checkpoint.pt", "--data-dir", deap]
    mat = ["--raw-file", folder / "mat" / "DREAMER.mat", "--segment-seconds", 10]
    yield "data_prep/make_synthetic.py", "--out-dir", folder / "raw", *SMALL
    yield "data_prep/make_synthetic.py", "--format", "dreamer", "--out-dir", folder / "mat", *SMALL
    yield "data_prep/prepare_deap.py", "--raw-dir", folder / "raw", "--out-dir", deap
    yield "data_prep/prepare_dreamer.py", *mat, "--out-dir", dreamer
    yield "main_pretrain_1s.py", *data, "--n-folds", 2, "--epochs", 1, *TINY
    yield "main_pretrain_5s.py", *data, "--epochs", 1, *TINY
    yield "Fine_tuning/fine_tuning.py", *data, "--epochs", 1
    yield "Fine_tuning/baseline.py", *data, "--models", "lda,nearest"
    yield "Fine_tuning/report.py", "--run-dir", run_dir
    results = [run_dir / f"baseline_arousal_{name}" for name in ("lda", "nearest")]
    yield "Fine_tuning/compare_runs.py", *results, "--out-dir", folder
    yield "Fine_tuning/predict.py", *model, "--out-file", folder / "predictions.csv"
    yield "Fine_tuning/extract_features.py", *checkpoint, "--out-file", folder / "features.npz"
    yield "docs/figures.py", "--out-dir", folder


def test_every_script_leaves_the_notebook_as_it_was(notebook, tmp_path):
    """Each one twice, the second time quietly; where it finds its file there, it refuses."""
    for script, *flags in road(tmp_path):
        outcome = notebook(script, *flags)
        assert outcome.status == 0, (script, outcome.err)
        assert outcome.out, script
    for script, *flags in road(tmp_path):
        outcome = notebook(script, *flags, "--quiet")
        assert outcome.out == "", script
        if outcome.status:
            assert_refused(outcome, "already-exists")


def test_every_script_is_on_the_road(tmp_path):
    """Those that need an optional library, another data set, or hours are the exceptions."""
    folders = (".", "data_prep", "Fine_tuning", "docs", "models", "utils")
    scripts = {str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).glob("*.py")}
    scripts = {name for name in scripts if "read_settings(globals()" in (ROOT / name).read_text(encoding="utf-8")}
    exceptions = {f"data_prep/{name}.py" for name in ("propose_trials", "prepare_recordings", "prepare_stress_predict")}
    assert scripts - exceptions == {script for script, *_ in road(tmp_path)}


def test_a_thread_may_run_a_script(tmp_path):
    """Only the main thread may set signals."""
    outcomes = []
    flags = ["--out-dir", tmp_path / "raw", *SMALL]
    thread = threading.Thread(target=lambda: outcomes.append(call("data_prep/make_synthetic.py", *flags)))
    thread.start()
    thread.join()
    assert outcomes[0].status == 0, outcomes[0].err


@pytest.mark.parametrize("missing", ["stdout", "stderr", "both"])
def test_without_standard_streams(tmp_path, missing):
    """As under Windows' pythonw, or a service."""
    names = ("stdout", "stderr") if missing == "both" else (missing,)
    lines = ["import sys", *(f"sys.{name} = None" for name in names), f"sys.path.insert(0, {str(ROOT)!r})"]
    (tmp_path / "sitecustomize.py").write_text("\n".join(lines), encoding="utf-8")
    outcome = run(
        "data_prep/make_synthetic.py", "--out-dir", tmp_path / "raw", *SMALL, env={"PYTHONPATH": str(tmp_path)}
    )
    assert outcome.status == 0, outcome
    assert (tmp_path / "raw" / "s03.dat").exists()
    outcome = run("data_prep/make_synthetic.py", "--subjects", "many", env={"PYTHONPATH": str(tmp_path)})
    assert outcome.status == 2
    if missing == "stdout":
        assert_refused(outcome, "must-be-whole-number", "--subjects")


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense", "TkAgg"])
def test_backend_of_a_notebook_does_not_matter(tmp_path, backend):
    """Notebooks export theirs to every !python; it may not be installed, or need a screen."""
    outcome = run("docs/figures.py", "--out-dir", tmp_path, env={"MPLBACKEND": backend, "DISPLAY": ""})
    assert outcome.status == 0, outcome.err
    assert {path.name for path in tmp_path.iterdir()} == {"method.svg", "splits.svg"}


def test_style_of_a_user_does_not_matter(tmp_path):
    """The same bytes under another matplotlibrc, whose TeX is not even installed."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 31\naxes.facecolor: red\n", encoding="utf-8")
    for name in ("plain", "own"):
        env = {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc")} if name == "own" else {}
        outcome = run("docs/figures.py", "--out-dir", tmp_path / name, env=env)
        assert outcome.status == 0, outcome.err
    for path in (tmp_path / "plain").iterdir():
        assert path.read_bytes() == (tmp_path / "own" / path.name).read_bytes()
