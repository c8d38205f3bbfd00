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
import json
import sys
from pathlib import Path
from types import SimpleNamespace

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
from utils.finetuning import fitting
from utils.inputs.features import FIRST_VERSION, block_width, read_version
from utils.inputs.normalise import PER_PERSON, Standardiser
from utils.inputs.recordings import Recordings
from utils.pretraining.batches import FusionWindows
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
        trials = [(prepare_trial or pick)(trial, positions) for trial in trials]
        numbers = np.flatnonzero(record["seen"][subject]) if "seen" in record else range(len(trials))
        n_windows = [len(next(iter(blocks.values()))) // N_SECONDS for blocks in trials]
        for number, n in zip(numbers, n_windows, strict=True):
            if not n:
                raise InputError(f"{where}, trial {number} of {subject} is shorter than {N_SECONDS} s")
        recordings = one_person(trials, stored, record["sampling_rate"], device)
        if standardiser:
            recordings = standardiser.standardised(recordings, subject)
        per_trial = recordings.trial_seconds // N_SECONDS
        windows = [(0, trial, trial * per_trial + row) for trial, n in enumerate(n_windows) for row in range(n)]
        windows = FusionWindows(recordings, np.array(windows), recordings.trial_seconds)
        probabilities = fitting.predict(model, windows, settings.BATCH_SIZE).numpy()
        probabilities = np.split(probabilities, np.cumsum(n_windows)[:-1])
        for number, probability in zip(numbers, probabilities, strict=True):
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
    name = split or next(iter(splits.SPLITS["subject-dependent"]))
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


def one_person(trials, stored, rate, device):
    """`Recordings` of a person's trials, each its 1 s blocks (seconds, channels, rate) by modality.

    The end of shorter trials is missing.
    """
    seconds = max(len(next(iter(blocks.values()))) for blocks in trials)
    channels, samples = {name: stored["channels"][name] if name in trials[0] else [] for name in ("eeg", "pps")}, {}
    for name in channels:
        samples[name] = np.zeros((1, len(trials), seconds, len(channels[name]), rate), np.float32)
        for place, blocks in zip(samples[name][0], trials, strict=True):
            if name in blocks:
                place[: len(blocks[name])] = blocks[name]
    way = stored["preparation"].get("pps")
    info = {"preparation": {"pps": way} if way in PER_PERSON else {}}  # of any other nothing is left to be done
    info |= {f"{name}_channels": channels[name] for name in channels}
    data = SimpleNamespace(**samples, info=info, rate=rate, seen=np.ones((1, len(trials)), bool))
    return Recordings(data, list(trials[0]), channels["pps"], device, stored["settings"]["FRONT_END"], stream=False)


if __name__ == "__main__":
    utils.base.errors.run(main)
