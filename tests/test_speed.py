"""Speed changes nothing: the fast step against a straightforward one, and a step that asks nothing of the device."""

import copy
import functools
import json
import runpy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import bench_protocols, reference
from models import ContrastiveModel, Encoder
from models.fusion import FusionModel
from tests.support import ROOT, TINY, run
from utils.base.devices import CapturedStep, adam
from utils.base.settings import read_settings
from utils.finetuning import fitting
from utils.pretraining.pretraining import trainings

SETTINGS = SimpleNamespace(LR=1e-3, WEIGHT_DECAY=1e-3)
CPU = torch.device("cpu")


def contrastive(dtype):
    torch.manual_seed(0)
    small = dict(embed_dim=12, projector_dims=(16, 24, 32))
    encoders = {"eeg": Encoder(4, 32, prompt_tokens=2, **small), "pps": Encoder(2, 32, **small)}
    model = ContrastiveModel(encoders, 0.1).to(dtype)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # the one thing that two implementations cannot draw alike
    return model


# Biases that the next BatchNorm takes away again: their gradients are rounding errors, which Adam blows up to full
# steps. The running means follow them.
NO_EFFECT = ("norm.bias", "projector.0.bias", "projector.1.bias", "projector.3.bias")
NO_EFFECT += ("projector.1.running_mean", "projector.4.running_mean")


def close(ours, theirs, tolerance, but=()):
    """The weights of a model and of its reference form."""
    for name, encoder in ours.encoders.items():
        pairs = [(encoder, theirs.encoders[name])]
        if isinstance(encoder, torch.nn.ModuleDict):
            pairs = [(encoder[key], theirs.encoders[name][key]) for key in encoder]
        for a, b in pairs:
            expected = b.state_dict()
            for key, value in reference.reference_weights(a.state_dict()).items():
                if key not in but:
                    torch.testing.assert_close(
                        value, expected[key], atol=tolerance, rtol=tolerance, msg=f"{name} {key}"
                    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-3)])
def test_pretraining_steps_like_the_reference(dtype, tolerance):
    ours = contrastive(dtype)
    theirs = reference.reference_contrastive(ours)
    fast = adam(ours, SETTINGS, CPU)
    slow = torch.optim.Adam(theirs.parameters(), SETTINGS.LR, weight_decay=SETTINGS.WEIGHT_DECAY)
    start = copy.deepcopy(ours.encoders["eeg"].state_dict())
    for _ in range(5):
        batch = {"eeg": torch.randn(2, 6, 2, 4, 32, dtype=dtype), "pps": torch.randn(2, 6, 2, 2, 32, dtype=dtype)}
        terms = ours(batch)
        fast.zero_grad(set_to_none=True)
        terms["loss"].backward()
        fast.step()
        expected = reference.contrastive_step(theirs, slow, batch)
        assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=tolerance)
    close(ours, theirs, tolerance, NO_EFFECT)
    moved = ours.encoders["eeg"].state_dict()
    assert (moved["embedding.linear.weight"] - start["embedding.linear.weight"]).abs().max() > 1e-3


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-3)])
def test_finetuning_steps_like_the_reference(dtype, tolerance):
    """In evaluation mode, where five calls and one normalise alike; in training their batch statistics differ."""
    torch.manual_seed(0)
    channels, samples = {"eeg": 4, "pps": 2}, {"5s": 80, "1s": 16}
    encoders = {
        m: {r: Encoder(channels[m], samples[r], 8, 2 if m == "eeg" else 0) for r in ("5s", "1s")} for m in channels
    }
    ours = FusionModel(encoders, 2).to(dtype)
    theirs = reference.ReferenceFusion(ours, 2)
    fast = adam(ours, SETTINGS, CPU)
    slow = torch.optim.Adam(theirs.parameters(), SETTINGS.LR, weight_decay=SETTINGS.WEIGHT_DECAY)
    ours.eval(), theirs.eval()
    blocks = {m: torch.randn(24, 5, channels[m], 16, dtype=dtype) for m in channels}
    truth = torch.arange(24) % 2
    for index in torch.arange(24).split(8):
        batch = {m: x[index] for m, x in blocks.items()}
        loss, scores = fitting.step(lambda index, batch=batch: ours(batch), fast, index, truth[index])
        expected, accuracy = reference.fusion_step(theirs, slow, batch, truth[index])
        assert loss.item() == pytest.approx(expected, rel=tolerance)
        assert (scores.argmax(1) == truth[index]).double().mean().item() == pytest.approx(accuracy)
    close(ours, theirs, tolerance)


