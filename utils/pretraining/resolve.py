"""The settings of a run, resolved once at its start: from constants and flags, the data, the split and the recipe.

Settings are frozen: every function here takes some and returns others.
"""

import math

import numpy as np

from utils.base.errors import InputError
from utils.base.other_networks import find
from utils.base.settings import show
from utils.inputs.features import block_width
from utils.pretraining import recipes
from utils.pretraining.networks import PHYSIOSYNC, build_encoder, loss_terms
from utils.protocol import splits
from utils.protocol.windows import RESOLUTIONS, WINDOW_SECONDS, windows_of

KEPT = 0.9  # of the stimuli: so many at least can be contrasted


def pretraining(settings, data):
    """The settings of a pre-training and the split's manifest, which is written if the run directory has none."""
    settings = with_modalities(settings, data)
    settings = with_encoder(settings, data)
    loss_terms(settings)  # at least one
    manifest = splits.load_or_create(settings, data)  # not before a wrong encoder is refused
    settings = with_recipe(settings, recipes.PRETRAIN, data, manifest.protocol)
    if settings.POSITIVES == "stimulus":
        settings = with_group_size(settings, data, manifest)
    return settings, manifest


def with_modalities(settings, data):
    """MODALITIES: all that the data have if it is None; what they lack is refused."""
    modalities = settings.MODALITIES or "+".join(data.modalities)
    for name in modalities.split("+"):
        if name not in data.modalities:
            remedy = f"use --modalities {'+'.join(data.modalities)}"
            raise InputError(f"--modalities {modalities}:", f"{data.folder} has no {name.upper()} channels", remedy)
    return settings.replace(MODALITIES=modalities)


def with_encoder(settings, data):
    """``network``: what ENCODER names, None for this project's own; and the settings that another network needs."""
    if settings.ENCODER == PHYSIOSYNC:
        return settings.replace(network=None)
    flag = f"--encoder {settings.ENCODER}"
    network = find(settings.ENCODER, "--encoder")
    if "eeg" not in settings.MODALITIES:
        raise InputError(flag, "is for EEG, which --modalities leaves out")
    if settings.FRONT_END not in (None, "raw"):
        raise InputError(flag, "takes samples", f"leave --front-end {settings.FRONT_END} out")
    if settings.FOLDS_AT_ONCE not in (None, 1):
        raise InputError(f"{flag}:", "folds of another network are not stacked", "leave out --folds-at-once")
    sizes = dict(n_channels=len(data.info["eeg_channels"]), n_samples=RESOLUTIONS[settings.WINDOW] * data.rate)
    sizes |= dict(sfreq=data.rate, embed_dim=4, projector_dims=[4, 4, 4])
    build_encoder({"kind": network.kind, "arguments": sizes | {"origin": network.version}})  # or it is refused
    return settings.replace(
        network=network,
        ENCODER=f"{network.file.name}:{network.name}" if network.file else network.name,  # the file may move
        FRONT_END="raw",
        FOLDS_AT_ONCE=1,
        CUDA_GRAPH=False,  # the network may do what cannot be captured
        COMPILE=bool(settings.COMPILE),
    )


def with_recipe(settings, table, data, protocol):
    """Every None replaced by the recipe's value for this data set (else DEAP's), and the channels of PPS chosen."""
    known = data.name if (settings.RECIPE, data.name, protocol) in table else "DEAP"
    row = table[settings.RECIPE, known, protocol]
    filled = {name: value for name, value in row.items() if getattr(settings, name) is None}
    settings = settings.replace(**filled, PPS_CHANNELS=pps_channels(settings, data))
    front_end = settings.FRONT_END
    if front_end != "raw" and "eeg" in settings.MODALITIES and not block_width(front_end, data.rate, "eeg"):
        what = f"{data.folder} has EEG at {data.rate} Hz, in which no band can be seen"
        remedy = "use --front-end raw" + (" or --modalities pps" if "pps" in data.modalities else "")
        raise InputError(f"--front-end {front_end}:", what, remedy)
    chosen = ", ".join(f"{name} = {show(value)}" for name, value in filled.items()) or "nothing, all was given"
    as_for = known if known == data.name else f"as for {known}"
    print(f"settings of the recipe {settings.RECIPE} ({as_for}, {protocol}): {chosen}")
    return settings


def pps_channels(settings, data):
    """Full names of the PPS channels: the user's, or else the paper's (DEAP: GSR), or else all."""
    of_paper = [name for name in recipes.PPS_CHANNELS.get(data.name, []) if name in data.info["pps_channels"]]
    return data.pps_names(settings.PPS_CHANNELS or of_paper)


def with_group_size(settings, data, manifest):
    """SUBJECTS_PER_GROUP: at most half the training subjects; the recipe's is cut, the user's own is refused.

    In an incomplete design the recipe's size is cut until KEPT of the stimuli that two people saw have viewers enough.
    """
    size, given = settings.SUBJECTS_PER_GROUP, settings.given_values["SUBJECTS_PER_GROUP"] is not None
    most = min(len(fold.train.subjects) for fold in manifest.folds) // 2
    if most < 1:
        raise InputError(
            "two groups", "need at least 2 training subjects in every fold", "use --positives augmentation"
        )
    if size > most:
        if given:
            what = "is more than half the training subjects"
            raise InputError(f"--subjects-per-group {size}", what, f"at most {most}")
        size = most
        print(f"SUBJECTS_PER_GROUP {size}: half the training subjects")
    if not given and not data.seen.all():
        viewers = [_viewers(fold, settings.WINDOW, data) for fold in manifest.folds]
        few = [int(np.quantile(n[n > 1], 1 - KEPT, method="lower")) for n in viewers if (n > 1).any()]
        most = min(few, default=0) // 2
        if size > most > 0:
            size = most
            print(f"SUBJECTS_PER_GROUP {size}: half the people who saw a stimulus, for {KEPT:.0%} of the stimuli")
    return settings.replace(SUBJECTS_PER_GROUP=size)


def _viewers(fold, window, data):
    """How many training people saw each training trial of a fold."""
    trials = np.unique(fold.train.rows[window] // (data.info["seconds"] // RESOLUTIONS[window]))
    return data.seen[fold.train.subjects][:, trials].sum(axis=0)


def with_enough_epochs(settings, data, manifest):
    """EPOCHS of fine-tuning with the robust recipe: no more than are enough steps, the same for all folds and seeds."""
    per_trial = data.info["seconds"] // WINDOW_SECONDS
    n = min(len(windows_of(f.train.subjects, f.train.rows["5s"], per_trial, data.seen)) for f in manifest.folds)
    n = round(n * settings.LABEL_FRACTION)
    epochs = enough_epochs(settings.EPOCHS, n, settings.BATCH_SIZE)
    print(f"EPOCHS {epochs}: enough steps with {n} training windows")
    return settings.replace(EPOCHS=epochs)


def enough_epochs(epochs, n_windows, batch_size):
    """The robust recipe's epochs of fine-tuning, cut where fewer are enough steps (benchmarks/RESULTS.md)."""
    steps = max(1, n_windows // batch_size)  # of an epoch, at least
    return min(epochs, max(recipes.FEWEST_EPOCHS, math.ceil(recipes.ENOUGH_STEPS / steps)))
