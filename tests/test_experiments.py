"""Every experiment of the paper and beyond, tiny: data sets x protocols x splits x labels, switches, one's own data."""

import json
import random
import re
from types import SimpleNamespace

import numpy as np
import pytest

from data_prep import open_prepared, write_prepared
from tests.support import ROOT, TINY, assert_refused, call, done, refused
from utils.base.settings import Settings
from utils.pretraining.checkpoints import load_tensors
from utils.protocol import held_out, splits

PRETRAIN = ("main_pretrain_1s.py", "main_pretrain_5s.py")
FINETUNE = "Fine_tuning/fine_tuning.py"
ONE = ["--epochs", 1]
CLEAN = {"window": 0, "trial": 0, "subject": 0, "stimulus": 0}


@pytest.fixture(scope="session")
def datasets(tmp_path_factory):
    """Prepared DEAP and DREAMER, 3 people x 4 trials x 15 s."""
    home = tmp_path_factory.mktemp("datasets")
    sizes = ["--subjects", 3, "--trials", 4, "--seconds", 15]
    folders = {}
    for form in ("deap", "dreamer"):
        done("data_prep/make_synthetic.py", "--format", form, "--out-dir", home / f"{form}_raw", *sizes)
        folders[form] = home / form
    done("data_prep/prepare_deap.py", "--raw-dir", home / "deap_raw", "--out-dir", folders["deap"])
    raw = ["--raw-file", home / "dreamer_raw" / "DREAMER.mat"]
    done("data_prep/prepare_dreamer.py", *raw, "--out-dir", folders["dreamer"], "--segment-seconds", 15)
    return folders


def pretrain(data, run_dir, *flags):
    for script in PRETRAIN:
        done(script, "--data-dir", data, "--run-dir", run_dir, *ONE, *TINY, *flags)


def finetune(data, run_dir, name, *flags):
    done(FINETUNE, "--data-dir", data, "--run-dir", run_dir, *ONE, *flags)
    return json.loads((run_dir / name / "metrics.json").read_text())


EXPECTED = {  # split: protocol, folds, audit of the classifier
    "trial": ("subject-dependent", 4, CLEAN | {"subject": 1}),
    "window": ("subject-dependent", 10, CLEAN | {"trial": 1, "subject": 1, "stimulus": 1}),
    "authors": ("subject-dependent", 10, CLEAN | {"trial": 1, "subject": 1, "stimulus": 1}),
    "subject": ("cross-subject", 3, CLEAN | {"stimulus": 1}),
    "subject+trial": ("cross-subject", 3, CLEAN),
}


@pytest.mark.parametrize("split", EXPECTED)
@pytest.mark.parametrize("name", ["deap", "dreamer"])
def test_data_sets_protocols_splits_labels(tmp_path, datasets, name, split):
    protocol, n_folds, audit = EXPECTED[split]
    pretrain(datasets[name], tmp_path, "--protocol", protocol, "--split", split, "--folds", 1)
    for label in ("arousal", "valence", "four"):
        result = finetune(datasets[name], tmp_path, f"finetune_{label}", "--label", label, "--folds", 1)
        assert (result["dataset"].lower(), result["protocol"], result["split"]) == (name, protocol, split)
        assert result["n_folds"] == n_folds
        assert len(result["class_names"]) == len(result["folds"][0]["confusion"]) == (4 if label == "four" else 2)
        assert result["audit"]["classifier"] == pytest.approx(audit, abs=0.5 if split in ("window", "authors") else 0)
        assert result["audit"]["classifier"]["window"] == 0
        leak = result["audit"]["encoder_1s"]["window"]
        assert leak > 0.5 if split == "authors" else leak == 0
        tested = result["folds"][0]["subjects"]
        assert len(tested) == (1 if protocol == "cross-subject" else 3)
    channels = load_tensors(tmp_path / "finetune_four" / "fold_01" / "model.pt", "")["channels"]["pps"]
    assert channels == {"deap": ["GSR"], "dreamer": ["ECG1", "ECG2"]}[name]


# --- folds