class NothingForTheHost(TorchDispatchMode):
    """Fails on operations that on CUDA wait for the device, or whose output size depends on values."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "item", "equal", "is_nonzero")

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        self.seen.add(name)
        assert name not in self.WAITS, f"{name} waits for the device"
        assert name != "lift_fresh", "a constant is made on the host"
        return function(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def fold(prepared, tmp_path_factory):
    """The first fold's pre-training as the script makes it."""

    def make(*flags):
        script = runpy.run_path(str(ROOT / "main_pretrain_1s.py"))
        run_dir = tmp_path_factory.mktemp("fold")
        where = ["--data-dir", prepared, "--run-dir", run_dir]
        return next(trainings(read_settings(script, list(map(str, [*where, *TINY, *flags])))))

    return make


@pytest.mark.parametrize("positives", ["stimulus", "augmentation"])
def test_step_asks_nothing_of_the_device(fold, positives):
    training = fold("--positives", positives)
    training.start_epoch()
    with NothingForTheHost() as mode:
        training.step()
    assert {"_fused_adam_", "index_copy_", "randn_like"} <= mode.seen
    assert training.number.item() == 1
    assert training.record[0].abs().sum() > 0


def test_steps_fill_the_record_in_order(fold):
    training = fold()
    training.start_epoch()
    for _ in range(training.batches.n_steps):
        training.step()
    assert (training.record.abs().sum(1) > 0).all()
    assert training.number.item() == training.batches.n_steps


def test_bf16_changes_losses_little(fold):
    """Mixed precision: the losses of the first steps agree to a few percent, and training still lowers them."""
    losses = {}
    for precision in ("fp32", "bf16"):
        training = fold("--precision", precision)
        torch.manual_seed(0)
        training.start_epoch()
        for _ in range(training.batches.n_steps):
            training.step()
        losses[precision] = training.record[:, 0].numpy()
        assert all(p.dtype == torch.float32 for p in training.model.parameters())
    assert not np.array_equal(losses["bf16"], losses["fp32"])
    np.testing.assert_allclose(losses["bf16"][:3], losses["fp32"][:3], rtol=0.03)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="captures a CUDA graph")
def test_captured_step_computes_the_same():
    losses = {}
    for captured in (False, True):
        model = contrastive(torch.float32).cuda()
        optimizer = adam(model, SETTINGS, torch.device("cuda"))
        record, number = torch.zeros(12, device="cuda"), torch.zeros(1, dtype=torch.int64, device="cuda")

        def step(model=model, optimizer=optimizer, record=record, number=number):
            x = {name: torch.randn(2, 6, 2, c, 32, device="cuda") for name, c in (("eeg", 4), ("pps", 2))}
            loss = model(x)["loss"]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            record.index_copy_(0, number, loss.detach()[None])
            number += 1

        torch.manual_seed(1)
        run = functools.partial(CapturedStep(), step) if captured else step
        for _ in range(12):
            run()
        losses[captured] = record.cpu()
    torch.testing.assert_close(losses[True], losses[False], rtol=1e-4, atol=1e-4)


def test_checkpoints_cost_a_twentieth_of_the_time(fold):
    training = fold("--epochs", "50")
    training.saving_seconds = 1.0
    training.epoch = 1
    training.saved_at -= 10
    assert not training._save_is_due()
    training.saved_at -= 11
    assert training._save_is_due()
    training.epoch = 50
    training.saved_at += 30
    assert training._save_is_due()


def last_json(outcome):
    assert outcome.status == 0, outcome.err
    return json.loads(outcome.out.splitlines()[-1])


@pytest.mark.slow
def test_benchmarks_end_with_one_json_object():
    result = last_json(run("benchmarks/bench_pretrain.py", "--quick", "--subjects", 6, "--trials", 2, "--channels", 4))
    for window in ("1s", "5s"):
        assert result[window].keys() >= {"ours_ms", "reference_ms", "ratio", "floor_ms"}
        assert result[window]["ratio"] == pytest.approx(
            result[window]["reference_ms"] / result[window]["ours_ms"], abs=0.01
        )
    result = last_json(run("benchmarks/bench_protocols.py", "--quick", "--device", "cpu"))
    assert all(0 < result[name]["hours"] < 10 for name in bench_protocols.protocols)
    assert 0 < result["deap preparation"] < 60
