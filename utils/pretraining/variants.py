"""Names of folders: variants sit side by side in a run directory, each called after what is not the default."""

from pathlib import Path

from utils.base import ranks
from utils.base.files import write_json
from utils.base.rules import name_parts


def pretrain_variant(settings):
    """What the folder of a pre-training is called behind its window."""
    return "_".join(_name_parts(settings))


def result_folder(settings, data, *kind):
    """Folder of a result: ``finetune``, or ``baseline`` and its model; then the label and the options."""
    first, *model = kind
    parts = [first, data.folder_name(settings.LABEL), *model, *_name_parts(settings)]
    return Path(settings.RUN_DIR) / "_".join(parts)


def _name_parts(settings):
    """With MODALITIES as given: None, all that the data have, is not part of a name."""
    return name_parts(vars(settings) | {"MODALITIES": settings.given_values["MODALITIES"]})


def write_begun(folder, settings):
    """Say in a folder how its script was begun, for the report of a run that ends before its first result."""
    if ranks.rank() == 0:
        write_json(Path(folder) / "begun.json", {"settings": settings.as_dict(), "given": settings.words})