def manifest(data, run_dir, **changes):
    settings = Settings(**{**dict(RUN_DIR=run_dir, PROTOCOL=None, SPLIT=None, N_FOLDS=None, SEED=0), **changes})
    return splits.load_or_create(settings, open_prepared(data))


@pytest.mark.parametrize("n_folds", [None, 2, 3])
def test_subject_folds(tmp_path, datasets, n_folds):
    result = manifest(datasets["deap"], tmp_path, SPLIT="subject", N_FOLDS=n_folds)
    assert result.protocol == "cross-subject"
    tested = np.concatenate([fold.test.subjects for fold in result.folds])
    assert sorted(tested) == [0, 1, 2]
    for fold in result.folds:
        assert sorted([*fold.train.subjects, *fold.test.subjects]) == [0, 1, 2]
        assert fold.train.rows["5s"].tolist() == fold.test.rows["5s"].tolist() == list(range(12))


def test_subject_and_trial_folds_share_nothing(tmp_path, datasets):
    result = manifest(datasets["deap"], tmp_path, SPLIT="subject+trial")
    assert len(result.folds) == 3
    for fold in result.folds:
        assert not set(fold.train.subjects) & set(fold.test.subjects)
        for resolution, per_trial in (("5s", 3), ("1s", 15)):
            train, test = (set(part.rows[resolution] // per_trial) for part in (fold.train, fold.test))
            assert not train & test
            assert train | test == {0, 1, 2, 3}


def test_the_authors_shuffles_to_the_letter(tmp_path, datasets):
    result = manifest(datasets["deap"], tmp_path, SPLIT="authors")
    for resolution, rows in (("1s", 60), ("5s", 12)):
        order = list(range(rows))
        random.seed(42)
        random.shuffle(order)
        n = round(rows / 10)
        for k, fold in enumerate(result.folds):
            test = order[k * n :] if k == 9 else order[k * n : (k + 1) * n]
            assert fold.test.rows[resolution].tolist() == sorted(test)
            assert fold.train.rows[resolution].tolist() == sorted(set(order) - set(test))


def test_the_authors_shuffles_at_full_size():
    """The first rows of the folds of DEAP, as Python's generator with seed 42 gives them."""
    folds = held_out.authors_folds(SimpleNamespace(eeg=np.empty((32, 40, 60))), None, None)
    assert [len(fold["test"]["rows"]["5s"]) for fold in folds] == [48] * 10
    assert [len(fold["test"]["rows"]["1s"]) for fold in folds] == [240] * 10
    inside = [
        set(splits.seconds_of_windows(f["test"]["rows"]["5s"], 60).ravel()) & set(f["train"]["rows"]["1s"])
        for f in folds
    ]
    assert 0.85 < np.mean([len(seen) / 240 for seen in inside]) < 0.95  # test seconds that the 1 s encoders saw


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        (dict(PROTOCOL="subject-dependent", SPLIT="subject"), ["does-not-go-with", "trial or window or authors"]),
        (dict(PROTOCOL="cross-subject", SPLIT="window"), ["does-not-go-with", "subject or subject+trial"]),
        (dict(SPLIT="subject", N_FOLDS=4), ["more-than-to-hold", "--n-folds 4", "3 subjects"]),
        (dict(SPLIT="authors", N_FOLDS=5), ["authors-split-has-folds", "10 folds"]),
    ],
)
def test_folds_that_do_not_exist(tmp_path, datasets, changes, part):
    with refused(*part):
        manifest(datasets["deap"], tmp_path, **changes)
    assert list(tmp_path.iterdir()) == []


# --- own data, of other sizes


def recordings(n_subjects=3, trials=4, n_eeg=64, n_pps=3, rate=200, seconds=12):
    rng = np.random.default_rng(0)
    for number in range(n_subjects):
        yield {
            "id": f"p{number}",
            "eeg": rng.standard_normal((trials, n_eeg, seconds * rate + 57)),
            "pps": rng.standard_normal((trials, n_pps, seconds * rate + 57)),
            "ratings": rng.uniform(0, 100, (trials, 2)),
            "eeg_baseline": rng.standard_normal((trials, n_eeg, 2 * rate)),
        }


