"""Data that are not what a model was trained on: found by name, refused or said, in every script where they meet."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch

from data_prep import write_prepared
from data_prep.folder import preparation
from data_prep.folder.prepared import checksum_of
from data_prep.formats import deap
from data_prep.signals import channels
from tests.builders.predictions import recording, table
from tests.support import assert_refused, call, done, refused

PREDICT, EXTRACT = "Fine_tuning/predict.py", "Fine_tuning/extract_features.py"
EEG, PPS = ["Fp1", "T7", "P8", "Cz"], ["GSR", "ECG1"]
FULL = dict(filters="4-45 Hz", reference="average", resampling=None)


def made(**changes):
    """A record; a change of a key to ... leaves it out."""
    rate, seconds = changes.pop("rate", 128), changes.pop("seconds", 60)
    names = {"eeg": changes.pop("eeg_names", EEG), "pps": changes.pop("pps_names", PPS)}
    how = dict(eeg="channels", pps="trial", baseline_seconds=3, segment=None) | FULL | changes
    how = {key: value for key, value in how.items() if value is not ...}
    return {"sampling_rate": rate, "seconds": seconds, "channels": names, "preparation": how}


PAIRS = {  # the model's data, what it meets, and nothing, a part of the warning, or the refusal
    "the same": ({}, {}, ""),
    "another order": ({}, dict(eeg_names=EEG[::-1], pps_names=PPS[::-1]), ""),
    "other spelling": ({}, dict(eeg_names=["FP1", "t3", " T6", "EEG Cz-Ref"], pps_names=["gsr ", "ECG 1"]), ""),
    "one less": ({}, dict(eeg_names=EEG[:3]), ["lacks-channels-which-model", "eeg", "Cz"]),
    "one more of the EEG": ({}, dict(eeg_names=[*EEG, "Pz"]), ["standardised-with-more-eeg", "Pz"]),
    "one more, each over its trial": (dict(eeg="trial"), dict(eeg="trial", eeg_names=["Pz", *EEG]), ""),
    "one more of the PPS": ({}, dict(pps_names=["PPG", *PPS]), ""),
    "the same electrode twice": ({}, dict(eeg_names=["T3", *EEG]), ["has-channels-which-same", "'T3' and 'T7'"]),
    "other rate": ({}, dict(rate=256), ["hz-model-has", "256 Hz", "128 Hz"]),
    "EEG over trials, model across": (
        {},
        dict(eeg="trial"),
        ["has-normalisation-model-data", "EEG", "'trial'", "'channels'"],
    ),
    "EEG across, model over trials": (dict(eeg="trial"), {}, ["has-normalisation-model-data", "eeg-normalise trial"]),
    "PPS as they are, model over trials": (
        {},
        dict(pps="none"),
        ["has-normalisation-model-data", "pps-normalise trial"],
    ),
    "PPS over trials, model as they are": (
        dict(pps="none"),
        {},
        ["has-normalisation-model-data", "pps-normalise none"],
    ),
    "PPS over trials, model over people": (
        dict(pps="subject"),
        {},
        ["has-normalisation-model-data", "pps-normalise subject"],
    ),
    "PPS over people, model over trials": (
        {},
        dict(pps="subject"),
        ["has-normalisation-model-data", "pps-normalise trial"],
    ),
    "PPS over people, model as they are": (
        dict(pps="none"),
        dict(pps="subject"),
        ["has-normalisation-model-data", "pps-normalise none"],
    ),
    "rest left in": ({}, dict(baseline_seconds=None), ["rest-before-each-trial", "not removed", "EEG"]),
    "rest left in the PPS": (
        {},
        dict(baseline_seconds={"eeg": 3, "pps": None}),
        ["rest-before-each-trial", "not removed", "PPS"],
    ),
    "rest removed, model with it": (dict(baseline_seconds=None), {}, ["rest-before-each-trial", "is removed", "EEG"]),
    "no rest in both": (dict(baseline_seconds=None), dict(baseline_seconds=None), ""),
    "other rest": ({}, dict(baseline_seconds=61), "mean of 61 s of rest subtracted, not of 3"),
    "rest of several lengths": ({}, dict(baseline_seconds=[3, 5]), "3 to 5 s of rest"),
    "rest not recorded": ({}, dict(baseline_seconds=...), "not recorded on both sides: removal of the rest"),
    "rest not recorded, model": (dict(baseline_seconds=...), {}, "not recorded on both sides: removal of the rest"),
    "other segment": (dict(segment="first 60 s"), dict(segment="last 60 s"), "segment last 60 s, not first 60 s"),
    "segment, model of whole trials": ({}, dict(segment="last 60 s"), "segment last 60 s, not none"),
    "other filters": ({}, dict(filters="1-40 Hz"), "filters 1-40 Hz, not 4-45 Hz"),
    "no filters": ({}, dict(filters=None), "filters none, not 4-45 Hz"),
    "filters not recorded": ({}, dict(filters=...), "not recorded on both sides: filters"),
    "filters of the model not recorded": (dict(filters=...), {}, "not recorded on both sides: filters"),
    "other reference": ({}, dict(reference="Cz"), "reference Cz, not average"),
    "other resampling": ({}, dict(resampling="512 to 128 Hz"), "resampling 512 to 128 Hz, not none"),
    "other length": ({}, dict(seconds=10), "standardised over trials of 10 s, not of 60 s"),
    "other length, over nothing": (dict(pps="none"), dict(pps="none", seconds=10), ""),
    "an old folder": ({}, dict(eeg="z-score across channels"), ""),
}


def compared(wanted, found, modalities=("eeg", "pps"), **options):
    wanted, found = made(**wanted), made(**found)
    for record in (wanted, found):
        record["preparation"] = preparation.read(record["preparation"])
    return preparation.compare(wanted, found, "HERE", modalities, **options)


@pytest.mark.parametrize("name", PAIRS)
def test_pair(name):
    wanted, found, expected = PAIRS[name]
    if isinstance(expected, list):
        with refused(*expected, "HERE"):
            compared(wanted, found)
        return
    positions, warnings = compared(wanted, found)
    found = made(**found)["channels"]
    for modality, names in made(**wanted)["channels"].items():
        matched = [channels.plain(found[modality][position], modality) for position in positions[modality]]
        assert matched == [channels.plain(name, modality) for name in names]
    assert len(warnings) == (1 if expected else 0), warnings
    assert expected in "".join(warnings)
    assert all("HERE" in line and len(line) < 300 for line in warnings)


def test_what_is_not_used_does_not_matter():
    changes = dict(pps="none", pps_names=["other"], baseline_seconds={"eeg": 3, "pps": None})
    assert compared({}, changes, ["eeg"])[1] == []
    assert compared({}, dict(eeg="trial", eeg_names=["other"]), ["pps"])[0] == {"pps": [0, 1]}


def test_comparing_adds_nothing_to_the_remarks_of_a_reader():
    found = made(filters="1-40 Hz") | {"remarks": ["HERE has trials of 66 s"]}
    for _ in range(2):
        warnings = preparation.compare(made(), found, "HERE", ["eeg"])[1]
        assert len(warnings) == 2
    assert found["remarks"] == ["HERE has trials of 66 s"]


def test_channels_that_are_not_recorded_are_taken_in_order_and_said():
    wanted = made()
    del wanted["channels"]["eeg"]
    positions, warnings = preparation.compare(wanted, made(), "HERE", ["eeg"])
    assert positions == {"eeg": None}
    assert "EEG channels (taken in their order)" in warnings[0]
    same = {"dataset_checksum": "0"}  # the very data that it was trained on
    assert preparation.compare(wanted | same, made() | same, "HERE", ["eeg"]) == (positions, [])


def test_names_say_what_was_matched(capsys):
    assert channels.match_channels(["T7", "Fp1"], ["FP1", "T3"], "eeg", "HERE") == [1, 0]
    assert capsys.readouterr().out == "HERE: eeg channels by name: T3 is T7, FP1 is Fp1\n"
    assert channels.match_channels(["T7"], ["T7"], "eeg", "HERE") == [0]
    assert capsys.readouterr().out == ""
    many = [f"electrode {number}" for number in range(200)]
    with refused("lacks-channels-which-model", "electrode 0") as error:
        channels.match_channels([f"E{number}" for number in range(200)], many, "eeg", "HERE")
    assert len(str(error.value)) < 300
    for modality, names in (("pps", ["T3", "T7"]), ("pps", ["EEG GSR", "GSR"]), ("eeg", ["E1", "E01"])):
        assert len(channels.distinct(names, modality, "HERE")) == 2
    for modality, names in (("eeg", ["t5", "P7"]), ("eeg", ["Fp1", "FP1."]), ("pps", ["GSR", "gsr"])):
        with refused("has-channels-which-same"):
            channels.distinct(names, modality, "HERE")


# --- the scripts


def flags(run_dir, source, out):
    return ["--model", run_dir / "finetune_arousal" / "fold_00" / "model.pt", "--input", source, "--out-file", out]


@pytest.fixture(scope="module")
def folders(raw, tmp_path_factory):
    """Prepared folders from the same recordings, by what they were prepared with."""
    folder = tmp_path_factory.mktemp("folders")

    def folder_of(*options):
        out = folder / "_".join(map(str, options)).replace("--", "")
        if not out.exists():
            done("data_prep/prepare_deap.py", "--raw-dir", raw, "--out-dir", out, *options)
        return out

    return folder_of


FOLDERS = {  # options of preparation: part of the refusal or of the warning
    ("--eeg-normalise", "trial"): ["has-normalisation-model-data", "EEG", "'trial'"],
    ("--pps-normalise", "none"): ["has-normalisation-model-data", "PPS", "'none'"],
    ("--pps-normalise", "subject"): ["has-normalisation-model-data", "PPS", "'subject'"],
    ("--rest-seconds", 0): ["rest-before-each-trial", "not removed"],
    ("--rest-seconds", 5): "mean of 5 s of rest subtracted, not of 3; standardised over trials of 10 s, not of 12 s",
}


@pytest.mark.parametrize("options", FOLDERS)
def test_folders_that_were_prepared_otherwise(run_dir, pretrained, folders, tmp_path, options):
    folder, expected = folders(*options), FOLDERS[options]
    modality = "pps" if "pps" in options[0] else "eeg"
    calls = [call(PREDICT, *flags(run_dir, folder, tmp_path / "out.csv"))]
    checkpoint = ["--checkpoint", pretrained / "pretrain_1s" / "fold_00" / "checkpoint.pt", "--modality", modality]
    calls.append(call(EXTRACT, *checkpoint, "--data-dir", folder, "--out-file", tmp_path / "out.npz"))
    for outcome in calls:
        if isinstance(expected, list):
            assert_refused(outcome, *expected, folder)
        else:
            assert outcome.status == 0
            lines = [line for line in outcome.err.splitlines() if "is among the recordings" not in line]
            assert len(lines) == 1
            assert expected.split(";")[0] in outcome.err
    assert (tmp_path / "out.csv").exists() == isinstance(expected, str)
    for script in ("main_pretrain_1s.py", "Fine_tuning/fine_tuning.py", "Fine_tuning/baseline.py"):
        outcome = call(script, "--data-dir", folder, "--run-dir", run_dir)  # resume, and fine-tuning from a checkpoint
        assert_refused(outcome, "made-for-another-data", "split.json")


def test_raw_recordings_are_prepared_as_the_model_says(folders, raw, tmp_path):
    """With every choice other than the default: the .dat file and the arrays give what the folder gives."""
    options = ("--eeg-normalise", "trial", "--pps-normalise", "none", "--rest-seconds", 0)
    whole = tmp_path / "raw"  # files of 60 s without any rest
    whole.mkdir()
    rng = np.random.default_rng(0)
    for number in (1, 2):
        arrays = {"data": rng.standard_normal((4, 40, 7680)), "labels": rng.uniform(1, 9, (4, 4))}
        (whole / f"s{number:02d}.dat").write_bytes(pickle.dumps(arrays))
    data, out = tmp_path / "data", tmp_path / "run"
    done("data_prep/prepare_deap.py", "--raw-dir", whole, "--out-dir", data, *options)
    where = ["--data-dir", data, "--run-dir", out]
    sizes = ["--init", "random", "--embed-dim-1s", 8, "--embed-dim-5s", 8]
    done("Fine_tuning/fine_tuning.py", *where, "--split", "trial", "--folds", 0, "--epochs", 1, *sizes)
    done(PREDICT, *model(out), "--input", data, "--out-file", tmp_path / "a.csv")
    expected = {key: value for key, value in table(tmp_path / "a.csv").items() if key[0] == "s01"}
    done(PREDICT, *model(out), "--input", whole / "s01.dat", "--out-file", tmp_path / "b.csv")
    signals = pickle.loads((whole / "s01.dat").read_bytes())["data"]  # our own file
    rest = rng.standard_normal((4, 40, 384)) + 9
    (tmp_path / "s01.dat").write_bytes(
        pickle.dumps({"data": np.concatenate([rest, signals], 2), "labels": arrays["labels"]})
    )
    done(PREDICT, *model(out), "--input", tmp_path / "s01.dat", "--out-file", tmp_path / "c.csv")
    names = dict(sampling_rate=128, eeg_channels=deap.EEG_CHANNELS, pps_channels=deap.PPS_CHANNELS)
    parts = dict(eeg=signals[:, :32], pps=signals[:, 32:], eeg_baseline=rest[:, :32], pps_baseline=rest[:, 32:])
    np.savez(tmp_path / "s01.npz", **names, **parts)
    done(PREDICT, *model(out), "--input", tmp_path / "s01.npz", "--out-file", tmp_path / "d.csv")
    for name in "bcd":
        got = table(tmp_path / f"{name}.csv")
        assert got.keys() == expected.keys()
        for key, values in got.items():
            assert values == pytest.approx(expected[key], abs=1e-5), name


def model(run_dir, name="finetune_arousal_random"):
    return ["--model", run_dir / name / "fold_00" / "model.pt"]


def test_files_without_their_rest_are_refused(run_dir, tmp_path):
    content = {"data": np.random.default_rng(0).standard_normal((2, 40, 7680)), "labels": np.full((2, 4), 5.0)}
    (tmp_path / "s01.dat").write_bytes(pickle.dumps(content))
    assert_refused(
        call(PREDICT, *flags(run_dir, tmp_path / "s01.dat", tmp_path / "x.csv")),
        "has-trials-deap-without",
        "s01.dat",
        "60 s",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["s01.dat"]


def test_arrays_say_what_was_done_to_them(run_dir, raw, tmp_path):
    """Old names, more electrodes than the model has, and another order: the same probabilities."""
    arrays = recording(raw)
    out = [tmp_path / f"{name}.csv" for name in "abc"]
    done(PREDICT, *flags(run_dir, raw / "s01.dat", out[0]))
    old = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}
    names = [f"EEG {old.get(name, name).upper()}" for name in arrays["eeg_channels"]]
    order = np.random.default_rng(1).permutation(34)
    for name in ("eeg", "eeg_baseline"):
        more = np.random.default_rng(2).standard_normal((arrays[name].shape[0], 2, arrays[name].shape[2]))
        arrays[name] = np.concatenate([arrays[name], more], axis=1)[:, order]
    arrays["eeg_channels"] = np.array([*names, "M1", "M2"])[order]
    arrays["pps_channels"] = np.array([b"gsr"])
    np.savez(tmp_path / "s01.npz", **arrays)
    outcome = call(PREDICT, *flags(run_dir, tmp_path / "s01.npz", out[1]))
    assert "not recorded on both sides: filters, reference, resampling" in outcome.err
    assert "is T7" in outcome.out or "in all" in outcome.out
    np.savez(tmp_path / "s01.npz", **arrays, **deap.BEFORE)
    warnings = call(PREDICT, *flags(run_dir, tmp_path / "s01.npz", out[2])).err.splitlines()
    assert [line.split(" (")[0] for line in warnings] == ["warning: model.pt was trained and tested on people it knows"]
    expected = table(out[0])
    for path in out[1:]:
        for key, values in table(path).items():
            assert values == pytest.approx(expected[key], abs=1e-4)


def test_rest_that_was_removed_already(run_dir, raw, tmp_path):
    arrays = recording(raw)
    for name in ("eeg", "pps"):
        rest = arrays.pop(f"{name}_baseline")
        second = rest.reshape(*rest.shape[:2], 3, 128).mean(axis=2)
        arrays[name] = arrays[name] - np.tile(second, arrays[name].shape[2] // 128)
    done(PREDICT, *flags(run_dir, raw / "s01.dat", tmp_path / "a.csv"))
    np.savez(tmp_path / "s01.npz", **arrays, baseline_seconds=3)
    done(PREDICT, *flags(run_dir, tmp_path / "s01.npz", tmp_path / "b.csv"))
    expected = table(tmp_path / "a.csv")
    for key, values in table(tmp_path / "b.csv").items():
        assert values == pytest.approx(expected[key], abs=1e-4)


def own_data(raw, folder, order, **options):
    """The recordings of `raw` as a user's own arrays, EEG channels in another order."""

    def people():
        for number in range(1, 5):
            with open(raw / f"s{number:02d}.dat", "rb") as file:
                content = pickle.load(file, encoding="latin1")  # our own file
            rest, signal = content["data"][:, :, :384], content["data"][:, :, 384:]
            parts = dict(
                eeg=signal[:, order], eeg_baseline=rest[:, order], pps=signal[:, 32:], pps_baseline=rest[:, 32:]
            )
            yield {"id": f"s{number:02d}", "ratings": content["labels"]} | parts

    names = dict(pps_channels=deap.PPS_CHANNELS, ratings=deap.RATINGS)
    sizes = dict(name="MINE", sampling_rate=128, rating_range=(1, 9), threshold=5)
    write_prepared(folder, people(), **names, **sizes, **options)
    return folder


