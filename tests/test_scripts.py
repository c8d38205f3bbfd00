"""The real scripts, tiny: the whole road, resuming, seeds, what test data may not do, what is refused."""

import ast
import json
import shutil

import numpy as np
import pytest
import torch

from data_prep import write_prepared
from data_prep.folder.prepared import checksum_of
from tests.support import ROOT, TINY, assert_refused, call, done, run
from utils.base.files import sha256
from utils.pretraining.checkpoints import load_tensors, save_tensors

PRETRAIN = {"1s": "main_pretrain_1s.py", "5s": "main_pretrain_5s.py"}
FINETUNE = "Fine_tuning/fine_tuning.py"
FAST = ["--epochs", 1]


def weights(path):
    """All tensors of a checkpoint's encoders, or of a fine-tuned model, by name."""
    file = load_tensors(path, "")
    if file["stage"] == "finetune":
        return file["weights"]
    return {f"{name}.{k}": v for name, e in file["encoders"].items() for k, v in e["weights"].items()}


def equal(a, b):
    a, b = weights(a), weights(b)
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


def checkpoint(run_dir, window="1s", fold=0):
    return run_dir / f"pretrain_{window}" / f"fold_{fold:02d}" / "checkpoint.pt"


def metrics(run_dir, name="arousal"):
    return json.loads((run_dir / f"finetune_{name}" / "metrics.json").read_text())


@pytest.fixture
def run_dir(pretrained, tmp_path):
    """A copy of the pre-trained run directory, to write into."""
    return shutil.copytree(pretrained, tmp_path / "run")


def test_metrics_file(run_dir, prepared):
    out = done(FINETUNE, "--data-dir", prepared, "--run-dir", run_dir, *FAST)
    result = metrics(run_dir)
    assert {k: result[k] for k in ("dataset", "protocol", "split", "label")} == {
        "dataset": "DEAP",
        "protocol": "subject-dependent",
        "split": "trial",
        "label": "arousal",
    }
    assert result["settings"]["EPOCHS"] == 1
    assert result["settings"]["PPS_CHANNELS"] == ["GSR"]
    assert [fold["fold"] for fold in result["folds"]] == [0, 1, 2, 3]
    for fold in result["folds"]:
        assert fold["n_test"] == 4 * 2 == np.sum(fold["confusion"])
        assert fold["n_train"] == 4 * 3 * 2
        assert fold["accuracy"] == pytest.approx(np.trace(fold["confusion"]) / 8)
        assert fold["subjects"].keys() == {"s01", "s02", "s03", "s04"}
        assert np.mean([person["accuracy"] for person in fold["subjects"].values()]) == pytest.approx(fold["accuracy"])
        assert all(person["n_test"] == 2 for person in fold["subjects"].values())
    for name in ("accuracy", "f1", "balanced_accuracy", "trial_accuracy", "trial_f1", "trial_balanced_accuracy"):
        values = [fold[name] for fold in result["folds"]]
        assert result[name]["mean"] == pytest.approx(np.mean(values))
        assert result[name]["std"] == pytest.approx(np.std(values))
        low, high = result[name]["ci95"]
        assert 0 <= low <= high <= 1
    assert 0.5 <= result["majority"] <= 1
    seen = {"window": 0, "trial": 0, "subject": 1, "stimulus": 0}
    assert result["audit"] == {"classifier": seen, "encoder_1s": seen, "encoder_5s": seen}
    assert f"accuracy per window           {result['accuracy']['mean']:.3f} ± {result['accuracy']['std']:.3f}" in out
    assert "says nothing about new people" in out


def test_window_split_says_what_it_measures(tmp_path, prepared):
    flags = ["--data-dir", prepared, "--run-dir", tmp_path]
    for script in PRETRAIN.values():
        done(script, *flags, "--split", "window", *FAST, *TINY)
    out = done(FINETUNE, *flags, *FAST)
    assert "recall of the trial, not emotion" in out
    assert metrics(tmp_path)["audit"]["encoder_1s"] == {"window": 0, "trial": 1, "subject": 1, "stimulus": 1}


