"""MATLAB's files: values of all kinds and versions; broken and hostile files end in one line."""

import io
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from data_prep.formats import matlab
from data_prep.make_synthetic import cells
from tests.builders.dreamer import good_bytes
from tests.builders.matlab import element, mat, matrix
from tests.support import assert_refused, call, refused

SCRIPT = "data_prep/prepare_dreamer.py"


@pytest.mark.parametrize("compressed", [False, True])
def test_values_of_all_kinds(tmp_path, compressed):
    """As MATLAB stores them: small integers for doubles, texts, empties, nested structures; behind another variable."""
    inner = {
        "text": "Ünicode",
        "rows": np.array(["a", "bcd"]),
        "empty": np.zeros((0, 0)),
        "small": np.arange(6.0).reshape(2, 3),
        "single": np.float32(2.5),
        "logical": np.array([True, False]),
        "nothing": {},
    }
    inner |= {"integers": np.arange(5, dtype="i2"), "cell": cells([1.0, "a", np.ones((2, 2))], (3, 1))}
    many = np.array([(1.0, "x"), (2.0, "y")], [("n", object), ("t", object)])
    value = {"Data": cells([inner, {"more": 3.0}], (1, 2)), "rate": 128.0, "many": many}
    scipy.io.savemat(tmp_path / "x.mat", {"other": np.ones((5, 5)), "D": value}, do_compression=compressed)
    variables, names = matlab.load(tmp_path / "x.mat", ["D", "absent"])
    assert names == ["other", "D"]
    assert list(variables) == ["D"]
    read = variables["D"]["Data"][0]
    assert read["text"] == "Ünicode"
    assert [row.strip() for row in read["rows"]] == ["a", "bcd"]
    assert read["empty"].size == 0
    np.testing.assert_array_equal(read["small"], inner["small"])
    np.testing.assert_array_equal(read["integers"].ravel(), inner["integers"])
    assert read["single"].item() == 2.5
    assert read["logical"].ravel().tolist() == [1, 0]
    assert isinstance(read["cell"], list)
    assert read["cell"][1] == "a"
    assert variables["D"]["rate"].item() == 128
    assert [item["t"] for item in variables["D"]["many"]] == ["x", "y"]


FILES = sorted((Path(scipy.io.__file__).parent / "matlab" / "tests" / "data").glob("*_[67]*.mat"))


@pytest.mark.skipif(not FILES, reason="SciPy was installed without its tests")
def test_files_that_matlab_wrote(tmp_path):
    """SciPy brings files of MATLAB 6 and 7 itself: what it reads is read, but for objects and sparse matrices."""
    for path in FILES:
        if "hdf5" in path.name:
            continue
        theirs = {name for name in scipy.io.loadmat(path) if not name.startswith("__")}
        assert set(matlab.load(path, ())[1]) == theirs
        if any(word in path.name for word in ("sparse", "func", "object")):
            with refused("has-sparse-matrix-variable" if "sparse" in path.name else "has-matlab-object-variable"):
                matlab.load(path, theirs)
        else:
            assert matlab.load(path, theirs)[0].keys() == theirs
    variables, _ = matlab.load(next(p for p in FILES if "teststruct_7" in p.name), ["teststruct"])
    assert variables["teststruct"]["stringfield"]


def structure(content, names=b"Data\0\0\0\0", length=8):
    fields = struct.pack("<HHi", 5, 4, length) + element(1, names)
    return matrix(2, (1, 1), fields + content, b"DREAMER")


def bomb(declared):
    """A compressed variable that unpacks to far more than the file holds; if not declared, in endless parts."""
    flags = element(6, struct.pack("<II", 2, 0)) + element(5, struct.pack("<ii", 1, 1)) + element(1, b"DREAMER")
    fields = struct.pack("<HHI", 5, 4, 8) + element(1, b"Data\0\0\0\0")
    cell = (
        element(6, struct.pack("<II", 1, 0))
        + element(5, struct.pack("<ii", 1, 2 if declared else 10**7))
        + element(1, b"")
    )
    zeros = element(6, struct.pack("<II", 6, 0)) + element(5, struct.pack("<ii", 2**15, 2**14)) + element(1, b"")
    body = flags + fields + struct.pack("<II", 14, 2**31) + cell + struct.pack("<II", 14, 2**31) + zeros
    body += struct.pack("<II", 9, 2**32 - 8)
    return mat(struct.pack("<II", 14, 2**32 - 1) + body + b"\0" * 50_000_000, compress=True)


