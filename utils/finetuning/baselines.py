"""Baselines on the same folds: band power and linear models, which any network has to beat; and networks of others."""

import functools
import time

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_prep import open_prepared
from utils.base import ranks
from utils.base.devices import provenance
from utils.base.errors import InputError
from utils.base.files import only_writer
from utils.base.progress import Progress, say_next
from utils.base.rules import result_of
from utils.base.settings import Settings
from utils.finetuning.labels import read_labels
from utils.finetuning.networks import Networks
from utils.inputs.features import BANDS as ALL_BANDS
from utils.inputs.features import VERSION, bins_of, log_band_power, statistics
from utils.inputs.normalise import PER_PERSON, Samples, fit, kinds, standardise
from utils.pretraining import resolve
from utils.pretraining.variants import result_folder
from utils.protocol import audit, splits
from utils.protocol.windows import new_stimuli, seconds_to_fit
from utils.results.results import FoldResult, describe, report
from utils.results.stored import refuse_other

BANDS = {name: band for name, band in ALL_BANDS.items() if name != "delta"}  # in which slow drifts lie
MODELS = {
    "logistic": lambda: LogisticRegression(C=0.1, max_iter=1000),
    "lda": lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    "nearest": lambda: KNeighborsClassifier(1),
}
OF_NETWORKS = {*result_of("N"), "DEVICE", "THREADS", "RESUME"} - {*result_of("B"), "SEED"}  # settings of networks only
STIMULUS = "stimulus"  # a model without signals: what the training people rated this stimulus


def networks_of(settings, data):
    """The settings with the classical models only, the `Networks` for the others, labels and names of classes."""
    settings = resolve.with_modalities(settings, data)
    settings, labels, class_names = read_labels(settings, data)
    classical = [name for name in settings.MODELS if name in (*MODELS, STIMULUS)]
    others = [name for name in settings.MODELS if name not in classical]
    settings = settings.replace(PPS_CHANNELS=resolve.pps_channels(settings, data), MODELS=classical)
    networks = [Networks(name, settings, data, labels, class_names) for name in others]
    return settings, networks, labels, class_names


def run_baselines(settings):
    """Train and test every chosen model on every chosen fold; writes and prints like fine-tuning."""
    data = open_prepared(settings.DATA_DIR)
    settings, networks, labels, class_names = networks_of(settings, data)
    classical, modalities = settings.MODELS, settings.MODALITIES.split("+")
    names = classical + [network.model for network in networks]
    if len(set(names)) < len(names):
        raise InputError(f"--models has two of one name: {', '.join(names)}; run them apart, each with its own --tag")
    if settings.FREEZE and not any(network.weights for network in networks):
        raise InputError("--freeze is for a foundation model with its weights, such as CBraMod=FOLDER")
    if classical:
        check_bands(data, modalities)
    manifest = splits.load_or_create(settings, data)
    folds = splits.choose_folds(manifest, settings.FOLDS)
    if classical and ranks.rank() == 0:
        _run_classical(settings, data, modalities, manifest, folds, labels, class_names)
    elif classical:
        print(f"rank {ranks.rank()} of {ranks.size()}: rank 0 computes the classical models, which take seconds")
    for network in networks:
        network.begin(result_folder(network.settings, data, "baseline", network.model), manifest, folds)
    if ranks.rank() == 0:
        say_next("Fine_tuning/report.py", "--run-dir", settings.RUN_DIR)


