"""Networks of others, your own, and foundation models as baselines: trained on the 5 s windows of the same folds."""

import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from utils.base.devices import derive_seed, use_threads
from utils.base.errors import InputError
from utils.base.identity import code
from utils.base.other_networks import find, in_one_line
from utils.base.progress import Progress, duration, say_once
from utils.base.rules import result_of
from utils.finetuning import fitting
from utils.finetuning.cross_validation import CrossValidation
from utils.finetuning.foundation import FOUNDATION, Weights
from utils.inputs.normalise import PER_PERSON
from utils.pretraining.checkpoints import save_tensors
from utils.protocol import splits
from utils.protocol.held_out import set_aside
from utils.results.results import describe, report


class Model(nn.Module):
    """A network as the loop of fine-tuning takes it: a body, which FREEZE keeps as it is, and a head.

    The body takes the 1 s blocks of all modalities as one window, times ``gain``, and resampled if asked for.
    """

    captured = False  # as a CUDA graph: the network may do what cannot be

    def __init__(self, body, head, gain=1.0, resample=None):
        super().__init__()
        self.body, self.head, self.gain, self.resample = body, Last(head), gain, resample or nn.Identity()

    def features(self, blocks):
        """What the body makes of blocks (B, 5, n_channels, rate) by modality, in a list of one."""
        x = torch.cat([x.transpose(1, 2).flatten(2) for x in blocks.values()], dim=1)  # (B, n_chans, n_times)
        return [self.body(self.resample(self.gain * x))]


class Last(nn.Sequential):
    """The last layer, which takes a list of one."""

    def forward(self, features):
        """Class scores."""
        return super().forward(features[0])


