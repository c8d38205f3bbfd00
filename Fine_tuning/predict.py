"""Apply a fine-tuned model to recordings, with or without ratings.

    python Fine_tuning/predict.py --model runs/deap/finetune_arousal/fold_00/model.pt --input s33.dat --out-file s33.csv

The input is a prepared folder, a DEAP file (.dat or .mat), DREAMER.mat, or an .npz with eeg (trials, channels,
samples), sampling_rate, eeg_channels and, for models that use them, pps and pps_channels; eeg_baseline and
pps_baseline as in data_prep/README.md. Channels are found by name, in any order. Writes a CSV with subject, trial,
stimulus, start second and the probability of every class, and a figure of the probabilities over time beside it (.png).

Raw files are prepared as the model's own data were (rest, segment, normalisation; an .npz may say filters, reference,
resampling, and baseline_seconds for a rest that was removed already); seconds count from the start of that segment.
Amplifiers' files (.edf .bdf .vhdr ...) become a prepared folder first: data_prep/prepare_recordings.py --no-rated.
"""

import contextlib
import csv
import io
import itertools
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors  # before all packages, to say in one line which are not installed

# isort: split

import numpy as np
import torch

from data_prep.folder.preparation import compare, in_words, of_model
from data_prep.formats.inputs import open_input
from models.fusion import N_SECONDS, FusionModel
from utils.base.devices import choose_device, use_threads
from utils.base.errors import InputError
from utils.base.files import atomic, check_new_file, sha256, write_text
from utils.base.progress import warn
from utils.base.settings import read_settings
from utils.base.structure import find_wrong
from utils.inputs.features import FIRST_VERSION, block_features, block_width, read_version
from utils.inputs.normalise import Features, Standardiser, kinds, level
from utils.pretraining.checkpoints import ENCODER_PARTS, FORMAT_VERSION, fits, load_tensors
from utils.pretraining.networks import PHYSIOSYNC, build_encoder
from utils.protocol import splits
from utils.results import drawing, figures

# what to predict, and with what
MODEL = "runs/deap/finetune_arousal/fold_00/model.pt"  # model.pt of fine-tuning
INPUT = "data/DEAP"  # prepared folder, DEAP's .dat or .mat, DREAMER.mat, or .npz
OUT_FILE = "runs/predictions.csv"  # to write; must not exist
STANDARDISE = "person"  # with what, where training did per person: person: all that there is | training: its people's
BATCH_SIZE = 256  # windows of 5 s at once
DEVICE = "auto"  # auto | cpu | cuda | mps
THREADS = None  # threads that compute on a CPU (None: as many as pay for networks of this size)
QUIET = False  # True: say nothing but warnings and errors

headers = (".csv", ".tsv", ".txt", ".json", ".vhdr", ".vmrk")  # of recordings: may be the same for several people
model_parts = {  # what a model.pt must have
    "encoders": {str: {str: ENCODER_PARTS["arguments"]}},
    "weights": {str: torch.Tensor},
    "class_names": [str],
    "channels": {str: [str]},
    "sampling_rate": int,
    "preparation": {},
    "settings": {"GATE": bool, "FRONT_END": ("raw", "bandpower", FIRST_VERSION)},
}


def main():
    """Read recordings and model, check that they fit, write the CSV and its figure."""
    settings = read_settings(globals())
    figure_file = figure_beside(settings.OUT_FILE)
    check_new_file(settings.OUT_FILE, "--out-file")
    check_new_file(figure_file, f"--out-file {settings.OUT_FILE.name}, whose figure goes beside it")
    model, stored = load_model(settings.MODEL)
    wanted, where = of_model(stored, settings.MODEL), f"--input {settings.INPUT}"
    device = choose_device(settings.DEVICE)
    model.to(device)
    use_threads(settings.THREADS, model)
    record, people, prepare_trial = open_input(settings.INPUT, wanted)
    positions, warnings = compare(wanted, record, where, stored["encoders"], standardised=prepare_trial is None)
    if prepare_trial is not None:
        print(f"{where}: prepared like the model's data: {in_words(record['preparation'])}")
    known = knows(stored, settings.INPUT, record)
    warnings += [] if known else of_known_people(stored, settings.MODEL)
    if known:
        warn(
            f"{settings.INPUT} is among the recordings that the model was made with: predictions of its training "
            "trials do not test it; the accuracy on test trials is in metrics.json, in the folder above the model's"
        )
    of_input = stored["encoders"], stored["preparation"], f"--model {settings.MODEL}"
    standardiser = Standardiser(settings.STANDARDISE, stored, *of_input)
    if standardiser:
        print(f"{where}: {standardiser}")
    rows, curves, stimuli = [], {}, record.get("stimuli")
    for subject, trials in people:
        prepare = prepare_trial or pick
        trials = (prepare(trial, positions) for trial in trials)
        if standardiser:
            trials = standardise_all(list(trials), record["sampling_rate"], stored, standardiser, subject)
        numbers = np.flatnonzero(record["seen"][subject]) if "seen" in record else itertools.count()
        for number, blocks in zip(numbers, trials, strict=False):
            windows = {name: to_windows(blocks[name]) for name in positions}
            if not len(next(iter(windows.values()))):
                raise InputError(f"{where}, trial {number} of {subject} is shorter than {N_SECONDS} s")
            probability = predict(model, windows, device, settings.BATCH_SIZE)
            if not np.isfinite(probability).all():
                what = f"answers with NaN to trial {number} of {subject}; train it again"
                raise InputError(f"--model {settings.MODEL} {what}")
            for window, values in enumerate(probability):
                which = [subject, number, stimuli[number] if stimuli else number + 1, window * N_SECONDS]
                rows.append([*which, *(f"{value:.7g}" for value in values)])
            curves.setdefault(f"{subject}, trial {number}", probability)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ["subject", "trial", "stimulus", "start_second"]
    writer.writerow([*columns, *(f"probability of {name}" for name in stored["class_names"])])
    writer.writerows(rows)
    picture = drawing.image(figures.probabilities(curves, stored["class_names"]), "png")
    write_text(settings.OUT_FILE, text.getvalue())
    with atomic(figure_file) as file:
        file.write(picture)
    print(f"wrote {settings.OUT_FILE}, {len(rows)} windows of {len(curves)} trials, and {figure_file}")
    for line in [*warnings, *standardiser.warnings()]:
        warn(line)


