"""What fine-tuning starts from: the encoders of a fold, pre-trained or random in the same network."""

from pathlib import Path

from data_prep.signals.channels import shorten
from models import FusionModel
from models.encoder import paper_arguments, paper_width
from utils.base.errors import InputError
from utils.base.identity import NETWORK, changed_code, code, weights_hash
from utils.base.rules import BEFORE, ROLES, result_of
from utils.base.settings import show
from utils.inputs.features import FIRST_VERSION, VERSION, block_width
from utils.pretraining.checkpoints import DELETE_IT, SAME_ON_RESUME, load_pretrained, pretrain_path
from utils.pretraining.networks import build_encoder
from utils.protocol import splits


def check_begun(settings):
    """Refuse to fine-tune where nothing was pre-trained, before a split is written that pre-training would find."""
    if settings.INIT == "pretrained" and not (settings.RUN_DIR / "split.json").exists():
        scripts = [f"main_pretrain_{window}.py" for window in sorted(settings.RESOLUTIONS.split("+"))]
        raise InputError(
            f"--run-dir {settings.RUN_DIR}: nothing was pre-trained there; run {' and '.join(scripts)} with this "
            "--run-dir first, or use --init random"
        )


def refuse_unfinished(path, checkpoint):
    """Refuse encoders whose pre-training was interrupted: a result of theirs would not be that of its settings."""
    epoch, epochs = checkpoint["epoch"], checkpoint["settings"].get("EPOCHS")
    if type(epochs) is int and epoch < epochs:
        script = f"main_pretrain_{checkpoint['window']}.py"
        raise InputError(
            f"{path} is at epoch {epoch} of {epochs}, its pre-training has not ended: give the command of {script} "
            f"once more, or with --epochs {epoch} to take it as it is"
        )


