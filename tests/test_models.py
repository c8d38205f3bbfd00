"""Shapes and properties of the networks and losses."""

import re

import numpy as np
import pytest
import torch

import models.authors
from models import ContrastiveModel, CrossModalAlignment, Encoder, FusionClassifier, FusionModel, build, group_nt_xent
from models.encoder import N_TOKENS, Block
from tests.support import ROOT, refused

SMALL = dict(embed_dim=8, projector_dims=(8, 8, 8))


def nt_xent_numpy(z, tau):
    """The group loss written out: every row against every other, in float64."""
    n = len(z) // 2
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    total = 0
    for i in range(2 * n):
        similarity = z @ z[i] / tau
        others = np.delete(similarity, i)
        total += np.log(np.exp(others).sum()) - similarity[(i + n) % (2 * n)]
    return total / n


@pytest.mark.parametrize(("n", "tau"), [(1, 0.5), (2, 0.1), (7, 0.07)])
def test_group_loss_equals_numpy(n, tau):
    z = np.random.default_rng(n).standard_normal((2 * n, 5))
    loss, _ = group_nt_xent(torch.from_numpy(z), tau)
    assert float(loss) == pytest.approx(nt_xent_numpy(z, tau), rel=1e-12, abs=1e-12)


def test_group_losses_of_several_are_those_of_each():
    z = torch.randn(3, 12, 5, dtype=torch.float64)
    losses, accuracies = torch.vmap(lambda x: group_nt_xent(x, 0.1))(z)
    assert losses.shape == accuracies.shape == (3,)
    each = [group_nt_xent(x, 0.1) for x in z]
    torch.testing.assert_close(losses, torch.stack([loss for loss, _ in each]), rtol=1e-12, atol=0)
    assert accuracies.tolist() == [float(accuracy) for _, accuracy in each]


def test_group_loss_is_symmetric_in_the_groups():
    z = torch.randn(12, 5, dtype=torch.float64)
    swapped, _ = group_nt_xent(torch.cat([z[6:], z[:6]]), 0.1)
    assert float(swapped) == pytest.approx(float(group_nt_xent(z, 0.1)[0]), rel=1e-12)


def test_contrastive_accuracy():
    z = torch.eye(4)
    assert float(group_nt_xent(torch.cat([z, z]), 0.1)[1]) == 1
    assert float(group_nt_xent(torch.cat([z, z.roll(1, 0)]), 0.1)[1]) == 0
    with refused("group-nt-xent-needs", error=ValueError):
        group_nt_xent(torch.randn(3, 2), 0.1)


def test_alignment_is_symmetric_in_the_modalities_and_updates_its_norm_twice():
    module = CrossModalAlignment(6, 16).double()
    eeg, pps = torch.randn(2, 8, 6, dtype=torch.float64)
    loss = module(eeg, pps, 0.1)
    assert int(module.norm.num_batches_tracked) == 2
    assert module(pps, eeg, 0.1).item() == pytest.approx(loss.item(), rel=1e-9)


def test_prompts_are_appended_before_the_attention_and_dropped_after_the_perceptron():
    """What the block leaves out changes nothing: the same as with prompt tokens carried through all of it."""
    torch.manual_seed(0)
    block, plain = Block(8, 3).double(), Block(8, 0).double()
    plain.load_state_dict({name: w for name, w in block.state_dict().items() if name != "prompt.tokens"})
    x = torch.randn(5, N_TOKENS, 8, dtype=torch.float64)
    carried = plain(torch.cat([x, block.prompt().expand(5, -1, -1)], 1))
    torch.testing.assert_close(block(x), carried[:, :N_TOKENS])
    assert not torch.allclose(block(x), plain(x))


def test_models_are_library_layers():
    """A student changes a formula and has its gradient: no gradient by hand, no private operator."""
    for path in (ROOT / "models").glob("*.py"):
        assert not re.search(r"autograd\.Function|torch\.ops\.|torch\._|cpuinfo|mkl|cuda", path.read_text(), re.I), path


@pytest.mark.parametrize(("channels", "samples", "prompts"), [(32, 128, 2), (1, 640, 0), (2, 200, 0)])
def test_encoder_shapes(channels, samples, prompts):
    encoder = Encoder(channels, samples, 12, prompts, 0.2, projector_dims=(8, 8, 20))
    feature = encoder(torch.randn(3, channels, samples))
    assert feature.shape == (3, 48)
    assert encoder.project(feature).shape == (3, 20)
    with refused("encoder-takes-windows-channels", error=ValueError):
        encoder(torch.randn(3, channels, samples + 1))