def _run_classical(settings, data, modalities, manifest, folds, labels, class_names):
    kept = {name: value for name, value in vars(settings).items() if name not in OF_NETWORKS}
    settings = Settings(**kept | {"MODELS": _with_known_stimuli(settings.MODELS, manifest, data)})
    chosen = list(_variants(settings, data))
    drawn = settings.LABEL_FRACTION < 1 or settings.PERMUTE_LABELS
    for _, variant, folder in chosen:
        refuse_other(folder, variant, (*result_of("B"), *(("SEED",) if drawn else ())), folds, features=VERSION)
    features = features_by_fold(data, modalities, settings.PPS_CHANNELS)
    for name, variant, folder in chosen:
        with only_writer(folder):
            results = []
            with Progress(desc=name, total=len(folds), unit="fold") as progress:
                for fold in folds:
                    of_data = len(class_names), data.groups
                    results.append(evaluate_fold(name, fold, features(fold), labels, variant, *of_data))
                    correct = results[-1].probability.argmax(axis=1) == results[-1].truth
                    accuracy = f"test accuracy {correct.mean():.2f}"
                    progress.update()
                    progress.note(f"{name}, fold {fold.index}: {accuracy}", accuracy)
            description = describe(variant, data, manifest, class_names, results)
            description["transductive"] &= name != STIMULUS  # which no signal enters
            report(folder, description, results, data, {"model": name, "features": VERSION})


