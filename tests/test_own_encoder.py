"""Another network as the EEG encoder of pre-training; the page that says how, run as it stands."""

import re
import shlex
import shutil

import numpy as np
import pytest
import torch

from tests.builders.networks import WITH_SOFTMAX
from tests.support import ROOT, assert_refused, call, done
from utils.pretraining.checkpoints import load_tensors, save_tensors

PAGE = (ROOT / "docs" / "own_encoder.md").read_text(encoding="utf-8")
TUNE, PREDICT, EXTRACT = (f"Fine_tuning/{name}.py" for name in ("fine_tuning", "predict", "extract_features"))
SMALL = ["--split", "trial", "--n-folds", 2, "--folds", 0, "--epochs", 1, "--embed-dim", 8, "--projector-dims", "8,8,8"]


def test_the_page_as_it_stands(tmp_path, monkeypatch):
    """The page's file and its commands, in an empty folder; only epochs are cut."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    (tmp_path / "my_net.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    commands = [
        shlex.split(line) for part in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in part.splitlines()
    ]
    assert len(commands) == 12
    assert commands[0] == ["python", "-m", "pip", "install", "-r", "requirements-networks.txt"]
    shown = {}
    for python, script, *flags in commands[1:]:
        assert python == "python"
        trains = "main_pretrain" in script or script.endswith(("fine_tuning.py", "baseline.py"))
        shown[script] = done(script, *flags, *(["--epochs", 1] if trains else []))
    baseline = shown["Fine_tuning/baseline.py"]
    assert "Net: 33 channels (32 EEG, 1 PPS)\n" in baseline
    assert "\nNet, fold 3: test accuracy" in baseline
    assert "epoch 1 of 1" not in baseline
    assert "my_net.py" in (tmp_path / "runs/mine/report.html").read_text(encoding="utf-8")
    shown = {path.parent.name for path in (tmp_path / "runs" / "mine").glob("*/metrics.json")}
    assert {"baseline_arousal_Net", "baseline_arousal_EEGNet", "finetune_arousal", "finetune_arousal_mine"} <= shown


@pytest.fixture(scope="module")
def trained(tmp_path_factory, prepared):
    """A file with a network, and a run directory that was pre-trained and fine-tuned with it."""
    folder = tmp_path_factory.mktemp("own")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (folder / "net.py").write_text(code)
    flags = ["--data-dir", prepared, "--run-dir", folder / "run"]
    for window in ("1s", "5s"):
        done(f"main_pretrain_{window}.py", *flags, *SMALL, "--encoder", folder / "net.py:Net")
    done(TUNE, *flags, "--folds", 0, "--epochs", 2)
    return folder


def test_checkpoints_have_the_network_and_the_other_modality_is_as_before(trained):
    checkpoint = load_tensors(trained / "run/pretrain_1s/fold_00/checkpoint.pt", "")
    eeg, pps = (checkpoint["encoders"][name] for name in ("eeg", "pps"))
    assert eeg["kind"] == f"{trained / 'net.py'}:Net"
    assert eeg["weights"]["network.filters.weight"].shape == (16, 32, 32)
    assert eeg["weights"]["linear.weight"].shape == (4 * 8, 16)
    assert not any("last" in name for name in eeg["weights"])
    assert pps["kind"] == "physiosync"
    assert (checkpoint["settings"]["ENCODER"], checkpoint["settings"]["FRONT_END"]) == ("net.py:Net", "raw")
    assert "net.py" in checkpoint["code"]


def test_pretraining_trains_it_and_goes_on(trained, prepared, tmp_path):
    """Two epochs at once are one epoch and another one, to the byte; the weights move."""
    runs = {name: ["--data-dir", prepared, "--run-dir", tmp_path / name] for name in ("once", "twice", "never")}
    common = [*SMALL[:-6], *SMALL[-4:], "--encoder", trained / "net.py:Net"]
    for name, epochs in (("once", [2]), ("twice", [1, 2]), ("never", [0])):
        for n in epochs:
            done("main_pretrain_1s.py", *runs[name], *common, "--epochs", n)
    once, twice, never = (
        load_tensors(tmp_path / name / "pretrain_1s/fold_00/checkpoint.pt", "")["encoders"]["eeg"]["weights"]
        for name in runs
    )
    assert all(torch.equal(once[name], twice[name]) for name in once)
    assert not torch.equal(once["network.filters.weight"], never["network.filters.weight"])


def test_features_and_predictions(trained, prepared, tmp_path):
    run = trained / "run"
    checkpoint = run / "pretrain_5s/fold_00/checkpoint.pt"
    done(EXTRACT, "--checkpoint", checkpoint, "--data-dir", prepared, "--out-file", tmp_path / "f.npz")
    features = np.load(tmp_path / "f.npz")["features"]
    entry = load_tensors(checkpoint, "")["encoders"]["eeg"]["weights"]
    eeg = np.load(prepared / "eeg.npy")[0, 0, :5]  # (5, C, 128)
    x = torch.from_numpy(np.concatenate(list(eeg), axis=1))[None]
    middle = torch.nn.functional.conv1d(x, entry["network.filters.weight"], entry["network.filters.bias"], stride=16)
    wanted = middle.square().mean(-1).log() @ entry["linear.weight"].T + entry["linear.bias"]
    assert np.allclose(features[0], wanted[0].numpy(), atol=1e-4)
    model = run / "finetune_arousal/fold_00/model.pt"
    out = done(PREDICT, "--model", model, "--input", prepared, "--out-file", tmp_path / "p.csv")
    assert "wrote" in out
    rows = (tmp_path / "p.csv").read_text().splitlines()
    assert len(rows) == 1 + 4 * 4 * 2
    tested = {
        (*line.split(",")[1:3], line.split(",")[4]): line.split(",")[-1]
        for line in (run / "finetune_arousal/predictions.csv").read_text().splitlines()[1:]
    }
    predicted = {(r[0], r[1], str(int(r[3]) // 5)): r[-1] for r in (line.split(",") for line in rows[1:])}
    assert all(float(predicted[key]) == pytest.approx(float(value), abs=1e-4) for key, value in tested.items())


def test_a_changed_file_is_not_run(trained, prepared, tmp_path):
    """A comment may change; code that is not what pre-training ran is refused before it runs."""
    path, flags = trained / "net.py", ["--data-dir", prepared, "--run-dir", trained / "run", "--folds", 0]
    before = path.read_text()
    try:
        path.write_text("# a comment\n" + before)
        assert "fold 0: complete" in done(TUNE, *flags, "--epochs", 2)
        path.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n" + before)
        for command in (
            (TUNE, *flags, "--tag", "x"),
            (
                PREDICT,
                "--model",
                trained / "run/finetune_arousal/fold_00/model.pt",
                "--input",
                prepared,
                "--out-file",
                tmp_path / "p.csv",
            ),
            (
                EXTRACT,
                "--checkpoint",
                trained / "run/pretrain_1s/fold_00/checkpoint.pt",
                "--data-dir",
                prepared,
                "--out-file",
                tmp_path / "f.npz",
            ),
        ):
            assert_refused(call(*command), "before-now", "net.py")
        assert not (tmp_path / "ran").exists()
        flags = [*flags[:4], *SMALL]
        assert_refused(call("main_pretrain_1s.py", *flags, "--encoder", f"{path}:Net"), None, "net.py")
        path.unlink()
        assert_refused(call(TUNE, *flags[:4], "--folds", 0, "--tag", "x"), "not-python-file", "net.py")
    finally:
        path.write_text(before)


BAD = {
    "bands": (
        ["--encoder", "EEGNet", "--front-end", "bandpower"],
        ["takes-samples", "--encoder EEGNet", "--front-end"],
    ),
    "no EEG": (
        ["--encoder", "EEGNet", "--modalities", "pps"],
        ["for-eeg-which-leaves", "--encoder EEGNet", "--modalities"],
    ),
    "no name": (["--encoder", "EEGNett"], ["there-none-this-name", "--encoder EEGNett", "did you mean EEGNet"]),
    "no file": (["--encoder", "nowhere.py:Net"], ["not-python-file", "nowhere.py"]),
    "too short": (["--encoder", "CBraMod"], [None, "CBraMod"]),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_an_encoder(prepared, tmp_path, name):
    given, parts = BAD[name]
    assert_refused(
        call("main_pretrain_1s.py", "--data-dir", prepared, "--run-dir", tmp_path / "run", *SMALL, *given), *parts
    )


NETS = (
    """