def pick(trial, positions):
    """The channels at these positions of a trial that is prepared already."""
    return {name: trial[name][:, positions[name]] for name in positions}


def knows(stored, path, record):
    """Whether some are recordings that the model was trained or tested with, by the checksums of their files."""
    its_own = list(stored.get("sources", {}).values())
    if not path.is_dir():
        return sha256(path) in its_own
    files = [checksum for name, checksum in record["sources"].items() if not name.lower().endswith(headers)]
    return record["dataset_checksum"] == stored.get("dataset_checksum") or any(own in its_own for own in files)


def of_known_people(stored, path):
    """What to say when a model meets new people that was tested on people of its training; a list of one or none."""
    protocol, split = (stored["settings"].get(key) for key in ("PROTOCOL", "SPLIT"))
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, IndexError):
        manifest = json.loads((path.absolute().parents[2] / "split.json").read_text(encoding="utf-8"))
        if manifest["hash"] == stored["identity"]["manifest"]:  # what settings left to the run directory
            protocol, split = manifest["protocol"], manifest["split"]
    if protocol != "subject-dependent" and split not in splits.SPLITS["subject-dependent"]:
        return []
    name = split or splits.SPLITS["subject-dependent"][0]
    known = f"{path.name} was trained and tested on people it knows ({name} split)"
    return [f"{known}: how well it does for new people is not known; train with --protocol cross-subject to see it"]


def figure_beside(path):
    """Where the figure of a table goes: x.csv has x.png; any other name has .png added, so that it stays another."""
    return path.with_suffix(".png") if path.suffix.lower() == ".csv" else path.with_name(f"{path.name}.png")


def load_model(path):
    """The fusion model of a ``model.pt``, in evaluation mode, and the rest of what the file says."""
    remedy = "give the model.pt of a fold that Fine_tuning/fine_tuning.py has written"
    stored = load_tensors(path, remedy)
    if stored.get("format_version") != FORMAT_VERSION or stored.get("stage") != "finetune":
        raise InputError(f"{path} is not a fine-tuned model of this version; {remedy}")
    wrong = find_wrong(stored, model_parts) or find_wrong(stored.get("kinds", {}), {str: {str: str}})
    if not wrong:
        read_version(stored)
        parts = (stored["encoders"], stored.get("kinds", {}), len(stored["class_names"]), stored["settings"]["GATE"])
        if _sizes(stored) == _sizes_of_data(stored) and fits(_network, {"parts": parts}, stored["weights"]):
            model = _network(parts)
            model.load_state_dict(stored["weights"])
            return model.eval(), stored
        wrong = "its weights or channels do not go with its encoders"
    raise InputError(f"{path} lacks parts of a model: {wrong}; {remedy}")


def _sizes(stored):
    """Channels and samples of every encoder."""
    encoders = {(name, window): own for name, some in stored["encoders"].items() for window, own in some.items()}
    return {key: (arguments["n_channels"], arguments["n_samples"]) for key, arguments in encoders.items()}


def _sizes_of_data(stored):
    """The same as the names of the channels and the rate say; no entry for what is not known."""
    sizes, front_end = {}, stored["settings"]["FRONT_END"]
    for name, window in _sizes(stored):
        if name in stored["channels"] and window in splits.RESOLUTIONS:
            block = block_width(front_end, stored["sampling_rate"], name)
            sizes[name, window] = len(stored["channels"][name]), splits.RESOLUTIONS[window] * block
    return sizes


def _network(parts):
    encoders, kinds, n_classes, gate = parts
    networks = {}
    for name, by_window in encoders.items():
        kind = {window: kinds.get(name, {}).get(window, PHYSIOSYNC) for window in by_window}
        networks[name] = {
            w: build_encoder({"kind": kind[w], "arguments": arguments}) for w, arguments in by_window.items()
        }
    return FusionModel(networks, n_classes, gate)


def standardise_all(trials, rate, stored, standardiser, subject):
    """All trials of a person, 1 s blocks (seconds, channels, rate) by modality, with PPS or features standardised."""
    ends, parts = np.cumsum([len(next(iter(blocks.values()))) for blocks in trials])[:-1], {}
    for name in trials[0]:
        x = np.concatenate([blocks[name] for blocks in trials])[None]  # one long trial
        for kind in kinds(name, stored["preparation"], stored["settings"]["FRONT_END"]):
            if kind is Features:
                x = block_features(x[None], rate, name, stored["settings"]["FRONT_END"])[0]
            x = torch.from_numpy(x)
            own = level(kind.summary(x), np.zeros(x.shape[:2], bool))  # no training seconds: all are used
            own = standardiser.levels(f"{name} {kind.name}", subject, len(trials), *own)
            x = kind.apply(x, *own).numpy()
        parts[name] = np.split(x[0], ends)
    return [dict(zip(parts, trial, strict=True)) for trial in zip(*parts.values(), strict=True)]


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
    utils.base.errors.run(main)