def nested(depth):
    """Cells in cells; SciPy's compiled code follows them until the stack ends."""
    cell = struct.pack("<II", 14, 8) + CELL_HEADER  # a size that SciPy does not look at
    return structure(cell * depth + matrix(6, (0, 0), element(9, b"")))


CELL_HEADER = element(6, struct.pack("<II", 1, 0)) + element(5, struct.pack("<ii", 1, 1)) + element(1, b"")
BIG = 2**31 - 1
BAD_BYTES = {
    "empty": (b"", ["not-matlab-file-or"]),
    "text": (b"Lorem ipsum " * 50, ["not-matlab-file-or"]),
    "truncated": (good_bytes()[:-100_000], ["damaged-or-cut-short"]),
    "truncated, compressed": (good_bytes(do_compression=True)[:-10_000], ["damaged-or-cut-short"]),
    "header only": (good_bytes()[:128], ["but-no-variable-has", "nothing"]),
    "version 4": (struct.pack("<5i", 0, 1, 1, 0, 2) + b"x\0" + struct.pack("<d", 1), ["not-matlab-file-or"]),
    "declares too much": (bomb(declared=True), ["declares-more-data-than"]),
    "has too many parts": (bomb(declared=False), ["has-far-more-parts"]),
    "nested": (mat(nested(200_000), compress=True), ["nested-deeper-than-any"]),
    "many cells": (mat(structure(matrix(1, (BIG, BIG, BIG), b""))), ["has-far-more-parts"]),
    "many structures": (
        mat(structure(matrix(2, (BIG, 9), element(5, b"\1\0\0\0") + element(1, b"")))),
        ["has-far-more-parts"],
    ),
    "long text": (mat(structure(matrix(4, (BIG, BIG), element(1, b"")))), ["has-longer-text-than"]),
    "numbers of another size": (mat(structure(matrix(6, (9, 9), element(9, b"12345678")))), ["damaged-or-cut-short"]),
    "numbers of no type": (mat(structure(matrix(6, (1, 1), element(99, b"12345678")))), ["damaged-or-cut-short"]),
    "no numbers of no type": (mat(structure(matrix(6, (0, 0), element(99, b"")))), ["damaged-or-cut-short"]),
    "no field names of no length": (mat(structure(b"", names=b"", length=0)), ["damaged-or-cut-short"]),
    "text of no type": (mat(structure(matrix(4, (1, 1), element(99, b"1")))), ["damaged-or-cut-short"]),
    "negative size": (mat(structure(matrix(6, (-1, 1), element(9, b"")))), ["damaged-or-cut-short"]),
    "one axis": (mat(structure(matrix(6, (1,), element(9, b"12345678")))), ["damaged-or-cut-short"]),
    "field names of no length": (mat(structure(b"", length=0)), ["damaged-or-cut-short"]),
    "field names of negative length": (mat(structure(b"", length=-8)), ["damaged-or-cut-short"]),
    "field names without end": (mat(structure(b"", names=b"DataData")), ["damaged-or-cut-short"]),
    "object": (mat(structure(matrix(3, (1, 1), element(1, b"table")))), ["has-matlab-object-variable"]),
    "function": (mat(structure(matrix(16, (1, 1), b""))), ["has-matlab-object-variable"]),
    "opaque": (
        mat(structure(element(14, element(6, struct.pack("<II", 17, 0)) + element(1, b"x")))),
        ["has-matlab-object-variable"],
    ),
    "size beyond the file": (mat(struct.pack("<II", 14, BIG)), ["damaged-or-cut-short"]),
    "compressed noise": (mat(struct.pack("<II", 15, 64) + b"noise" * 13), ["damaged-or-cut-short"]),
}