@pytest.mark.parametrize("modality", ["eeg", "pps"])
def test_features_of_channels_by_name(pretrained, prepared, raw, tmp_path, modality):
    order = np.random.default_rng(0).permutation(32)
    names = [deap.EEG_CHANNELS[i] for i in order]
    other = own_data(raw, tmp_path / "other", order, eeg_channels=names, **deap.BEFORE)
    checkpoint = ["--checkpoint", pretrained / "pretrain_5s" / "fold_00" / "checkpoint.pt", "--modality", modality]
    features = []
    for number, folder in enumerate((prepared, other)):
        outcome = call(EXTRACT, *checkpoint, "--data-dir", folder, "--out-file", tmp_path / f"{number}.npz")
        assert (outcome.status, outcome.err) == (0, "")
        features.append(np.load(tmp_path / f"{number}.npz")["features"])
    np.testing.assert_allclose(features[0], features[1], atol=1e-3)
    strange = own_data(raw, tmp_path / "strange", np.arange(32), eeg_channels=[f"E{i}" for i in range(32)])
    outcome = call(EXTRACT, *checkpoint, "--data-dir", strange, "--out-file", tmp_path / "x.npz")
    if modality == "eeg":
        assert_refused(outcome, "lacks-channels-which-model", strange, "eeg", "Fp1", "E0")
    else:
        assert outcome.status == 0
        assert "not recorded on both sides" in outcome.err


