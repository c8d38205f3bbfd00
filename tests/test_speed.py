"""Speed changes nothing: the fast step against a straightforward one, and a step that asks nothing of the device."""

import copy
import itertools
import json
import runpy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import bench_protocols
from data_prep import open_prepared
from models import ContrastiveModel, Encoder
from models.fusion import FusionModel
from tests import reference
from tests.support import ROOT, TINY, run
from utils.base.devices import Captured, adam
from utils.base.settings import read_settings
from utils.finetuning import fitting
from utils.pretraining.batches import FusionWindows, Recordings
from utils.pretraining.pretraining import train_one_epoch, training_step, trainings
from utils.pretraining.stacked import Alone, Stacked

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
    fast = adam(ours.parameters(), SETTINGS, CPU)
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
    fast = adam(ours.parameters(), SETTINGS, CPU)
    slow = torch.optim.Adam(theirs.parameters(), SETTINGS.LR, weight_decay=SETTINGS.WEIGHT_DECAY)
    ours.eval(), theirs.eval()
    blocks = {m: torch.randn(24, 5, channels[m], 16, dtype=dtype) for m in channels}
    truth = torch.arange(24) % 2

    def scores(places):
        return ours({m: x[places] for m, x in blocks.items()})

    for index in torch.arange(24).split(8):
        loss, hits = fitting.train_one_epoch(scores, fast, truth, [(index, index)]).tolist()
        batch = {m: x[index] for m, x in blocks.items()}
        expected, accuracy = reference.fusion_step(theirs, slow, batch, truth[index])
        assert loss / len(index) == pytest.approx(expected, rel=tolerance)
        assert hits / len(index) == pytest.approx(accuracy)
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
def make_folds(prepared, tmp_path_factory):
    """The first folds' pre-training as the script makes it."""

    def make(n_folds, *flags):
        script = runpy.run_path(str(ROOT / "main_pretrain_1s.py"))
        run_dir = tmp_path_factory.mktemp("fold")
        where = ["--data-dir", prepared, "--run-dir", run_dir]
        settings = read_settings(script, list(map(str, [*where, *TINY, *flags])))
        return list(itertools.islice(trainings(settings), n_folds))

    return make


@pytest.mark.parametrize("n_folds", [1, 2])
@pytest.mark.parametrize("positives", ["stimulus", "augmentation"])
def test_step_asks_nothing_of_the_device(make_folds, positives, n_folds):
    folds = make_folds(n_folds, "--positives", positives)
    networks = Stacked(folds) if n_folds > 1 else Alone(*folds)
    step, (first, variants) = training_step(networks), networks.shuffle()
    with NothingForTheHost() as mode:
        metrics = step(first[0], variants[0])
    assert {"_fused_adam_", "randn_like"} <= mode.seen
    assert metrics.shape == (len(folds[0].model.metric_names), n_folds)
    assert (metrics[0] > 0).all()


def test_fine_tuning_step_asks_nothing_of_the_device(prepared):
    data = open_prepared(prepared)
    model = FusionModel({"eeg": {"5s": Encoder(32, 640, 8), "1s": Encoder(32, 128, 8)}}, 2)
    rows = np.stack([np.zeros(4, int), np.arange(4), np.arange(4) * 2], axis=1)
    windows = FusionWindows(Recordings(data, ["eeg"], [], CPU), rows, 12)
    truth, index = torch.arange(4) % 2, torch.arange(4)
    scores, optimizer = fitting.Scores(model, windows, False), adam(model.parameters(), SETTINGS, CPU)
    with NothingForTheHost():
        loss, hits = fitting.train_one_epoch(scores, optimizer, truth, [(index, index)])
    assert loss > 0
    assert 0 <= hits <= 4


def one_epoch(fold):
    """The metrics (n_steps, metrics) of an epoch."""
    record = torch.zeros(fold.batches.n_steps, len(fold.model.metric_names), 1, device=fold.device)
    networks = Alone(fold)
    train_one_epoch(training_step(networks), networks, record)
    return record[..., 0].cpu()


def test_an_epoch_fills_the_record(make_folds):
    (fold,) = make_folds(1)
    assert (one_epoch(fold).abs().sum(1) > 0).all()


def test_bf16_changes_losses_little(make_folds):
    """Mixed precision, without what is drawn: with the same weights the losses agree to a few percent."""
    losses = {}
    for precision in ("fp32", "bf16"):
        (fold,) = without_dropout(make_folds(1, "--precision", precision, "--no-augmentation"))
        networks = Alone(fold)
        first, variants = networks.shuffle()
        parts = [networks.encode(fold.batches.draw(*of_step)) for of_step in zip(first[:3], variants[:3], strict=True)]
        losses[precision] = torch.stack([networks.losses(*pooled)["loss"] for pooled in parts]).detach().cpu().numpy()
        assert (one_epoch(fold)[:, 0] > 0).all()
        assert all(p.dtype == torch.float32 for p in fold.model.parameters())
    assert not np.array_equal(losses["bf16"], losses["fp32"])
    np.testing.assert_allclose(losses["bf16"], losses["fp32"], rtol=0.03)


def without_dropout(folds):
    """With ``--no-augmentation`` nothing is drawn in a step."""
    for module in itertools.chain(*(fold.model.modules() for fold in folds)):
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return folds


def without_randomness(folds):
    """Folds in float64 whose dropout is off."""
    for fold in folds:
        fold.model.double()
        fold.batches.recordings.blocks = {n: x.double() for n, x in fold.batches.recordings.blocks.items()}
    return without_dropout(folds)


