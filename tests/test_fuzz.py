"""Files with random damage: the readers read them or refuse them in words, and run nothing.

FUZZ=10000 ./test.sh -k fuzz    # the long version; 2,000 files of each kind by default
"""

import io
import json
import os
import resource
import shutil
import sys
import time
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.io

from data_prep import open_prepared
from data_prep.folder import preparation as preparations
from data_prep.folder.prepared import checksum_of
from data_prep.formats import deap, dreamer, inputs
from tests.builders.deap import GOOD, recording
from tests.builders.dreamer import good_bytes, small, to_hdf5
from utils.base.errors import InputError
from utils.protocol import splits

N = int(os.environ.get("FUZZ", 2000))
ODD = [
    None,
    True,
    -1,
    0,
    1,
    2**63,
    10**400,
    1e308,
    float("nan"),
    "",
    "ä\n\0",
    [],
    [[]],
    {},
    {"a": []},
    [None],
    ["x"] * 3,
]
FORBIDDEN = {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class", "socket.connect"}
watching = []


def watch(event, _):
    if watching and event in FORBIDDEN:
        watching.append(event)


sys.addaudithook(watch)


@pytest.fixture
def nothing_runs():
    watching[:] = ["on"]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    caught, watching[:] = watching[1:], []
    assert not caught
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 1_000_000  # KiB; the largest file has 0.7 MB


def mutate(content, rng, where):
    """Bytes with a few places changed, cut out, doubled or moved; ``where`` are the places worth it."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        place = int(rng.choice(where)) % max(1, len(content))
        kind, length = rng.integers(6), int(rng.integers(1, 9))
        if kind <= 1:
            content[place : place + 1] = bytes([rng.integers(256)])
        elif kind == 2:
            content[place : place + length] = rng.bytes(length)
        elif kind == 3:
            del content[place : place + length]
        elif kind == 4:
            content[place:place] = content[place : place + length]
        elif rng.random() < 0.2:
            del content[place:]
        else:
            content[place : place + 4] = b"\xff\xff\xff\x7f"
    return bytes(content)


def outcomes(read, cases):
    """How many of the cases were read and refused; no other end is allowed, nor a long wait."""
    count = {"read": 0, "refused": 0}
    for _ in range(cases):
        start = time.perf_counter()
        try:
            read()
            count["read"] += 1
        except InputError:
            count["refused"] += 1
        assert time.perf_counter() - start < 20
    return count


def test_fuzz_deap(tmp_path, nothing_runs):
    rng, path = np.random.default_rng(1), tmp_path / "s01.dat"
    head = GOOD.index(b"U\x04data")
    # opcodes stand at both ends, and between the two arrays; the rest is samples
    second = GOOD.index(b"labels")
    ends = [*range(min(400, len(GOOD))), *range(len(GOOD) - 300, len(GOOD))]
    where = [*ends, *range(head, head + 200), *range(second - 60, second + 200)]

    def read():
        path.write_bytes(mutate(GOOD, rng, where))
        deap.read_file(path)

    count = outcomes(read, N)
    assert count["refused"] > N / 2, count


def matlab_bytes(variables, compressed):
    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=compressed)
    return file.getvalue()


def deflated_again(content, rng):
    """A compressed file whose variables are damaged inside, as one who knows how they are packed."""
    head, place, parts = content[:128], 128, []
    while place < len(content):
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        inside = zlib.decompress(content[place + 8 : place + 8 + size])
        squeezed = zlib.compress(mutate(inside, rng, described(inside)), 1)
        parts += [b"\x0f\0\0\0", len(squeezed).to_bytes(4, "little"), squeezed]
        place += 8 + size
    return head + b"".join(parts)


def described(content):
    """Places of a MATLAB file where something else than samples stands: they all are near what looks like a tag."""
    words = np.frombuffer(content[: len(content) // 4 * 4], "<u4")
    tags = np.flatnonzero((words == 14) | (words == 9) | (words == 6)) * 4
    return np.unique(np.clip(tags[:, None] + np.arange(40), 0, len(content) - 1))


@pytest.mark.parametrize("packed", ["plain", "compressed", "compressed again"])
@pytest.mark.parametrize("name", ["s01.mat", "DREAMER.mat"])
def test_fuzz_matlab(tmp_path, nothing_runs, name, packed):
    rng, path = np.random.default_rng(3), tmp_path / name
    data, labels = recording()
    read_file = deap.read_file if name == "s01.mat" else dreamer.read_file
    variables = {"x": "text", "data": data, "labels": labels} if name == "s01.mat" else {"DREAMER": small()}
    good = matlab_bytes(variables, compressed=packed != "plain")
    where = described(good) if packed == "plain" else [*range(160), *rng.integers(160, len(good), 300)]

    def read():
        path.write_bytes(deflated_again(good, rng) if packed == "compressed again" else mutate(good, rng, where))
        read_file(path)

    path.write_bytes(good)
    read_file(path)
    cases = N // 16 if packed == "compressed again" else N // 8  # which takes ten times as long
    count = outcomes(read, cases)
    assert count["refused"] > cases / 4, count


def test_fuzz_matlab_7_3(tmp_path, nothing_runs):
    rng, path = np.random.default_rng(4), tmp_path / "DREAMER.mat"
    to_hdf5(scipy.io.loadmat(io.BytesIO(good_bytes()))["DREAMER"], path)
    good = path.read_bytes()
    where = np.flatnonzero(np.frombuffer(good, "u1"))
    where = where[(where < 8000) | (where > len(good) - 8000)]

    def read():
        path.write_bytes(mutate(good, rng, where))
        dreamer.read_file(path)

    count = outcomes(read, N // 8)
    assert count["refused"] > N / 32, count


def damaged_json(value, rng):
    """A JSON value with one part, somewhere inside, replaced by something odd or left out."""
    if isinstance(value, dict | list) and value and rng.random() < 0.8:
        key = list(value)[rng.integers(len(value))] if isinstance(value, dict) else int(rng.integers(len(value)))
        inner = value.copy()
        if rng.random() < 0.15:
            del inner[key]
        else:
            inner[key] = damaged_json(value[key], rng)
        return inner
    return ODD[rng.integers(len(ODD))]


@pytest.mark.parametrize("name", ["dataset.json", "split.json"])
def test_fuzz_json(tmp_path, prepared, pretrained, name, nothing_runs):
    rng, folder = np.random.default_rng(2), tmp_path / "data"
    shutil.copytree(prepared, folder)
    shutil.copy(pretrained / "split.json", tmp_path)
    path = folder / name if name == "dataset.json" else tmp_path / name
    if name == "dataset.json":  # with a rating that is categorical, too
        info = json.loads(path.read_bytes()) | {"classes": {"dominance": [str(number) for number in range(10)]}}
        path.write_text(json.dumps(info | {"checksum": checksum_of(info)}))
    good = path.read_bytes()
    data = open_prepared(folder)
    settings = SimpleNamespace(RUN_DIR=tmp_path, PROTOCOL=None, SPLIT=None, N_FOLDS=None, SEED=0)

    def read():
        if rng.random() < 0.4:
            path.write_bytes(mutate(good, rng, range(len(good))))
        else:
            content = damaged_json(json.loads(good), rng)
            if isinstance(content, dict) and rng.random() < 0.8:  # as one who knows how the checksum is made
                if name == "dataset.json":
                    content["checksum"] = checksum_of(content)
                else:
                    content["hash"] = splits._hash(content)
            path.write_text(json.dumps(content))
        if name == "dataset.json":
            made = open_prepared(folder)
            made.labels("arousal"), made.pps_names([]), made.modalities
            assert all(made.folder_name(label).isascii() for label in made.label_names)
        else:
            splits.load_or_create(settings, data)

    count = outcomes(read, N)
    assert count["refused"] > N / 2, count


def test_fuzz_what_a_model_meets(prepared, pretrained, nothing_runs):
    """Records of the model and of the data, with odd parts: compared or refused in words."""
    rng, data = np.random.default_rng(4), open_prepared(prepared)
    good = preparations.record(data, ["GSR"])

    def read():
        made = damaged_json(good, rng) if rng.random() < 0.5 else good
        wanted = preparations.of_model(made if isinstance(made, dict) else {}, "model.pt")
        info = data.info | {"preparation": damaged_json(data.info["preparation"], rng)}
        found = preparations.record(SimpleNamespace(info=info, rate=128, folder=prepared, checksum="0"))
        preparations.compare(wanted, found, "HERE", ["eeg", "pps"])

    count = outcomes(read, N)
    assert min(count.values()) > N / 10, count


def test_fuzz_npz(tmp_path, nothing_runs):
    """Arrays for prediction with one that is odd, or a damaged file."""
    rng, path = np.random.default_rng(5), tmp_path / "s01.npz"
    arrays = dict(eeg=np.ones((2, 3, 700)), pps=np.ones((2, 1, 700)), eeg_baseline=np.ones((2, 3, 256)))
    arrays |= dict(pps_baseline=np.ones((2, 1, 256)), sampling_rate=128, eeg_channels=["Fp1", "T3", "Cz"])
    arrays |= dict(pps_channels=["GSR"], filters="1-45 Hz", reference="Cz", resampling="none", baseline_seconds=2)
    how = {"eeg": "channels", "pps": "trial", "baseline_seconds": 3, "segment": "first 5 s"}
    arrays |= dict(id="s01", ratings=np.ones((2, 1)), stimuli=["a", "b"])
    odd = [
        *ODD,
        np.zeros(0),
        np.ones((2, 3, 700), "f2"),
        np.ones((2, 3, 700), int),
        [[128]],
        128.5,
        np.full((2, 3, 700), np.nan),
        np.ones((2, 3, 700), "c8"),
        np.ones((0, 3, 700)),
        "x" * 1000,
    ]

    def read():
        changed = dict(arrays)
        for key in rng.choice([*arrays, "baseline_eeg"], rng.integers(3)):
            changed[key] = odd[rng.integers(len(odd))]
        np.savez(path, **changed)
        if rng.random() < 0.3:
            content = path.read_bytes()
            path.write_bytes(mutate(content, rng, range(len(content))))
        record, people, prepare_trial = inputs.open_input(path, {"preparation": how})
        for _, trials in people:
            for trial in trials:
                prepare_trial(trial, {"eeg": [0, 2, 1]})

    count = outcomes(read, N // 10)
    assert min(count.values()) > 0, count
