"""Networks of others, your own, and foundation models as baselines: trained on the 5 s windows of the same folds."""

import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from utils.base import ranks
from utils.base.devices import choose_device, derive_seed, provenance, set_precision, use_threads
from utils.base.errors import InputError
from utils.base.files import only_writer
from utils.base.identity import code
from utils.base.other_networks import find
from utils.base.progress import Progress
from utils.base.rules import result_of
from utils.finetuning import fitting, fold_files
from utils.finetuning.foundation import FOUNDATION, Weights
from utils.inputs.normalise import PER_PERSON
from utils.pretraining.batches import FusionWindows, Recordings
from utils.pretraining.checkpoints import FORMAT_VERSION, save_tensors
from utils.pretraining.variants import write_begun
from utils.protocol import audit, splits
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


class Last(nn.Module):
    """The last layer, of a list of one."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, features):
        """Class scores."""
        return self.layer(features[0])


class Networks:
    """One network of MODELS (``EEGNet``, ``my_net.py:Net``, ``CBraMod=folder``) on the folds of a run directory."""

    def __init__(self, asked, settings, data, labels, class_names):
        self.data, self.labels, self.class_names = data, labels, class_names
        name, _, weights = asked.partition("=")
        self.weights = Weights(name, weights, f"--models {asked}") if weights else None
        if name in FOUNDATION and not weights:
            raise InputError(f"--models {name} is a foundation model: give its weights, {name}=FOLDER or {name}=FILE")
        self.network = find(name, "--models")
        self.name, self.asks = self.network.name, FOUNDATION.get(name, {}) if weights else {}
        if settings.EPOCHS < 1:
            raise InputError("--epochs must be at least 1 for a network, not 0")
        self.settings = settings = settings.replace(
            LR=settings.LR or (1e-4 if weights and not settings.FREEZE else 1e-3),
            FREEZE=bool(weights) and settings.FREEZE,  # any other network has nothing to keep
            STANDARDISE=settings.STANDARDISE or "none",
        )
        if weights:
            if "eeg" not in settings.MODALITIES:
                raise InputError(f"--models {asked}: its weights are for EEG; use --modalities eeg, on data with EEG")
            self.settings = settings.replace(MODALITIES="eeg", PPS_CHANNELS=[])
        use_threads(settings.THREADS, self._build())  # what does not go with these data is refused before all work

    def run(self, folder, manifest, folds):
        """Train and test this process's folds that are missing; write the metrics of all that are complete by then."""
        settings = self.settings
        self.folder, self.split = folder, manifest.split
        self.identity = {name: settings.as_dict()[name] for name in result_of("N")} | {"manifest": manifest.hash}
        self.identity["package"] = None if self.network.file else self.network.version  # a file is in the code
        self.identity["weights"] = self.weights and self.weights.digest
        self.identity["code"] = code("network") | self.network.code
        self.device = choose_device(settings.DEVICE)
        set_precision(settings.PRECISION, self.device)
        self.provenance = provenance(self.device)
        modalities = settings.MODALITIES.split("+")
        per_person = settings.STANDARDISE in PER_PERSON
        self.recordings = Recordings(self.data, modalities, settings.PPS_CHANNELS, self.device, per_person=per_person)
        results = {fold.index: self._stored(fold) for fold in manifest.folds}
        write_begun(folder, settings)
        for fold in ranks.share(folds):
            if settings.RESUME and results[fold.index]:
                print(f"{self.name}, fold {fold.index}: complete")
                continue
            with only_writer(self._path(fold).parent):
                self._run_fold(fold)
        with only_writer(folder / "metrics.json", wait=True):
            results = [result for fold in manifest.folds if (result := self._stored(fold))]
            description = describe(settings, self.data, manifest, self.class_names, results)
            network = {"version": self.network.version, "file": self.network.file and str(self.network.file)}
            extra = {"model": self.name, "network": network | {"weights": self.weights and self.weights.digest}}
            elsewhere = f"{self.name} was pre-trained on recordings that are not listed here: no audit can see them"
            missing = {fold.index for fold in folds} - {result.fold for result in results}
            report(folder, description, results, self.data, extra, not missing, [elsewhere] if self.weights else [])

    def _run_fold(self, fold):
        settings, start = self.settings, time.perf_counter()
        torch.manual_seed(derive_seed(settings.SEED, "network", self.name, settings.LABEL, fold.index))
        seconds, groups = self.data.eeg.shape[2], self.data.groups
        per_trial = seconds // splits.WINDOW_SECONDS
        seen, test = splits.fold_windows(fold, per_trial, self.data.seen, settings)
        others = set_aside(settings, self.split, fold.index, fold.train.rows["5s"], per_trial, groups)[1]
        aside = np.isin(seen[:, 2], others)
        train, validation = seen[~aside], seen[aside]
        if settings.KEEP == "best" and not len(validation):
            raise InputError(f"--keep best: fold {fold.index} has no label to set aside; raise --label-fraction")
        recordings = self.recordings.standardised(splits.training_seconds(fold, self.data.eeg.shape[:3]))
        train_x, validation_x, test_x = (
            FusionWindows(recordings, windows, seconds) for windows in (train, validation, test)
        )
        model = self._build(self._gain(train_x)).to(self.device)
        best = Best(model, validation_x, self._truth(validation), settings) if len(validation) else None
        where = f"{self.name}, fold {fold.index}"
        with Progress(desc=where, total=settings.EPOCHS, unit="epoch") as progress:
            fitting.fit(model, train_x, self._truth(train), settings, where, progress, after_epoch=best)
        if best:
            model.load_state_dict(best.weights)
        result = {
            "format_version": FORMAT_VERSION,
            "stage": "baseline",
            "fold": fold.index,
            "identity": self.identity,
            "windows": torch.from_numpy(test),
            "truth": self._truth(test).cpu(),
            "probability": fitting.predict(model, test_x, settings.BATCH_SIZE, settings.PRECISION == "bf16"),
            "n_train": len(seen),
            "audit": {"classifier": audit.count(test, seen, groups), "encoder_1s": None, "encoder_5s": None},
            "seconds": time.perf_counter() - start,
            "provenance": self.provenance,
        }
        save_tensors(self._path(fold), result)

    def _build(self, gain=1.0):
        """The network of a fold, on the CPU."""
        rate, seconds = self.data.rate, splits.WINDOW_SECONDS
        names = {"eeg": self.data.info["eeg_channels"], "pps": self.settings.PPS_CHANNELS}
        n_chans = sum(len(names[modality]) for modality in self.settings.MODALITIES.split("+"))
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

    def _truth(self, windows):
        return torch.from_numpy(self.labels[windows[:, 0], windows[:, 1]]).to(self.device)

    def _path(self, fold):
        return fold_files.path_of(self.folder, fold)

    def _stored(self, fold):
        remedy = f"--tag NAME keeps both, or delete {self.folder.name}"
        return fold_files.read(self.folder, fold, self.identity, remedy)


class Best:
    """KEEP = "best": the weights of the epoch with the lowest loss on the training trials that are set aside."""

    def __init__(self, model, windows, truth, settings):
        self.model, self.windows, self.truth, self.settings = model, windows, truth.cpu(), settings
        self.loss, self.weights = float("inf"), None

    def __call__(self):
        """Look at the model after an epoch."""
        bf16 = self.settings.PRECISION == "bf16"
        probability = fitting.predict(self.model, self.windows, self.settings.BATCH_SIZE, bf16)
        loss = F.nll_loss(probability.clamp_min(1e-7).log(), self.truth).item()
        if loss < self.loss:
            self.loss = loss
            self.weights = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