class FirstEncoders:
    """The encoders that fine-tuning starts from, fold by fold; all of ``folds`` must have those that are asked for.

    ``settings`` has PPS channels, front end, recipe and sizes from the checkpoints where they were None or empty.
    """

    def __init__(self, settings, data, manifest, folds):
        self.settings, self.data, self.manifest = settings, data, manifest
        self.code = code("finetune")
        self._opened, self._records = (None, None), {}  # the checkpoints of the last fold; of every fold what is short
        self.modalities, self.resolutions = settings.MODALITIES.split("+"), settings.RESOLUTIONS.split("+")
        for fold in folds:  # a missing checkpoint shows now, not after hours of work
            for resolution, checkpoint in self.checkpoints(fold).items():
                embed_dim = checkpoint["encoders"][self.modalities[0]]["arguments"]["embed_dim"]
                self.settings = self.settings.replace(
                    PPS_CHANNELS=checkpoint["settings"]["PPS_CHANNELS"],
                    FRONT_END=checkpoint["settings"]["FRONT_END"],
                    RECIPE=self.settings.RECIPE or checkpoint["settings"]["RECIPE"],
                    **{f"EMBED_DIM_{resolution.upper()}": embed_dim},
                )
            if fold is folds[0]:  # once more: what the one window size has filled in, the other must have as well
                self._opened = None, None
                self.checkpoints(fold)

    def checkpoints(self, fold):
        """Pre-training checkpoints of a fold by resolution; with INIT = "random" those that happen to be there."""
        if self._opened[0] != fold.index:
            self._opened = fold.index, self._open(fold)
        return self._opened[1]

    def _record(self, fold):
        """The checkpoints of a fold without tensors: read once, so that no former fold's weights stay in memory."""
        if fold.index not in self._records:
            self._records[fold.index] = {}
            for resolution, one in self.checkpoints(fold).items():
                weights = {name: one["encoders"][name]["weights"] for name in self.modalities}
                short = {key: one[key] for key in ("window", "epoch", "kept_epoch", "settings", "code") if key in one}
                short["weights"] = weights_hash(weights) if self.settings.INIT == "pretrained" else None
                self._records[fold.index][resolution] = short
        return self._records[fold.index]

    def _open(self, fold):
        checkpoints = {}
        for resolution in self.resolutions:
            path = self._pretrained(resolution, fold)
            if self.settings.INIT == "random" and not path.exists():
                continue
            remedy = f"run main_pretrain_{resolution}.py with this --run-dir first, or use --init random"
            if not path.exists():
                numbers = [str(f.index) for f in self.manifest.folds if self._pretrained(resolution, f).exists()]
                remedy += f", or --folds {','.join(numbers)}" if numbers else ""
                others = self._variants(resolution, fold)
                remedy = f"use --pretrain-variant {' or '.join(others)}, or --init random" if others else remedy
            checkpoint = load_pretrained(
                path, resolution, fold.index, self.manifest, DELETE_IT if path.exists() else remedy, mmap=True
            )
            if self.settings.INIT == "pretrained":
                refuse_unfinished(path, checkpoint)
            self._check(path, resolution, checkpoint, remedy)
            checkpoints[resolution] = checkpoint
        return checkpoints

    def _check(self, path, resolution, checkpoint, remedy):
        """Refuse a checkpoint that does not go with the settings or the data."""
        channels, front_end = (checkpoint["settings"][name] for name in ("PPS_CHANNELS", "FRONT_END"))
        chosen = self.settings.PPS_CHANNELS
        if chosen not in ([], channels) and "pps" in self.modalities:
            what = f"was trained on the PPS channels {','.join(channels)}, not {','.join(chosen)}"
            raise InputError(f"{path} {what}; use the same --pps-channels, or another --run-dir")
        if self.settings.FRONT_END not in (None, front_end):
            what = f"was trained with --front-end {front_end}, not {self.settings.FRONT_END}"
            raise InputError(f"{path} {what}: leave the flag out, and pre-train 1 s and 5 s with the same --recipe")
        for modality in self.modalities:
            if modality not in checkpoint["encoders"]:
                raise InputError(f"{path} holds no {modality} encoder; {remedy}")
            arguments = checkpoint["encoders"][modality]["arguments"]
            n_channels = len(self.data.info["eeg_channels"] if modality == "eeg" else channels)
            n_samples = splits.RESOLUTIONS[resolution] * block_width(front_end, self.data.rate, modality)
            if (arguments["n_channels"], arguments["n_samples"]) != (n_channels, n_samples):
                size = f"{arguments['n_channels']} channels x {arguments['n_samples']} samples"
                raise InputError(f"{path} has {modality} encoders of {size}, not {n_channels} x {n_samples}; {remedy}")
            width, embed_dim = self._width(resolution), arguments["embed_dim"]
            if width not in (None, embed_dim):
                raise InputError(f"--embed-dim-{resolution} {width}: {path} has {embed_dim}; leave the flag out")

    def _width(self, resolution):
        return {"1s": self.settings.EMBED_DIM_1S, "5s": self.settings.EMBED_DIM_5S}[resolution]

    def _pretrained(self, resolution, fold):
        return pretrain_path(self.settings.RUN_DIR, resolution, self.settings.PRETRAIN_VARIANT, fold.index)

    def _variants(self, resolution, fold):
        """Pre-training variants that have a checkpoint of this fold, at most three."""
        start = pretrain_path(self.settings.RUN_DIR, resolution, "", fold.index).parents[1].name + "_"
        paths = Path(self.settings.RUN_DIR).glob(f"{start}*/fold_{fold.index:02d}/checkpoint.pt")
        return sorted(path.parents[1].name.removeprefix(start) for path in paths)[:3]

    def _arguments(self, checkpoints, resolution, modality):
        """Sizes of an encoder: the checkpoint's, if there is one, so that random weights sit in the same network."""
        if resolution in checkpoints:
            return checkpoints[resolution]["encoders"][modality]["arguments"]
        n_seconds, front_end = splits.RESOLUTIONS[resolution], self.settings.FRONT_END
        embed_dim = self._width(resolution) or paper_width(n_seconds * self.data.rate)
        block = block_width(front_end, self.data.rate, modality)
        n_channels = len(self.data.info["eeg_channels"] if modality == "eeg" else self.settings.PPS_CHANNELS)
        arguments = paper_arguments(modality, n_channels, n_seconds * block, embed_dim)
        return arguments | ({"block_samples": block} if front_end != "raw" else {})

    def build(self, checkpoints, n_classes):
        """The whole network of a fold, on the CPU."""
        encoders = {}
        for modality in self.modalities:
            encoders[modality] = {}
            for resolution in self.resolutions:
                kind = checkpoints[resolution]["encoders"][modality].get("kind") if resolution in checkpoints else None
                arguments = self._arguments(checkpoints, resolution, modality)
                encoder = build_encoder({"kind": kind or "physiosync", "arguments": arguments})
                if self.settings.INIT == "pretrained":
                    encoder.load_state_dict(checkpoints[resolution]["encoders"][modality]["weights"])
                encoders[modality][resolution] = encoder
        return FusionModel(encoders, n_classes, self.settings.GATE)

    def description(self, folds):
        """Seeds of the pre-trained encoders of these folds, and remarks about what they differ in, for the audit."""
        if self.settings.INIT != "pretrained":
            return [], []
        records = [one for fold in folds for one in self._record(fold).values()]
        differ = []
        for name in (*SAME_ON_RESUME, "EPOCHS"):
            if name == "WINDOW":
                continue
            values = {}  # by window size, where each may have its own
            for one in records:
                value = show((one["settings"] | {"EPOCHS": one["epoch"]})[name])
                values.setdefault(one["window"] if ROLES[name].per_window else "", set()).add(value)
            if any(len(some) > 1 for some in values.values()):
                differ.append(f"{name} {' and '.join(sorted(set().union(*values.values())))}")
        if len({repr(one["code"]) for one in records if "code" in one}) > 1:
            differ.append("code")
        remarks = [f"the encoders were not all pre-trained alike: {shorten(differ)}"] if differ else []
        changed = [changed_code(one["code"], self.code, NETWORK) for one in records if "code" in one]
        if changed := set().union(*changed):
            remarks.append(f"the encoders were pre-trained with other code: {shorten(sorted(changed))} changed since")
        return sorted({one["settings"]["SEED"] for one in records}), remarks

    def identity(self, fold):
        """All that a fold's result depends on, for a result is taken up only if nothing of it has changed."""
        identity = {name: self.settings.as_dict()[name] for name in result_of("F")}
        if identity["FRONT_END"] == FIRST_VERSION:
            identity["FRONT_END"] = "bandpower"  # as results of then say
        elif identity["FRONT_END"] != "raw":
            identity["features"] = VERSION
        identity["manifest"] = self.manifest.hash
        for resolution in self.resolutions:
            if self.settings.INIT == "pretrained":
                record = self._record(fold)[resolution]
                encoders = {name: record["settings"][name] for name in SAME_ON_RESUME} | {"epoch": record["kept_epoch"]}
                encoders["FRONT_END"] = identity["FRONT_END"]
                for name, value in BEFORE.items():
                    if encoders[name] == value:  # results from before there was one do not say
                        del encoders[name]
                identity[f"weights {resolution}"] = record["weights"]
            else:
                arguments = self._arguments(self.checkpoints(fold), resolution, self.modalities[0])
                encoders = {"embed_dim": arguments["embed_dim"]}
            identity[f"encoders {resolution}"] = encoders
        identity["code"] = self.code
        return identity