@pytest.mark.parametrize("name", BAD_BYTES)
def test_bad_bytes(tmp_path, name):
    content, part = BAD_BYTES[name]
    (tmp_path / "DREAMER.mat").write_bytes(content)
    flags = ["--raw-file", tmp_path / "DREAMER.mat", "--out-dir", tmp_path / "out", "--segment-seconds", 5]
    assert_refused(call(SCRIPT, *flags), *part, tmp_path / "DREAMER.mat")
    assert [path.name for path in tmp_path.iterdir()] == ["DREAMER.mat"]


def test_the_pieces_make_a_good_file(tmp_path):
    """What the hostile files are put together from; so it is their faults that are refused."""
    number = matrix(6, (1, 1), element(9, struct.pack("<d", 7)))
    for compress in (False, True):
        (tmp_path / "x.mat").write_bytes(mat(structure(number), compress=compress))
        assert matlab.load(tmp_path / "x.mat", ["DREAMER"])[0]["DREAMER"]["Data"].item() == 7
    (tmp_path / "x.mat").write_bytes(mat(nested(5)))
    assert matlab.load(tmp_path / "x.mat", ["DREAMER"])[0]["DREAMER"]["Data"][0][0][0][0][0].size == 0


def huge(file):
    file.create_dataset("DREAMER", (1 << 20, 1 << 20), "f8", chunks=(1024, 1024))


def huge_chunk(file):
    file.create_dataset("DREAMER", (8,), "f8", maxshape=(None,), chunks=((1 << 29) - 1,), compression="gzip")


def again_and_again(file):
    """Few bytes that refer to the same array more often than memory would do."""
    part = file.create_dataset("part", data=np.ones(1 << 20), compression="gzip")
    file.create_dataset("DREAMER", data=np.array([part.ref] * 1000, h5py.ref_dtype), dtype=h5py.ref_dtype)


def round_and_round(file):
    cell = file.create_dataset("DREAMER", (1, 1), h5py.ref_dtype)
    cell[0, 0] = cell.ref


def elsewhere(file):
    file["DREAMER"] = h5py.ExternalLink("other.mat", "/secret")


def elsewhere_stored(file):
    file.create_dataset("DREAMER", (8,), "u1", external=[("/etc/hostname", 0, 8)])


def long_text(file):
    file.create_dataset("DREAMER", (1 << 28, 4), "u2").attrs["MATLAB_class"] = np.bytes_("char")


def texts_of_python(file):
    file["DREAMER"] = ["a", "b"]


def object_of_matlab(file):
    file["DREAMER"] = np.zeros((6, 1), "u4")
    file["DREAMER"].attrs["MATLAB_object_decode"] = 3


BAD_HDF5 = {
    huge: "declares-more-data-than",
    huge_chunk: "declares-more-data-than",
    again_and_again: "declares-more-data-than",
    long_text: "declares-more-data-than",
    round_and_round: "nested-deeper-than-any",
    elsewhere: "has-link-to-something",
    elsewhere_stored: "has-objects-or-links",
    texts_of_python: "has-objects-or-links",
    object_of_matlab: "has-objects-or-links",
}


@pytest.mark.parametrize("make", BAD_HDF5, ids=lambda make: make.__name__)
def test_bad_hdf5(tmp_path, make):
    with h5py.File(tmp_path / "DREAMER.mat", "w") as file:
        make(file)
    with refused(BAD_HDF5[make]):
        matlab.load(
            tmp_path / "DREAMER.mat", ["DREAMER"], max_bytes=4_000_000_000 if make is huge_chunk else 100_000_000
        )


def test_without_limits_these_would_be_read(tmp_path):
    """SciPy reads what was packed a thousandfold; here the limit ends it, and a larger one does not."""
    content = io.BytesIO()
    scipy.io.savemat(content, {"x": np.zeros((1000, 1000))}, do_compression=True)
    (tmp_path / "x.mat").write_bytes(content.getvalue())
    assert matlab.load(tmp_path / "x.mat", ["x"], max_bytes=8_000_000)[0]["x"].shape == (1000, 1000)
    with refused("declares-more-data-than"):
        matlab.load(tmp_path / "x.mat", ["x"], max_bytes=7_999_999)
