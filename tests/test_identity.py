"""What a result was made of: the code, the weights it starts from, and who computed each fold."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from tests.support import ROOT, TINY, assert_refused, imported, run
from utils.base import identity
from utils.base.identity import CODE, code_hash, difference, weights_hash

NO_CODE = (  # what the files of `CODE` only record, check, show or write: settings, data and split are recorded as such
    *("utils/base", "utils/results", "data_prep", "models/__init__.py", "models/authors.py"),
    *(f"utils/protocol/{name}.py" for name in ("audit", "splits")),
    *(f"utils/finetuning/{name}.py" for name in ("first_encoders", "labels")),
    *(
        f"utils/pretraining/{name}.py"
        for name in ("checkpoints", "moments", "recipes", "resolve", "together", "variants")
    ),
)
TUNE = ("--label", "arousal", "--epochs", 1)


@pytest.fixture
def run_dir(pretrained, tmp_path):
    """A run directory of its own, with both pre-trainings of fold 0."""
    for name in ("pretrain_1s/fold_00", "pretrain_5s/fold_00"):
        shutil.copytree(pretrained / name, tmp_path / "run" / name)
    shutil.copy(pretrained / "split.json", tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def other_code(tmp_path):
    """A copy of the project to edit."""
    kept = shutil.ignore_patterns(".venv", ".git", "data", "runs", "tests", "docs", "__pycache__", ".*")
    shutil.copytree(ROOT, tmp_path / "repo", ignore=kept)
    return tmp_path / "repo"


def tune(root, prepared, run_dir, *flags):
    where = ["--data-dir", prepared, "--run-dir", run_dir, "--folds", 0]
    return run(root / "Fine_tuning" / "fine_tuning.py", *where, *TUNE, *flags)


SOURCE = '"""A module."""\nimport os\n\ndef f(x: int = 1):\n    """Doc."""\n    return f"{x!r:>{3}}"  # why\n'


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (SOURCE.replace("# why", "# another comment"), True),
        (SOURCE.replace('"""Doc."""', '"""Another docstring,\n    longer."""'), True),
        (SOURCE.replace('    """Doc."""\n', "").replace("A module.", "x"), True),
        (SOURCE.replace("return f", "return  f").replace("\n\n", "\n\n\n"), True),
        (SOURCE.replace("= 1", "= 2"), False),
        (SOURCE.replace("import os", "import sys"), False),
        (SOURCE + "f = None\n", False),
    ],
)
def test_comments_and_docstrings_are_no_code(other, same):
    assert (code_hash(other) == code_hash(SOURCE)) == same


def test_every_file_that_a_stage_imports_is_code_or_known_not_to_be():
    for stage, roots in {"pretrain": ["fold_pretraining"], "finetune": ["../finetuning/finetuning"]}.items():
        files = [(ROOT / "utils/pretraining" / f"{root}.py").resolve() for root in roots]
        for path in files:
            name = str(path.relative_to(ROOT))
            skipped = name.startswith(NO_CODE) and name not in CODE[stage]
            assert skipped or name in CODE[stage] or path.name == "__init__.py", f"{stage}: {name}"
            if not skipped and path.name != "__init__.py":
                files += [other for other in imported(path) if other not in files]
        assert all((ROOT / name).exists() for name in CODE[stage])
    networks = {f"models/{path.name}" for path in (ROOT / "models").glob("*.py")}  # imported by way of the package
    assert networks <= {*CODE["pretrain"], *CODE["finetune"], *NO_CODE}


def test_weights_are_told_apart_by_their_bytes():
    weights = {"eeg": {"a": torch.zeros(3), "b": torch.tensor(1)}}
    same = {"eeg": {"b": torch.tensor(1), "a": torch.zeros(6)[::2]}}
    assert weights_hash(weights) == weights_hash(same)
    for other in ({"a": torch.zeros(3), "b": torch.tensor(2)}, {"a": torch.zeros(3, 1), "b": torch.tensor(1)}):
        assert weights_hash({"eeg": other}) != weights_hash(weights)
    assert weights_hash({"pps": weights["eeg"]}) != weights_hash(weights)


def test_difference_of_records_in_words():
    before = {"LR": 1, "encoders 5s": {"SEED": 0, "epoch": 3}, "weights 5s": "a", "code": {"x.py": "1", "y.py": "2"}}
    assert difference(before, dict(before)) == ""
    assert difference(before, before | {"LR": 2}) == "LR = 1, not 2"
    assert difference(before, before | {"LR": 2}, ["code"]) == ""
    assert difference(before, before | {"encoders 5s": {"SEED": 1, "epoch": 3}}) == "encoders 5s: SEED = 0, not 1"
    assert "y.py changed" in difference(before, before | {"code": {"x.py": "1", "y.py": "3"}})
    assert "5s encoders" in difference(before, before | {"weights 5s": "b"})
    assert difference({"LR": 1}, before | {"LR": 1}, ["LR", "weights 5s", "code"]) == ""  # not recorded


def test_a_result_of_other_code_is_not_taken_for_this_one(prepared, run_dir, other_code):
    assert tune(ROOT, prepared, run_dir).status == 0
    files = [
        other_code / name for name in ("models/fusion.py", "utils/inputs/front_end.py", "utils/finetuning/fitting.py")
    ]
    for path in files:
        path.write_text(path.read_text() + "\n# a comment\n")
    assert "fold 0: complete" in tune(other_code, prepared, run_dir).out
    for path in files:
        before, name = path.read_text(), path.relative_to(other_code)
        path.write_text(before + "\nCHANGED = True\n")
        outcome = tune(other_code, prepared, run_dir)
        assert_refused(outcome, "made-with", "fold_00/result.pt", f"{name} changed", "--tag", "--no-resume")
        path.write_text(before)
    path.write_text(before + "\nCHANGED = True\n")
    assert tune(other_code, prepared, run_dir, "--tag", "new").status == 0
    assert (run_dir / "finetune_arousal_new" / "metrics.json").exists()
    outcome = tune(other_code, prepared, run_dir, "--no-resume")
    assert outcome.status == 0
    assert "fold 0: complete" not in outcome.out


def test_pretraining_of_other_code_is_not_gone_on_with(prepared, run_dir, other_code):
    flags = ["--data-dir", prepared, "--run-dir", run_dir, "--folds", 0, "--epochs", 2, *TINY]
    script = other_code / "main_pretrain_5s.py"
    for name in ("models/losses.py", "utils/pretraining/batches.py"):
        path = other_code / name
        before = path.read_text()
        path.write_text(before + "\nCHANGED = True\n")
        assert_refused(run(script, *flags), "made-with", "checkpoint.pt", f"{name} changed", "--tag", "--no-resume")
        path.write_text(before)
    path.write_text(before + "\nCHANGED = True\n")
    assert run(script, *flags, "--tag", "new").status == 0
    assert (run_dir / "pretrain_5s_new" / "fold_00" / "checkpoint.pt").exists()


def test_encoders_trained_again_make_another_result(prepared, run_dir):
    assert tune(ROOT, prepared, run_dir).status == 0
    path = run_dir / "pretrain_1s" / "fold_00" / "checkpoint.pt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["encoders"]["eeg"]["weights"]["norm.bias"] += 1e-6
    torch.save(checkpoint, path)
    assert_refused(tune(ROOT, prepared, run_dir), "made-with", "result.pt", "1s encoders", "--tag", "--no-resume")
    assert tune(ROOT, prepared, run_dir, "--no-resume").status == 0


def test_what_was_made_before_code_was_recorded_is_kept_and_said(prepared, run_dir):
    assert tune(ROOT, prepared, run_dir).status == 0
    path = run_dir / "finetune_arousal" / "fold_00" / "result.pt"
    result = torch.load(path, weights_only=True)
    for key in ("code", "weights 1s", "weights 5s"):
        del result["identity"][key]
    del result["provenance"], result["train_classes"]
    torch.save(result, path)
    before = path.read_bytes()
    outcome = tune(ROOT, prepared, run_dir)
    assert outcome.status == 0, outcome.err
    assert "fold 0: complete" in outcome.out
    assert outcome.out.count("before its code was recorded") == 1
    assert path.read_bytes() == before
    metrics = json.loads((run_dir / "finetune_arousal" / "metrics.json").read_text())
    model = torch.load(path.with_name("model.pt"), weights_only=True)
    assert metrics["provenance"]["torch"] == model["provenance"]["torch"]


def test_folds_keep_their_provenance_and_differences_are_said(prepared, pretrained, tmp_path):
    """Two folds of one result by two versions of PyTorch, as far as anybody can tell."""
    shutil.copytree(pretrained, tmp_path / "run")
    (tmp_path / "sitecustomize.py").write_text("import torch; torch.__version__ = '2.99.0'\n")
    where = ["--data-dir", prepared, "--run-dir", tmp_path / "run", *TUNE]
    assert run("Fine_tuning/fine_tuning.py", *where, "--folds", 0).status == 0
    other = run("Fine_tuning/fine_tuning.py", *where, "--folds", "0,1", env={"PYTHONPATH": str(tmp_path)})
    assert other.status == 0, other.err
    metrics = json.loads((tmp_path / "run" / "finetune_arousal" / "metrics.json").read_text())
    versions = [fold["provenance"]["torch"] for fold in metrics["folds"]]
    assert versions == [str(torch.__version__), "2.99.0"]
    assert metrics["provenance"]["torch"] == str(torch.__version__)
    line = next(line for line in metrics["audit_in_words"] if "2.99.0 (fold 1)" in line)
    assert f"- {line}" in other.out


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_the_checksum_of_code_is_the_same_in_every_python(version):
    """A run may be begun with one Python and gone on with in another."""
    pythons = [*Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), shutil.which(f"python{version}")]
    python = next((p for p in pythons if p and subprocess.run([p, "-V"], capture_output=True).returncode == 0), None)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    source = (
        Path(identity.__file__)
        .read_text()
        .replace("import torch\n", "")
        .replace("from utils.base.surroundings import ROOT\n", f"ROOT = Path({str(ROOT)!r})\n")
    )
    tail = "\nimport json, sys\nprint(json.dumps({stage: code(stage) for stage in CODE}))\n"
    out = subprocess.run([python, "-c", source + tail], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == {stage: identity.code(stage) for stage in CODE}