from torch import nn, relu

class Net(nn.Module):
    def __init__(self, n_chans, n_times, sfreq, n_outputs):
        super().__init__()
        self.filters = nn.Conv1d(n_chans, 16, 9)
        self.last = nn.Linear(16, n_outputs)

    def forward(self, x):
        return self.last(relu(self.filters(x)).mean(-1))

class Convolution(Net):
    def __init__(self, n_chans, n_times, sfreq, n_outputs):
        super().__init__(n_chans, n_times, sfreq, n_outputs)
        self.last = nn.Conv1d(16, n_outputs, 1)

    def forward(self, x):
        return self.last(relu(self.filters(x))).mean(-1)

class Named(Convolution):
    def __init__(self, n_chans, n_times, sfreq, n_outputs):
        super().__init__(n_chans, n_times, sfreq, n_outputs)
        self.final_layer = self.last
        del self.last

    def forward(self, x):
        return self.final_layer(relu(self.filters(x))).mean(-1)

class Double(Net):
    def __init__(self, n_chans, n_times, sfreq, n_outputs):
        super().__init__(n_chans, n_times, sfreq, n_outputs)
        self.double()

    def forward(self, x):
        return super().forward(x.double())

class Long(Net):
    def forward(self, x):
        return super().forward(x.unflatten(2, (-1, 640))[:, :, 0])

