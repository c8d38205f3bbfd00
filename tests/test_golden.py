"""Our modules against inputs and outputs of the authors' modules in float64 (tests/golden)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import models.authors
from models import group_nt_xent
from tests.golden.weights import weights

GOLDEN = Path(__file__).parent / "golden"


def load(name):
    return np.load(GOLDEN / f"{name}.npz", allow_pickle=False)


def no_dropout(module):
    for layer in module.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    return module


def assert_close(actual, expected, rtol):
    """Relative to the largest value: entries that cancel to nearly 0 carry the rounding of the others."""
    actual, expected = torch.as_tensor(actual).detach().numpy(), np.asarray(expected)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize(("name", "n_channels"), [("encoder_eeg", 4), ("encoder_gsr", 1)])
def test_encoder(name, n_channels):
    golden = load(name)
    encoder = no_dropout(models.authors.encoder(weights(golden["shapes"], golden["seed"]), n_channels))
    x = torch.from_numpy(golden["x"])
    encoder.eval()
    feature = encoder(x)
    assert_close(feature, golden["feature_eval"], 1e-6)
    assert_close(encoder.project(feature)[:, ::16], golden["projection_eval"], 1e-6)
    encoder.train()
    feature = encoder(x)
    p = encoder.project(feature)
    assert_close(feature, golden["feature_train"], 1e-6)
    assert_close(p[:, ::16], golden["projection_train"], 1e-6)
    loss = (p[:3] * p[3:]).mean() + (feature**2).mean()
    assert_close(loss, golden["probe_loss"], 1e-6)
    loss.backward()

    # gradients under the authors' names: the tensors of our encoder that the same loader fills from an index
    checked = set()
    for theirs, ours, rows in name_pairs(golden, n_channels):
        grad = dict(encoder.named_parameters())[ours].grad[rows]
        norm = float(golden[f"gradnorm.{theirs}"])
        if norm > 1e-12:  # biases in front of a BatchNorm have no gradient but rounding
            assert float(grad.norm()) == pytest.approx(norm, rel=1e-6)
        if f"grad.{theirs}" in golden.files and norm > 1e-12:
            assert_close(grad, golden[f"grad.{theirs}"], 1e-6)
        checked.add(ours)
    assert checked == set(dict(encoder.named_parameters()))


def name_pairs(golden, n_channels):
    """(authors' name, our name, rows of ours) of every weight, found by loading tensors filled with their number."""
    shapes = json.loads(str(golden["shapes"]))
    numbered = {name: np.full(shape, float(i)) for i, (name, shape) in enumerate(shapes.items())}
    ours = dict(models.authors.encoder(numbered, n_channels).named_parameters())
    for i, theirs in enumerate(shapes):
        if f"gradnorm.{theirs}" in golden.files:
            found = [(name, p) for name, p in ours.items() if (p == i).any()]
            assert len(found) == 1, theirs
            name, parameter = found[0]
            yield theirs, name, (parameter == i).flatten(1).all(1) if parameter.dim() > 1 else parameter == i


def test_group_loss():
    golden = load("losses")
    z = torch.from_numpy(golden["z"]).requires_grad_()
    loss, accuracy = group_nt_xent(z, float(golden["tau"]))
    loss.backward()
    assert_close(loss, golden["group_loss"], 1e-8)
    assert_close(z.grad, golden["group_grad"], 1e-8)
    assert float(accuracy) == float(golden["group_acc"])


def test_cross_modal_alignment():
    golden = load("losses")
    module = models.authors.alignment(weights(golden["shapes"], golden["seed"])).train()
    eeg, pps = (torch.from_numpy(golden[name]).requires_grad_() for name in ("eeg", "pps"))
    loss = module(eeg, pps, float(golden["tau"]))
    loss.backward()
    assert_close(loss, golden["cmca_loss_train"], 1e-8)
    assert_close(eeg.grad, golden["cmca_grad_eeg"], 1e-8)
    assert_close(pps.grad, golden["cmca_grad_pps"], 1e-8)
    assert_close(module.norm.running_mean, golden["bn_mean_after"], 1e-8)
    assert_close(module.norm.running_var, golden["bn_var_after"], 1e-8)


def test_fusion():
    golden = load("fusion")
    module = models.authors.fusion(weights(golden["shapes"], golden["seed"])).eval()
    rng, n = np.random.default_rng(int(golden["input_seed"])), int(golden["n"])
    eeg_5s, pps_5s = (rng.standard_normal((n, 2560)) for _ in range(2))
    seconds = [rng.standard_normal((n, 512)) for _ in range(10)]
    features = [torch.from_numpy(f) for f in [eeg_5s, *seconds[:5], pps_5s, *seconds[5:]]]
    assert_close(module(*features), golden["logits"], 1e-8)
    assert_close(module(features), golden["logits"], 1e-8)
