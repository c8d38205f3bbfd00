"""The model card written with every model.pt: data, scores, use and limits, as `templates/model_card.md` has them."""

import re

from data_prep.folder.scales import threshold_in_words
from data_prep.signals.channels import shorten
from utils.protocol.audit import TRANSDUCTIVE, in_words
from utils.protocol.windows import RESOLUTIONS
from utils.results.page import fill

NAME = "model_card.md"


def card(model, scores, data, manifest, settings, transductive):
    """The card of one fold's model in Markdown, without times: the same model has the same card."""
    classes = [plain(name) for name in model["class_names"]]
    inputs = []
    for name, by_window in model["encoders"].items():
        window, arguments = next(iter(by_window.items()))
        block = arguments["n_samples"] // RESOLUTIONS[window]  # samples or features of a channel in 1 s
        inputs.append(f'"{name}": torch.zeros(1, 5, {len(model["channels"][name])}, {block})')
    seen = [(part, shares) for part, shares in scores["audit"].items() if shares]
    f1 = "F1" if len(classes) == 2 else "F1, weighted by class"
    return fill(
        NAME,
        **dict(model=model, scores=scores, data=data, manifest=manifest, settings=settings),
        **dict(plain=plain, shorten=shorten, threshold_in_words=threshold_in_words),
        label=plain(settings.LABEL),
        modalities=[name.upper() for name in model["encoders"]],
        n_folds=len(manifest.folds),
        simulated=data.info.get("simulated"),
        not_seen=(~data.seen).sum(),
        classes=classes,
        cut=None if settings.LABEL in data.info["classes"] else settings.THRESHOLD,
        names={"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "f1": f1},
        seen=seen,
        shared={key: max(shares[key] for _, shares in seen) for key in ("trial", "subject", "stimulus")},
        audit=in_words(scores["audit"]) + ([TRANSDUCTIVE] if transductive else []),
        inputs=inputs,
    )


def plain(text):
    """A text from outside as one line in which Markdown and HTML mean nothing."""
    text = " ".join("".join(c if c.isprintable() else "?" for c in " ".join(str(text).split())).split())
    text = re.sub(r"[\\`*_\[\]|~#]", lambda c: "\\" + c[0], text.encode("utf-8", "replace").decode())
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
