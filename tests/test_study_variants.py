"""The studies of variants and of held-out moments, tiny: every change changes something, and leaves nothing behind."""

import json

import pytest
import torch

from benchmarks import changes
from models import contrastive
from tests.support import assert_refused, call, done

TINY = ["--subjects", 4, "--trials", 4, "--seconds", 20]
VARIANTS = ["as-it-is", "eeg-as-recorded", "pps-both-levels", "learned", "evoked", "no-delta", "same-people"]
VARIANTS += ["other-trials", "same-label", "filters"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variants")
    flags = ["--recordings", "deap-1", "--raw-dir", folder, "--folds", 0, *TINY]
    for out, names in (("all", VARIANTS), ("again", ["as-it-is"])):
        done("benchmarks/study_variants.py", *flags, "--out-dir", folder / out, "--variants", ",".join(names))
    return folder


def losses(folder, name):
    """What a pre-training's log says of its first epoch."""
    path = folder / f"deap_1_{name}" / "pretrain_5s" / "fold_00" / "log.jsonl"
    return {key: value for key, value in json.loads(path.read_text().splitlines()[0]).items() if key != "seconds"}


def test_every_change_changes_the_training(study):
    seen = [losses(study / "all", name) for name in VARIANTS]
    assert all(seen.count(entry) == 1 for entry in seen)


def test_nothing_is_left_behind(study):
    assert losses(study / "again", "as-it-is") == losses(study / "all", "as-it-is")


def test_the_table_has_differences(study):
    table, found = (study / "all" / "table.md").read_text(), json.loads((study / "all" / "study.json").read_text())
    as_it_is, learned = (found[f"{name}, pretrained"]["deap-1"][0] for name in ("as-it-is", "learned"))
    assert f"({learned - as_it_is:+.3f})" in next(line for line in table.splitlines() if "| learned, pretr" in line)
    assert "learned, random" in found
    assert "filters, random" not in found


def test_supervised_contrast_is_the_mean_over_all_positives():
    """Against a loop over the rows, and with the usual positives against the loss as it is."""
    torch.manual_seed(0)
    z, classes = torch.randn(1, 8, 5), torch.tensor([0, 1, 0, 1, 1, 1, 0, 0])
    logs = torch.nn.functional.normalize(z[0], dim=1)
    logs = logs @ logs.T / 0.1
    rows = []
    for i in range(8):
        others = [j for j in range(8) if j != i]
        log_sum = torch.logsumexp(logs[i, others], 0)
        rows.append(torch.stack([log_sum - logs[i, j] for j in others if classes[j] == classes[i]]).mean())
    same = (classes[:, None] == classes).fill_diagonal_(False)
    everything = torch.ones(8, 8, dtype=torch.bool)
    loss = changes.contrast(z, 0.1, same, everything)
    torch.testing.assert_close(loss, 2 * torch.stack(rows).mean()[None])
    own = torch.eye(8, dtype=torch.bool).roll(4, 0)
    torch.testing.assert_close(changes.contrast(z, 0.1, own, everything), contrastive.group_nt_xent(z, 0.1)[0])


def test_held_out_moments(tmp_path):
    flags = ["--sizes", "4x4", "--seconds", 20, "--seeds", 1, "--formats", "deap", "--held-out-epochs", 1]
    out = done("benchmarks/study_moments.py", *flags, "--out-dir", tmp_path)
    assert "| deap 4x4 | robust | eeg | 0.250 |" in out
    marked, plain = (
        json.loads((tmp_path / size / "deap_1_trial_1" / "held_out.json").read_text())
        for size in ("4x4", "4x4_unmarked")
    )
    assert marked["robust"][1]["training"] != plain["robust"][1]["training"]


@pytest.mark.parametrize(
    ("script", "flags", "part"),
    [
        ("study_variants", ["--variants", "lerned"], "--variants lerned: there are as-it-is,"),
        ("study_variants", ["--recordings", "deap"], "--recordings deap: give deap, dreamer, real with a seed"),
        ("study_moments", ["--sizes", "8"], "--sizes 8: give people x stimuli"),
    ],
)
def test_names_that_there_are_not(tmp_path, script, flags, part):
    assert_refused(call(f"benchmarks/{script}.py", "--out-dir", tmp_path, *flags), part)


def test_recordings_of_another_size_are_not_taken_for_these(study):
    flags = ["--recordings", "deap-1", "--out-dir", study / "again", "--variants", "as-it-is", *TINY, "--trials", 6]
    assert_refused(call("benchmarks/study_variants.py", *flags), "--out-dir", "has recordings of TRIALS 4, not 6")