THIRD = dict(
    name="THIRD",
    sampling_rate=200,
    eeg_channels=[f"E{i}" for i in range(64)],
    pps_channels=["GSR", "PPG", "SKT"],
    ratings=["arousal", "valence"],
    rating_range=(0, 100),
    threshold=50,
)


def test_a_third_data_set(tmp_path):
    """64 EEG channels at 200 Hz and 3 peripheral ones, through every script."""
    write_prepared(tmp_path / "data", recordings(), **THIRD)
    data = open_prepared(tmp_path / "data")
    assert data.eeg.shape == (3, 4, 12, 64, 200)
    np.testing.assert_allclose(data.eeg.std(axis=3), 1, rtol=1e-5)
    np.testing.assert_allclose(data.pps.std(axis=(2, 4)), 1, rtol=1e-5)
    pretrain(tmp_path / "data", tmp_path / "run", "--folds", 0)
    result = finetune(tmp_path / "data", tmp_path / "run", "finetune_four", "--label", "four", "--folds", 0)
    assert result["settings"]["PPS_CHANNELS"] == ["GSR", "PPG", "SKT"]
    sizes = load_tensors(tmp_path / "run" / "finetune_four" / "fold_00" / "model.pt", "")["encoders"]
    assert (sizes["eeg"]["1s"]["n_channels"], sizes["eeg"]["1s"]["n_samples"]) == (64, 200)
    assert (sizes["pps"]["5s"]["n_channels"], sizes["pps"]["5s"]["n_samples"]) == (3, 1000)


def test_full_width_of_a_third_data_set(tmp_path):
    """Without --embed-dim a token is as wide as a window has samples."""
    write_prepared(
        tmp_path / "data",
        recordings(n_subjects=2, n_eeg=4, rate=50),
        **THIRD | dict(sampling_rate=50, eeg_channels=["a", "b", "c", "d"]),
    )
    flags = ["--data-dir", tmp_path / "data", "--run-dir", tmp_path / "run", "--folds", 0, "--projector-dims", "8,8,8"]
    done(PRETRAIN[0], *flags, *ONE)
    file = load_tensors(tmp_path / "run" / "pretrain_1s" / "fold_00" / "checkpoint.pt", "")
    assert file["encoders"]["eeg"]["arguments"]["embed_dim"] == 48  # 50 samples, 4 heads


def test_own_data_without_pps(tmp_path):
    people = [{k: v for k, v in person.items() if k != "pps"} for person in recordings()]
    write_prepared(tmp_path / "data", people, **THIRD | dict(pps_channels=[]))
    flags = ["--data-dir", tmp_path / "data", "--run-dir", tmp_path / "run", *ONE, *TINY]
    assert_refused(call(PRETRAIN[0], *flags, "--modalities", "eeg+pps"), "has-no-channels", "PPS", "--modalities eeg")
    done(PRETRAIN[0], *flags, "--folds", 0)
    checkpoint = load_tensors(tmp_path / "run" / "pretrain_1s" / "fold_00" / "checkpoint.pt", "")
    assert list(checkpoint["encoders"]) == ["eeg"]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (
            dict(eeg=np.zeros((4, 63, 2400)), eeg_baseline=None),
            ["has-shape-not-trials", "eeg", "(4, 63, 2400), not (4, 64, 2400)"],
        ),
        (dict(eeg=np.zeros((4, 64))), ["has-shape-not", "(trials, channels, samples)"]),
        (dict(pps=np.zeros((3, 3, 2400))), ["has-shape-not-trials", "pps"]),
        (dict(ratings=np.zeros((4, 3))), ["has-ratings-shape-not", "(4, 3)"]),
        (dict(ratings=np.full((4, 2), 101)), ["ratings-outside-to-subject", "0 to 100"]),
        (dict(eeg=np.full((4, 64, 2400), np.nan)), ["has-nan-or-infinite", "eeg"]),
        (dict(eeg_baseline=np.zeros((4, 64, 100))), ["baseline-has-shape-not", "eeg_baseline"]),
        (dict(id="p0"), ["comes-twice-subject", "p0"]),
    ],
)
def test_own_data_that_do_not_fit(tmp_path, change, part):
    people = list(recordings())
    people[2] |= change
    with refused(*part):
        write_prepared(tmp_path / "data", people, **THIRD)
    assert list(tmp_path.iterdir()) == []