def test_weights_under_former_names_load():
    """Checkpoints from before the filters, LayerScale, the MLP and the prompt tokens were modules."""
    encoder = Encoder(3, 10, prompt_tokens=2, block_samples=2, **SMALL)
    weights = encoder.state_dict()
    former = {
        "front_end.filters": "filters",
        "blocks.0.scale1.gamma": "blocks.0.scale1",
        "blocks.1.scale2.gamma": "blocks.1.scale2",
        "blocks.2.prompt.tokens": "blocks.2.prompt",
        "blocks.0.mlp.fc1.weight": "blocks.0.fc1.weight",
        "blocks.1.mlp.fc2.bias": "blocks.1.fc2.bias",
    }
    assert former.keys() <= weights.keys()
    other = Encoder(3, 10, prompt_tokens=2, block_samples=2, **SMALL)
    other.load_state_dict({former.get(name, name): tensor for name, tensor in weights.items()})
    assert all(torch.equal(tensor, weights[name]) for name, tensor in other.state_dict().items())
    with pytest.raises(RuntimeError, match=r"blocks\.0\.scale3"):
        other.load_state_dict(weights | {"blocks.0.scale3": torch.zeros(8)})


def test_order_of_parameters():
    """Stored optimizers number the parameters: in this order, or they cannot be gone on with."""
    names = [name for name, _ in Block(8, 2).named_parameters()]
    assert names[:5] == ["scale1.gamma", "scale2.gamma", "prompt.tokens", "norm1.weight", "norm1.bias"]
    assert names[5:8] == ["attention.q_bias", "attention.v_bias", "attention.qkv.weight"]
    assert names[-6:-4] == ["norm2.weight", "norm2.bias"]
    assert names[-4:] == ["mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias"]


def test_attention_written_out_is_the_fused_one():
    block = Block(8, 2).double()
    x = torch.randn(5, N_TOKENS, 8, dtype=torch.float64)
    expected = block(x)
    block.attention.fused = False
    torch.testing.assert_close(block(x), expected)


def test_build_makes_encoders_by_kind():
    class Mean(torch.nn.Module):
        feature_dim = 3

        def __init__(self, n_channels):
            super().__init__()
            self.arguments = {"n_channels": n_channels}

    encoder = build(n_channels=3, n_samples=16, **SMALL)
    assert isinstance(encoder, Encoder)
    assert isinstance(build(encoder.kind, **encoder.arguments), Encoder)
    assert build(Mean, n_channels=3).arguments == {"n_channels": 3}
    with refused("unknown-encoder", "mean", "physiosync", error=ValueError):
        build("mean", n_channels=3)


@pytest.mark.parametrize(("samples", "millions"), [(128, 26.2), (640, 119.0)])
def test_paper_size(samples, millions):
    """Parameters of the authors' program for DEAP's EEG and GSR, less its second MLP that nothing ever uses."""
    with torch.device("meta"):
        encoders = {name: Encoder(c, samples, samples, p) for name, c, p in (("eeg", 32, 2), ("pps", 1, 0))}
        model = ContrastiveModel(encoders, 0.1)
    unused = 2 * 8 * samples**2
    assert (sum(p.numel() for p in model.parameters()) + unused) / 1e6 == pytest.approx(millions, rel=0.002)


def test_encoder_dropout_is_off_in_evaluation_and_random_in_training():
    encoder = Encoder(2, 16, input_dropout=0.2, **SMALL)
    x = torch.randn(4, 2, 16)
    assert not torch.equal(encoder.project(encoder(x)), encoder.project(encoder(x)))
    encoder.eval()
    assert torch.equal(encoder.project(encoder(x)), encoder.project(encoder(x)))


def test_embed_dim_must_fit_the_heads():
    with refused("embed-dim-must-be", error=ValueError):
        Encoder(2, 16, embed_dim=10)


@pytest.fixture
def contrastive():
    torch.manual_seed(0)
    encoders = {"eeg": Encoder(3, 16, prompt_tokens=2, **SMALL), "pps": Encoder(1, 16, **SMALL)}
    return ContrastiveModel(encoders, 0.1).double().eval()


