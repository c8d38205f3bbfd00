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
from utils.base.files import atomic, check_new_file, sha256, write_csv
from utils.base.progress import warn
from utils.base.settings import read_settings
from utils.base.structure import find_wrong
from utils.finetuning.fitting import predict
from utils.inputs.features import FIRST_VERSION, block_width, read_version
from utils.inputs.normalise import PER_PERSON, Standardiser
from utils.inputs.recordings import Recordings
from utils.pretraining.batches import FusionWindows
from utils.pretraining.checkpoints import ENCODER_PARTS, FORMAT_VERSION, fits, load_tensors
from utils.pretraining.networks import PHYSIOSYNC, build_encoder
from utils.protocol import splits
from utils.results import figures

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
    out_file, where = settings.OUT_FILE, f"--input {settings.INPUT}"
    figure_file = out_file.with_suffix(".png") if out_file.suffix.lower() == ".csv" else Path(f"{out_file}.png")
    check_new_file(out_file, "--out-file")
    check_new_file(figure_file, f"--out-file {out_file.name}, whose figure is written to the same folder")
    model, stored = load_model(settings.MODEL)
    device = choose_device(settings.DEVICE)
    model.to(device)
    use_threads(settings.THREADS, model)
    wanted = of_model(stored, settings.MODEL)
    record, people, prepare = open_input(settings.INPUT, wanted)
    positions, warnings = compare(wanted, record, where, stored["encoders"], standardised=prepare is None)
    if prepare is not None:
        print(f"{where}: prepared like the model's data: {in_words(record['preparation'])}")
    if knows(stored, settings.INPUT, record):
        warn(
            f"{settings.INPUT} is among the recordings that the model was made with: predictions of its training "
            "trials do not test it; the accuracy on test trials is in metrics.json, in the folder above the model's"
        )
    elif split := split_of_known_people(stored, settings.MODEL):
        known = f"{settings.MODEL.name} was trained and tested on people it knows ({split} split)"
        warnings.append(
            f"{known}: how well it does for new people is not known; train with --protocol cross-subject to see it"
        )
    of_input = stored["encoders"], stored["preparation"], f"--model {settings.MODEL}"
    standardiser = Standardiser(settings.STANDARDISE, stored, *of_input)
    if standardiser:
        print(f"{where}: {standardiser}")
    rows, curves, stimuli = [], {}, record.get("stimuli")
    for subject, trials in people:
        trials = [(prepare or pick)(trial, positions) for trial in trials]
        numbers = np.flatnonzero(record["seen"][subject]) if "seen" in record else np.arange(len(trials))
        n_windows = [len(next(iter(blocks.values()))) // N_SECONDS for blocks in trials]
        if 0 in n_windows:
            number = numbers[n_windows.index(0)]
            raise InputError(f"{where}, trial {number} of {subject}", f"is shorter than {N_SECONDS} s")
        recordings = one_person(trials, stored, device)
        if standardiser:
            recordings = standardiser.standardised(recordings, subject)
        probabilities = predict_trials(model, recordings, n_windows, settings.BATCH_SIZE)
        for number, curve in zip(numbers, probabilities, strict=True):
            if not np.isfinite(curve).all():
                what = f"answers with NaN to trial {number} of {subject}"
                raise InputError(f"--model {settings.MODEL}", what, "train it again")
            curves[f"{subject}, trial {number}"] = curve
            for window, values in enumerate(curve):
                which = [subject, number, stimuli[number] if stimuli else number + 1, window * N_SECONDS]
                rows.append([*which, *(f"{value:.7g}" for value in values)])
    columns = ["subject", "trial", "stimulus", "start_second"]
    picture = figures.image(figures.probabilities(curves, stored["class_names"]), "png")
    write_csv(out_file, [*columns, *(f"probability of {name}" for name in stored["class_names"])], rows)
    with atomic(figure_file) as file:
        file.write(picture)
    print(f"wrote {out_file}, {len(rows)} windows of {len(curves)} trials, and {figure_file}")
    for line in [*warnings, *standardiser.warnings()]:
        warn(line)


def pick(trial, positions):
    """The channels at these positions of a trial that is prepared already."""
    return {name: trial[name][:, positions[name]] for name in positions}


def one_person(trials, stored, device):
    """`Recordings` of a person's trials, each its 1 s blocks (seconds, channels, rate) by modality.

    The end of shorter trials is missing.
    """
    seconds, rate = max(len(next(iter(blocks.values()))) for blocks in trials), stored["sampling_rate"]
    channels, samples = {name: stored["channels"][name] if name in trials[0] else [] for name in ("eeg", "pps")}, {}
    for name in channels:
        samples[name] = np.zeros((1, len(trials), seconds, len(channels[name]), rate), np.float32)
        for place, blocks in zip(samples[name][0], trials, strict=True):
            if name in blocks:
                place[: len(blocks[name])] = blocks[name]
    normalised = stored["preparation"].get("pps")
    info = {"preparation": {"pps": normalised} if normalised in PER_PERSON else {}}  # any other was done in preparation
    info |= {f"{name}_channels": channels[name] for name in channels}
    data = SimpleNamespace(**samples, info=info, rate=rate, seen=np.ones((1, len(trials)), bool))
    return Recordings(data, list(trials[0]), channels["pps"], device, stored["settings"]["FRONT_END"], stream=False)


def predict_trials(model, recordings, n_windows, batch_size):
    """Class probabilities (windows, n_classes) of each trial of a person; ``n_windows``: 5 s windows of each."""
    per_trial = recordings.trial_seconds // N_SECONDS
    windows = [(0, trial, trial * per_trial + row) for trial, n in enumerate(n_windows) for row in range(n)]
    inputs = FusionWindows(recordings, np.array(windows), recordings.trial_seconds)
    return np.split(predict(model, inputs, batch_size).numpy(), np.cumsum(n_windows)[:-1])


def knows(stored, path, record):
    """Whether some are recordings that the model was trained or tested with, by the checksums of their files."""
    known = list(stored.get("sources", {}).values())
    if not path.is_dir():
        return sha256(path) in known
    files = [checksum for name, checksum in record["sources"].items() if not name.lower().endswith(headers)]
    return record["dataset_checksum"] == stored.get("dataset_checksum") or any(file in known for file in files)


def split_of_known_people(stored, path):
    """The split of a model that was tested on people of its training; None if it was tested on new people."""
    protocol, split = (stored["settings"].get(key) for key in ("PROTOCOL", "SPLIT"))
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, IndexError):
        manifest = json.loads((path.absolute().parents[2] / "split.json").read_text(encoding="utf-8"))
        if manifest["hash"] == stored["identity"]["manifest"]:  # what settings of earlier versions left to it
            protocol, split = manifest["protocol"], manifest["split"]
    known = splits.SPLITS["subject-dependent"]
    return (split or next(iter(known))) if protocol == "subject-dependent" or split in known else None