def test_a_planted_leak_is_reported(run_dir, prepared):
    """Encoders that in truth were trained on everything: the audit reads their checkpoints, not the split's name."""
    for fold in range(4):
        path = checkpoint(run_dir, "1s", fold)
        file = load_tensors(path, "")
        file["trained_on"]["rows"] = torch.arange(4 * 12)
        torch.save(file, path)
    out = done(FINETUNE, "--data-dir", prepared, "--run-dir", run_dir, *FAST)
    audit = metrics(run_dir)["audit"]
    assert audit["encoder_1s"] == {"window": 1, "trial": 1, "subject": 1, "stimulus": 1}
    assert audit["encoder_5s"]["window"] == audit["classifier"]["window"] == 0
    assert "100% of the test windows themselves were seen" in out


VARIANTS = {
    "valence": ["--label", "valence"],
    "dominance": ["--label", "dominance"],
    "arousal_random": ["--init", "random"],
    "arousal_eeg": ["--modalities", "eeg"],
    "arousal_pps_5s": ["--modalities", "pps", "--resolutions", "5s"],
    "arousal_1s_random": ["--resolutions", "1s", "--init", "random"],
    "arousal_permuted": ["--permute-labels"],
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_sit_side_by_side(run_dir, prepared, name):
    done(FINETUNE, "--data-dir", prepared, "--run-dir", run_dir, "--folds", 1, *FAST, *VARIANTS[name])
    result = metrics(run_dir, name)
    assert [fold["fold"] for fold in result["folds"]] == [1]
    if "random" in name:
        assert result["audit"]["encoder_1s"] == {"window": 0, "trial": 0, "subject": 0, "stimulus": 0}
    if "5s" in name:
        assert result["audit"]["encoder_1s"] is None


def test_random_weights_need_no_pretraining(tmp_path, prepared):
    flags = ["--data-dir", prepared, "--run-dir", tmp_path, "--split", "trial", "--n-folds", 2, "--init", "random"]
    done(FINETUNE, *flags, "--embed-dim-1s", 8, "--embed-dim-5s", 12, "--pps-channels", "GSR,hEOG", *FAST)
    model = load_tensors(tmp_path / "finetune_arousal_random" / "fold_00" / "model.pt", "")
    assert model["encoders"]["eeg"]["1s"]["embed_dim"] == 8
    assert model["encoders"]["pps"]["5s"] == dict(
        n_channels=2,
        n_samples=640,
        embed_dim=12,
        prompt_tokens=0,
        input_dropout=0.0,
        projector_dims=[1024, 2048, 4096],
        block_samples=None,
    )
    assert model["channels"]["pps"] == ["GSR", "hEOG"]


def test_runs_from_its_own_folder_too(run_dir, prepared):
    flags = ["--data-dir", prepared, "--run-dir", run_dir, "--folds", 0, *FAST]
    command = run(FINETUNE, *flags, cwd=ROOT / "Fine_tuning")
    assert command.status == 0, command.err
    assert len(metrics(run_dir)["folds"]) == 1


def test_the_two_pretraining_scripts_differ_in_constants_only():
    trees = []
    for script in PRETRAIN.values():
        tree = ast.parse((ROOT / script).read_text())
        body = [node for node in tree.body[1:] if not isinstance(node, ast.Assign)]
        names = [node.targets[0].id for node in tree.body if isinstance(node, ast.Assign)]
        trees.append(([ast.dump(node) for node in body], names))
    assert trees[0] == trees[1]


@pytest.mark.parametrize("keep", ["last", "best"])
@pytest.mark.parametrize("window", PRETRAIN)
def test_resumed_run_is_bit_identical(tmp_path, prepared, window, keep):
    """3 epochs at once, or 1, then 2 more (one of them not saved, so done again)."""
    flags = ["--data-dir", prepared, "--split", "trial", "--n-folds", 2, "--folds", 1, "--keep", keep, *TINY]
    done(PRETRAIN[window], *flags, "--run-dir", tmp_path / "once", "--epochs", 3)
    for epochs in (1, 2, 3):
        done(PRETRAIN[window], *flags, "--run-dir", tmp_path / "twice", "--epochs", epochs)
    paths = [checkpoint(tmp_path / name, window, 1) for name in ("once", "twice")]
    assert equal(*paths)
    logs = [[json.loads(line) for line in p.with_name("log.jsonl").read_text().splitlines()] for p in paths]
    for log in logs:
        assert [entry.pop("epoch") for entry in log] == [1, 2, 3]
        for entry in log:
            entry.pop("seconds")
    assert logs[0] == logs[1]
    assert ("validation_loss" in logs[0][0]) == (keep == "best")


def test_saving_less_often_does_not_change_the_weights(tmp_path, prepared, pretrained):
    flags = ["--data-dir", prepared, "--split", "trial", "--folds", 0, *FAST, *TINY]
    done(PRETRAIN["1s"], *flags, "--run-dir", tmp_path, "--save-every", 7)
    assert equal(checkpoint(tmp_path), checkpoint(pretrained))


def test_warm_up_begins_with_a_lower_rate(tmp_path, prepared):
    """One epoch of warm-up is trained at half the rate, the next at the whole, resumed or not."""
    flags = ["--data-dir", prepared, "--split", "trial", "--n-folds", 2, "--folds", 1, *TINY]
    runs = {"half": ["--lr", 5e-4], "warm": ["--lr", 1e-3, "--warm-up", 1], "whole": ["--lr", 1e-3]}
    for name, rate in runs.items():
        done(PRETRAIN["1s"], *flags, "--run-dir", tmp_path / name, "--epochs", 1, *rate)
    half, warm, whole = (checkpoint(tmp_path / name, fold=1) for name in runs)
    assert equal(half, warm)
    assert not equal(warm, whole)
    done(PRETRAIN["1s"], *flags, "--run-dir", tmp_path / "warm", "--epochs", 2, *runs["warm"])
    done(PRETRAIN["1s"], *flags, "--run-dir", tmp_path / "once", "--epochs", 2, *runs["warm"])
    assert equal(warm, checkpoint(tmp_path / "once", fold=1))


def test_a_checkpoint_from_before_warm_up_goes_on(tmp_path, prepared, pretrained):
    """Files without that setting are whole: their rate was the same in all epochs."""
    run_dir = shutil.copytree(pretrained, tmp_path / "run")
    file = load_tensors(checkpoint(run_dir), "")
    del file["settings"]["WARM_UP"]
    save_tensors(checkpoint(run_dir), file)
    flags = ["--data-dir", prepared, "--run-dir", run_dir, "--folds", 0, *TINY]
    assert "complete" in done(PRETRAIN["1s"], *flags, *FAST)
    assert_refused(call(PRETRAIN["1s"], *flags, *FAST, "--warm-up", 1), "made-with-not", "WARM_UP", "0", "not 1")


def test_best_epoch_is_a_real_copy(tmp_path, prepared):
    """A learning rate that ruins the weights: the best epoch's are kept, not the last ones'."""
    flags = ["--data-dir", prepared, "--split", "trial", "--folds", 0, "--keep", "best", "--lr", 0.1, *TINY]
    done(PRETRAIN["1s"], *flags, "--run-dir", tmp_path / "a", "--epochs", 4)
    file = load_tensors(checkpoint(tmp_path / "a"), "")
    losses = [entry["validation_loss"] for entry in file["history"]]
    assert file["kept_epoch"] == 1 + int(np.argmin(losses)) < 4
    done(PRETRAIN["1s"], *flags, "--run-dir", tmp_path / "b", "--epochs", file["kept_epoch"])
    assert equal(checkpoint(tmp_path / "a"), checkpoint(tmp_path / "b"))


def test_fine_tuning_too_early_leaves_nothing(tmp_path, prepared):
    """It would write a split that pre-training finds: both scripts are named, and nothing is written."""
    run_dir = tmp_path / "run"
    outcome = call(FINETUNE, "--data-dir", prepared, "--run-dir", run_dir)
    assert_refused(outcome, "nothing-pre-trained-there", "main_pretrain_1s.py and main_pretrain_5s.py", "--init random")
    assert not run_dir.exists()


def test_a_split_that_nothing_was_done_with(tmp_path, prepared):
    """A refused command may leave one: it is kept, as somebody may have put it there, but has no results to keep."""
    flags = ["--data-dir", prepared, "--run-dir", tmp_path, *TINY]
    assert_refused(
        call(PRETRAIN["1s"], *flags, "--subjects-per-group", 9), "more-than-half-training", "--subjects-per-group"
    )
    split = (tmp_path / "split.json").read_bytes()
    other = [PRETRAIN["1s"], *flags, "--split", "subject+trial", "--folds", 0, "--epochs", 0]
    assert_refused(call(*other), "made-with-not", "SPLIT", "trial", "subject+trial", "delete it")
    assert (tmp_path / "split.json").read_bytes() == split
    done(PRETRAIN["1s"], *flags, "--folds", 0, "--epochs", 0)
    assert_refused(call(*other), "made-with-not", "keeps its results")


def test_folds_do_not_depend_on_each_other(tmp_path, prepared, pretrained):
    flags = ["--data-dir", prepared, "--run-dir", tmp_path, "--split", "trial", *FAST, *TINY]
    done(PRETRAIN["5s"], *flags, "--folds", "3,1")
    for fold in (1, 3):
        assert equal(checkpoint(tmp_path, "5s", fold), checkpoint(pretrained, "5s", fold))
    assert not checkpoint(tmp_path, "5s", 0).exists()


def test_other_seed_other_weights(tmp_path, prepared, pretrained):
    flags = ["--data-dir", prepared, "--run-dir", tmp_path, "--split", "trial", "--folds", 0, "--seed", 1, *FAST, *TINY]
    done(PRETRAIN["1s"], *flags)
    assert not equal(checkpoint(tmp_path), checkpoint(pretrained))


def test_epochs_0_saves_random_weights(tmp_path, prepared):
    flags = ["--data-dir", prepared, "--run-dir", tmp_path, "--split", "trial", "--n-folds", 2]
    for script in PRETRAIN.values():
        done(script, *flags, "--epochs", 0, *TINY)
    done(FINETUNE, *flags, *FAST)
    assert metrics(tmp_path)["audit"]["encoder_5s"] == {"window": 0, "trial": 0, "subject": 0, "stimulus": 0}


def test_finetuning_again_keeps_what_is_there(run_dir, prepared):
    flags = ["--data-dir", prepared, "--run-dir", run_dir]
    done(FINETUNE, *flags, "--folds", "0,1", *FAST)
    first = metrics(run_dir)
    stamp = (run_dir / "finetune_arousal" / "fold_00" / "model.pt").stat().st_mtime_ns
    out = done(FINETUNE, *flags, "--folds", "0,1", *FAST)
    assert "fold 0: complete" in out
    assert metrics(run_dir) == first
    assert (run_dir / "finetune_arousal" / "fold_00" / "model.pt").stat().st_mtime_ns == stamp
    done(FINETUNE, *flags, "--folds", 2, *FAST)
    assert metrics(run_dir)["folds"][:2] == first["folds"]
    assert len(metrics(run_dir)["folds"]) == 3
    done(FINETUNE, *flags, "--folds", "0,1", "--no-resume", *FAST)
    again = metrics(run_dir)["folds"][:2]
    for fold, before in zip(again, first["folds"], strict=True):
        assert {k: v for k, v in fold.items() if k != "seconds"} == {k: v for k, v in before.items() if k != "seconds"}


def test_stale_results_are_noticed(run_dir, prepared):
    """Results of other settings, or of encoders that were trained on meanwhile, are never mixed with new ones."""
    flags = ["--data-dir", prepared, "--run-dir", run_dir]
    done(FINETUNE, *flags, *FAST)
    assert_refused(
        call(FINETUNE, *flags, "--epochs", 2), "made-with-not", "result.pt", "EPOCHS", "1", "not 2", "--no-resume"
    )
    done(PRETRAIN["1s"], *flags, "--epochs", 2, "--folds", 0, *TINY)
    assert_refused(call(FINETUNE, *flags, *FAST), "made-with", "result.pt", "other weights of the 1s encoders")
    done(FINETUNE, *flags, "--folds", 1, *FAST)
    assert [fold["fold"] for fold in metrics(run_dir)["folds"]] == [1, 2, 3]


def poison(folder, trials, value):
    """Overwrite signals and ratings of whole trials in a prepared folder, and its checksums."""
    info = json.loads((folder / "dataset.json").read_text())
    for name in ("eeg", "pps"):
        array = np.load(folder / f"{name}.npy")
        array[:, trials] = value
        np.save(folder / f"{name}.npy", array)
    ratings = np.load(folder / "ratings.npy")
    ratings[:, trials] = 10 - ratings[:, trials]
    np.save(folder / "ratings.npy", ratings)
    info["arrays"] = {name: sha256(folder / f"{name}.npy") for name in info["arrays"]}
    info["checksum"] = checksum_of(info)
    (folder / "dataset.json").write_text(json.dumps(info))


@pytest.mark.parametrize("value", [np.nan, 1e6])
@pytest.mark.parametrize("keep", ["last", "best"])
def test_test_data_never_reach_the_weights(tmp_path, prepared, value, keep):
    """With the test trials of fold 0 poisoned, signals and ratings, all weights stay the same to the bit."""
    bad = shutil.copytree(prepared, tmp_path / "bad")
    split = ["--split", "trial", "--n-folds", 2, "--folds", 0]
    for name, data in (("clean", prepared), ("dirty", bad)):
        flags = ["--data-dir", data, "--run-dir", tmp_path / name]
        if name == "dirty":
            manifest = json.loads((tmp_path / "clean" / "split.json").read_text())
            poison(bad, sorted({row // 2 for row in manifest["folds"][0]["test"]["rows"]["5s"]}), value)
        for script in PRETRAIN.values():
            done(script, *flags, *split, "--keep", keep, *FAST, *TINY)
        done(FINETUNE, *flags, "--folds", 0, *FAST)
    for window in PRETRAIN:
        assert equal(checkpoint(tmp_path / "clean", window), checkpoint(tmp_path / "dirty", window))
    models = [tmp_path / name / "finetune_arousal" / "fold_00" / "model.pt" for name in ("clean", "dirty")]
    assert equal(*models)
    assert all(tensor.isfinite().all() for tensor in weights(models[1]).values())


# --- what is refused


def test_missing_folders(tmp_path, pretrained):
    for script in (*PRETRAIN.values(), FINETUNE):
        assert_refused(
            call(script, "--data-dir", tmp_path / "no", "--run-dir", tmp_path / "run"),
            "not-folder-2",
            "--data-dir",
            tmp_path / "no",
        )
    assert list(tmp_path.iterdir()) == []


def test_missing_checkpoint(tmp_path, prepared, run_dir):
    outcome = call(FINETUNE, "--data-dir", prepared, "--run-dir", tmp_path / "new")
    assert_refused(outcome, "nothing-pre-trained-there", "main_pretrain_1s.py and main_pretrain_5s.py")
    checkpoint(run_dir, "1s", 3).unlink()
    outcome = call(FINETUNE, "--data-dir", prepared, "--run-dir", run_dir)
    assert_refused(outcome, "does-not-exist", "fold_03/checkpoint.pt", "main_pretrain_1s.py", "--folds 0,1,2")
    assert not (run_dir / "finetune_arousal").exists()


def test_run_directory_of_another_data_set(tmp_path, raw, run_dir):
    done("data_prep/prepare_deap.py", "--raw-dir", raw, "--out-dir", tmp_path / "other", "--pps-normalise", "none")
    for script in (*PRETRAIN.values(), FINETUNE):
        outcome = call(script, "--data-dir", tmp_path / "other", "--run-dir", run_dir)
        assert_refused(outcome, "made-for-another-data", "split.json")


class Exploit:
    def __reduce__(self):
        return eval, ("print('ran')",)


def other_channels(path):
    """An encoder of 31 channels, whole in itself."""
    encoders = load_tensors(path, "")["encoders"]
    encoders["eeg"]["arguments"]["n_channels"] = 31
    weight = encoders["eeg"]["weights"]["embedding.linear.weight"]
    encoders["eeg"]["weights"]["embedding.linear.weight"] = weight[:, : 31 * 128].clone()
    change(path, encoders=encoders)


DAMAGE = {
    "other channels": other_channels,
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-2000]),
    "text": lambda path: path.write_text("not a checkpoint"),
    "list": lambda path: torch.save([1], path),
    "exploit": lambda path: torch.save({"format_version": 1, "stage": "pretrain", "x": Exploit()}, path),
    "other kind": lambda path: torch.save({"format_version": 1, "stage": "finetune"}, path),
    "other window": lambda path: shutil.copy(str(path).replace("1s", "5s"), path),
    "other version": lambda path: change(path, format_version=99),
    "other split": lambda path: change(path, manifest_hash="0"),
    "no state": lambda path: change(path, training={}, encoders={}),
    "no settings": lambda path: change(path, settings=None),
    "no history": lambda path: change(path, history=3, epoch="x", kept_epoch=[]),
    "other encoders": lambda path: change(path, encoders={"eeg": {"arguments": {}, "weights": {}}, "pps": 1}),
}


def change(path, **changes):
    torch.save(load_tensors(path, "") | changes, path)


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_checkpoint(run_dir, prepared, name):
    path = checkpoint(run_dir)
    DAMAGE[name](path)
    content = path.read_bytes()
    flags = ["--data-dir", prepared, "--run-dir", run_dir]
    outcome = call(FINETUNE, *flags, *FAST)
    if name != "no history":  # fine-tuning has no use for it
        assert_refused(outcome, None, path)
    assert "ran" not in outcome.out.split()
    if name not in ("other encoders", "other channels"):  # resuming has no use for them
        outcome = call(PRETRAIN["1s"], *flags, "--epochs", 2, *TINY)
        assert_refused(outcome, None, path)
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--lr", 0.1], ["made-with-not", "LR", "0.0007", "not 0.1", "--no-resume"]),
        (["--epochs", 0], ["epochs-more-than-has", "1 epochs", "--epochs 0"]),
        (["--embed-dim", 12], ["made-with-not", "EMBED_DIM", "8", "not 12"]),
        (["--pps-channels", "hEOG"], ["made-with-not", "PPS_CHANNELS"]),
        (["--split", "window"], ["made-with-not", "split.json", "SPLIT", "trial", "window"]),
        (["--subjects-per-group", 3], ["more-than-half-training", "--subjects-per-group 3", "most 2"]),
        (["--embed-dim", 10], ["must-be-not", "--embed-dim", "multiple of 4"]),
        (["--projector-dims", "8,8"], ["values-not-needs", "--projector-dims", "3"]),
        (["--pps-channels", "ECG"], ["has-2", "--pps-channels ECG", "GSR"]),
        (["--folds", 4], ["folds-to", "--folds 4", "to 3"]),
        (["--split", "sideways"], ["must-be-one", "--split", "trial"]),
        (["--protocol", "everything"], ["must-be-one", "--protocol", "subject-dependent"]),
        (["--device", "cuda"], ["this-pytorch-sees-no", "--device cuda"]),
    ],
)
def test_pretraining_refuses(run_dir, prepared, flags, parts):
    if flags[0] == "--device" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    common = ["--data-dir", prepared, "--run-dir", run_dir, "--epochs", 2, *TINY]
    assert_refused(call(PRETRAIN["1s"], *common, *flags), *parts)


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--label", "fear"], ["has-labels", "--label fear", "arousal", "four"]),
        (["--epochs", 0], ["must-be-least-fine", "--epochs"]),
        (["--pps-channels", "hEOG"], ["trained-pps-channels-not-2", "GSR", "hEOG", "--pps-channels"]),
        (["--embed-dim-5s", 16], ["has-3", "--embed-dim-5s 16", "8"]),
        (["--folds", "0,7"], ["folds-to", "--folds 7", "to 3"]),
        (["--modalities", "ecg"], ["must-be-one", "--modalities", "eeg+pps"]),
        (["--n-folds", 3], ["made-with-not", "N_FOLDS", "4", "not 3"]),
        (["--run-dir", "/dev/null/x"], ["nothing-pre-trained-there", "/dev/null/x"]),
    ],
)
def test_finetuning_refuses(run_dir, prepared, flags, parts):
    assert_refused(call(FINETUNE, "--data-dir", prepared, "--run-dir", run_dir, *flags), *parts)
    assert not (run_dir / "finetune_arousal").exists()


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path, prepared):
    flags = ["--data-dir", prepared, "--split", "trial", "--folds", 0, *TINY]
    outcome = call(PRETRAIN["1s"], *flags, "--run-dir", tmp_path / "a", "--lr", 1e30, "--epochs", 1)
    assert_refused(outcome, "loss-not-finite-epoch-step", "epoch 1")
    assert not checkpoint(tmp_path / "a").exists()

    done(PRETRAIN["1s"], *flags, "--run-dir", tmp_path / "b", "--epochs", 1)
    path = checkpoint(tmp_path / "b")
    file = load_tensors(path, "")
    file["training"]["model"]["alignment.linear.bias"][0] = np.nan
    torch.save(file, path)
    before = path.read_bytes()
    outcome = call(PRETRAIN["1s"], *flags, "--run-dir", tmp_path / "b", "--epochs", 2)
    assert_refused(outcome, "loss-not-finite-epoch-step-checkpoint", "epoch 2", "step 1", "epoch 1")
    assert path.read_bytes() == before


