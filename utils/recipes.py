"""Hyper-parameters by data set and protocol, in one table; a constant that is not None goes before them."""

from utils.errors import InputError

_BATCHES = dict(BATCH_SIZE=8, SUBJECTS_PER_GROUP=2, TEMPERATURE=0.1)
PRETRAIN = {  # by recipe and data set
    ("paper", "DEAP"): _BATCHES | dict(EPOCHS=500, LR=7e-4, WEIGHT_DECAY=1e-3),
    ("paper", "DREAMER"): _BATCHES | dict(EPOCHS=500, LR=1e-4, WEIGHT_DECAY=1e-3),
}
FINETUNE = {
    ("paper", "DEAP"): dict(EPOCHS=6, LR=1e-3, WEIGHT_DECAY=0.0, BATCH_SIZE=256),
    ("paper", "DREAMER"): dict(EPOCHS=15, LR=1e-3, WEIGHT_DECAY=0.0, BATCH_SIZE=256),
}
PPS_CHANNELS = {"DEAP": ["GSR"]}  # what the paper uses; all channels of any other data set


def fill(settings, table, data):
    """Settings with the recipe's value in place of every None, and the PPS channels of the paper in place of none.

    Parameters
    ----------
    settings : Settings
        Changed in place.
    table : dict
        ``PRETRAIN`` or ``FINETUNE``.
    data : data_prep.Prepared
        Its name chooses the row; a data set that the paper does not know takes DEAP's.

    Returns
    -------
    list of str
        Names that the recipe filled, for those who may adapt them.
    """
    known = data.name if (settings.RECIPE, data.name) in table else "DEAP"
    row = table[settings.RECIPE, known]
    filled = [name for name in row if getattr(settings, name) is None]
    for name in filled:
        setattr(settings, name, row[name])
    if not settings.PPS_CHANNELS:
        settings.PPS_CHANNELS = PPS_CHANNELS.get(data.name, list(data.info["pps_channels"]))
    if not settings.PPS_CHANNELS:
        raise InputError(f"{data.folder} has no PPS channels")
    print(f"recipe {settings.RECIPE} ({known}): " + ", ".join(f"{name} {getattr(settings, name)}" for name in filled))
    return filled