@pytest.mark.parametrize("flags", [[], ["--recipe", "robust"], ["--no-group-loss-pps"]])
def test_folds_stacked_are_the_folds_alone(make_folds, flags):
    """The same losses, weights, statistics of BatchNorm and moments of Adam after some steps, also gone on with."""
    flags = [*flags, "--no-augmentation", "--epochs", 9, "--split", "trial", "--n-folds", 4]
    alone, stacked = (without_randomness(make_folds(3, *flags)) for _ in range(2))
    expected = [one_epoch(fold) for fold in alone]
    record = torch.zeros(*expected[0].shape, 3, dtype=torch.float64)
    networks = Stacked(stacked)
    train_one_epoch(training_step(networks), networks, record)
    torch.testing.assert_close(record, torch.stack(expected, -1).double(), rtol=1e-5, atol=1e-5)
    networks.share_state()
    for fold in alone + stacked:
        fold.epoch += 1
    for fold in alone:
        one_epoch(fold)
    networks = Stacked(stacked)  # as after a checkpoint
    train_one_epoch(training_step(networks), networks, record)
    networks.share_state()
    for one, other in zip(alone, stacked, strict=True):
        expected = one.model.state_dict()
        assert all(p.dtype == torch.float64 for p in one.model.parameters())
        for name, tensor in other.model.state_dict().items():
            if not name.endswith((*NO_EFFECT, "alignment.linear.bias", "alignment.norm.running_mean")):
                torch.testing.assert_close(tensor, expected[name], rtol=1e-6, atol=1e-8, msg=name)
        states = [fold.optimizer.state_dict()["state"] for fold in (one, other)]
        assert states[0].keys() == states[1].keys()
        assert all(state["step"] == 2 * one.batches.n_steps for state in states[1].values())


def test_weights_of_a_stack_lie_in_memory_as_their_gradients(make_folds):
    """So that no gradient is copied, and Adam's moments lie likewise; what is saved lies as always."""
    networks = Stacked(make_folds(2, "--split", "trial", "--n-folds", 4))
    first, variants = networks.shuffle()
    training_step(networks)(first[0], variants[0])
    linear = [weight for weight in networks.weights.values() if weight.dim() == 3 and weight.grad is not None]
    assert len(linear) > 20
    for weight in linear:
        moments = networks.optimizer.state[weight]
        assert weight.stride() == weight.grad.stride() == moments["exp_avg"].stride() == moments["exp_avg_sq"].stride()
        assert weight.mT.is_contiguous() or 1 in weight.shape


@pytest.mark.slow
@pytest.mark.parametrize("n_folds", [1, 2])
def test_compiled_step_computes_the_same(make_folds, n_folds):
    flags = ["--no-augmentation", "--split", "trial", "--n-folds", 4]
    metrics = []
    for compiled in (False, True):
        folds = without_randomness(make_folds(n_folds, *flags))
        networks = Stacked(folds) if n_folds > 1 else Alone(*folds)
        step, (first, variants) = training_step(networks, compiled), networks.shuffle()
        metrics.append(torch.stack([step(first[number], variants[number]) for number in range(3)]))
    torch.testing.assert_close(*metrics, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_compiled_fine_tuning_computes_the_same(prepared):
    rows = np.stack([np.repeat([0, 1], 8), np.tile(np.arange(8) // 2, 2), np.tile(np.arange(8), 2)], axis=1)
    windows = FusionWindows(Recordings(open_prepared(prepared), ["eeg", "pps"], ["GSR"], CPU), rows, 12)
    take, truth, sums = windows.take, torch.arange(16) % 2, []
    windows.take = lambda index: {name: x.double() for name, x in take(index).items()}
    for compiled in (False, True):
        torch.manual_seed(0)
        sizes = {"eeg": (32, 2, 0.2), "pps": (1, 0, 0.0)}  # channels, prompt tokens, dropout
        encoders = {
            n: {w: Encoder(c, s * 128, 8, p, d) for w, s in (("5s", 5), ("1s", 1))} for n, (c, p, d) in sizes.items()
        }
        model = FusionModel(encoders, 2).double()  # in single precision Adam turns rounding into steps
        for layer in model.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
        scores, optimizer = fitting.Scores(model, windows, compiled=compiled), adam(model.parameters(), SETTINGS, CPU)
        batches = [(index, index) for index in torch.arange(16).split(8)]
        sums.append(torch.stack([fitting.train_one_epoch(scores, optimizer, truth, batches) for _ in range(2)]))
    torch.testing.assert_close(*sums, rtol=1e-9, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="captures a CUDA graph")
def test_captured_step_computes_the_same():
    losses = {}
    for captured in (False, True):
        model = contrastive(torch.float32).cuda()
        optimizer = adam(model.parameters(), SETTINGS, torch.device("cuda"))

        def step(x, y, model=model, optimizer=optimizer):
            loss = model({"eeg": x + torch.randn_like(x), "pps": y})["loss"]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            return loss.detach()

        torch.manual_seed(1)
        run = Captured(step) if captured else step
        batches = [[torch.randn(2, 6 - number % 2, 2, c, 32, device="cuda") for c in (4, 2)] for number in range(12)]
        losses[captured] = torch.stack([run(*batch).clone() for batch in batches]).cpu()
    torch.testing.assert_close(losses[True], losses[False], rtol=1e-4, atol=1e-4)


def test_checkpoints_cost_a_twentieth_of_the_time(make_folds):
    (training,) = make_folds(1, "--epochs", "50")
    training.saving_seconds = 1.0
    training.epoch = 1
    training.saved_at -= 10
    assert not training.save_is_due()
    training.saved_at -= 11
    assert training.save_is_due()
    training.epoch = 50
    training.saved_at += 30
    assert training.save_is_due()


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
