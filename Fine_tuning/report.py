"""One page with every result of a run directory: table, audit, figures, settings.

    python Fine_tuning/report.py --run-dir runs/deap

Prints the table and writes <run-dir>/report.html, one file that needs no network, and its figures to <run-dir>/figures.
"""

import base64
import html
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

import utils.errors
from data_prep import open_prepared
from utils.errors import InputError
from utils.files import atomic, safe_name, write_text
from utils.progress import warn
from utils.protocol import splits
from utils.results import drawing, figures, published
from utils.results.results import missing_folds, most_complete, permutation_in_words, print_overview, who
from utils.results.stored import read_result
from utils.settings import read_settings
from utils.structure import find_wrong
from utils.training.checkpoints import DELETE_IT, load_encoders
from utils.training.encoding import build, encode, open_recordings

RUN_DIR = "runs/deap"  # folder with the results
FEATURE_MAPS = True  # draw maps of the test windows' features, which takes some seconds and the prepared data
QUIET = False  # True: say nothing but warnings and errors

style = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 60rem; margin: 0 auto; padding: 0 1rem 4rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .7rem; text-align: left; border-bottom: 1px solid #ddd; white-space: pre; }
td.n { font-variant-numeric: tabular-nums; text-align: right; } tr.aside td { color: #555; }
td.free { background: #d9f0e3; } td.seen { background: #ffd9b8; font-weight: 600; }
.warn { border-left: .4rem solid #d55e00; background: #fff3e8; padding: .5rem 1rem; }
figure { display: inline-block; max-width: 100%; margin: 1rem 1rem 1rem 0; vertical-align: top; }
img { max-width: 100%; height: auto; } figcaption { color: #444; font-size: .9rem; }
code, pre { font-size: .85rem; } pre { overflow-x: auto; background: #f6f6f6; padding: 1rem; }
@media (max-width: 40rem) { th, td { padding: .3rem .4rem; } }
"""


def main():
    """Print the overview and write the page."""
    settings = read_settings(globals())
    paths = sorted(settings.RUN_DIR.glob("*/metrics.json"))
    if not paths:
        raise InputError(f"--run-dir {settings.RUN_DIR} has no results; run Fine_tuning/fine_tuning.py with it first")
    results = {path.parent.name: read_result(path) for path in paths}
    print_overview(results)
    page = Page(settings.RUN_DIR, results)
    page.write(settings.FEATURE_MAPS)
    print(f"\nwrote {settings.RUN_DIR / 'report.html'}, and its {len(page.names)} figures to figures/ beside it")
    print("next: open it in a browser")


class Page:
    """The report of one run directory."""

    def __init__(self, run_dir, results):
        self.run_dir, self.results = Path(run_dir), results
        self.parts, self.names = [], set()

    def write(self, feature_maps):
        """Draw everything and write the page."""
        first = next(iter(self.results.values()))
        title = f"{first['dataset']}: {first['protocol']}, {first['split']} split"
        self.parts.append(f"<h1>PhysioSync on {html.escape(title)}</h1>")
        self.parts.append(f"<p><code>{html.escape(str(self.run_dir))}</code></p>")
        for label, group in self._by_label().items():
            self._headline(label, group)
        self._audit()
        for name, result in self.results.items():
            if "model" not in result:
                self._result(name, result)
        self._pretraining()
        if feature_maps:
            self._maps()
        self._provenance()
        head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        head += f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style>'
        write_text(self.run_dir / "report.html", head + "<body>\n" + "\n".join(self.parts) + "\n</body></html>\n")

    def _by_label(self):
        groups = {}
        for name, result in self.results.items():
            groups.setdefault(result["label"], {})[name] = result
        return groups

    def _figure(self, figure, name, caption):
        """Save a figure as PNG and SVG, and put it into the page."""
        images = {kind: drawing.image(figure, kind) for kind in ("png", "svg")}
        name = safe_name(name, self.names)
        for kind, content in images.items():
            with atomic(self.run_dir / "figures" / f"{name}.{kind}") as file:
                file.write(content)
        source = "data:image/png;base64," + base64.b64encode(images["png"]).decode()
        width = int.from_bytes(images["png"][16:20], "big") * 96 // drawing.DPI  # in CSS pixels
        text = html.escape(caption)
        self.parts.append(
            f'<figure><img src="{source}" width="{width}" alt="{text}"><figcaption>{text}</figcaption></figure>'
        )

    def _table(self, header, rows):
        """A table; a cell is a text, or (text, CSS class)."""
        cells = "".join(f"<th>{html.escape(text)}</th>" for text in header)
        lines = [f"<tr>{cells}</tr>"]
        for row in rows:
            pairs = [cell if isinstance(cell, tuple) else (cell, "") for cell in row]
            cells = "".join(f'<td class="{css}">{html.escape(text)}</td>' for text, css in pairs)
            lines.append(f"<tr>{cells}</tr>")
        self.parts.append('<div class="wide"><table>' + "".join(lines) + "</table></div>")

    def _headline(self, label, group):
        """The numbers, beside what they have to beat."""
        first = most_complete(group.values())
        self.parts.append(f"<h2>{html.escape(label.capitalize())}</h2>")
        scores = ("accuracy", "f1", "balanced_accuracy", "trial_accuracy")
        rows = []
        for name, result in group.items():
            cells = ["\n".join(filter(None, [name, who(result), missing_folds(result)]))]
            for score in scores:
                value = result[score]
                interval = "\n({:.2f} to {:.2f})".format(*value["ci95"]) if value["ci95"] else ""
                cells.append((f"{value['mean']:.3f} ± {value['std']:.3f}{interval}", "n"))
            rows.append(cells)
        rows.append(["always the majority class", (f"{first['majority']:.3f}", "n"), "", "", ""])
        for text, accuracy, f1 in published.figures(first["dataset"], first["protocol"], label):
            rows.append([f"{text} (published)", (accuracy, "n"), (f1, "n"), "", ""])
        header = ["result", "accuracy\nper window", "F1", "balanced\naccuracy", "accuracy\nper trial"]
        self._table(header, rows)
        n = sum(fold["n_test"] for fold in first["folds"])
        unit = first["interval_unit"]
        self.parts.append(
            f"<p>Mean ± standard deviation over {len(first['folds'])} of {first['n_folds']} folds, "
            f"{n} test windows of 5 s; in brackets a 95 % interval (bootstrap over {unit}s). Published figures come "
            "from other splits, often from test windows of trials that were seen in training: they say little here.</p>"
        )
        for result in group.values():
            if "permutation" in result:
                self.parts.append(f"<p>{html.escape(permutation_in_words(result['permutation']))}</p>")
        self._figure(figures.accuracies(group), f"accuracy_{label}", f"{label}: accuracy of every result")

    def _audit(self):
        """What test and training data share."""
        self.parts.append("<h2>Audit: what the test windows shared with the training data</h2>")
        rows, words = [], []
        for name, result in self.results.items():
            for part, seen in result["audit"].items():
                if seen:
                    cells = [(f"{share:.0%}", "seen" if share else "free") for share in seen.values()]
                    rows.append([name, part.replace("_", " "), *cells])
            words += result["audit_in_words"]
        self._table(["result", "part", "window", "trial", "subject", "stimulus"], rows)
        for line in dict.fromkeys(words):
            self.parts.append(f'<p class="warn">{html.escape(line)}</p>')

    def _result(self, name, result):
        """Figures of one fine-tuning."""
        self.parts.append(f"<h2>{html.escape(name)}</h2>")
        self._figure(figures.confusion(result), f"{name}_confusion", "Predicted classes of each true class")
        self._figure(figures.subjects(result), f"{name}_subjects", "Accuracy of every person")
        logs = read_logs(self.run_dir / name)
        if logs:
            self._figure(figures.learning(logs), f"{name}_learning", "Fine-tuning: mean and range of the folds")

    def _pretraining(self):
        folders = [folder for folder in sorted(self.run_dir.glob("pretrain_*")) if read_logs(folder)]
        if folders:
            self.parts.append("<h2>Pre-training</h2>")
        for folder in folders:
            caption = f"{folder.name}: mean and range of the folds; contrastive accuracy by chance is 1 / batch size"
            self._figure(figures.pretraining(read_logs(folder)), folder.name, caption)

    def _maps(self):
        """Features of one fold's test windows before and after pre-training, where the data are still there."""
        result = next((r for r in self.results.values() if "model" not in r), None)
        paths = sorted(self.run_dir.glob("pretrain_5s/fold_*/checkpoint.pt"))
        if result is None or not paths:
            return
        if not Path(result["settings"]["DATA_DIR"]).is_dir():
            print(f"no feature maps: {result['settings']['DATA_DIR']}, where the prepared data were, is not here")
            return
        data = open_prepared(result["settings"]["DATA_DIR"])
        checkpoint = load_encoders(paths[0], DELETE_IT)
        if data.checksum != checkpoint["dataset_checksum"]:
            print(f"no feature maps: {data.folder} has other data than {self.run_dir}")
            return
        manifest = splits.load(self.run_dir, data)
        test, seconds = manifest.folds[checkpoint["fold"]].test, data.eeg.shape[2]
        windows = splits.windows_of(test.subjects, test.rows["5s"], seconds // splits.WINDOW_SECONDS)
        windows = windows[np.random.default_rng(0).permutation(len(windows))[: figures.MAP_WINDOWS]]
        labels, class_names = data.labels(result["label"], result["settings"]["THRESHOLD"])
        subject, trial, _ = windows.T
        groups = {"label": np.array(class_names)[labels[subject, trial]]}
        groups |= {"subject": np.array(data.subjects)[subject], "trial": trial}
        self.parts.append("<h2>What the encoders learned</h2>")
        for modality, entry in checkpoint["encoders"].items():
            pps, front_end = (checkpoint["settings"][name] for name in ("PPS_CHANNELS", "FRONT_END"))
            channels = data.info["eeg_channels"] if modality == "eeg" else pps  # the very data: see the checksum
            recordings = open_recordings(data, modality, channels, torch.device("cpu"), front_end)
            torch.manual_seed(0)
            states = {"before": build(entry, random=True), "after": build(entry)}
            sizes = (windows, splits.WINDOW_SECONDS, seconds, 256)
            features = {state: encode(encoder, recordings, modality, *sizes) for state, encoder in states.items()}
            caption = (
                f"{modality.upper()}, 5 s: features of the test windows of fold {checkpoint['fold']} before and after "
                "pre-training, which has seen none of the labels. Clusters by subject or by trial are not emotion."
            )
            self._figure(figures.feature_maps(features, groups), f"features_{modality}", caption)

    def _provenance(self):
        """Settings and versions, folded away."""
        self.parts.append("<h2>Settings and provenance</h2>")
        for name, result in self.results.items():
            kept = ("dataset_checksum", "manifest_hash", "split_seed", "settings", "provenance", "seconds")
            text = json.dumps({key: result[key] for key in kept if key in result}, indent=1, ensure_ascii=False)
            text = html.escape(text)
            self.parts.append(f"<details><summary>{html.escape(name)}</summary><pre>{text}</pre></details>")


def read_logs(folder):
    """``log.jsonl`` of every fold of a pre-training or fine-tuning, without empty ones and without damaged ones."""
    logs = []
    for path in sorted(Path(folder).glob("fold_*/log.jsonl")):
        try:
            log = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except ValueError:
            log = None
        if log is None or find_wrong(log, [{str: (float, None, {})}]):
            warn(f"{path} is damaged; the curves are drawn without it, and nothing else depends on it")
        elif log:
            logs.append(log)
    return logs


if __name__ == "__main__":
    utils.errors.run(main)
