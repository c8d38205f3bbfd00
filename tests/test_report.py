"""The report's page, and features for others."""

import base64
import json
import re
import shutil
import struct
import subprocess
import unicodedata
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from data_prep import open_prepared
from models import Encoder
from tests.support import assert_refused, call, done, lines_of

REPORT = "Fine_tuning/report.py"
EXTRACT = "Fine_tuning/extract_features.py"


@pytest.fixture(scope="module")
def reported(prepared, pretrained, tmp_path_factory):
    """A run directory with everything in it, and what the report printed."""
    run_dir = tmp_path_factory.mktemp("reported") / "run"
    shutil.copytree(pretrained, run_dir)
    flags = ["--data-dir", prepared, "--run-dir", run_dir]
    done("Fine_tuning/fine_tuning.py", *flags, "--epochs", 2, "--permutations", 30)
    done("Fine_tuning/fine_tuning.py", *flags, "--epochs", 2, "--label", "four", "--init", "random")
    done("Fine_tuning/baseline.py", *flags, "--models", "lda")
    return run_dir, done(REPORT, "--run-dir", run_dir)


class Reader(HTMLParser):
    """Collects images, tables' texts and whatever points elsewhere."""

    def __init__(self):
        super().__init__()
        self.images, self.cells, self.addresses, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "img":
            self.images.append(attrs)
        self.addresses += [value for name, value in attrs.items() if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("th", "span"):
            self.cells.append(data)


def test_page_is_one_file_with_all_figures(reported):
    run_dir, out = reported
    text = (run_dir / "report.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert "://" not in text
    assert all(address.startswith("data:image/png;base64,") for address in reader.addresses)
    files = sorted(path.stem for path in (run_dir / "figures").glob("*.png"))
    assert len(reader.images) == len(files) == len(list((run_dir / "figures").glob("*.svg")))
    assert f"its {len(files)} figures" in out
    for kind in ("accuracy_arousal", "accuracy_four", "finetune_arousal_confusion", "finetune_arousal_subjects"):
        assert kind in files
    for kind in ("finetune_arousal_learning", "pretrain_1s", "pretrain_5s", "features_eeg_pca", "features_pps_pca"):
        assert kind in files
    for image in reader.images:
        content = base64.b64decode(image["src"].split(",")[1])
        width, height = struct.unpack(">II", content[16:24])
        assert content.startswith(b"\x89PNG")
        assert width > 300
        assert height > 100
        assert image["alt"]


def test_page_says_what_matters(reported):
    run_dir, _ = reported
    text = (run_dir / "report.html").read_text(encoding="utf-8")
    for part in (
        "majority class",
        "simulated",
        "finetune_four_random",
        "baseline_arousal_lda",
        "p = ",
        "<dt>audit</dt>",
    ):
        assert part in text
    assert '<td class="seen" data-label="subject"><span>100%' in text  # in a subject-dependent split
    assert '<td class="free" data-label="window"><span>0%' in text
    assert re.search(r'<p class="warn">test subjects were seen', text)


def test_results_of_some_folds_say_so(prepared, pretrained, tmp_path):
    """A first look at one fold beside complete baselines: its folds are counted, the majority is that of all folds."""
    run_dir = shutil.copytree(pretrained, tmp_path / "run")
    flags = ["--data-dir", prepared, "--run-dir", run_dir]
    done("Fine_tuning/baseline.py", *flags, "--models", "nearest", "--standardise", "none", "--folds", 3)
    done("Fine_tuning/baseline.py", *flags, "--models", "lda,logistic")
    out = done(REPORT, "--run-dir", run_dir, "--no-feature-maps")
    majority = json.loads((run_dir / "baseline_arousal_lda" / "metrics.json").read_text())["majority"]
    assert "baseline_arousal_nearest (1 of 4 folds)" in out
    assert out.count("(1 of 4 folds)") == 1
    assert re.search(rf"always the majority class +{majority:.3f}", out)
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    assert "<small>1 of 4 folds</small></th>" in page
    assert "over 4 of 4 folds" in page


def test_report_needs_neither_data_nor_checkpoints(reported, tmp_path):
    run_dir, _ = reported
    shutil.copytree(run_dir / "finetune_arousal", tmp_path / "finetune_arousal")
    done(REPORT, "--run-dir", tmp_path)
    assert (tmp_path / "report.html").exists()


def test_published_figures_stand_beside_published_data_only(reported, tmp_path):
    """The data set's name is not enough: simulated recordings have it, too, and so has a part of the data."""
    metrics = json.loads((reported[0] / "finetune_arousal" / "metrics.json").read_text())
    assert (metrics["simulated"], metrics["n_subjects"], metrics["n_trials"]) == (True, 4, 4)
    whole = {"n_subjects": 32, "n_trials": 40}
    for changes, shown in (({"simulated": False} | whole, True), (whole, False), ({"simulated": False}, False)):
        folder = tmp_path / str(len(list(tmp_path.iterdir()))) / "finetune_arousal"
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps(metrics | changes))
        done(REPORT, "--run-dir", folder.parent, "--no-feature-maps")
        text = (folder.parent / "report.html").read_text(encoding="utf-8")
        assert all((part in text) == shown for part in ("98.35 ± 0.41", "LibEER", "(published)"))


def test_results_in_order_and_the_audit_in_one_line_where_parts_agree(prepared, pretrained, tmp_path):
    run_dir = shutil.copytree(pretrained, tmp_path / "run")
    flags = ["--data-dir", prepared, "--run-dir", run_dir]
    done("Fine_tuning/baseline.py", *flags)
    for more in ([], ["--init", "random"], ["--permute-labels"]):
        done("Fine_tuning/fine_tuning.py", *flags, "--epochs", 1, "--folds", 0, *more)
    out = done(REPORT, "--run-dir", run_dir, "--no-feature-maps")
    names = re.findall(r"^((?:finetune|baseline)_\w+)", out, re.M)
    assert names[:2] == ["finetune_arousal", "finetune_arousal_random"]
    assert all(name.startswith("baseline") for name in names[2:8])
    assert names[8:] == ["finetune_arousal_permuted"]
    accuracy = [json.loads((run_dir / name / "metrics.json").read_text())["accuracy"]["mean"] for name in names[2:8]]
    assert accuracy == sorted(accuracy, reverse=True)
    reader = Reader()
    reader.feed((run_dir / "report.html").read_text(encoding="utf-8"))
    shown = [cell for cell in reader.cells if cell.startswith(("finetune", "baseline", "always"))]
    assert shown[:10] == [*names, "always the majority class"]
    assert shown[10:12] == ["finetune_arousal", "finetune_arousal_random"]  # one line, all parts agree
    assert shown.count("finetune_arousal") == 2
    assert shown.count("finetune_arousal_random") == 3  # random encoders have seen nothing, the classifier has


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PROBE = """<script>
const found = {}
for (const width of [360, 420, 1200]) {
  const frame = document.createElement("iframe")
  frame.width = width; frame.height = 1000; frame.src = "PAGE"
  frame.onload = () => {
    const page = frame.contentDocument, root = page.documentElement, images = [...page.images]
    const right = e => e.getBoundingClientRect().right
    const wide = [...page.body.querySelectorAll("*")].filter(e => right(e) > root.clientWidth + 1)
    found[width] = {wide: wide.map(e => e.outerHTML.slice(0, 99)), scroll: root.scrollWidth - root.clientWidth,
      images: images.length, broken: images.filter(e => !e.naturalWidth).length,
      shrunk: Math.min(...images.map(e => e.clientWidth / (e.naturalWidth * 96 / 200)))}
    document.title = JSON.stringify(found)
  }
  document.body.append(frame)
}
</script>"""


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium")
def test_in_a_browser_nothing_is_too_wide_or_broken(reported, tmp_path):
    """On two telephones and a screen; with a result whose name is as long as names get."""
    run_dir = shutil.copytree(reported[0], tmp_path / "run")
    long_name = "finetune_arousal_" + "a_name_without_a_blank_" * 7
    shutil.copytree(run_dir / "finetune_arousal", run_dir / long_name)
    done(REPORT, "--run-dir", run_dir)
    (run_dir / "probe.html").write_text("<!doctype html><body>" + PROBE.replace("PAGE", "report.html"))
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        f"--user-data-dir={tmp_path}/p",
    ]
    command = [CHROMIUM, *flags, "--virtual-time-budget=20000", "--dump-dom", (run_dir / "probe.html").as_uri()]
    page = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = json.loads(re.search("<title>(.*)</title>", page)[1].replace("&lt;", "<").replace("&gt;", ">"))
    assert set(found) == {"360", "420", "1200"}
    for width, seen in found.items():
        assert not seen["wide"], (width, seen["wide"][:3])
        assert seen["scroll"] == 0, width
        assert seen["images"] > 10
        assert seen["broken"] == 0
        assert seen["shrunk"] > 0.7, "letters of the figures are too small"


