"""Apply a fine-tuned model to recordings, with or without ratings.

    python Fine_tuning/predict.py --model runs/deap/finetune_arousal/fold_00/model.pt --input s33.dat --out-file s33.csv

The input is a prepared folder, a DEAP file (.dat), DREAMER.mat, or an .npz with eeg (trials, channels, samples),
sampling_rate, eeg_channels and, for models that use them, pps and pps_channels; eeg_baseline and pps_baseline as in
data_prep/README.md. Channels are found by name, in whatever order. Writes a CSV with subject, trial, start second and
the probability of every class, and a figure of the probabilities over time beside it (.png).
"""

import csv
import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

import utils.errors
from data_prep import deap, dreamer, open_prepared
from data_prep.writer import prepare_person
from models import Encoder
from models.fusion import N_SECONDS, FusionModel
from utils.devices import choose_device
from utils.errors import InputError
from utils.files import atomic, write_text
from utils.progress import Progress
from utils.results.figures import probabilities
from utils.settings import read_settings
from utils.training.checkpoints import FORMAT_VERSION, load_tensors
from utils.training.front_end import block_features, standardise

MODEL = "runs/deap/finetune_arousal/fold_00/model.pt"  # model.pt of fine-tuning
INPUT = "data/DEAP"  # prepared folder, DEAP .dat file, DREAMER.mat, or .npz
OUT_FILE = "runs/predictions.csv"  # to write; must not exist
BATCH_SIZE = 256  # windows of 5 s at once
DEVICE = "auto"  # auto | cpu | cuda | mps
QUIET = False  # True: say nothing but warnings and errors


def main():
    """Read recordings and model, check that they fit, write the CSV and its figure."""
    settings = read_settings(globals())
    figure_file = settings.OUT_FILE.with_suffix(".png")
    for path in (settings.OUT_FILE, figure_file):
        if path.exists():
            raise InputError(f"--out-file {path} already exists; delete it or choose another name")
    model, made = load_model(settings.MODEL)
    device = choose_device(settings.DEVICE)
    model.to(device)
    rows, curves = [], {}
    for subject, rate, channels, trials in read_input(settings.INPUT, made["preparation"].get("pps", "trial")):
        where = f"--input {settings.INPUT}"
        if rate != made["sampling_rate"]:
            raise InputError(f"{where} has {rate} Hz, the model {made['sampling_rate']} Hz; resample the signals first")
        wanted = {name: made["channels"][name] for name in made["encoders"]}
        index = {name: find_channels(where, name, wanted[name], channels[name]) for name in wanted}
        trials = ({name: blocks[name][:, index[name]] for name in wanted} for blocks in trials)
        if made["settings"]["FRONT_END"] == "bandpower":
            trials = to_features(list(trials), rate)
        for number, blocks in enumerate(trials):
            windows = {name: to_windows(blocks[name]) for name in wanted}
            if not len(next(iter(windows.values()))):
                raise InputError(f"{where}, trial {number} of {subject} is shorter than {N_SECONDS} s")
            probability = predict(model, windows, device, settings.BATCH_SIZE)
            for window, values in enumerate(probability):
                rows.append([subject, number, window * N_SECONDS, *(f"{value:.7g}" for value in values)])
            curves.setdefault(f"{subject}, trial {number}", probability)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["subject", "trial", "start_second", *(f"probability of {name}" for name in made["class_names"])])
    writer.writerows(rows)
    image = io.BytesIO()
    probabilities(curves, made["class_names"]).savefig(image, format="png")
    write_text(settings.OUT_FILE, text.getvalue())
    with atomic(figure_file) as file:
        file.write(image.getvalue())
    print(f"wrote {settings.OUT_FILE}, {len(rows)} windows of {len(curves)} trials, and {figure_file}")


def load_model(path):
    """The fusion model of a ``model.pt``, in evaluation mode, and the rest of what the file says."""
    remedy = "give the model.pt of a fold of fine-tuning"
    made = load_tensors(path, remedy)
    if made.get("format_version") != FORMAT_VERSION or made.get("stage") != "finetune":
        raise InputError(f"{path} is not a fine-tuned model of this version; {remedy}")
    try:
        encoders = {
            name: {window: Encoder(**arguments) for window, arguments in by_window.items()}
            for name, by_window in made["encoders"].items()
        }
        model = FusionModel(encoders, len(made["class_names"]), made["settings"]["GATE"])
        model.load_state_dict(made["weights"])
        (
            made["sampling_rate"],
            made["preparation"]["eeg"],
            made["settings"]["FRONT_END"],
            [made["channels"][name] for name in encoders],
        )
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError):
        raise InputError(f"{path} lacks parts of a model; {remedy}") from None
    return model.eval(), made