def test_the_example_in_the_readme(tmp_path, monkeypatch):
    """The ten lines of data_prep/README.md, as they stand there."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "data_prep" / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    data = open_prepared(tmp_path / "data" / "MINE")
    assert data.eeg.shape[3:] == (64, 200)
    assert len([line for line in code.splitlines() if line.strip()]) <= 16


# --- signals and switches


def test_any_channels_in_any_order_from_one_preparation(tmp_path, datasets):
    flags = ["--split", "trial", "--folds", 0, "--pps-channels", "temperature,zEMG,hEOG"]
    pretrain(datasets["deap"], tmp_path, *flags)
    result = finetune(datasets["deap"], tmp_path, "finetune_arousal", "--folds", 0)
    assert result["settings"]["PPS_CHANNELS"] == ["temperature", "zEMG", "hEOG"]
    flags = ["--data-dir", datasets["deap"], "--run-dir", tmp_path, *ONE, *TINY, "--pps-channels"]
    assert_refused(call(PRETRAIN[0], *flags, "ECG"), "has-2", "--pps-channels ECG", "GSR", "plethysmograph", "hEOG")


SWITCHES = {
    "eeg": (["--modalities", "eeg"], {"loss_eeg"}),
    "pps": (["--modalities", "pps"], {"loss_pps"}),
    "no-group-loss-eeg": (["--no-group-loss-eeg"], {"loss_pps", "loss_cmca"}),
    "no-group-loss-pps": (["--no-group-loss-pps"], {"loss_eeg", "loss_cmca"}),
    "no-group-loss-eeg_no-group-loss-pps": (["--no-group-loss-eeg", "--no-group-loss-pps"], {"loss_cmca"}),
    "no-cmca": (["--no-cmca"], {"loss_eeg", "loss_pps"}),
    "augmentation": (["--positives", "augmentation"], {"loss_eeg", "loss_pps", "loss_cmca"}),
    "mine": (["--tag", "mine"], {"loss_eeg", "loss_pps", "loss_cmca"}),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_pretraining_variants(tmp_path, datasets, name):
    flags, terms = SWITCHES[name]
    pretrain(datasets["dreamer"], tmp_path, "--split", "trial", "--folds", 0, *flags)
    for window in ("1s", "5s"):
        log = tmp_path / f"pretrain_{window}_{name}" / "fold_00" / "log.jsonl"
        entry = json.loads(log.read_text().splitlines()[0])
        assert {key for key in entry if key.startswith("loss_")} == terms
        weight = {"loss_cmca": 1, "loss_eeg": 0.5, "loss_pps": 0.5}
        assert entry["loss"] == pytest.approx(sum(weight[term] * entry[term] for term in terms), rel=1e-4)
    modalities = name if name in ("eeg", "pps") else "eeg+pps"
    extra = [] if modalities == "eeg+pps" else ["--modalities", modalities]
    suffix = name if modalities == "eeg+pps" else f"{name}_{modalities}"
    flags = ["--pretrain-variant", name, "--folds", 0, *extra]
    result = finetune(datasets["dreamer"], tmp_path, f"finetune_arousal_{suffix}", *flags)
    assert result["settings"]["PRETRAIN_VARIANT"] == name


def test_switching_everything_off(tmp_path, datasets):
    flags = ["--data-dir", datasets["deap"], "--run-dir", tmp_path, *ONE, *TINY]
    outcome = call(PRETRAIN[0], *flags, "--modalities", "eeg", "--no-group-loss-eeg")
    assert_refused(outcome, "no-loss-left-leave", "--group-loss-eeg")
    outcome = call(PRETRAIN[0], *flags, "--no-group-loss-eeg", "--no-group-loss-pps", "--no-cmca")
    assert_refused(outcome, "no-loss-left-leave", "--cmca")


def test_finetuning_variants(tmp_path, datasets):
    data = datasets["dreamer"]
    pretrain(data, tmp_path, "--split", "trial", "--folds", 0)
    results = {}
    for name, flags in {
        "frozen": ["--freeze"],
        "no-gate": ["--no-gate"],
        "5s": ["--resolutions", "5s"],
        "1s": ["--resolutions", "1s"],
        "random_frozen_seed1": ["--init", "random", "--freeze", "--seed", 1, "--tag", "seed1"],
    }.items():
        results[name] = finetune(data, tmp_path, f"finetune_valence_{name}", "--label", "valence", "--folds", 0, *flags)
    for window in ("1s", "5s"):
        before = load_tensors(tmp_path / f"pretrain_{window}" / "fold_00" / "checkpoint.pt", "")["encoders"]
        for name, same in (("frozen", True), ("no-gate", False)):
            after = load_tensors(tmp_path / f"finetune_valence_{name}" / "fold_00" / "model.pt", "")["weights"]
            for modality in ("eeg", "pps"):
                stored = before[modality]["weights"]
                for key in ("embedding.linear.weight", "embedding.norm.running_mean"):
                    equal = (after[f"encoders.{modality}.{window}.{key}"] == stored[key]).all()
                    assert bool(equal) == same
    gates = [key for key in after if "gates" in key]
    assert not gates  # of the last one loaded, no-gate


@pytest.mark.parametrize("positives", ["stimulus", "augmentation"])
def test_two_people_across_subjects(tmp_path, positives):
    write_prepared(
        tmp_path / "data",
        recordings(n_subjects=2, n_eeg=4, rate=50),
        **THIRD | dict(sampling_rate=50, eeg_channels=["a", "b", "c", "d"]),
    )
    flags = ["--data-dir", tmp_path / "data", "--run-dir", tmp_path / "run", "--protocol", "cross-subject", *ONE, *TINY]
    outcome = call(PRETRAIN[0], *flags, "--positives", positives)
    if positives == "stimulus":
        assert_refused(outcome, "two-groups-need-least", "--positives augmentation")
    else:
        assert outcome.status == 0, outcome.err
        assert (tmp_path / "run" / "pretrain_1s_augmentation" / "fold_01" / "checkpoint.pt").exists()


def test_the_recipe_is_said_and_can_be_overridden(tmp_path, datasets):
    flags = ["--data-dir", datasets["dreamer"], "--run-dir", tmp_path, "--split", "subject", "--folds", 0, *TINY]
    out = done(PRETRAIN[0], *flags, "--epochs", 0, "--temperature", 0.5)
    assert "recipe paper (DREAMER, cross-subject): " in out
    assert "LR = 0.0001" in out
    assert "BATCH_SIZE = 8" in out
    stored = load_tensors(tmp_path / "pretrain_1s" / "fold_00" / "checkpoint.pt", "")["settings"]
    assert (stored["TEMPERATURE"], stored["LR"], stored["WEIGHT_DECAY"]) == (0.5, 1e-4, 1e-3)


def test_sizes_are_said_in_the_readers_only():
    """No 32, 14, 128 or 60 outside the readers of the two data sets, the simulation and the classifier's widths."""
    allowed = {
        "data_prep/formats/deap.py",
        "data_prep/formats/dreamer.py",
        "data_prep/formats/synthetic.py",
        "data_prep/formats/matlab_limits.py",
    }
    allowed |= {"data_prep/amplifiers/edf_header.py"}  # widths of a file's fields
    found = []
    for path in ROOT.rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith((".", "tests/", "benchmarks/")) or name in allowed:
            continue
        code = re.sub(r'""".*?"""|#.*|"[^"\n]*"', "", path.read_text(), flags=re.DOTALL)
        found += [(name, number) for number in re.findall(r"(?<![\w.])(?:32|14|128|60)(?![\w.])", code)]
    widths = [("models/fusion.py", "128")] * 3  # of the classifier
    constants = [
        ("data_prep/make_synthetic.py", "60"),
        ("data_prep/prepare_dreamer.py", "60"),
    ]  # at the top, for the user
    assert sorted(set(found) - set(widths) - set(constants)) == []
