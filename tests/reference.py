"""The same computations in their straightforward form, for the benchmarks and for tests that the numbers are the same.

Written from the paper: library layers, batches put together by NumPy on the host, Adam with its defaults, metrics read
after every step, one encoder call per 1 s window in fine-tuning.
"""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from models import ContrastiveModel
from models.fusion import FusionModel


class ReferenceAttention(nn.Module):
    """Multi-head self-attention, step by step."""

    def __init__(self, width):
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        n, tokens, width = x.shape
        heads = [
            layer(x).view(n, tokens, 4, width // 4).transpose(1, 2) for layer in (self.query, self.key, self.value)
        ]
        query, key, value = heads
        weights = torch.softmax(query @ key.transpose(2, 3) / (width // 4) ** 0.5, dim=3)
        return self.proj((weights @ value).transpose(1, 2).reshape(n, tokens, width))


class ReferenceBlock(nn.Module):
    """A transformer block whose prompt tokens are appended, carried through everything, and dropped."""

    def __init__(self, width, n_prompts):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = ReferenceAttention(width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale1, self.scale2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        self.prompt = nn.Parameter(torch.zeros(1, n_prompts, width)) if n_prompts else None

    def forward(self, x):
        tokens = x.shape[1]
        if self.prompt is not None:
            x = torch.cat([x, self.prompt.repeat(len(x), 1, 1)], dim=1)
        x = x + self.scale1 * self.attention(self.norm1(x))
        x = x + self.scale2 * torch.relu(self.fc2(torch.relu(self.fc1(self.norm2(x)))))
        return x[:, :tokens]


class ReferenceEncoder(nn.Module):
    """An encoder with the weights of a `models.Encoder`."""

    def __init__(self, encoder):
        super().__init__()
        own = encoder.arguments
        width, n_inputs = own["embed_dim"], own["n_channels"] * own["n_samples"]
        self.feature_dim = encoder.feature_dim
        self.value, self.gates = nn.Linear(n_inputs, width), nn.Linear(n_inputs, 3 * width)
        self.view_norm = nn.BatchNorm1d(width)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.type_embedding = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embedding = nn.Parameter(torch.zeros(1, 4, width))
        self.dropout = nn.Dropout(encoder.input_dropout.p)
        self.blocks = nn.ModuleList(ReferenceBlock(width, own["prompt_tokens"]) for _ in range(3))
        self.norm = nn.LayerNorm(width)
        self.projector = copy.deepcopy(encoder.projector)  # nothing, in fine-tuning
        example = encoder.class_token
        self.to(example.device, example.dtype).load_state_dict(reference_weights(encoder.state_dict()))

    def forward(self, x):
        x = x.flatten(1)
        value, gates = self.value(x), torch.sigmoid(self.gates(x)).view(len(x), 3, -1)
        views = value[:, None] * gates
        views = self.view_norm(views.reshape(-1, views.shape[2])).view(views.shape)
        tokens = torch.cat([self.class_token.repeat(len(x), 1, 1), views], dim=1)
        tokens = self.dropout(tokens + self.type_embedding + self.position_embedding)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens).flatten(1)

    def project(self, feature):
        """The space of the contrastive loss."""
        return self.projector(feature)


NAMES = {".gamma": "", "mlp.": "", "prompt.tokens": "prompt", "embedding.norm": "view_norm"}


def reference_weights(weights):
    """A `models.Encoder`'s weights under the names that they have here."""
    renamed = {}
    for name, tensor in weights.items():
        prefix, _, kind = name.rpartition(".")
        if name.startswith("embedding.linear"):
            width = len(tensor) // 4
            renamed |= {f"value.{kind}": tensor[:width], f"gates.{kind}": tensor[width:]}
        elif prefix.endswith("qkv"):
            parts = zip(("query", "key", "value"), tensor.chunk(3), strict=True)
            renamed |= {prefix.replace("qkv", part) + ".weight": rows for part, rows in parts}
        elif kind in ("q_bias", "v_bias"):
            renamed[prefix + {"q": ".query.bias", "v": ".value.bias"}[kind[0]]] = tensor
        else:
            for today, here in NAMES.items():
                name = name.replace(today, here)
            renamed[name] = tensor
    return renamed


def reference_contrastive(model):
    """Reference form of a `models.ContrastiveModel`, with its weights."""
    encoders = {name: ReferenceEncoder(encoder) for name, encoder in model.encoders.items()}
    reference = ContrastiveModel(encoders, model.tau, model.group_losses)
    reference.alignment = copy.deepcopy(model.alignment)
    return reference


class ReferenceFusion(FusionModel):
    """Reference form of a `models.FusionModel`, with its weights: each 1 s window by itself."""

    def __init__(self, model, n_classes):
        encoders = {m: {r: ReferenceEncoder(e) for r, e in inner.items()} for m, inner in model.encoders.items()}
        super().__init__(encoders, n_classes)
        self.head = copy.deepcopy(model.head)

    def features(self, blocks):
        """Features of all encoders, in the order of the classifier."""
        features = []
        for name, encoders in self.encoders.items():
            x = blocks[name]
            features.append(encoders["5s"](torch.cat([x[:, second] for second in range(5)], dim=2)))
            features.extend(encoders["1s"](x[:, second]) for second in range(5))
        return features


def contrastive_batch(data, pps_channels, n_seconds, batch_size, n_people, rng):
    """A batch of pre-training, put together on the host: for each stimulus window two groups of people.

    Returns
    -------
    dict of str to torch.Tensor, shape (2, B, N, C, L)
    """
    n_subjects, n_trials, n_blocks = data.eeg.shape[:3]
    batch = {"eeg": [], "pps": []}
    for _ in range(batch_size):
        trial, first = rng.integers(n_trials), rng.integers(n_blocks // n_seconds) * n_seconds
        people, variant = rng.permutation(n_subjects)[: 2 * n_people], rng.integers(6)
        for person in people:
            blocks = slice(first, first + n_seconds)
            windows = {"eeg": data.eeg[person, trial, blocks], "pps": data.pps[person, trial, blocks][:, pps_channels]}
            for name, window in windows.items():
                batch[name].append(augmented(np.concatenate(list(window), axis=1), variant, rng))
    result = {}
    for name, windows in batch.items():
        stacked = np.stack(windows).reshape(batch_size, 2, n_people, *windows[0].shape)
        result[name] = torch.from_numpy(stacked.swapaxes(0, 1).astype(np.float32))
    return result


def augmented(window, variant, rng):
    """One window (C, L) in one of the six variants."""
    if variant % 3:
        window = window * rng.uniform(*((0.7, 0.8), (1.2, 1.3))[variant % 3 - 1])
    if variant >= 3:
        window = window + rng.normal(size=window.shape) * np.sqrt(window.var() * 10**-0.5)
    return window


def contrastive_step(model, optimizer, batch):
    """One step of pre-training; its metrics, as numbers."""
    terms = model(batch)
    optimizer.zero_grad()
    terms["loss"].backward()
    optimizer.step()
    return {name: term.item() for name, term in terms.items()}


def fusion_batch(data, pps_channels, windows):
    """A batch of fine-tuning, put together on the host from (subject, trial, first second) of each window."""
    eeg = np.stack([data.eeg[s, t, first : first + 5] for s, t, first in windows])
    pps = np.stack([data.pps[s, t, first : first + 5][:, pps_channels] for s, t, first in windows])
    return {"eeg": torch.from_numpy(eeg), "pps": torch.from_numpy(pps)}


def fusion_step(model, optimizer, blocks, truth):
    """One step of fine-tuning; loss and accuracy, as numbers."""
    scores = model(blocks)
    loss = F.cross_entropy(scores, truth)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), (scores.argmax(1) == truth).float().mean().item()
