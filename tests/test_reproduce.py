"""The paper's experiments in one command, tiny: plan, results, page, and going on."""

import json
import shlex

import pytest

from tests.support import assert_refused, call, done

REPRODUCE = "benchmarks/reproduce.py"
FLAGS = ["--recipe", "robust", "--epochs", 1, "--n-folds", 2, "--models", "lda,EEGNet"]


def test_a_plan_of_everything(prepared, tmp_path):
    """Nothing is written, and every experiment of docs/reproducing.md is in it, for all labels and splits."""
    out = done(REPRODUCE, "--data-dir", prepared, "--out-dir", tmp_path / "all", *FLAGS, "--dry-run")
    assert not (tmp_path / "all").exists()
    for split in ("window", "trial", "subject", "subject+trial"):
        assert f"  {split} split, 2 folds: about " in out
    assert "left out: authors split: --split authors needs at least 10 windows" in out
    lines = [line.split(maxsplit=2)[2] for line in out.splitlines() if line.startswith("    ")]
    for label in ("arousal", "valence", "four"):
        assert lines.count(f"fine-tuning, {label}") == lines.count(f"fine-tuning, {label} --init random") == 4
        assert lines.count(f"baseline, {label}: EEGNet") == lines.count(f"baseline, {label}: lda") == 4
        for flags in ("--pretrain-variant no-cmca", "--modalities pps", "--resolutions 1s", "--no-gate", "--freeze"):
            assert lines.count(f"fine-tuning, {label} {flags}") == 2
    assert "in all about" in out


