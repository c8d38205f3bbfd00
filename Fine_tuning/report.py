"""One page with every result of a run directory; of an unfinished run, what is missing.

    python Fine_tuning/report.py --run-dir runs/deap

Prints the results, what is complete, what is missing and the next command. Writes <run-dir>/report.html, one file that
needs no network, and its figures to <run-dir>/figures, as soon as there is a result.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors  # before all packages, to say in one line which are not installed

# isort: split

import numpy as np
import torch

from data_prep import open_prepared
from utils.base.settings import read_settings
from utils.finetuning import status
from utils.pretraining.checkpoints import DELETE_IT, load_encoders
from utils.pretraining.encoding import build, encode, open_recordings
from utils.protocol import splits
from utils.results import figures, report
from utils.results.overview import print_overview
from utils.results.stored import read_results

RUN_DIR = "runs/deap"  # folder with the results
FEATURE_MAPS = True  # draw maps of the test windows' features, which takes a minute and the prepared data
QUIET = False  # True: say nothing but warnings and errors


def main():
    """Print the overview, write the page, say what is missing."""
    settings = read_settings(globals())
    run_dir = settings.RUN_DIR
    results = read_results(run_dir, strict=True)
    if not results:
        status.look(run_dir).show()
        return
    print_overview(results)
    n_figures = report.write(run_dir, results, feature_maps if settings.FEATURE_MAPS else None)
    print(f"\nwrote {run_dir / 'report.html'}, and its {n_figures} figures to figures/ beside it; open it in a browser")
    state = status.look(run_dir) if (run_dir / "split.json").exists() else None
    if state is not None and state.following:
        print()
        state.show()


def feature_maps(run_dir, results, pictures):
    """Features of one fold's test windows before and after pre-training, where the data are still there: a sentence
    and figures for the page; None without.
    """
    result = next((r for r in results.values() if "model" not in r), None)
    paths = sorted(run_dir.glob("pretrain_5s/fold_*/checkpoint.pt"))
    if result is None or not paths:
        return None
    if not Path(result["settings"]["DATA_DIR"]).is_dir():
        print(f"no feature maps: the prepared data are no longer in {result['settings']['DATA_DIR']}")
        return None
    data = open_prepared(result["settings"]["DATA_DIR"])
    checkpoint = load_encoders(paths[0], DELETE_IT)
    if data.checksum != checkpoint["dataset_checksum"]:
        print(f"no feature maps: {data.folder} has other data than {run_dir}")
        return None
    print("drawing feature maps, which takes about a minute")
    test, seconds = splits.load(run_dir, data).folds[checkpoint["fold"]].test, data.eeg.shape[2]
    windows = splits.windows_of(test.subjects, test.rows["5s"], seconds // splits.WINDOW_SECONDS, data.seen)
    windows = windows[np.random.default_rng(0).permutation(len(windows))[: figures.MAP_WINDOWS]]
    labels, class_names = data.labels(result["label"], result["settings"]["THRESHOLD"])
    subject, trial, _ = windows.T
    groups = {"label": np.array(class_names)[labels[subject, trial]]}
    groups |= {"subject": np.array(data.subjects)[subject], "trial": trial}
    drawn = []
    for modality, entry in checkpoint["encoders"].items():
        pps, front_end = (checkpoint["settings"][name] for name in ("PPS_CHANNELS", "FRONT_END"))
        channels = data.info["eeg_channels"] if modality == "eeg" else pps  # the very data: see the checksum
        recordings = open_recordings(data, modality, channels, torch.device("cpu"), front_end)
        torch.manual_seed(0)
        states = {"before": build(entry, random=True), "after": build(entry)}
        sizes = (windows, splits.WINDOW_SECONDS, seconds, 256)
        features = {state: encode(encoder, recordings, modality, *sizes) for state, encoder in states.items()}
        for method, figure in figures.feature_maps(features, groups).items():
            name = f"features_{modality}_{method.lower()}"
            drawn.append(pictures.add(figure, name, f"{modality.upper()}, {method}"))
    of = f"fold {checkpoint['fold']}, 5 s, before and after pre-training ({paths[0].parents[1].name})"
    text = f"Features of the test windows of {of}, which used no labels. Clusters by subject or trial are not emotion."
    return {"text": text, "figures": drawn}


if __name__ == "__main__":
    utils.base.errors.run(main)