def load_model(path):
    """The fusion model of a ``model.pt``, in evaluation mode, and the rest of what the file says."""
    remedy = "give the model.pt of a fold that Fine_tuning/fine_tuning.py has written"
    stored = load_tensors(path, remedy)
    if stored.get("format_version") != FORMAT_VERSION or stored.get("stage") != "finetune":
        raise InputError(path, "is not a fine-tuned model of this version", remedy)
    wrong = find_wrong(stored, model_parts) or find_wrong(stored.get("kinds", {}), {str: {str: str}})
    if not wrong:
        read_version(stored)
        if sizes_agree(stored) and fits(build, {"stored": stored}, stored["weights"]):
            model = build(stored)
            model.load_state_dict(stored["weights"])
            return model.eval(), stored
        wrong = "its weights or channels do not go with its encoders"
    raise InputError(path, f"lacks parts of a model: {wrong}", remedy)


def sizes_agree(stored):
    """Whether the encoders take as many channels and samples as the names of channels and the rate in the file say."""
    for name, by_window in stored["encoders"].items():
        channels = stored["channels"].get(name, [])
        block = block_width(stored["settings"]["FRONT_END"], stored["sampling_rate"], name)
        for window, arguments in by_window.items():
            size = len(channels), splits.RESOLUTIONS.get(window, 0) * block
            if (arguments["n_channels"], arguments["n_samples"]) != size:
                return False
    return True


def build(stored):
    """The network that a model file describes, without its weights."""
    networks = {}
    for name, by_window in stored["encoders"].items():
        kinds = stored.get("kinds", {}).get(name, {})
        networks[name] = {
            window: build_encoder({"kind": kinds.get(window, PHYSIOSYNC), "arguments": arguments})
            for window, arguments in by_window.items()
        }
    return FusionModel(networks, len(stored["class_names"]), stored["settings"]["GATE"])


if __name__ == "__main__":
    utils.base.errors.run(main)
