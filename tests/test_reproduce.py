"""The paper's experiments in one command, tiny: plan, results, page, and going on."""

import json

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
    added = results["window"]["accuracy"]["mean"] - results["trial"]["accuracy"]["mean"]
    assert f"with the window split PhysioSync&#x27;s accuracy is {added:+.1%} against new trials" in page
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
        "model": "lda",
        "majority": 0.5,
        "folds": [0],
        "accuracy": {"mean": 0.6},
        "f1": {"mean": 0.5},
    }
    splits = {"authors": "subject-dependent", "trial": "subject-dependent", "subject": "cross-subject"}
    results = {
        split: {"finetune_arousal": result | {"protocol": protocol, "label": "arousal"}}
        for split, protocol in splits.items()
    }
    paper = {row[0].split("\n")[0]: row[-1][0] for row in reproduction._main(results, "arousal")}
    assert paper == {"authors": "98.35 ± 0.41 %\nF1 98.61", "trial": "", "subject": "65.46 ± 8.15 %\nF1 64.33"}


def test_what_cannot_be_run_is_told_before_hours_pass(prepared, tmp_path):
    flags = ["--data-dir", prepared, "--out-dir", tmp_path / "out", *FLAGS[:-2]]
    assert_refused(
        call(REPRODUCE, *flags, "--models", "lda,NoNet"), "there-none-this-name", "--models NoNet", "braindecode"
    )
    assert_refused(call(REPRODUCE, *flags, "--only", "nothing"), "must-be-one", "--only", "subject+trial")
    assert_refused(call(REPRODUCE, *flags, "--labels", "joy"), "has-labels", "joy")


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
