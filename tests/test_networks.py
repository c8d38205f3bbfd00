"""Networks of others, of the user's own, and foundation models: as baselines on the folds of a run directory."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch

from data_prep import open_prepared
from tests.builders.networks import WITH_SOFTMAX
from tests.support import assert_refused, call, done, run
from utils.base.other_networks import find

BASELINE = "Fine_tuning/baseline.py"
EEGNET = ("EEGNet", "ShallowFBCSPNet", "Deep4Net", "EEGConformer", "TSception", "ATCNet")
NET = (
    """
import torch

class Net(torch.nn.Module):
    '''Class scores from the mean square of every channel.'''

    def __init__(self, n_chans, n_times, sfreq, n_outputs):
        super().__init__()
        self.shape = (n_chans, n_times)
        self.last = torch.nn.Linear(n_chans, n_outputs)

    def forward(self, x):
        assert x.shape[1:] == self.shape, "windows of another size"
        return self.last(x.square().mean(-1))

class Fixed(Net):
    def forward(self, x):
        score = (x.square().mean(-1) * torch.linspace(-1, 1, self.shape[0])).sum(-1)
        return torch.stack([torch.zeros_like(score), score], 1) + 0 * self.last.bias

class Wrong(Net):
    def forward(self, x):
        return x.mean(-1)

class Late(Net):
    def forward(self, x):
        assert not self.training, "only in training"
        return super().forward(x)
"""
    + WITH_SOFTMAX
)


@pytest.fixture
def own(tmp_path):
    """A user's file with a network."""
    path = tmp_path / "my_net.py"
    path.write_text(NET)
    return path


@pytest.fixture
def flags(prepared, tmp_path):
    """Where, and a split of 2 folds."""
    return ["--data-dir", prepared, "--run-dir", tmp_path / "run", "--split", "trial", "--n-folds", 2]


def result(run_dir, name):
    return json.loads((run_dir / f"baseline_arousal_{name}" / "metrics.json").read_text(encoding="utf-8"))