@pytest.fixture(scope="module")
def reproduced(prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduced")
    only = ["--only", "trial,window", "--labels", "arousal", "--no-ablations"]
    flags = ["--data-dir", prepared, "--out-dir", folder / "out", *FLAGS, *only]
    return folder / "out", flags, done(REPRODUCE, *flags)


def test_the_page(reproduced):
    folder, _, out = reproduced
    page = (folder / "report.html").read_text(encoding="utf-8")
    results = {
        split: json.loads((folder / split / "finetune_arousal/metrics.json").read_text())
        for split in ("trial", "window")
    }
    for split, result in results.items():
        assert result["split"] == split
        assert f"{result['accuracy']['mean']:.3f} ± {result['accuracy']['std']:.3f}" in page
        assert f"Arousal, {split} split" in page
    added = 100 * (results["window"]["accuracy"]["mean"] - results["trial"]["accuracy"]["mean"])
    more = f"{abs(added):.1f} points {'higher' if added > 0 else 'lower'}"
    assert f"with the window split PhysioSync&#39;s accuracy is {more} than for new trials" in page
    assert "network: EEGNet of braindecode" in page
    assert "These recordings are simulated" in page
    assert "wrote" in out.splitlines()[-1]
    made = {path.parent.name for path in folder.glob("trial/*/metrics.json")}
    assert {"finetune_arousal", "finetune_arousal_random", "baseline_arousal_lda", "baseline_arousal_EEGNet"} <= made


def test_it_goes_on_where_it_stopped(reproduced):
    folder, flags, _ = reproduced
    lost = folder / "window" / "finetune_arousal" / "fold_01" / "result.pt"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.pt")}
    lost.unlink()
    out = done(REPRODUCE, *flags)
    assert "done  pre-training, 1s" in out
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*.pt")}
    assert set(after) == set(before)
    assert {path for path in before if after[path] != before[path]} == {lost, lost.with_name("model.pt")}


def test_dreamer(tmp_path):
    sizes = ["--subjects", 4, "--trials", 4, "--seconds", 12]
    done("data_prep/make_synthetic.py", "--format", "dreamer", "--out-dir", tmp_path / "raw", *sizes)
    raw = ["--raw-file", tmp_path / "raw" / "DREAMER.mat", "--segment-seconds", 10]
    done("data_prep/prepare_dreamer.py", *raw, "--out-dir", tmp_path / "data")
    where = ["--data-dir", tmp_path / "data", "--out-dir", tmp_path / "out"]
    done(REPRODUCE, *where, *FLAGS, "--only", "subject", "--labels", "four", "--no-ablations", "--encoders", "EEGNet")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "DREAMER, simulated" in page
    assert "Four: the paper" in page
    made = {path.parent.name for path in (tmp_path / "out" / "subject").glob("*/metrics.json")}
    assert {"finetune_four", "finetune_four_random", "finetune_four_encoder-EEGNet", "baseline_four_EEGNet"} <= made
    assert all(name in page for name in made - {"finetune_four"})


def test_the_papers_figures_stand_beside_ours(prepared, tmp_path):
    """In the rows of the paper's own splits, and nowhere else."""
    from utils.results import reproduction

    result = {
        "dataset": "DEAP",
        "majority": 0.5,
        "settings": {},
        "folds": [{"fold": 0}],
        "accuracy": {"mean": 0.6},
        "f1": {"mean": 0.5},
    }
    splits = {"authors": "subject-dependent", "trial": "subject-dependent", "subject": "cross-subject"}
    paper = {}
    for split, protocol in splits.items():
        results = {"finetune_arousal": result | {"protocol": protocol, "label": "arousal"}}
        paper[split] = reproduction.Experiment(split, "arousal", "arousal", results, []).paper
    assert paper == {"authors": ("98.35 ± 0.41 %", "F1 98.61"), "trial": (), "subject": ("65.46 ± 8.15 %", "F1 64.33")}


def test_the_best_of_others_has_the_same_folds_and_true_labels():
    from utils.results import reproduction

    def result(accuracy, folds, permuted=False, **more):
        of_fold = [{"fold": number} for number in folds]
        settings = {"PERMUTE_LABELS": permuted}
        more |= {"label": "arousal", "majority": 0.5, "n_folds": 4, "folds": of_fold, "settings": settings}
        return more | {"accuracy": {"mean": accuracy}}

    results = {
        "one fold": result(0.9, [0], model="lda"),
        "permuted": result(0.8, range(4), True, model="lda"),
        "whole": result(0.7, range(4), model="logistic"),
    }
    assert reproduction.Experiment("trial", "arousal", "arousal", results, []).best is results["whole"]


def test_what_cannot_be_run_is_told_before_hours_pass(prepared, tmp_path):
    flags = ["--data-dir", prepared, "--out-dir", tmp_path / "out", *FLAGS[:-2]]
    assert_refused(
        call(REPRODUCE, *flags, "--models", "lda,NoNet"), "there-none-this-name", "--models NoNet", "braindecode"
    )
    assert_refused(call(REPRODUCE, *flags, "--only", "nothing"), "must-be-one", "--only", "subject+trial")
    assert_refused(call(REPRODUCE, *flags, "--labels", "joy"), "has-labels", "joy")


NETS = """
import time
import torch

class Net(torch.nn.Module):
    def __init__(self, n_chans, n_times, sfreq, n_outputs):
        super().__init__()
        self.last = torch.nn.Linear(n_chans, n_outputs)

    def forward(self, x):
        return self.last(x.square().mean(-1))

class Slow(Net):
    def forward(self, x):
        time.sleep(self.training)
        return super().forward(x)

class Pair(Net):
    def forward(self, x):
        return super().forward(x), x
"""


def test_the_plan_builds_every_network_and_times_its_own_step(prepared, tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    net, slow, pair = (f"{tmp_path / 'nets.py'}:{name}" for name in ("Net", "Slow", "Pair"))
    flags = ["--data-dir", prepared, "--out-dir", tmp_path / "out", *FLAGS[:-2], "--only", "trial", "--dry-run"]
    flags += ["--labels", "arousal", "--no-ablations"]
    assert_refused(call(REPRODUCE, *flags, "--models", f"lda,{pair}"), "maps-windows-to-not", "Pair", "tuple")
    assert_refused(
        call(REPRODUCE, *flags, "--models", "lda", "--encoders", pair), "maps-windows-to-not", "Pair", "tuple"
    )
    out = done(REPRODUCE, *flags, "--models", f"{net},{slow}", "--encoders", slow)
    lines = out.splitlines()
    what = {line.split("  ")[-1]: number for number, line in enumerate(lines) if line.startswith("    ")}

    def minutes(words):
        number, unit = lines[what[words]].split()[:2]
        return float(number) * {"s": 1 / 60, "min": 1, "h": 60}[unit]

    # 20 epochs of one batch in each of 2 folds, of 1 s each
    assert minutes(f"baseline, arousal: {slow}") > 0.6 > minutes(f"baseline, arousal: {net}")
    assert minutes("pre-training, 5s, encoder-Slow") > minutes("pre-training, 5s") + 0.1
    tuning = "fine-tuning, arousal"
    assert minutes(f"{tuning} --pretrain-variant encoder-Slow") > minutes(tuning) + 0.1
    command = shlex.split(lines[what[f"baseline, arousal: {net}"] + 1])
    assert command[0] == "python"
    assert command[-3:] == [net, "--device", "auto"]
    done(*command[1:], "--epochs", 1, "--split", "trial", "--n-folds", 2)


def test_what_is_refused_later_is_in_the_page_and_in_the_status(tmp_path):
    """Two training people in a fold are too few for groups; everything else is computed all the same."""
    done("data_prep/make_synthetic.py", "--out-dir", tmp_path / "raw", "--subjects", 2, "--trials", 4, "--seconds", 12)
    done("data_prep/prepare_deap.py", "--raw-dir", tmp_path / "raw", "--out-dir", tmp_path / "data")
    where = ["--data-dir", tmp_path / "data", "--out-dir", tmp_path / "out", *FLAGS[:-2], "--models", "lda"]
    outcome = call(REPRODUCE, *where, "--only", "subject", "--labels", "arousal", "--no-ablations")
    assert_refused(
        outcome, "two-groups-need-least", "3 of 5 commands", "report.html", "subject split, pre-training, 1s"
    )
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "two groups need at least 2 training subjects" in page
    assert "<small>lda</small>" in page
