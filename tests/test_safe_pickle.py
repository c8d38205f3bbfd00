"""The reader of DEAP's pickles: reads what Python 2 and 3 write, runs nothing."""

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from data_prep.formats.safe_pickle import UnsafePickleError, load_arrays
from data_prep.make_synthetic import python2_pickle

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("protocol", [1, 2])
def test_streams_of_a_real_python_2(protocol):
    """Written by Python 2.7.18 with NumPy 1.16.6, cPickle, from RandomState(0)."""
    arrays = load_arrays((DATA / f"python2_protocol{protocol}.dat").read_bytes())
    rng = np.random.RandomState(0)
    np.testing.assert_array_equal(arrays["labels"], np.round(rng.uniform(1, 9, (2, 4)), 2))
    np.testing.assert_array_equal(arrays["data"], rng.randn(2, 3, 5))


def test_python_2s_own_protocol():
    """Protocol 0, which Python 2 takes if nobody says another: bytes as escapes in a quoted text."""
    numbers = np.random.default_rng(0).standard_normal((2, 3)).astype("<f8")
    text = repr(numbers.tobytes())[1:]  # as Python 2 shows its 8-bit strings
    made = "cnumpy.core.multiarray|_reconstruct|(cnumpy|ndarray|(I0|tS'b'|tR"
    kind = "cnumpy|dtype|(S'f8'|I0|I1|tR(I3|S'<'|NNNI-1|I-1|I0|tb"
    head, state = f"(dS'data'|{made}".replace("|", "\n"), f"(I1|(I2|I3|t{kind}I00|".replace("|", "\n")
    stream = f"{head}{state}S{text}\ntbs.".encode("latin-1")
    assert b"\\x" in stream
    np.testing.assert_array_equal(pickle.loads(stream, encoding="latin1")["data"], numbers)
    np.testing.assert_array_equal(load_arrays(stream)["data"], numbers)


def test_half_precision():
    numbers = np.arange(6, dtype="f2").reshape(2, 3)
    np.testing.assert_array_equal(load_arrays(pickle.dumps({"data": numbers}, 2))["data"], numbers)


def test_our_python_2_stream():
    arrays = {"labels": np.arange(8.0).reshape(2, 4), "data": np.arange(60.0).reshape(3, 4, 5)}
    stream = python2_pickle(arrays)
    assert b"U\x06labels" in stream  # an 8-bit string, as Python 3 never writes it
    for loaded in (load_arrays(stream), pickle.loads(stream, encoding="latin1")):
        for name, array in arrays.items():
            np.testing.assert_array_equal(loaded[name], array)


@pytest.mark.parametrize("protocol", range(6))
def test_python_3_streams(protocol):
    arrays = {
        "data": np.arange(24.0).reshape(2, 3, 4),
        "labels": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(4, dtype=">f4"),
    }
    loaded = load_arrays(pickle.dumps(arrays, protocol))
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)


class Call:
    def __init__(self, function, *arguments):
        self.made_of = function, arguments

    def __reduce__(self):
        return self.made_of


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("inside", [True, False])
def test_nothing_is_run(tmp_path, protocol, inside):
    target = tmp_path / "ran"
    for function, argument in (
        (os.system, f"touch {target}"),
        (eval, f"open({str(target)!r}, 'w')"),
        (os.mkdir, target),
    ):
        evil = Call(function, str(argument))
        stream = pickle.dumps({"data": np.zeros(2), "labels": evil} if inside else evil, protocol)
        with pytest.raises(UnsafePickleError):
            load_arrays(stream)
    assert not target.exists()


def array_stream(shape=(2,), code=b"f8", order=b"<", raw=b"\0" * 16, name=b"numpy\nndarray"):
    """A hand-made stream with one array."""
    shape = b"".join(b"J" + struct.pack("<i", n) for n in shape)
    array = b"cnumpy.core.multiarray\n_reconstruct\nc" + name + b"\nK\x00\x85U\x01b\x87R(K\x01(" + shape + b"t"
    dtype = (
        b"cnumpy\ndtype\nU"
        + bytes([len(code)])
        + code
        + b"K\x00K\x01\x87R(K\x03U\x01"
        + order
        + b"NNNJ\xff\xff\xff\xff"
    )
    dtype += b"J\xff\xff\xff\xffK\x00tb"
    return b"\x80\x02}U\x04data" + array + dtype + b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tbs."


BAD = {
    "empty": b"",
    "not a pickle": b"Lorem ipsum dolor sit amet",
    "a list": pickle.dumps([np.zeros(2)], 2),
    "a number": pickle.dumps(3, 2),
    "a text for an array": pickle.dumps({"data": "no"}, 2),
    "objects": pickle.dumps({"data": np.array([{}, []], dtype=object)}, 2),
    "structured": pickle.dumps({"data": np.zeros(2, [("a", "f8")])}, 2),
    "texts": pickle.dumps({"data": np.array(["a", "b"])}, 2),
    "complex": pickle.dumps({"data": np.zeros(2, complex)}, 2),
    "times": pickle.dumps({"data": np.zeros(2, "M8[s]")}, 2),
    "key is a number": pickle.dumps({1: np.zeros(2)}, 2),
    "key is a tuple": b"\x80\x02}))s.",
    "huge shape": array_stream(shape=(2**31 - 1, 2**31 - 1)),
    "negative shape": array_stream(shape=(-2,)),
    "shape of another size": array_stream(shape=(3,)),
    "unknown type": array_stream(code=b"x9"),
    "object type": array_stream(code=b"O8"),
    "strange byte order": array_stream(order=b"?"),
    "other class": array_stream(name=b"numpy\nmatrix"),
    "huge string": b"\x80\x02}U\x04dataT" + struct.pack("<i", 2**31 - 1) + b"abc",
    "huge memo": b"\x80\x02}r\xff\xff\xff\x7f" + b"N",
    "endless": b"\x80\x02" + b"}" * 100_000 + b".",
    "deep": b"\x80\x02" + b")" + b"\x85" * 9_000 + b".",
    "frozen set": pickle.dumps({"data": frozenset([1])}, 4),
    "persistent": b"\x80\x02}U\x04dataU\x01aQs.",
    "extension": b"\x80\x02}U\x04data\x82\x01s.",
    "instance": b"(i__main__\nExploit\n.",
    "build on a name": b"\x80\x02cnumpy\nndarray\n}b.",
    "reduce of a number": b"\x80\x02K\x01)R.",
    "codecs with another code": b"\x80\x02}U\x04datac_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86Rs.",
    "empty stack": b"\x80\x020.",
}


def test_the_hand_made_stream_is_fine_but_for_its_faults():
    np.testing.assert_array_equal(load_arrays(array_stream())["data"], np.zeros(2))


@pytest.mark.parametrize("name", BAD)
def test_refused(name):
    with pytest.raises(UnsafePickleError):
        load_arrays(BAD[name])


def test_truncated_anywhere():
    stream = python2_pickle({"labels": np.zeros((2, 4)), "data": np.zeros((2, 3, 4))})
    for n in range(len(stream)):
        with pytest.raises(UnsafePickleError):
            load_arrays(stream[:n])