def test_report_refuses(tmp_path):
    assert_refused(call(REPORT, "--run-dir", tmp_path), "has-no-split-json", "main_pretrain_1s.py")
    assert_refused(call(REPORT, "--run-dir", tmp_path / "no"), "does-not-exist-nothing", "main_pretrain_1s.py")
    (tmp_path / "finetune_arousal").mkdir()
    (tmp_path / "finetune_arousal" / "metrics.json").write_text('{"label": 3}')
    assert_refused(call(REPORT, "--run-dir", tmp_path), "is-damaged")


@pytest.mark.parametrize(("window", "modality", "n_seconds"), [("1s", "eeg", 1), ("5s", "pps", 5)])
def test_features_are_the_encoders(prepared, pretrained, tmp_path, window, modality, n_seconds):
    path = pretrained / f"pretrain_{window}" / "fold_00" / "checkpoint.pt"
    flags = ["--data-dir", prepared, "--checkpoint", path, "--modality", modality, "--batch-size", 7]
    done(EXTRACT, *flags, "--out-file", tmp_path / "f.npz")
    made = np.load(tmp_path / "f.npz", allow_pickle=False)
    data = open_prepared(prepared)
    entry = torch.load(path, weights_only=True)["encoders"][modality]
    encoder = Encoder(**entry["arguments"])
    encoder.load_state_dict(entry["weights"])
    n = len(made["features"]) - 3
    subject, trial = data.subjects.index(made["subject"][n]), made["trial"][n]
    start = made["start_second"][n]
    blocks = (data.eeg if modality == "eeg" else data.pps[:, :, :, 4:5])[subject, trial, start : start + n_seconds]
    with torch.no_grad():
        expected = encoder.eval()(torch.from_numpy(np.concatenate(list(blocks), axis=1))[None])[0]
    np.testing.assert_allclose(made["features"][n], expected, atol=1e-5)
    np.testing.assert_array_equal(made["ratings"][n], data.ratings[subject, trial])
    assert len(made["features"]) == data.eeg.shape[0] * data.eeg.shape[1] * (data.eeg.shape[2] // n_seconds)
    assert_refused(call(EXTRACT, *flags, "--out-file", tmp_path / "f.npz"), "already-exists", "--out-file")


def test_extraction_refuses(prepared, pretrained, tmp_path):
    out = ["--out-file", tmp_path / "f.npz"]
    assert_refused(
        call(EXTRACT, "--data-dir", prepared, "--checkpoint", tmp_path / "no.pt", *out), "does-not-exist", "no.pt"
    )
    (tmp_path / "text.pt").write_text("text")
    assert_refused(
        call(EXTRACT, "--data-dir", prepared, "--checkpoint", tmp_path / "text.pt", *out), "damaged-or-not-checkpoint"
    )
    assert not (tmp_path / "f.npz").exists()


def test_damaged_result_is_told_from_a_bug(reported, tmp_path, monkeypatch):
    """What is wrong in the file is named; a mistake of the program shows itself."""
    run_dir = shutil.copytree(reported[0], tmp_path / "run")
    path = run_dir / "finetune_arousal" / "metrics.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    changes = {
        "no folds": lambda r: r.pop("folds"),
        "accuracy.mean": lambda r: r["accuracy"].update(mean="high"),
        "folds[0].confusion": lambda r: r["folds"][0].update(confusion=3),
        "folds[0].subjects: no": lambda r: r["folds"][0]["subjects"].update({"x": {}}) or None,
        "class_names": lambda r: r["class_names"].append("another"),
        "settings: no INIT": lambda r: r["settings"].pop("INIT"),
        "permutation.method": lambda r: r["permutation"].update(method="magic"),
    }
    for part, change in changes.items():
        result = json.loads(json.dumps(whole))
        change(result)
        path.write_text(json.dumps(result), encoding="utf-8")
        outcome = call(REPORT, "--run-dir", run_dir)
        assert_refused(outcome, "is-damaged", path, part.split(": no")[0], "keeps the folds")
        assert len(outcome.err) < 300
    path.write_text(json.dumps(whole), encoding="utf-8")
    monkeypatch.setattr("utils.results.figures.subjects", lambda result: result["no such thing"])
    with pytest.raises(KeyError):
        call(REPORT, "--run-dir", run_dir)


