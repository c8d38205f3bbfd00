"""What fine-tuning starts from: the encoders of a fold, pre-trained or random in the same network."""

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
        scripts = " and ".join(f"main_pretrain_{window}.py" for window in sorted(settings.RESOLUTIONS.split("+")))
        remedy = f"run {scripts} with this --run-dir first, or use --init random"
        raise InputError(f"--run-dir {settings.RUN_DIR}: nothing was pre-trained there; {remedy}")


class FirstEncoders:
    """The encoders that fine-tuning with these settings starts from, fold by fold."""

    def __init__(self, settings, data, manifest):
        self.settings, self.data, self.manifest = settings, data, manifest
        self.code = code("finetune")
        self._opened, self._records = (None, None), {}  # the last fold's checkpoints; of every fold what is short
        self.modalities, self.resolutions = settings.MODALITIES.split("+"), settings.RESOLUTIONS.split("+")

    def fill(self, folds):
        """The settings with PPS channels, front end, recipe and widths, where they leave them open, of the checkpoints.

        All ``folds`` must have theirs: one that is missing shows now, not after hours of work.
        """
        for fold in folds:
            checkpoints = self._load(fold)
            recipes = [checkpoint["settings"]["RECIPE"] for checkpoint in checkpoints.values()]  # of 5 s, then of 1 s
            for resolution, checkpoint in reversed(checkpoints.items()):
                given, trained, width = self.settings, checkpoint["settings"], _width(resolution)
                widths = (entry["arguments"]["embed_dim"] for entry in checkpoint["encoders"].values())
                self.settings = given.replace(
                    PPS_CHANNELS=("pps" in self.modalities and given.PPS_CHANNELS) or trained["PPS_CHANNELS"],
                    FRONT_END=given.FRONT_END or trained["FRONT_END"],
                    RECIPE=given.RECIPE or recipes[0],
                    **{width: getattr(given, width) or next(widths, None)},
                )
            self._check(fold, checkpoints)
        return self.settings

    def checkpoints(self, fold):
        """Pre-training checkpoints of a fold by resolution; with INIT = "random" those that happen to be there."""
        if self._opened[0] != fold.index:
            self._opened = fold.index, self._load(fold)
            self._check(fold, self._opened[1])
        return self._opened[1]

    def _load(self, fold):
        checkpoints = {}
        for resolution in self.resolutions:
            path = self._path(resolution, fold)
            if path.exists():
                where = resolution, fold.index, self.manifest
                checkpoints[resolution] = load_pretrained(path, *where, DELETE_IT, mmap=True)
            elif self.settings.INIT == "pretrained":
                raise InputError(path, "does not exist", self._other_checkpoints(resolution, fold))
        return checkpoints

    def _other_checkpoints(self, resolution, fold):
        """What to do where a checkpoint is missing: take another variant, or other folds, that have one."""
        start = pretrain_path(self.settings.RUN_DIR, resolution, "", fold.index).parents[1].name + "_"
        paths = self.settings.RUN_DIR.glob(f"{start}*/fold_{fold.index:02d}/checkpoint.pt")
        if variants := sorted(path.parents[1].name.removeprefix(start) for path in paths)[:3]:
            return f"use --pretrain-variant {' or '.join(variants)}, or --init random"
        folds = ",".join(str(f.index) for f in self.manifest.folds if self._path(resolution, f).exists())
        return _pretrain_first(resolution) + (f", or --folds {folds}" if folds else "")

    def _check(self, fold, checkpoints):
        """Refuse checkpoints that do not go with the settings or the data, or whose pre-training has not ended."""
        settings = self.settings
        for resolution, checkpoint in checkpoints.items():
            path, trained = self._path(resolution, fold), checkpoint["settings"]
            epoch, epochs = checkpoint["epoch"], trained.get("EPOCHS")
            if settings.INIT == "pretrained" and type(epochs) is int and epoch < epochs:
                again = f"give the command of main_pretrain_{resolution}.py once more"
                again += f", or with --epochs {epoch} to take it as it is"
                raise InputError(path, f"is at epoch {epoch} of {epochs}, its pre-training has not ended", again)
            if "pps" in self.modalities and trained["PPS_CHANNELS"] != settings.PPS_CHANNELS:
                channels = f"{','.join(trained['PPS_CHANNELS'])}, not {','.join(settings.PPS_CHANNELS)}"
                same = "use the same --pps-channels, or another --run-dir"
                raise InputError(path, f"was trained on the PPS channels {channels}", same)
            if trained["FRONT_END"] != settings.FRONT_END:
                front_ends = f"{trained['FRONT_END']}, not {settings.FRONT_END}"
                without = "leave the flag out, and pre-train 1 s and 5 s with the same --recipe"
                raise InputError(path, f"was trained with --front-end {front_ends}", without)
            for modality in self.modalities:
                if modality not in checkpoint["encoders"]:
                    raise InputError(path, f"holds no {modality} encoder", _pretrain_first(resolution))
                arguments = checkpoint["encoders"][modality]["arguments"]
                size, wanted = (arguments["n_channels"], arguments["n_samples"]), self._size(resolution, modality)
                if size != wanted:
                    sizes = f"{size[0]} channels x {size[1]} samples, not {wanted[0]} x {wanted[1]}"
                    raise InputError(path, f"has {modality} encoders of {sizes}", _pretrain_first(resolution))
                width = getattr(settings, _width(resolution))
                if width != arguments["embed_dim"]:
                    where = f"--embed-dim-{resolution} {width}: {path}"
                    raise InputError(where, f"has {arguments['embed_dim']}", "leave the flag out")

    def _size(self, resolution, modality):
        """Channels of the windows that an encoder takes, and numbers per channel."""
        names = self.data.info["eeg_channels"] if modality == "eeg" else self.settings.PPS_CHANNELS
        block = block_width(self.settings.FRONT_END, self.data.rate, modality)
        return len(names), splits.RESOLUTIONS[resolution] * block

    def _path(self, resolution, fold):
        return pretrain_path(self.settings.RUN_DIR, resolution, self.settings.PRETRAIN_VARIANT, fold.index)

    def _entry(self, checkpoints, resolution, modality):
        """What `build_encoder` takes: the checkpoint's, if there is one, so that random weights sit in its network."""
        if resolution in checkpoints:
            return checkpoints[resolution]["encoders"][modality]
        n_seconds, front_end = splits.RESOLUTIONS[resolution], self.settings.FRONT_END
        embed_dim = getattr(self.settings, _width(resolution)) or paper_width(n_seconds * self.data.rate)
        arguments = paper_arguments(modality, *self._size(resolution, modality), embed_dim)
        block = {"block_samples": block_width(front_end, self.data.rate, modality)} if front_end != "raw" else {}
        return {"arguments": arguments | block}

    def build(self, checkpoints, n_classes):
        """The whole network of a fold, on the CPU."""
        encoders = {}
        for modality in self.modalities:
            encoders[modality] = {}
            for resolution in self.resolutions:
                entry = self._entry(checkpoints, resolution, modality)
                encoders[modality][resolution] = build_encoder(entry)
                if self.settings.INIT == "pretrained":
                    encoders[modality][resolution].load_state_dict(entry["weights"])
        return FusionModel(encoders, n_classes, self.settings.GATE)

    def _record(self, fold):
        """The checkpoints of a fold without tensors: read once, so that no former fold's weights stay in memory."""
        if fold.index not in self._records:
            self._records[fold.index] = {}
            for resolution, checkpoint in self.checkpoints(fold).items():
                keys = checkpoint.keys() & {"window", "epoch", "kept_epoch", "settings", "code"}
                weights = {name: checkpoint["encoders"][name]["weights"] for name in self.modalities}
                record = {key: checkpoint[key] for key in keys} | {"weights": weights_hash(weights)}
                self._records[fold.index][resolution] = record
        return self._records[fold.index]

    def description(self, folds):
        """Seeds of the pre-trained encoders of these folds, and remarks about what they differ in, for the audit."""
        if self.settings.INIT != "pretrained":
            return [], []
        records = [record for fold in folds for record in self._record(fold).values()]
        codes, differ = [record["code"] for record in records if "code" in record], []
        for name in [name for name in (*SAME_ON_RESUME, "EPOCHS") if name != "WINDOW"]:
            values = {}  # by window size, where each may have its own
            for record in records:
                value = show((record["settings"] | {"EPOCHS": record["epoch"]})[name])
                values.setdefault(record["window"] if ROLES[name].per_window else "", set()).add(value)
            if any(len(some) > 1 for some in values.values()):
                differ.append(f"{name} {' and '.join(sorted(set().union(*values.values())))}")
        if any(other != codes[0] for other in codes):
            differ.append("code")
        remarks = [f"the encoders were not all pre-trained alike: {shorten(differ)}"] if differ else []
        if changed := {name for other in codes for name in changed_code(other, self.code, NETWORK)}:
            remarks.append(f"the encoders were pre-trained with other code: {shorten(sorted(changed))} changed since")
        return sorted({record["settings"]["SEED"] for record in records}), remarks

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
                encoders = {name: record["settings"][name] for name in SAME_ON_RESUME}
                encoders = {k: v for k, v in encoders.items() if k not in BEFORE or v != BEFORE[k]}  # as old results
                encoders |= {"epoch": record["kept_epoch"], "FRONT_END": identity["FRONT_END"]}
                identity[f"weights {resolution}"] = record["weights"]
            else:
                entry = self._entry(self.checkpoints(fold), resolution, self.modalities[0])
                encoders = {"embed_dim": entry["arguments"]["embed_dim"]}
            identity[f"encoders {resolution}"] = encoders
        identity["code"] = self.code
        return identity


def _width(resolution):
    """The setting with the width of an encoder's tokens."""
    return f"EMBED_DIM_{resolution.upper()}"


def _pretrain_first(resolution):
    return f"run main_pretrain_{resolution}.py with this --run-dir first, or use --init random"
