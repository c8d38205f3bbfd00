"""The card beside every model.pt."""

import json
import re
import shutil

import pytest

from tests.support import ROOT, done
from utils.results import model_card

FINE_TUNING = "Fine_tuning/fine_tuning.py"


@pytest.fixture(scope="module")
def tuned(prepared, pretrained, tmp_path_factory):
    """A run directory with two folds fine-tuned."""
    run_dir = shutil.copytree(pretrained, tmp_path_factory.mktemp("cards") / "run")
    done(FINE_TUNING, "--data-dir", prepared, "--run-dir", run_dir, "--epochs", 1, "--folds", "0,1")
    return run_dir


def test_a_card_says_what_the_model_is(prepared, tuned):
    folder = tuned / "finetune_arousal"
    metrics = json.loads((folder / "metrics.json").read_text())
    for fold in metrics["folds"]:
        text = (folder / f"fold_{fold['fold']:02d}" / model_card.NAME).read_text(encoding="utf-8")
        assert text.startswith(f"# arousal from EEG and PPS, DEAP, fold {fold['fold']} of 4\n")
        assert "simulated recordings" in text
        assert f"| accuracy | {fold['accuracy']:.3f} | {fold['trial_accuracy']:.3f} |" in text
        assert f"| always the majority class (accuracy) | {fold['majority']:.3f} |" in text
        assert metrics["dataset_checksum"] in text
        for part in ("32: Fp1, AF3", "1: GSR", "128 Hz", "preparation, eeg | channels", "trial split"):
            assert part in text
        assert "| classifier | 0% | 0% | 100% | 0% |" in text
        assert "Not clinical" in text
        assert "Not new people" in text
        assert "Not new trials" not in text


def test_the_same_model_has_the_same_card(prepared, tuned):
    path = tuned / "finetune_arousal" / "fold_00" / model_card.NAME
    before = path.read_bytes()
    done(FINE_TUNING, "--data-dir", prepared, "--run-dir", tuned, "--epochs", 1, "--folds", 0, "--no-resume")
    assert path.read_bytes() == before


def test_its_python_and_its_command_work(prepared, tuned, tmp_path, monkeypatch):
    folder = tuned / "finetune_arousal" / "fold_01"
    text = (folder / model_card.NAME).read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(ROOT))
    names = {}
    exec(code, names)
    assert names["probability"].shape == (1, 2)
    (command,) = re.findall(r"^python (Fine_tuning/predict.py .*)$", text, re.M)
    script, *flags = command.replace("data/OTHER", str(prepared)).replace(" predictions", f" {tmp_path}/p").split()
    done(script, *flags)
    assert (tmp_path / "p.csv").exists()


def test_across_people_it_is_for_new_ones(prepared, tmp_path):
    flags = ["--protocol", "cross-subject", "--init", "random", "--recipe", "robust", "--modalities", "eeg"]
    flags += ["--epochs", 1, "--folds", 0]
    done(FINE_TUNING, "--data-dir", prepared, "--run-dir", tmp_path, *flags)
    (path,) = tmp_path.glob("*/fold_00/model_card.md")
    text = path.read_text(encoding="utf-8")
    assert "Not new people" not in text
    assert "Not new stimuli" in text
    assert "standardised with their own" in text
    assert "PPS channels" not in text
    assert "then become features" in text


def test_foreign_names_mean_nothing():
    assert model_card.plain("a|b<script>\n# *x* `y` [z](w)\x1b") == r"a\|b&lt;script&gt; \# \*x\* \`y\` \[z\](w)?"