def own_data(folder, ratings, trials=4, seconds=10, flat=False):
    """A prepared folder of 4 people: ``ratings`` by trial, and with ``flat`` windows in which nothing happens."""
    rng = np.random.default_rng(0)

    def people():
        for number in range(4):
            eeg = rng.standard_normal((trials, 3, seconds * 64))
            if flat:
                eeg[:, :, : 5 * 64] = 1.0
            pps = rng.standard_normal((trials, 1, seconds * 64))
            yield {"id": str(number), "eeg": eeg, "pps": pps, "ratings": np.array(ratings)[:, None] * 1.0}

    names = dict(eeg_channels=["a", "b", "c"], pps_channels=["G"], ratings=["arousal"])
    write_prepared(folder, people(), name="mine", sampling_rate=64, rating_range=(1, 9), threshold=5, **names)
    return folder


@pytest.mark.parametrize(
    ("ratings", "flat"), [([7, 7, 7, 7], False), ([7, 7, 2, 2], False), ([7, 2, 2, 7], True)], ids=str
)
def test_one_class_and_flat_windows_are_handled(tmp_path, ratings, flat):
    """One class in all data, one class in every test fold, and windows without any signal."""
    folder = own_data(tmp_path / "data", ratings, flat=flat)
    flags = ["--data-dir", folder, "--run-dir", tmp_path / "run"]
    for script in PRETRAIN.values():
        done(script, *flags, "--epochs", 1, "--embed-dim", 8, "--projector-dims", "8,8,8")
    done(FINETUNE, *flags, "--epochs", 1)
    done("Fine_tuning/baseline.py", *flags)
    for name in ("finetune_arousal", "baseline_arousal_lda"):
        metrics = json.loads((tmp_path / "run" / name / "metrics.json").read_text())
        assert all(0 <= metrics[score]["mean"] <= 1 for score in ("accuracy", "f1", "balanced_accuracy"))


@pytest.mark.parametrize(
    ("sizes", "script", "parts"),
    [
        (dict(ratings=[7], trials=1), "main_pretrain_1s.py", ["this-split-holds-out", "trials", "only 1"]),
        (dict(ratings=[7], trials=1), "Fine_tuning/baseline.py", ["this-split-holds-out", "trials", "only 1"]),
        (dict(ratings=[7, 2], trials=2, seconds=5), "main_pretrain_5s.py", ["has-single-window-which"]),
        (dict(ratings=[7, 2], trials=2, seconds=4), "main_pretrain_5s.py", ["has-trials", "4 s"]),
    ],
    ids=["one trial", "one trial, baseline", "one window", "no window"],
)
def test_too_little_data_is_refused(tmp_path, sizes, script, parts):
    folder = own_data(tmp_path / "data", **sizes)
    assert_refused(call(script, "--data-dir", folder, "--run-dir", tmp_path / "run"), *parts)
    assert not list(tmp_path.glob("run/*/*"))