def test_older_folders_and_checkpoints_are_read(run_dir, pretrained, prepared, raw, tmp_path):
    """What they do not record is said once, not guessed; with the very data there is nothing to say."""
    old = shutil.copytree(prepared, tmp_path / "old")
    info = json.loads((old / "dataset.json").read_text())
    info["preparation"] = {"eeg": "z-score across channels", "pps": "trial", "baseline_seconds": 3}
    (old / "dataset.json").write_text(json.dumps(info))
    (old / "dataset.json").write_text(json.dumps(info | {"checksum": checksum_of(info)}))
    assert "complete, from these files" in done("data_prep/prepare_deap.py", "--raw-dir", raw, "--out-dir", old)
    path = pretrained / "pretrain_5s" / "fold_00" / "checkpoint.pt"
    checkpoint = torch.load(path, weights_only=True)
    assert {"sampling_rate", "seconds", "channels", "preparation", "dataset_checksum"} <= checkpoint.keys()
    assert checkpoint["channels"] == {"eeg": deap.EEG_CHANNELS, "pps": ["GSR"]}
    for key in ("sampling_rate", "seconds", "channels", "preparation"):
        del checkpoint[key]
    torch.save(checkpoint, tmp_path / "old.pt")
    run = ["--checkpoint", tmp_path / "old.pt"]
    assert call(EXTRACT, *run, "--data-dir", prepared, "--out-file", tmp_path / "a.npz").err == ""
    outcome = call(EXTRACT, *run, "--data-dir", old, "--out-file", tmp_path / "b.npz")
    assert outcome.status == 0
    assert "EEG channels (taken in their order), EEG normalisation, removal of the rest" in outcome.err
    made_by = torch.load(run_dir / "finetune_arousal" / "fold_00" / "model.pt", weights_only=True)
    made_by["preparation"] = info["preparation"]
    del made_by["seconds"], made_by["dataset_checksum"]
    torch.save(made_by, tmp_path / "model.pt")
    flags = ["--model", tmp_path / "model.pt", "--input", raw / "s01.dat", "--out-file", tmp_path / "c.csv"]
    assert "not recorded on both sides: segment, filters, reference, resampling" in call(PREDICT, *flags).err
    for key, value in (("channels", {"eeg": "Fp1", "pps": []}), ("preparation", []), ("sampling_rate", "128")):
        torch.save(made_by | {key: value}, tmp_path / "model.pt")
        outcome = call(PREDICT, *flags[:-1], tmp_path / "d.csv")
        assert_refused(outcome, "lacks-parts-model", tmp_path / "model.pt")


