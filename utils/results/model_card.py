"""The model card written with every model.pt: data, scores, use and limits."""

import re

from data_prep.folder.scales import threshold_in_words
from data_prep.signals.channels import shorten
from utils.protocol import audit
from utils.protocol.windows import RESOLUTIONS

NAME = "model_card.md"
SEEN = {
    "trial": "Not new trials: its scores are of windows whose trials it has seen.",
    "subject": "Not new people: its scores are of people whom it has seen.",
    "stimulus": "Not new stimuli: its scores are of films that it has seen.",
}
LOADING = """\
From the repository, with `model.pt` as the path of the file beside this card:

```
python Fine_tuning/predict.py --model model.pt --input data/OTHER --out-file predictions.csv
```

`data/OTHER` is a prepared folder or a raw file. Channels are matched by name; what was prepared otherwise is refused or
warned about. In Python:

```python
import torch

from Fine_tuning.predict import load_model

model, made = load_model("model.pt")
windows = {{{inputs}}}  # 5 s as five blocks of 1 s
probability = model(windows).softmax(1)  # of {classes}
```

Real windows must be prepared as the table above says{features}; `predict.py` does it."""


def card(model, scores, data, manifest, settings, transductive):
    """The card of one fold's model in Markdown, without times: the same model has the same card."""
    classes = [plain(name) for name in model["class_names"]]
    cut = None if settings.LABEL in data.info["classes"] else settings.THRESHOLD
    sections = [
        f"# {plain(settings.LABEL)} from {' and '.join(model['encoders']).upper().replace('AND', 'and')}, "
        f"{plain(data.name)}, fold {model['fold']} of {len(manifest.folds)}",
        _warning(settings, data),
        "## What it is",
        f"PhysioSync (arXiv 2504.17163): encoders of {' and '.join(settings.RESOLUTIONS.split('+'))} windows, "
        f"{_first_weights(settings)}, and a classifier. For every 5 s it gives the probabilities of "
        f"{', '.join(f'`{name}`' for name in classes)}."
        + ("" if cut is None else f" High is a rating of at least {threshold_in_words(cut)}."),
        "## Data",
        _data(model, data, manifest, scores),
        "## Scores of this fold's test windows",
        _scores(scores, len(classes)),
        "## What the test windows shared with the training data",
        _audit(scores["audit"], transductive),
        "## How to load it",
        _loading(model, settings, classes),
        "## What not to use it for",
        "\n".join(f"- {line}" for line in limits(scores["audit"], settings, data)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _warning(settings, data):
    simulated = "**Made of simulated recordings. It says nothing about people.**" if data.info.get("simulated") else ""
    permuted = "**Trained on shuffled labels, as a control. It knows nothing.**" if settings.PERMUTE_LABELS else ""
    return "\n\n".join(filter(None, (simulated, permuted)))


def _first_weights(settings):
    how = "pre-trained without labels" if settings.INIT == "pretrained" else "from random first weights"
    return how + (", frozen" if settings.FREEZE else "")


def _data(model, data, manifest, scores):
    eeg, pps = (model["channels"][name] for name in ("eeg", "pps"))
    used = {"EEG": eeg if "eeg" in model["encoders"] else [], "PPS": pps if "pps" in model["encoders"] else []}
    rows = {
        "data set": f"{plain(data.name)}, {len(data.subjects)} people x {data.info['trials']} trials x "
        f"{data.info['seconds']} s"
        + ("" if data.seen.all() else f", of which {(~data.seen).sum()} trials were not seen"),
        "checksum": model["dataset_checksum"],
        "protocol": f"{manifest.protocol}, {manifest.split} split, fold {model['fold']} of {len(manifest.folds)}",
        "training": f"{scores['n_train']} windows of 5 s",
        **{f"{n} channels": f"{len(v)}: {plain(shorten(v, 600))}" for n, v in used.items() if v},
        "sampling rate": f"{model['sampling_rate']} Hz",
        **{
            f"preparation, {key}": plain("none" if value is None else value)
            for key, value in sorted(model["preparation"].items())
        },
        "front end": model["settings"]["FRONT_END"],
        "recipe": f"{model['settings']['RECIPE']}, {model['settings']['EPOCHS']} epochs of fine-tuning, seed "
        f"{model['settings']['SEED']}",
    }
    return _table(["what", "value"], rows.items())


def _scores(scores, n_classes):
    f1 = "F1" if n_classes == 2 else "F1, weighted by class"
    names = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "f1": f1}
    rows = [(text, f"{scores[name]:.3f}", f"{scores['trial_' + name]:.3f}") for name, text in names.items()]
    rows.append(("always the majority class (accuracy)", f"{scores['majority']:.3f}", ""))
    n = f"{scores['n_test']} windows, {scores['n_test_trials']} trials, {len(scores['subjects'])} people."
    return _table(["", "per window of 5 s", "per trial"], rows) + (
        f"\n\n{n} One fold is a small sample: `metrics.json` in the folder above has all folds with their interval."
    )


def _audit(seen, transductive):
    keys = list(next(of for of in seen.values() if of))
    rows = [(part.replace("_", " "), *(f"{of[key]:.0%}" for key in keys)) for part, of in seen.items() if of]
    lines = audit.in_words(seen) + ([audit.TRANSDUCTIVE] if transductive else [])
    return _table(["seen by", *keys], rows) + "\n\n" + "\n".join(f"- {line}" for line in lines)


def _loading(model, settings, classes):
    shapes = []
    for name, by_window in model["encoders"].items():
        window, arguments = next(iter(by_window.items()))
        block = arguments["n_samples"] // RESOLUTIONS[window]  # samples or features of a channel in 1 s
        shapes.append(f'"{name}": torch.zeros(1, 5, {len(model["channels"][name])}, {block})')
    features = " and then become features (`utils/inputs/features.py`)" if settings.FRONT_END != "raw" else ""
    return LOADING.format(inputs=", ".join(shapes), classes=", ".join(classes), features=features)


def limits(seen, settings, data):
    """What a model must not be used for, as its audit and its data say."""
    shared = {key: max(part[key] for part in seen.values() if part) for key in ("trial", "subject", "stimulus")}
    lines = ["Not clinical: no diagnosis, no treatment, no decision about a person, at work, at school or by the law."]
    if data.info.get("simulated"):
        lines.append("Not recordings of people: it was made of simulated ones.")
    for key, text in SEEN.items():
        lines += [text] if shared[key] > 0 else []
    lines += [
        "Not other electrodes, amplifiers, sensors or reference: it has seen those of this data set only.",
        f"Not other questions: it knows {plain(settings.LABEL)} as it was rated here, of people who sat and watched.",
        "Not people who do not know of it: signals of the body are personal data.",
    ]
    return lines


def plain(text):
    """A text from outside as one line in which Markdown and HTML mean nothing."""
    text = " ".join("".join(c if c.isprintable() else "?" for c in " ".join(str(text).split())).split())
    text = re.sub(r"[\\`*_\[\]|~#]", lambda c: "\\" + c[0], text.encode("utf-8", "replace").decode())
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