class Networks(CrossValidation):
    """One network of MODELS (``EEGNet``, ``my_net.py:Net``, ``CBraMod=folder``) on the folds of a run directory."""

    stage = "baseline"

    def __init__(self, asked, settings, data, labels, class_names):
        self.data, self.labels, self.class_names = data, labels, class_names
        name, _, weights = asked.partition("=")
        self.weights = Weights(name, weights, f"--models {asked}") if weights else None
        if name in FOUNDATION and not weights:
            raise InputError(f"--models {name} is a foundation model: give its weights, {name}=FOLDER or {name}=FILE")
        self.network = find(name, "--models")
        self.model, self.asks = self.network.name, FOUNDATION.get(name, {}) if weights else {}
        self.name, self.other = f"{self.model}, ", (self.model, self.network.file)
        if settings.EPOCHS < 1:
            raise InputError("--epochs must be at least 1 for a network, not 0")
        self.settings = settings.replace(
            LR=settings.LR or (1e-4 if weights and not settings.FREEZE else 1e-3),
            FREEZE=bool(weights) and settings.FREEZE,  # any other network has nothing to keep
            STANDARDISE=settings.STANDARDISE or "none",
        )
        if weights:
            if "eeg" not in settings.MODALITIES:
                raise InputError(f"--models {asked}: its weights are for EEG; use --modalities eeg, on data with EEG")
            self.settings = self.settings.replace(MODALITIES="eeg", PPS_CHANNELS=[])
        use_threads(settings.THREADS, self._build())  # what does not go with these data is refused before all work

    def begin(self, folder, manifest, folds):
        """Train and test these folds in this folder."""
        self.remedy = f"--tag NAME keeps both, or delete {folder.name}"
        self.open(manifest, folds, folder, per_person=self.settings.STANDARDISE in PER_PERSON)
        self.run()

    def identity(self, fold):
        """All that a fold's result depends on."""
        settings = self.settings.as_dict()
        return {name: settings[name] for name in result_of("N")} | {
            "manifest": self.manifest.hash,
            "package": None if self.network.file else self.network.version,  # a file is in the code
            "weights": self.weights and self.weights.digest,
            "code": code("network") | self.network.code,
        }

    def report(self):
        """Write and print what is complete by now."""
        results = self.results()
        description = describe(self.settings, self.data, self.manifest, self.class_names, results)
        network = {"version": self.network.version, "file": self.network.file and str(self.network.file)}
        extra = {"model": self.model, "network": network | {"weights": self.weights and self.weights.digest}}
        elsewhere = f"{self.model} was pre-trained on recordings that are not listed here: no audit can see them"
        missing = {fold.index for fold in self.folds} - {result.fold for result in results}
        report(self.folder, description, results, self.data, extra, not missing, [elsewhere] if self.weights else [])

    def run_fold(self, fold):
        """Train on a fold's training windows, predict its test windows, save the predictions."""
        settings, start = self.settings, time.perf_counter()
        torch.manual_seed(derive_seed(settings.SEED, "network", self.model, settings.LABEL, fold.index))
        per_trial = self.data.eeg.shape[2] // splits.WINDOW_SECONDS
        seen, test = self.windows(fold)
        rows = set_aside(settings, self.manifest.split, fold.index, fold.train.rows["5s"], per_trial, self.data.groups)
        aside = np.isin(seen[:, 2], rows[1])
        train, validation = seen[~aside], seen[aside]
        if settings.KEEP == "best" and not len(validation):
            raise InputError(f"--keep best: fold {fold.index} has no label to set aside; raise --label-fraction")
        inputs, model = self._inputs_and_model(fold, train)
        best = Best(self, model, self.inputs(fold, validation), self.truth(validation)) if len(validation) else None
        where = f"{self.name}fold {fold.index}"
        with Progress(desc=where, total=settings.EPOCHS, unit="epoch", leave=False, lines=False) as progress:
            fitting.fit(model, inputs, self.truth(train).to(self.device), settings, where, progress, after_epoch=best)
        if best:
            model.load_state_dict(best.weights)
        probability = self.predict(model, self.inputs(fold, test))
        contents = self.contents(fold, seen, test, probability, start)
        save_tensors(self.path(fold), contents)
        accuracy = (probability.argmax(1) == contents["truth"]).double().mean()
        print(f"{where}: test accuracy {accuracy:.2f}, {duration(contents['seconds'])}")

    def seconds_per_window(self, manifest, folder):
        """Time of a window in training, measured in an epoch of two batches after another one."""
        fold = manifest.folds[0]
        self.open(manifest, [fold], folder)
        train = self.windows(fold)[0][: 2 * self.settings.BATCH_SIZE]
        inputs, model = self._inputs_and_model(fold, train)
        truth, settings = self.truth(train).to(self.device), self.settings.replace(EPOCHS=2)
        with in_one_line(*self.other):
            return fitting.fit(model, inputs, truth, settings, self.model)[-1]["seconds"] / len(train)

    def _inputs_and_model(self, fold, train):
        inputs = self.inputs(fold, train)
        return inputs, self._build(self._gain(inputs)).to(self.device)

    def _build(self, gain=1.0):
        """The network of a fold, on the CPU."""
        rate, seconds = self.data.rate, splits.WINDOW_SECONDS
        names = {"eeg": self.data.info["eeg_channels"], "pps": self.settings.PPS_CHANNELS}
        counts = {modality: len(names[modality]) for modality in self.settings.MODALITIES.split("+")}
        n_chans = sum(counts.values())
        parts = ", ".join(f"{n} {modality.upper()}" for modality, n in counts.items())
        say_once(f"{self.model}: {n_chans} channels ({parts})")
        n_outputs = len(self.class_names)
        if not self.weights:
            network = self.network.build(n_chans, seconds * rate, rate, n_outputs)
            return Model(network, nn.Identity())
        rate_of = self.asks["rate"]
        arguments = self.weights.arguments(self.network.make)
        network = self.network.build(n_chans, seconds * rate_of, rate_of, n_outputs, **arguments)
        self.weights.load_into(network)
        head, network.final_layer = network.final_layer, nn.Identity()
        from torchaudio.transforms import Resample  # which braindecode has imported

        return Model(network, head, gain, Resample(rate, rate_of))

    def _gain(self, windows):
        """The factor that gives the training windows the deviation that a foundation model asks for."""
        if not self.weights:
            return 1.0
        total, n = torch.zeros(2, device=self.device), 0
        for chunk in torch.arange(len(windows), device=windows.subject.device).split(256):
            x = windows.take(chunk)["eeg"]
            total += torch.stack([x.sum(), x.square().sum()])
            n += x.numel()
        mean, square = (total / n).tolist()
        deviation = (square - mean**2) ** 0.5
        if not deviation > 0:
            raise InputError(f"{self.data.folder}: the EEG of the training windows does not vary")
        return self.asks["deviation"] / deviation


class Best:
    """KEEP = "best": the weights of the epoch with the lowest loss on the training trials that are set aside."""

    def __init__(self, networks, model, windows, truth):
        self.networks, self.model, self.windows, self.truth = networks, model, windows, truth
        self.loss, self.weights = float("inf"), None

    def __call__(self):
        """Look at the model after an epoch."""
        probability = self.networks.predict(self.model, self.windows)
        loss = F.nll_loss(probability.clamp_min(1e-7).log(), self.truth).item()
        if loss < self.loss:
            self.loss = loss
            self.weights = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
