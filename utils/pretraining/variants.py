"""Names of folders: variants sit side by side in a run directory, each called after what is not the default."""

from pathlib import Path

from utils.base import ranks
from utils.base.files import write_json
from utils.pretraining import recipes


def pretrain_variant(settings):
    """Name of the options that are not the default, for the folder: variants sit side by side in a run directory."""
    parts = recipes.modalities_in_name(settings)
    for name in ("GROUP_LOSS_EEG", "GROUP_LOSS_PPS", "CMCA", "AUGMENTATION"):
        parts += [] if getattr(settings, name) else ["no-" + name.lower().replace("_", "-")]
    parts += ["augmentation"] if settings.POSITIVES == "augmentation" else []
    parts += [settings.TAG] if settings.TAG else []
    return "_".join(parts)


def finetune_folder(settings, data):
    """Folder of the results: its name has the label and every option that is not the default."""
    parts = ["finetune", data.folder_name(settings.LABEL)]
    parts += [settings.PRETRAIN_VARIANT] if settings.PRETRAIN_VARIANT else []
    parts += recipes.modalities_in_name(settings)
    parts += [settings.RESOLUTIONS] if settings.RESOLUTIONS != "5s+1s" else []
    parts += ["random"] if settings.INIT == "random" else []
    parts += ["frozen"] if settings.FREEZE else []
    parts += [f"labels-{settings.LABEL_FRACTION:g}"] if settings.LABEL_FRACTION < 1 else []
    parts += ["no-gate"] if not settings.GATE else []
    parts += ["permuted"] if settings.PERMUTE_LABELS else []
    parts += [settings.TAG] if settings.TAG else []
    return Path(settings.RUN_DIR) / "_".join(parts)


def write_begun(folder, settings):
    """Say in a folder how its script was begun, for the report of a run that ends before its first result."""
    if ranks.rank() == 0:
        write_json(Path(folder) / "begun.json", {"settings": settings.as_dict(), "given": settings.words})