def test_damaged_log_costs_its_curve_only(reported, tmp_path):
    run_dir = shutil.copytree(reported[0], tmp_path / "run")
    (run_dir / "pretrain_1s" / "fold_00" / "log.jsonl").write_text('{"epoch": 1}\n{"epo', encoding="utf-8")
    outcome = call(REPORT, "--run-dir", run_dir, "--no-feature-maps")
    assert outcome.status == 0
    assert outcome.err.count("warning: ") == len(outcome.err.splitlines())
    assert "fold_00/log.jsonl" in lines_of(outcome.err, "is-damaged")[0]


def test_figures_have_names_of_their_own(reported, tmp_path):
    """Also where a file system takes small and capital letters for the same, or an accent in two ways."""
    for name in ("Übung", "U\u0308bung", "übung", "a b", "a:b", "a_b"):
        shutil.copytree(reported[0] / "finetune_arousal", tmp_path / name)
    out = done(REPORT, "--run-dir", tmp_path)
    stems = [path.stem for path in (tmp_path / "figures").glob("*.png")]
    assert len({unicodedata.normalize("NFC", stem).casefold() for stem in stems}) == len(stems)
    assert f"its {len(stems)} figures" in out
    assert sum(stem.endswith("confusion") or "confusion-" in stem for stem in stems) == 6


def test_baseline_does_not_replace_another(reported, prepared):
    """Of other settings than its name says, or of more folds."""
    flags = ["--data-dir", prepared, "--run-dir", reported[0], "--models", "lda"]
    path = reported[0] / "baseline_arousal_lda" / "metrics.json"
    before = path.read_bytes()
    assert_refused(
        call("Fine_tuning/baseline.py", *flags, "--threshold", 4), "made-with-not", path, "THRESHOLD", "--tag"
    )
    assert_refused(
        call("Fine_tuning/baseline.py", *flags, "--folds", 0), "has-folds-too-which", path, "--folds", "--tag"
    )
    assert path.read_bytes() == before