def predictions(run_dir, name):
    with open(run_dir / f"baseline_arousal_{name}" / "predictions.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_network_on_the_folds(flags, tmp_path):
    done(BASELINE, *flags, "--models", ",".join([*EEGNET, "lda"]), "--epochs", 1, "--folds", 0)
    split = json.loads((tmp_path / "run" / "split.json").read_text(encoding="utf-8"))
    lda = result(tmp_path / "run", "lda")
    for name in EEGNET:
        made = result(tmp_path / "run", name)
        assert made["model"] == name
        assert made["network"]["version"].startswith("braindecode ")
        assert made["manifest_hash"] == split["hash"]
        assert (
            made["audit"]["classifier"]
            == lda["audit"]["classifier"]
            == pytest.approx({"window": 0, "trial": 0, "subject": 1, "stimulus": 0})
        )
        assert [fold["n_test"] for fold in made["folds"]] == [fold["n_test"] for fold in lda["folds"]]
        assert made["folds"][0]["n_train"] == lda["folds"][0]["n_train"]
        assert (made["settings"]["EPOCHS"], "EPOCHS" in lda["settings"]) == (1, False)
    done("Fine_tuning/report.py", "--run-dir", tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "network: TSception of braindecode" in page
    done("Fine_tuning/compare_runs.py", *(tmp_path / "run" / f"baseline_arousal_{name}" for name in ("EEGNet", "lda")))


def test_windows_arrive_as_prepared(flags, tmp_path, prepared, own):
    """The probabilities of a network that does not learn, computed again from the arrays: EEG channels, then PPS."""
    done(BASELINE, *flags, "--models", f"{own}:Fixed", "--epochs", 1)
    data = open_prepared(prepared)
    pps = data.pps[:, :, :, [data.info["pps_channels"].index("GSR")]]
    seen = np.concatenate([data.eeg, pps], axis=3)[:, :, :10]  # of 12 s
    power = np.square(seen).reshape(4, 4, 2, 5, 33, 128).mean(axis=(3, 5))  # (subjects, trials, windows, channels)
    wanted = 1 / (1 + np.exp(-(power * np.linspace(-1, 1, 33)).sum(axis=-1)))
    labels, names = data.labels("arousal")
    rows = predictions(tmp_path / "run", "Fixed")
    assert len(rows) == 4 * 4 * 2
    for row in rows:
        where = data.subjects.index(row["subject"]), int(row["trial"]), int(row["window"])
        assert float(row[f"probability of {names[1]}"]) == pytest.approx(wanted[where], abs=1e-4)
        assert int(row["truth"]) == labels[where[:2]]


def test_same_command_goes_on_and_another_seed_differs(flags, tmp_path, own):
    models = ["--models", f"{own}:Net", "--epochs", 2]
    done(BASELINE, *flags, *models, "--folds", 0)
    folder = tmp_path / "run" / "baseline_arousal_Net"
    before = (folder / "fold_00" / "result.pt").stat().st_mtime_ns
    out = done(BASELINE, *flags, *models)
    assert "Net, fold 0: complete" in out
    assert (folder / "fold_00" / "result.pt").stat().st_mtime_ns == before
    first = predictions(tmp_path / "run", "Net")
    assert {row["fold"] for row in first} == {"0", "1"}
    shutil.rmtree(folder)
    done(BASELINE, *flags, *models)
    assert predictions(tmp_path / "run", "Net") == first
    (tmp_path / "elsewhere").mkdir()
    moved = own.rename(tmp_path / "elsewhere" / own.name)
    moved.write_text("# a comment changes nothing\n" + NET)
    out = done(BASELINE, *flags, "--models", f"{moved}:Net", "--epochs", 2)
    assert "Net, fold 1: complete" in out
    done(BASELINE, *flags, "--models", f"{moved}:Net", "--epochs", 2, "--seed", 1, "--tag", "seed1")
    assert predictions(tmp_path / "run", "Net_seed1") != first
    done(BASELINE, *flags, "--models", f"{moved}:Net", "--epochs", 2, "--permute-labels", "--standardise", "subject")
    permuted = predictions(tmp_path / "run", "Net_standardised_permuted")
    assert [row["truth"] for row in permuted] != [row["truth"] for row in first]
    moved.write_text(NET.replace("square()", "abs()"))
    outcome = call(BASELINE, *flags, "--models", f"{moved}:Net", "--epochs", 2)
    assert_refused(outcome, "made-with", "other code: my_net.py changed", "--tag", "baseline_arousal_Net")
    outcome = call(BASELINE, *flags, "--models", f"{moved}:Net", "--epochs", 3, "--tag", "seed1", "--seed", 1)
    assert_refused(outcome, "made-with", "EPOCHS = 2, not 3")


def test_a_network_learns_and_the_best_epoch_is_of_training_trials(flags, tmp_path, prepared, own):
    """With a rate that overshoots, the epoch that is kept has a lower loss on the trials that were set aside."""
    from utils.finetuning import networks

    losses = {}

    class Watched(networks.Best):
        def __call__(self):
            super().__call__()
            losses.setdefault(id(self), []).append((self.loss, self.windows.subject.tolist(), len(self.truth)))

    wanted, networks.Best = networks.Best, Watched
    try:
        done(BASELINE, *flags, "--models", f"{own}:Net", "--epochs", 6, "--lr", 1, "--keep", "best")
    finally:
        networks.Best = wanted
    assert len(losses) == 2
    for seen in losses.values():
        assert len(seen) == 6
        assert [loss for loss, _, _ in seen] == sorted((loss for loss, _, _ in seen), reverse=True)
        assert {n for _, _, n in seen} == {4 * 1 * 2}  # one of two training trials, of 4 people, with 2 windows
    made = result(tmp_path / "run", "Net")
    assert [fold["n_train"] for fold in made["folds"]] == [4 * 2 * 2] * 2


BAD = {
    "no such name": (["--models", "EEGNett"], ["there-none-this-name", "--models EEGNett", "braindecode"]),
    "no such file": (["--models", "nowhere.py:Net"], ["not-python-file", "nowhere.py", "my_net.py:Net"]),
    "no such class": (["--models", "{own}:Other"], ["has-no-torch-nn", "my_net.py", "Other", "Fixed, Late"]),
    "no class scores": (
        ["--models", "{own}:Wrong"],
        ["maps-windows-to-not", "Wrong", "(2, 33, 640)", "(2, 33)", "(2, 2)"],
    ),
    "softmax": (["--models", "{own}:Softmax"], ["ends-softmax", "Softmax"]),
    "too short": (["--models", "{own}:Net", "--epochs", 0], ["must-be-least-for", "--epochs"]),
    "freeze": (["--models", "EEGNet", "--freeze"], ["for-foundation-model-with", "--freeze"]),
    "twice": (["--models", "{own}:Net,{own.parent}/../{own.parent.name}/my_net.py:Net"], ["has-two-one-name"]),
    "no weights": (["--models", "CBraMod"], ["foundation-model-give-weights", "CBraMod=FOLDER"]),
    "weights of another": (["--models", "EEGNet={own}"], ["weights-can-be-given", "CBraMod"]),
    "weights not there": (["--models", "CBraMod=nowhere"], ["does-not-exist", "nowhere"]),
    "weights that are none": (["--models", "CBraMod={own}"], ["damaged-or-not-checkpoint", "my_net.py"]),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_done_is_refused_before_anything_is_written(flags, tmp_path, own, name):
    given, parts = BAD[name]
    given = [str(part).format(own=own) for part in given]
    assert_refused(call(BASELINE, *flags, *given), *parts)
    assert not (tmp_path / "run").exists()


def test_an_error_in_the_users_file_is_one_line(flags, own):
    own.write_text(NET.replace("self.last(x.square().mean(-1))", "self.lost(x)"))
    line = own.read_text().splitlines().index("        return self.lost(x)") + 1
    assert_refused(
        call(BASELINE, *flags, "--models", f"{own}:Net"), None, "AttributeError", f"line {line} of my_net.py", "lost"
    )
    own.write_text(NET + "\nx = (")
    assert_refused(call(BASELINE, *flags, "--models", f"{own}:Net"), None, "SyntaxError", "(my_net.py, line")
    own.write_text(NET)
    assert_refused(call(BASELINE, *flags, "--models", f"{own}:Late", "--epochs", 1), None, "Late", "only in training")


def test_log_softmax_changes_nothing_in_a_baseline(flags, tmp_path, own):
    """Cross-entropy takes the logarithm of a softmax, which is what these scores are already."""
    done(BASELINE, *flags, "--models", f"{own}:Net,{own}:LogSoftmax", "--epochs", 1)
    assert result(tmp_path / "run", "LogSoftmax")["model"] == "LogSoftmax"
    out = done("Fine_tuning/report.py", "--run-dir", tmp_path / "run")
    assert f"main_pretrain_1s.py --data-dir {flags[1]} " in out  # the folder of this run


def test_without_braindecode(flags, tmp_path, own):
    (tmp_path / "braindecode").mkdir()
    (tmp_path / "braindecode" / "__init__.py").write_text("raise ImportError('not here')")
    env = {"PYTHONPATH": str(tmp_path)}
    outcome = run(BASELINE, *flags, "--models", "EEGNet", env=env)
    assert_refused(outcome, "braindecode-cannot-be-imported", "--models EEGNet", "not here", "networks.txt")
    outcome = run(BASELINE, *flags, "--models", f"{own}:Net", "--epochs", 1, env=env)
    assert outcome.status == 0, outcome.err


# --- foundation models

SMALL = dict(n_layer=1, dim_feedforward=16, emb_dim=8)


@pytest.fixture(scope="module")
def foundation():
    """A small CBraMod with random weights."""
    torch.manual_seed(3)
    return find("CBraMod", "").build(n_chans=5, n_times=1000, sfreq=200, n_outputs=7, **SMALL)


def test_weights_of_a_foundation_model(flags, tmp_path, prepared, foundation):
    torch.save(foundation.state_dict(), tmp_path / "weights.pth")
    models = ["--models", f"CBraMod={tmp_path / 'weights.pth'}", "--epochs", 1, "--folds", 0]
    done(BASELINE, *flags, *models, "--freeze")
    done(BASELINE, *flags, *models)
    frozen, tuned = (result(tmp_path / "run", name) for name in ("CBraMod_frozen", "CBraMod"))
    assert frozen["settings"]["MODALITIES"] == "eeg"
    assert (frozen["settings"]["LR"], tuned["settings"]["LR"]) == (1e-3, 1e-4)
    assert any("pre-trained on recordings that are not listed" in line for line in tuned["audit_in_words"])
    assert predictions(tmp_path / "run", "CBraMod_frozen") != predictions(tmp_path / "run", "CBraMod")


def test_a_foundation_model_sees_what_it_asks_for(tmp_path, prepared, foundation):
    """At 200 Hz, with the deviation of its own recordings; frozen weights are the file's."""
    from safetensors.torch import save_file

    from utils.base.settings import Settings
    from utils.finetuning.networks import Networks
    from utils.pretraining.batches import FusionWindows, Recordings

    folder = tmp_path / "cbramod"
    folder.mkdir()
    save_file({name: x.contiguous() for name, x in foundation.state_dict().items()}, folder / "model.safetensors")
    config = SMALL | {"n_chans": 5, "sfreq": 200, "activation": "torch.nn.modules.activation.GELU"}
    (folder / "config.json").write_text(json.dumps(config))
    data = open_prepared(prepared)
    settings = Settings(
        EPOCHS=1, LR=None, FREEZE=True, STANDARDISE=None, PRECISION="fp32", MODALITIES="eeg", THREADS=1, PPS_CHANNELS=[]
    )
    labels, names = data.labels("arousal")
    own = Networks(f"CBraMod={folder}", settings, data, labels, names)
    own.device = torch.device("cpu")
    windows = FusionWindows(Recordings(data, ["eeg"], [], own.device), np.array([[0, 0, 0], [3, 2, 5]]), 12)
    blocks = windows.take(torch.arange(2))
    gain = own._gain(windows)
    assert gain * blocks["eeg"].std(correction=0).item() == pytest.approx(0.2, rel=1e-4)
    model = own._build(gain).eval()
    x = blocks["eeg"].transpose(1, 2).flatten(2)  # (2, 32, 640)
    with torch.no_grad():
        seen = model.resample(gain * x)
        features = model.features(blocks)[0]
        foundation.eval()
        wanted = foundation(seen, return_features=True)["features"]
    assert seen.shape == (2, 32, 1000)
    spectrum, before = (np.abs(np.fft.rfft(part.numpy()))[..., 5:150] / part.shape[-1] for part in (seen, gain * x))
    assert np.corrcoef(spectrum.ravel(), before.ravel())[0, 1] > 0.99  # the same up to 30 Hz
    assert torch.equal(features, wanted)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda w: w.pop("proj_out.0.bias"), [None, "lacks proj_out.0.bias"]),
        (lambda w: w.update(strange=torch.zeros(1)), [None, "unknown strange"]),
        (lambda w: w.update({"proj_out.0.bias": torch.zeros(3)}), [None, "other sizes of proj_out.0.bias"]),
        (lambda w: w.update({"encoder.layers.0.linear1.weight": "text"}), ["holds-other-things-than"]),
    ],
    ids=["missing", "unknown", "sizes", "no weights"],
)
def test_wrong_weights_are_refused(flags, tmp_path, foundation, change, parts):
    weights = dict(foundation.state_dict())
    change(weights)
    torch.save({"state_dict": weights}, tmp_path / "weights.pt")
    outcome = call(BASELINE, *flags, "--models", f"CBraMod={tmp_path / 'weights.pt'}")
    assert_refused(outcome, *parts, "CBraMod=")
    assert not (tmp_path / "run").exists()


def test_the_gpu_and_the_cpu_agree_on_a_network(flags, tmp_path, own):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    for device in ("cpu", "cuda"):
        done(BASELINE, *flags, "--models", f"{own}:Net,EEGNet", "--epochs", 1, "--device", device, "--tag", device)
    for name in ("Net", "EEGNet"):
        both = [predictions(tmp_path / "run", f"{name}_{device}") for device in ("cpu", "cuda")]
        a, b = (np.array([float(list(row.values())[-1]) for row in rows]) for rows in both)
        assert np.abs(a - b).max() < 0.3