def test_dreamer_file_and_folder_agree(tmp_path):
    """A clip of the file is cut to the segment of the model's data, over which its ECG was standardised."""
    done(
        "data_prep/make_synthetic.py",
        "--format",
        "dreamer",
        "--out-dir",
        tmp_path / "raw",
        "--subjects",
        4,
        "--trials",
        4,
        "--seconds",
        12,
    )
    file = next((tmp_path / "raw").glob("*.mat"))
    prepare = ["data_prep/prepare_dreamer.py", "--raw-file", file, "--segment-seconds", 10, "--segment"]
    for segment in ("last", "first"):
        done(*prepare, segment, "--out-dir", tmp_path / segment)
    where = ["--data-dir", tmp_path / "last", "--run-dir", tmp_path / "run"]
    sizes = ["--init", "random", "--embed-dim-1s", 8, "--embed-dim-5s", 8, "--pps-channels", "ecg"]
    done("Fine_tuning/fine_tuning.py", *where, "--split", "trial", "--folds", 0, "--epochs", 1, *sizes)
    for number, source in enumerate((tmp_path / "last", file)):
        outcome = call(PREDICT, *model(tmp_path / "run"), "--input", source, "--out-file", tmp_path / f"{number}.csv")
        assert outcome.status == 0
        assert outcome.err.count("warning") == outcome.err.count("is among the recordings") == 1
    folder, raw_file = table(tmp_path / "0.csv"), table(tmp_path / "1.csv")
    assert folder.keys() == raw_file.keys()
    for key, values in folder.items():
        assert values == pytest.approx(raw_file[key], abs=1e-4)
    outcome = call(PREDICT, *model(tmp_path / "run"), "--input", tmp_path / "first", "--out-file", tmp_path / "2.csv")
    assert "segment first 10 s, not last 10 s" in outcome.err


def test_channels_of_a_new_folder_are_distinct(raw, tmp_path):
    for names, part in (
        (["T3", *deap.EEG_CHANNELS[1:]], ["has-channels-which-same", "T3", "T7"]),
        (["O2", *deap.EEG_CHANNELS[1:]], ["names-twice", "O2"]),
    ):
        with refused(*part):
            own_data(raw, tmp_path / "own", np.arange(32), eeg_channels=names)
    assert list(tmp_path.iterdir()) == []
