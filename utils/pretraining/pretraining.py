"""Pre-training of one window size, fold by fold: LS-TCL in each modality and CM-CA between them, without labels."""

import contextlib

from data_prep import open_prepared
from utils.base import ranks
from utils.base.devices import choose_device, set_precision
from utils.base.errors import InputError
from utils.base.files import only_writer
from utils.base.progress import say_next
from utils.base.settings import other_flags
from utils.pretraining import recipes
from utils.pretraining.checkpoints import pretrain_folder, pretrain_path
from utils.pretraining.fold_pretraining import FoldPretraining
from utils.pretraining.networks import switches
from utils.pretraining.recordings import Recordings
from utils.pretraining.together import meet
from utils.pretraining.variants import pretrain_variant, write_begun
from utils.protocol import splits

FINE_TUNING = "Fine_tuning/fine_tuning.py"


def pretrain(settings):
    """Pre-train the encoders of every chosen fold (PhysioSync, arXiv 2504.17163, pre-training).

    Parameters
    ----------
    settings : Settings
        Of ``main_pretrain_1s.py`` or ``main_pretrain_5s.py``.

    Notes
    -----
    Writes ``<run-dir>/pretrain_<window>/fold_<k>/checkpoint.pt`` and ``log.jsonl``.
    """
    window, n_folds = settings.WINDOW, 0
    with meet() if _is_together(settings) else contextlib.nullcontext():
        for training in trainings(settings):
            with only_writer(training.path.parent) if training.writes else contextlib.nullcontext():
                write_begun(training.path.parents[1], settings)
                training.run()
            n_folds += 1
            del training  # its networks, before those of the next fold are made
    name = pretrain_variant(settings)
    folder = pretrain_folder(settings.RUN_DIR, window, name)
    if n_folds:
        print(f"wrote {folder}: encoders and log.jsonl, folds: {n_folds}")
    if ranks.rank() > 0:
        return
    where = ["--data-dir", settings.DATA_DIR, "--run-dir", settings.RUN_DIR]
    if window == "1s":
        say_next("main_pretrain_5s.py", *where, *other_flags("main_pretrain_5s.py", settings.words))
    else:
        words = {key: settings.words[key] for key in ("FOLDS", "MODALITIES")}
        words = {"PRETRAIN_VARIANT": ["--pretrain-variant", name], **words}
        say_next(FINE_TUNING, *where, *other_flags(FINE_TUNING, words))


def trainings(settings):
    """Open the data and the split, fill the settings, and give each `FoldPretraining` of this process."""
    data = open_prepared(settings.DATA_DIR)
    modalities = recipes.choose_modalities(settings, data)
    manifest = splits.load_or_create(settings, data)
    folds = splits.choose_folds(manifest, settings.FOLDS)
    filled = recipes.fill(settings, recipes.PRETRAIN, data, manifest.protocol)
    _fit_sizes(settings, filled, manifest)
    switches(settings)
    device = choose_device(settings.DEVICE)
    set_precision(settings.PRECISION, device)
    recordings = Recordings(data, modalities, settings.PPS_CHANNELS, device, settings.FRONT_END, settings.STREAM)
    together = _is_together(settings)
    own = folds if together else ranks.share(folds)
    left = [_epochs_left(settings, fold) for fold in own]
    print(f"{settings.WINDOW}: {sum(left)} epochs are left, of {len(own)} folds with {settings.EPOCHS} each")
    for number, fold in enumerate(own, start=1):
        training = FoldPretraining(settings, data, manifest, fold, recordings, device, together)
        training.later = sum(left[number:])
        yield training
        del training


def _epochs_left(settings, fold):
    """Epochs of a fold that are not saved yet, by its log, which is written with its checkpoint."""
    path = pretrain_path(settings.RUN_DIR, settings.WINDOW, pretrain_variant(settings), fold.index)
    log = path.with_name("log.jsonl")
    if not (settings.RESUME and path.exists() and log.exists()):
        return settings.EPOCHS
    return max(0, settings.EPOCHS - log.read_bytes().count(b"\n"))


def _is_together(settings):
    """Whether all processes compute every batch together, instead of a fold each."""
    return settings.PARALLEL == "batch" and ranks.size() > 1


def _fit_sizes(settings, filled, manifest):
    """Groups no larger than half the training subjects: the recipe's size is cut, the user's own is refused."""
    if settings.POSITIVES == "augmentation":
        return
    most = min(len(fold.train.subjects) for fold in manifest.folds) // 2
    if most < 1:
        raise InputError("two groups need at least 2 training subjects in every fold; use --positives augmentation")
    if settings.SUBJECTS_PER_GROUP > most:
        if "SUBJECTS_PER_GROUP" not in filled:
            asked = settings.SUBJECTS_PER_GROUP
            raise InputError(f"--subjects-per-group {asked} is more than half the training subjects; at most {most}")
        settings.SUBJECTS_PER_GROUP = most
        print(f"SUBJECTS_PER_GROUP {most}: half the training subjects")