def _with_known_stimuli(models, manifest, data):
    """The models without ``stimulus`` where no test stimulus is in training."""
    per_trial = data.info["seconds"] // splits.WINDOW_SECONDS
    new = (set(fold.test.rows["5s"] // per_trial) == set(new_stimuli(fold, per_trial)) for fold in manifest.folds)
    if STIMULUS not in models or not all(new):
        return models
    if models == [STIMULUS]:
        raise InputError(f"--models {STIMULUS}: in a {manifest.split} split no test stimulus is in training")
    return [name for name in models if name != STIMULUS]


def _variants(settings, data):
    """Model, settings and folder of every baseline: with both kinds of features, unless STANDARDISE chooses one."""
    ways = ("none", "subject") if settings.STANDARDISE is None else (settings.STANDARDISE,)
    for way in ways:
        for name in settings.MODELS:
            if name != STIMULUS or way == ways[0]:
                variant = settings.replace(STANDARDISE="none" if name == STIMULUS else way)
                yield name, variant, result_folder(variant, data, "baseline", name)


def evaluate_fold(name, fold, features, labels, settings, n_classes=2, groups=None):
    """One model (a key of ``MODELS``, or STIMULUS) on a fold's ``features`` (subjects, trials, windows, width).

    ``labels`` (subjects, trials) are negative where a person did not see the stimulus; ``groups`` are those of trials.
    """
    start, seen, per_trial = time.perf_counter(), labels >= 0, features.shape[2]
    train, test = splits.fold_windows(fold, per_trial, seen, settings)
    if settings.STANDARDISE in PER_PERSON:  # as the front end "bandpower" does
        seconds = splits.training_seconds(fold, (*labels.shape, per_trial * splits.WINDOW_SECONDS))
        features = standardise(features, seconds_to_fit(seconds[:, :, :: splits.WINDOW_SECONDS], seen)).numpy()
    (x, y), (x_test, truth) = (
        (features[subject, trial, row % per_trial], labels[subject, trial]) for subject, trial, row in (train.T, test.T)
    )
    probability = np.zeros((len(truth), n_classes))
    classes = np.unique(y)
    if len(classes) == 1:
        probability[:, classes[0]] = 1  # nothing to tell apart in training
    elif name == STIMULUS:
        probability = _rated_by_others(train[:, 1], np.eye(n_classes)[y], labels.shape[1], groups)[test[:, 1]]
    elif name == "lda" and len(y) <= len(classes):
        what = f"has {len(y)} training windows with labels, too few for LDA"
        raise InputError(f"fold {fold.index}", what, "raise --label-fraction")
    else:
        model = make_pipeline(StandardScaler(), MODELS[name]()).fit(x, y)
        probability[:, model.classes_] = model.predict_proba(x_test)
    return FoldResult(
        fold.index,
        test,
        truth,
        probability,
        n_train=len(y),
        audit={"classifier": audit.count(test, train, groups), "encoder_1s": None, "encoder_5s": None},
        seconds=time.perf_counter() - start,
        provenance=provenance(torch.device("cpu")),
        train_classes=np.bincount(y, minlength=n_classes).tolist(),
    )


def _rated_by_others(trials, votes, n_trials, groups):
    """Class probabilities (stimuli, classes) by the training windows' classes: votes (n, classes) for trials (n,).

    A stimulus without any has those of its group, or all.
    """
    of_stimulus = np.zeros((n_trials, votes.shape[1]))
    np.add.at(of_stimulus, trials, votes)
    member = np.zeros((n_trials, 0)) if groups is None else np.eye(groups.max() + 1)[groups]
    for others in (member @ (member.T @ of_stimulus), votes.sum(axis=0)):
        of_stimulus = np.where(of_stimulus.sum(axis=1, keepdims=True) == 0, others, of_stimulus)
    return of_stimulus / of_stimulus.sum(axis=1, keepdims=True)


def features_by_fold(data, modalities, pps_channels):
    """`window_features` as a function of the fold: once for all, but PPS that are standardised in training."""
    once = [name for name in modalities if not kinds(name, data.info["preparation"], "raw")]
    features = [window_features(data, once, pps_channels)] if once else []
    if once == modalities:
        return lambda fold: features[0]
    columns, shape = _columns(data, pps_channels), data.pps.shape[:3]
    summaries = [Samples.summary(person[:, :, columns]) for person in data.pps]

    @functools.cache
    def with_pps(training):
        levels = fit(summaries, np.frombuffer(training, bool).reshape(shape))
        return np.concatenate([*features, window_features(data, ["pps"], pps_channels, levels)], axis=-1)

    return lambda fold: with_pps(seconds_to_fit(splits.training_seconds(fold, shape), data.seen).tobytes())


def check_bands(data, modalities):
    """Refuse an EEG of so low a rate that no band of it is left."""
    if "eeg" in modalities and not bins_of(splits.WINDOW_SECONDS * data.rate, data.rate, BANDS):
        lowest = min(low for low, _ in BANDS.values())
        remedy = "use --modalities pps" if "pps" in data.modalities else "they need a faster recording"
        none = f"none of the baselines' bands (from {lowest} Hz on) can be seen"
        raise InputError(f"{data.folder} has EEG at {data.rate} Hz, in which {none}; {remedy}")


def _columns(data, pps_channels):
    return [data.info["pps_channels"].index(name) for name in pps_channels]


def window_features(data, modalities, pps_channels, levels=None):
    """Log band power of EEG channels, statistics of peripheral ones: (subjects, trials, 5 s windows, width).

    ``levels``: means and deviations (subjects, PPS channels) to standardise peripheral samples with.
    """
    columns, people = _columns(data, pps_channels), []
    for subject in range(len(data.subjects)):  # one person in memory at a time
        parts = []
        if "eeg" in modalities:
            parts.append(band_power(_windows(data.eeg[subject]), data.rate))
        if "pps" in modalities:
            blocks = data.pps[subject][:, :, columns]  # a copy
            if levels is not None:
                Samples.apply(torch.from_numpy(blocks), *(part[subject] for part in levels))
            parts.append(statistics(_windows(blocks), data.rate).numpy())
        people.append(np.concatenate(parts, axis=-1))
    return np.stack(people)


def _windows(blocks):
    """5 s windows (trials, windows, channels, samples) of 1 s blocks (trials, seconds, channels, rate)."""
    trials, seconds, channels, rate = blocks.shape
    n = seconds // splits.WINDOW_SECONDS
    blocks = blocks[:, : n * splits.WINDOW_SECONDS].reshape(trials, n, splits.WINDOW_SECONDS, channels, rate)
    return blocks.swapaxes(2, 3).reshape(trials, n, channels, splits.WINDOW_SECONDS * rate)


def band_power(windows, rate):
    """Logarithm of the mean power in each band of ``BANDS``; (..., channels, samples) -> (..., bands * channels)."""
    return log_band_power(windows, rate, BANDS).transpose(-1, -2).flatten(-2).numpy()
