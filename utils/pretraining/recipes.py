"""Hyper-parameters by data set and protocol, in one table; a constant that is not None goes before them.

The paper's batches across subjects are 128 (DEAP) or 32 (DREAMER) windows. Here a batch is counted in positive pairs'
stimulus windows: B of them, each seen by two groups of N people, are 2 B N windows.

The robust recipe is the same for all data sets and protocols. Simulated recordings chose it (benchmarks/RESULTS.md).
"""

import math

from utils.base.errors import InputError
from utils.base.settings import show
from utils.inputs.features import block_width
from utils.protocol.windows import WINDOW_SECONDS, windows_of

_PAPER = dict(FRONT_END="raw", PROJECTOR_DIMS=[1024, 2048, 4096])
_DEPENDENT = _PAPER | dict(EPOCHS=500, WEIGHT_DECAY=1e-3, BATCH_SIZE=8, SUBJECTS_PER_GROUP=2, TEMPERATURE=0.1)
_CROSS = _PAPER | dict(EPOCHS=500, WEIGHT_DECAY=1e-3, SUBJECTS_PER_GROUP=2, TEMPERATURE=0.07)
_TUNING = dict(FRONT_END="raw", LR=1e-3, WEIGHT_DECAY=0.0, BATCH_SIZE=256)

PRETRAIN = {  # by recipe, data set and protocol
    ("paper", "DEAP", "subject-dependent"): _DEPENDENT | dict(LR=7e-4),
    ("paper", "DREAMER", "subject-dependent"): _DEPENDENT | dict(LR=1e-4),
    ("paper", "DEAP", "cross-subject"): _CROSS | dict(LR=7e-4, BATCH_SIZE=32),
    ("paper", "DREAMER", "cross-subject"): _CROSS | dict(LR=1e-4, BATCH_SIZE=8),
}
FINETUNE = {
    ("paper", "DEAP", "subject-dependent"): _TUNING | dict(EPOCHS=6),
    ("paper", "DREAMER", "subject-dependent"): _TUNING | dict(EPOCHS=15),
    ("paper", "DEAP", "cross-subject"): _TUNING | dict(EPOCHS=10),
    ("paper", "DREAMER", "cross-subject"): _TUNING | dict(EPOCHS=10),
}
ROBUST_PRETRAIN = dict(
    FRONT_END="bandpower",
    EMBED_DIM=32,
    PROJECTOR_DIMS=[64, 64, 64],
    EPOCHS=2,
    BATCH_SIZE=32,
    SUBJECTS_PER_GROUP=4,
    TEMPERATURE=0.1,
    LR=7e-4,
    WEIGHT_DECAY=1e-3,
)
ROBUST_FINETUNE = dict(
    FRONT_END="bandpower", EMBED_DIM_1S=32, EMBED_DIM_5S=32, EPOCHS=9, BATCH_SIZE=64, LR=1e-4, WEIGHT_DECAY=0.0
)
ENOUGH_STEPS = 120  # of fine-tuning with the robust recipe: with more data, fewer of its epochs
FEWEST_EPOCHS = 2
for _name in ("DEAP", "DREAMER"):
    for _protocol in ("subject-dependent", "cross-subject"):
        PRETRAIN["robust", _name, _protocol], FINETUNE["robust", _name, _protocol] = ROBUST_PRETRAIN, ROBUST_FINETUNE
PPS_CHANNELS = {"DEAP": ["GSR"]}  # what the paper uses; all channels of any other data set


def fill(settings, table, data, protocol):
    """Replace every None in ``settings`` by the recipe's value for this data set (else DEAP's); returns the names
    that were filled.
    """
    known = data.name if (settings.RECIPE, data.name, protocol) in table else "DEAP"
    row = table[settings.RECIPE, known, protocol]
    filled = [name for name in row if getattr(settings, name) is None]
    for name in filled:
        setattr(settings, name, row[name])
    settings.PPS_CHANNELS = choose_pps(settings, data)
    if (
        settings.FRONT_END != "raw"
        and "eeg" in settings.MODALITIES
        and not block_width(settings.FRONT_END, data.rate, "eeg")
    ):
        raise InputError(
            f"--front-end {settings.FRONT_END}: {data.folder} has EEG at {data.rate} Hz, in which no band can be seen; "
            "use --front-end raw" + (" or --modalities pps" if "pps" in data.modalities else "")
        )
    chosen = ", ".join(f"{name} = {show(row[name])}" for name in filled) or "nothing, all was given"
    as_for = known if known == data.name else f"as for {known}"
    print(f"settings of the recipe {settings.RECIPE} ({as_for}, {protocol}): {chosen}")
    return filled


def cut_epochs(settings, manifest, data):
    """No more epochs of fine-tuning than are enough steps; alike for all folds, and for all seeds of a data set."""
    per_trial = data.info["seconds"] // WINDOW_SECONDS
    n = min(len(windows_of(f.train.subjects, f.train.rows["5s"], per_trial, data.seen)) for f in manifest.folds)
    n = round(n * settings.LABEL_FRACTION)
    settings.EPOCHS = enough_epochs(settings.EPOCHS, n, settings.BATCH_SIZE)
    print(f"EPOCHS {settings.EPOCHS}: enough steps with {n} training windows")


def enough_epochs(epochs, n_windows, batch_size):
    """The robust recipe's epochs of fine-tuning, cut where fewer are enough steps (benchmarks/RESULTS.md)."""
    steps = max(1, n_windows // batch_size)  # of an epoch, at least
    return min(epochs, max(FEWEST_EPOCHS, math.ceil(ENOUGH_STEPS / steps)))


def choose_pps(settings, data):
    """Full names of the PPS channels: the user's, or else the paper's (DEAP: GSR), or else all."""
    known = set(data.info["pps_channels"])
    return data.pps_names(settings.PPS_CHANNELS or [name for name in PPS_CHANNELS.get(data.name, []) if name in known])


def choose_modalities(settings, data):
    """Fill MODALITIES with all that the data have if it is None; refuse what they lack. Returns the list."""
    settings.asked = settings.MODALITIES  # what a folder's name is made of
    settings.MODALITIES = settings.MODALITIES or "+".join(data.modalities)
    for name in settings.MODALITIES.split("+"):
        if name not in data.modalities:
            others = "+".join(data.modalities)
            raise InputError(
                f"--modalities {settings.MODALITIES}: {data.folder} has no {name.upper()} channels; use --modalities "
                f"{others}"
            )
    return settings.MODALITIES.split("+")