class Arguments(nn.Module):
    def __init__(self, n_channels):
        super().__init__()

class Late(Net):
    def forward(self, x):
        if self.training:
            raise ValueError("only in training")
        return super().forward(x)

class NotFinite(Net):
    def forward(self, x):
        return super().forward(x) * (float("nan") if self.training else 1)
"""
    + WITH_SOFTMAX
)
REFUSED = {
    "Convolution": ["left-with-class-scores", "encoder Convolution", "final_layer", "Linear"],
    "Softmax": ["ends-softmax", "Softmax"],
    "LogSoftmax": ["ends-log-softmax", "LogSoftmax"],
    "Long": [None, "Long given windows (2, 32, 128), float32", "of nets.py", "--resolutions 5s"],
    "Arguments": [None, "Arguments(n_chans=32, n_times=128, sfreq=128, n_outputs=2)", "TypeError"],
    "Late": [None, "encoder Late", "of nets.py", "only in training"],
    "NotFinite": ["loss-not-finite-epoch-step-no", "encoder nets.py:NotFinite", "not finite"],
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_cannot_be_an_encoder_is_told_in_one_line(prepared, tmp_path, name):
    """Before anything is written, where training is not needed to see it."""
    (tmp_path / "nets.py").write_text(NETS)
    where = ["--data-dir", prepared, "--run-dir", tmp_path / "run"]
    outcome = call("main_pretrain_1s.py", *where, *SMALL, "--encoder", f"{tmp_path / 'nets.py'}:{name}")
    assert_refused(outcome, *REFUSED[name])
    assert (tmp_path / "run").exists() == (name in ("Late", "NotFinite"))


@pytest.mark.parametrize("name", ["Named", "Double"])
def test_a_network_that_can(prepared, tmp_path, name):
    (tmp_path / "nets.py").write_text(NETS)
    where = ["--data-dir", prepared, "--run-dir", tmp_path / "run"]
    out = done("main_pretrain_1s.py", *where, *SMALL, "--encoder", f"{tmp_path / 'nets.py'}:{name}")
    assert f"encoder {name}: 32 EEG channels, last layer" in out


def test_5_s_only(prepared, tmp_path):
    """As the message says that refuses the network at 1 s."""
    (tmp_path / "nets.py").write_text(NETS)
    where = ["--data-dir", prepared, "--run-dir", tmp_path / "run"]
    done("main_pretrain_5s.py", *where, *SMALL, "--encoder", f"{tmp_path / 'nets.py'}:Long")
    done(TUNE, *where, "--folds", 0, "--epochs", 2, "--resolutions", "5s")


def test_imported_files_are_part_of_the_network(prepared, tmp_path):
    """Those of its folder, through each other; their change is refused before anything is run."""
    code = NETS.replace("from torch import nn, relu", "from torch import nn\nfrom parts.layers import relu")
    (tmp_path / "nets.py").write_text(code)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/layers.py").write_text(
        "import torch\nfrom .gain import gain\ndef relu(x): return torch.relu(x) * gain\n"
    )
    gain = tmp_path / "parts/gain.py"
    gain.write_text("gain = 1.0\n")
    where, encoder = (
        ["--data-dir", prepared, "--run-dir", tmp_path / "run"],
        ["--encoder", f"{tmp_path / 'nets.py'}:Net"],
    )
    done("main_pretrain_5s.py", *where, *SMALL, *encoder)
    path = tmp_path / "run/pretrain_5s/fold_00/checkpoint.pt"
    checkpoint = load_tensors(path, "")
    assert {"nets.py", "parts/layers.py", "parts/gain.py"} <= set(checkpoint["code"])
    tune = [TUNE, *where, "--folds", 0, "--epochs", 2, "--resolutions", "5s"]
    gain.write_text("gain = 1.0  # a comment changes nothing\n")
    done(*tune)
    gain.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ngain = 2.0\n")
    assert_refused(call(*tune, "--tag", "x"), "before-now", "parts/gain.py")
    assert not (tmp_path / "ran").exists()
    assert_refused(call("main_pretrain_5s.py", *where, *SMALL, *encoder, "--epochs", 2), None, "parts/gain.py")
    # a checkpoint from before these files were recorded has the version of one file
    arguments = checkpoint["encoders"]["eeg"]["arguments"]
    arguments["origin"] = arguments["origin"].partition(",")[0]
    save_tensors(path, checkpoint)
    done(*tune, "--tag", "old")


def test_files_that_are_imported_late(tmp_path):
    """In ``__init__``; two networks that each have a file of the same name get their own."""
    from utils.base.other_networks import find

    late = "        super().__init__()\n        from helper import width\n        self.width = width"
    networks = []
    for width in (3, 5):
        folder = tmp_path / str(width)
        folder.mkdir()
        (folder / "helper.py").write_text(f"width = {width}\n")
        (folder / "nets.py").write_text(NETS.replace("        super().__init__()", late, 1))
        networks.append(find(f"{folder / 'nets.py'}:Net", "--encoder"))
    for _ in range(2):
        assert [network.build(2, 64, 64, 2).width for network in networks] == [3, 5]


def test_an_imported_file_that_another_module_hides(prepared, tmp_path):
    (tmp_path / "nets.py").write_text(NETS + "import utils\n")
    (tmp_path / "utils.py").write_text("")
    where = ["--data-dir", prepared, "--run-dir", tmp_path / "run"]
    outcome = call("main_pretrain_1s.py", *where, *SMALL, "--encoder", f"{tmp_path / 'nets.py'}:Net")
    assert_refused(outcome, "from-folder-which-hides", "imports utils")


def test_another_encoder_in_the_same_folder_is_refused(pretrained, prepared, tmp_path):
    shutil.copytree(pretrained, tmp_path / "run")
    flags = [
        "--data-dir",
        prepared,
        "--run-dir",
        tmp_path / "run",
        "--epochs",
        1,
        "--embed-dim",
        8,
        "--projector-dims",
        "8,8,8",
    ]
    outcome = call("main_pretrain_1s.py", *flags, "--encoder", "EEGNet")
    assert_refused(outcome, "made-with-not", "ENCODER", "physiosync", "EEGNet", "--tag")


@pytest.mark.parametrize("name", ["EEGNet", "ShallowFBCSPNet", "Deep4Net", "EEGConformer", "TSception", "ATCNet"])
def test_networks_of_braindecode_as_encoders(name):
    from utils.base.other_networks import find
    from utils.pretraining.networks import build_encoder

    network = find(name, "")
    for n_samples in (128, 640):
        arguments = dict(n_channels=14, n_samples=n_samples, embed_dim=4, projector_dims=[8, 8, 8])
        entry = {"kind": network.kind, "arguments": arguments | {"sfreq": 128, "origin": network.version}}
        encoder = build_encoder(entry)
        feature = encoder(torch.randn(3, 14, n_samples))
        assert (encoder.without, feature.shape, encoder.project(feature).shape) == ("final_layer", (3, 16), (3, 8))
        feature.sum().backward()
        assert all(x.grad is not None for x in encoder.network.parameters() if x.requires_grad)
        other = build_encoder({"kind": network.kind, "arguments": encoder.arguments})
        other.load_state_dict(encoder.state_dict())
        encoder.eval(), other.eval()
        x = torch.randn(3, 14, n_samples)
        assert torch.equal(encoder(x), other(x))