def test_loss_is_the_sum_of_its_terms(contrastive):
    windows = {"eeg": torch.randn(2, 4, 3, 3, 16).double(), "pps": torch.randn(2, 4, 3, 1, 16).double()}
    parts = contrastive(windows)
    loss = parts["loss"]
    assert list(parts) == contrastive.metric_names
    assert loss.item() == pytest.approx((parts["loss_eeg"] / 2 + parts["loss_pps"] / 2 + parts["loss_cmca"]).item())
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in contrastive.parameters())


def test_order_of_people_in_a_group_does_not_matter(contrastive):
    windows = {"eeg": torch.randn(2, 4, 3, 3, 16).double(), "pps": torch.randn(2, 4, 3, 1, 16).double()}
    shuffled = {name: x[:, :, torch.tensor([2, 0, 1])] for name, x in windows.items()}
    assert contrastive(shuffled)["loss"].item() == pytest.approx(contrastive(windows)["loss"].item(), rel=1e-12)
    moved = {name: x.roll(1, 2) if name == "eeg" else x for name, x in windows.items()}
    assert contrastive(moved)["loss"].item() == pytest.approx(contrastive(windows)["loss"].item(), rel=1e-12)


@pytest.mark.parametrize("modalities", [("eeg", "pps"), ("eeg",), ("pps",)])
@pytest.mark.parametrize("resolutions", [("5s", "1s"), ("5s",), ("1s",)])
def test_fusion_model(modalities, resolutions):
    channels = {"eeg": 3, "pps": 2}
    encoders = {
        m: {r: Encoder(channels[m], {"5s": 80, "1s": 16}[r], 8 if r == "1s" else 12) for r in resolutions}
        for m in modalities
    }
    model = FusionModel(encoders, 4)
    scores = model({m: torch.randn(6, 5, channels[m], 16) for m in modalities})
    assert scores.shape == (6, 4)
    assert not any("projector" in name for name in model.state_dict())


def test_fusion_model_passes_windows_in_order():
    """One 5 s window and its five seconds reach the encoders as the prepared folder has them."""
    blocks = torch.arange(2 * 5 * 3 * 16.0).view(2, 5, 3, 16)
    seen = {}

    class Spy(torch.nn.Module):
        feature_dim = 8

        def __init__(self, name):
            super().__init__()
            self.name = name

        def forward(self, x):
            seen[self.name] = x
            return torch.zeros(len(x), 8)

    FusionModel({"eeg": {"5s": Spy("5s"), "1s": Spy("1s")}}, 2)({"eeg": blocks})
    assert torch.equal(seen["5s"][1, 2], blocks[1, :, 2].flatten())
    assert torch.equal(seen["1s"][5 + 3], blocks[1, 3])


def test_confidence_gate():
    head = FusionClassifier(2, 4, 4, n_modalities=1, resolutions=("5s",)).eval()
    captured = []
    head.classifier[0].register_forward_pre_hook(lambda _, inputs: captured.append(inputs[0]))
    x = torch.randn(3, 4)
    head(x)
    confidence = head.gates["5s"](x).softmax(1).max(1, keepdim=True).values
    torch.testing.assert_close(captured[0], x * confidence)
    with refused("classifier-takes-features-not", "1 features", "not 2", error=ValueError):
        head(x, x)


def test_authors_checkpoints_of_other_kinds_are_refused():
    with refused("not-pre-training-checkpoint", error=ValueError):
        models.authors.encoder({"weight": torch.zeros(2)}, 1)
    with refused("not-checkpoint-authors-what", "weight", error=ValueError):
        models.authors.fusion({"weight": torch.zeros(2)})
    with refused("not-alignment-checkpoint-authors", error=ValueError):
        models.authors.alignment({"bn.weight": torch.zeros(2)})


def test_authors_checkpoint_file_with_parallel_names(tmp_path):
    golden = np.load("tests/golden/losses.npz")
    from tests.golden.weights import weights

    state = {f"module.{k}": torch.from_numpy(v) for k, v in weights(golden["shapes"], golden["seed"]).items()}
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {}}, tmp_path / "checkpoint.pth")
    module = models.authors.alignment(torch.load(tmp_path / "checkpoint.pth", weights_only=True))
    torch.testing.assert_close(module.linear.weight.data, state["module.layers.clf.0.weight"])
