"""Reads DEAP's pickles (of Python 2 or 3) without running them.

The standard library's unpickler in Python has only the opcodes that a dictionary of numeric arrays needs here, and
names are stand-ins that keep sizes and bytes. NumPy sees a buffer only after its size has been checked.
"""

import io
import math
import pickle
from typing import ClassVar

import numpy as np

MAX_READS = 30_000  # a DEAP file has about 200; more is a stream that only wants memory or time
MAX_DIMENSIONS = 8
NUMERIC = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"}
OPCODES = (
    *("PROTO STOP MARK POP PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET".split()),
    *("NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 BINFLOAT".split()),
    *("STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8".split()),
    *("BINBYTES SHORT_BINBYTES BINBYTES8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3".split()),
    *("SETITEM SETITEMS GLOBAL STACK_GLOBAL REDUCE".split()),
)


class UnsafePickleError(Exception):
    """The stream is not a pickled dictionary of numeric arrays; the message says why."""


class _DType:
    def __init__(self, code, *_):
        if _text(code).lstrip("<>=|") not in NUMERIC:
            raise UnsafePickleError(f"it holds an array of type {_text(code)!r}, which is not numeric")
        self.numpy = np.dtype(_text(code))

    def __setstate__(self, state):
        if _text(state[1]) not in ("<", ">", "=", "|"):
            raise UnsafePickleError("it holds an array of an unknown byte order")
        self.numpy = self.numpy.newbyteorder(_text(state[1]))


class _Array:
    def __init__(self, data=None, dtype=None, shape=(), order="C"):  # as of NumPy's _frombuffer
        self.parts = (shape, dtype, order == "F", data)

    def __setstate__(self, state):
        self.parts = state[1:5]

    def numpy(self):
        shape, dtype, fortran, data = self.parts
        if type(dtype) is not _DType or type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
            raise UnsafePickleError("it holds an array without a proper type or shape")
        if isinstance(data, str):
            data = data.encode("latin-1")
        if not isinstance(data, bytes) or len(shape) > MAX_DIMENSIONS:
            raise UnsafePickleError("it holds an array that is not a plain buffer")
        if math.prod(shape) * dtype.numpy.itemsize != len(data):
            raise UnsafePickleError(f"it declares an array of shape {shape}, but holds {len(data)} bytes for it")
        return np.frombuffer(data, dtype.numpy).reshape(shape, order="F" if fortran else "C")


class _Texts(dict):
    """Only texts are keys, so that hashing stays cheap."""

    def __setitem__(self, key, value):
        super().__setitem__(_text(key), value)


def _text(value):
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if type(value) is not str or len(value) > 1000:
        raise UnsafePickleError("it holds a name that is not a short text")
    return value


def _encode(text, code):
    if code not in ("latin1", "latin-1"):
        raise UnsafePickleError("it calls something that no dictionary of arrays needs")
    return text.encode("latin-1")


STAND_INS = {"numpy.ndarray": "ndarray", "numpy.dtype": _DType, "_codecs.encode": _encode}  # for what may be named
for _core in ("numpy.core", "numpy._core"):  # of NumPy 1 and 2
    STAND_INS[f"{_core}.multiarray._reconstruct"] = lambda *_: _Array()
    STAND_INS[f"{_core}.numeric._frombuffer"] = _Array


class _Unpickler(pickle._Unpickler):  # the one in C takes the memory that a stream declares, and has all opcodes
    dispatch: ClassVar = {code: pickle._Unpickler.dispatch[code] for name in OPCODES for code in getattr(pickle, name)}

    def find_class(self, module, name):
        asked = f"{module}.{name}"
        if asked not in STAND_INS:
            raise UnsafePickleError(f"it asks for {asked[:60]!r}, which no dictionary of arrays needs")
        return STAND_INS[asked]

    def load_frame(self):
        self.read(8)  # what is in the frame is read like what is not

    def load_empty_dictionary(self):
        self.append(_Texts())

    def load_dict(self):
        items, texts = self.pop_mark(), _Texts()
        for key, value in zip(items[::2], items[1::2], strict=True):
            texts[key] = value
        self.append(texts)

    def load_build(self):
        state = self.stack.pop()
        self.stack[-1].__setstate__(state)

    dispatch |= {pickle.FRAME[0]: load_frame, pickle.EMPTY_DICT[0]: load_empty_dictionary}
    dispatch |= {pickle.DICT[0]: load_dict, pickle.BUILD[0]: load_build}
    dispatch |= {pickle.BYTEARRAY8[0]: pickle._Unpickler.load_binbytes8}  # theirs takes the declared memory first


class _Stream(io.BytesIO):
    n_reads = 0

    def read(self, n):
        self.n_reads += 1
        if self.n_reads > MAX_READS:
            raise UnsafePickleError("it has far more parts than a dictionary of a few arrays")
        return super().read(n)


def load_arrays(data):
    """Numeric arrays by name, from the bytes of a pickled dictionary of them, protocol 0 to 5.

    Raises UnsafePickleError if the stream is damaged or holds anything else.
    """
    try:
        value = _Unpickler(_Stream(data), encoding="latin1").load()
        if type(value) is not _Texts:
            raise UnsafePickleError(f"it holds no dictionary of arrays but a {type(value).__name__.strip('_').lower()}")
        for key, item in value.items():
            if type(item) is not _Array:
                raise UnsafePickleError(f"its entry {key!r} is not an array")
        return {key: item.numpy() for key, item in value.items()}
    except (UnsafePickleError, MemoryError):
        raise
    except Exception:  # a damaged stream makes the machine stumble in any way
        raise UnsafePickleError("it is damaged, cut short, or holds what no dictionary of numeric arrays has") from None