def read_input(path, pps_normalise):
    """Recordings of whatever kind, one person after the other.

    Parameters
    ----------
    path : pathlib.Path
        Prepared folder, DEAP's .dat, DREAMER.mat, or .npz.
    pps_normalise : str
        As the model's own data were prepared: ``"trial"`` or ``"none"``; a prepared folder is taken as it is.

    Yields
    ------
    subject : str
    rate : int
    channels : dict of str to list of str
        Names by modality, ``"eeg"`` and ``"pps"``.
    trials : iterator of dict of str to numpy.ndarray, shape (seconds, channels, rate)
        1 s blocks by modality.

    Raises
    ------
    InputError
        If there is no such file, or it cannot be read.
    """
    if path.is_dir():
        data = open_prepared(path)
        channels = {"eeg": data.info["eeg_channels"], "pps": data.info["pps_channels"]}
        for number, subject in enumerate(Progress(data.subjects, desc="predicting", unit="subject")):
            yield subject, data.rate, channels, _trials(data.eeg[number], data.pps[number])
    elif not path.is_file():
        raise InputError(f"--input {path} does not exist; give a prepared folder, a .dat, a .mat or an .npz file")
    elif path.suffix == ".dat":
        channels = {"eeg": deap.EEG_CHANNELS, "pps": deap.PPS_CHANNELS}
        signals, *_ = deap.read_file(path)
        yield path.stem, deap.RATE, channels, _trials(*deap.to_prepared(signals, "channels", pps_normalise))
    elif path.suffix == ".mat":
        channels = {"eeg": dreamer.EEG_CHANNELS, "pps": dreamer.PPS_CHANNELS}
        n_subjects, people = dreamer.read_file(path)
        for number, person in enumerate(Progress(people, desc="predicting", total=n_subjects, unit="subject"), 1):
            prepared = (dreamer.to_prepared(c, None, "channels", pps_normalise) for c in person.clips)
            yield f"s{number:02d}", dreamer.EEG_RATE, channels, ({"eeg": eeg, "pps": pps} for eeg, pps in prepared)
    elif path.suffix == ".npz":
        yield read_npz(path, pps_normalise)
    else:
        raise InputError(f"--input {path} is none of: prepared folder, .dat, .mat, .npz")


def read_npz(path, pps_normalise):
    """The recording of an .npz file, as `read_input` yields it."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        person = {"id": path.stem} | {name: arrays[name] for name in arrays if name.split("_")[0] in ("eeg", "pps")}
        rate = int(arrays["sampling_rate"])
        channels = {name: [str(n) for n in arrays.get(f"{name}_channels", [])] for name in ("eeg", "pps")}
        for name in ("eeg", "pps"):
            person.pop(f"{name}_channels", None)
            if name in person and (person[name].ndim != 3 or person[name].shape[1] != len(channels[name])):
                raise InputError(
                    f"--input {path}: {name} has shape {person[name].shape}, not (trials, {len(channels[name])}, "
                    f"samples) as {name}_channels says"
                )
            if name in person and not np.isfinite(person[name]).all():
                raise InputError(f"--input {path}: {name} has NaN or infinite values")
        blocks = prepare_person(person, rate, {"eeg": "channels", "pps": pps_normalise})
    except (KeyError, ValueError, TypeError, OSError, EOFError) as error:
        needed = "eeg, sampling_rate and eeg_channels, and for some models pps and pps_channels"
        raise InputError(f"--input {path} cannot be read ({error}); it needs the arrays {needed}") from None
    return path.stem, rate, channels, _trials(*blocks)


def _trials(eeg, pps):
    return ({"eeg": np.asarray(e, np.float32), "pps": np.asarray(p, np.float32)} for e, p in zip(eeg, pps, strict=True))


def find_channels(where, modality, wanted, available):
    """Positions of the model's channels among those there are.

    Parameters
    ----------
    where : str
        What is being read, for messages.
    modality : str
        ``"eeg"`` or ``"pps"``.
    wanted, available : list of str
        Names of the model's channels, and of the recording's.

    Returns
    -------
    list of int

    Raises
    ------
    InputError
        If a channel is missing, or the recording has more EEG channels than the model.
    """
    missing = [name for name in wanted if name not in available]
    if missing:
        raise InputError(f"{where} lacks the {modality} channels {', '.join(missing)}, which the model was trained on")
    others = [name for name in available if name not in wanted]
    if others and modality == "eeg":  # the standardisation across channels depends on which there are
        raise InputError(f"{where} has more EEG channels than the model ({', '.join(others)}); leave them out")
    return [available.index(name) for name in wanted]


def to_features(trials, rate):
    """What the front end makes of all trials of a person, standardised with all of them.

    Parameters
    ----------
    trials : list of dict of str to numpy.ndarray, shape (seconds, channels, rate)
        1 s blocks by modality.
    rate : int
        Hz.

    Returns
    -------
    list of dict of str to numpy.ndarray, float32, shape (seconds, channels, features)
    """
    ends = np.cumsum([len(next(iter(blocks.values()))) for blocks in trials])[:-1]
    features = {}
    for name in trials[0]:
        blocks = np.concatenate([blocks[name] for blocks in trials])
        own = block_features(blocks[None, None], rate, name)
        features[name] = np.split(standardise(own, np.zeros(own.shape[:3], bool))[0, 0], ends)
    return [dict(zip(features, parts, strict=True)) for parts in zip(*features.values(), strict=True)]


def to_windows(blocks):
    """1 s blocks (seconds, channels, rate) as whole 5 s windows (n, 5, channels, rate)."""
    n = len(blocks) // N_SECONDS
    return torch.from_numpy(np.ascontiguousarray(blocks[: n * N_SECONDS])).unflatten(0, (n, N_SECONDS))


@torch.no_grad()
def predict(model, windows, device, batch_size):
    """Class probabilities, float32 (n, n_classes), of windows by modality."""
    parts = []
    for chunk in torch.arange(len(next(iter(windows.values())))).split(batch_size):
        parts.append(model({name: x[chunk].to(device) for name, x in windows.items()}).softmax(1).cpu())
    return torch.cat(parts).numpy()


if __name__ == "__main__":
    utils.errors.run(main)
