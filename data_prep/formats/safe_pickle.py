"""Reads DEAP's pickles without running them.

A pickle is a program, and ``pickle.load`` lets it call any function. Here the standard library only splits the stream
into opcodes (`pickletools` executes nothing), and the few that a dictionary of numeric arrays needs are carried
out below on stand-ins that record sizes and bytes. NumPy sees a buffer only after its size has been checked. Streams
of Python 2 (DEAP's own files) and of Python 3 are read alike.
"""

import codecs
import io
import math
import pickletools

import numpy as np

MAX_OPCODES = 10_000  # a DEAP file has about 100; more is a stream that only wants memory or time
MAX_DIMENSIONS = 8
NUMERIC = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"}

_ALLOWED = {  # what a stream may name, in the modules of NumPy 1 and 2
    "numpy.core.multiarray _reconstruct": "reconstruct",
    "numpy._core.multiarray _reconstruct": "reconstruct",
    "numpy.core.numeric _frombuffer": "frombuffer",
    "numpy._core.numeric _frombuffer": "frombuffer",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_IGNORED = {"PROTO", "FRAME"}
_PUSHED = {  # opcodes whose argument is the value
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "BINFLOAT"),
    *("SHORT_BINSTRING", "BINSTRING", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "STRING"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class UnsafePickleError(Exception):
    """The stream is not a pickled dictionary of numeric arrays; the message says why."""


class _Mark:
    """Where a run of items starts on the stack."""


class _Name(str):
    """A function or class that the stream names, never the thing itself."""


class _DType:
    def __init__(self, code):
        self.code, self.order = _text(code), "="

    def build(self, state):
        self.order = {"<": "<", ">": ">", "=": "=", "|": "="}[_text(state[1])]

    def numpy(self):
        code = self.code.lstrip("<>=|")
        if code not in NUMERIC:
            raise UnsafePickleError(f"it holds an array of type {self.code!r}, which is not numeric")
        return np.dtype(self.order + code)


class _Array:
    def __init__(self, shape=(), dtype=None, fortran=False, data=None):
        self.parts = (shape, dtype, fortran, data)

    def build(self, state):
        self.parts = state[1:5]

    def numpy(self):
        shape, dtype, fortran, data = self.parts
        if type(dtype) is not _DType or type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
            raise UnsafePickleError("it holds an array without a proper type or shape")
        dtype = dtype.numpy()
        if isinstance(data, str):
            data = data.encode("latin-1")
        if not isinstance(data, bytes | bytearray) or len(shape) > MAX_DIMENSIONS:
            raise UnsafePickleError("it holds an array that is not a plain buffer")
        if math.prod(shape) * dtype.itemsize != len(data):
            raise UnsafePickleError(f"it declares an array of shape {shape}, but holds {len(data)} bytes for it")
        return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def load_arrays(data):
    """Numeric arrays by name, from a pickled dictionary of them.

    Parameters
    ----------
    data : bytes
        The whole stream, of pickle protocol 0 to 5.

    Returns
    -------
    dict of str to numpy.ndarray
        Views of the stream's bytes where it holds them as such.

    Raises
    ------
    UnsafePickleError
        If the stream is damaged, names anything but NumPy's arrays, or holds anything but a dictionary of them.
    """
    try:
        value = _execute(data)
        if type(value) is not dict:
            raise UnsafePickleError(f"it holds no dictionary of arrays but a {type(value).__name__.strip('_').lower()}")
        return {_text(key): _to_numpy(key, item) for key, item in value.items()}
    except (UnsafePickleError, MemoryError):
        raise
    except Exception:  # a damaged stream makes the machine stumble in any way
        raise UnsafePickleError("it is damaged or cut short") from None


def _to_numpy(key, item):
    if type(item) is not _Array:
        raise UnsafePickleError(f"its entry {_text(key)!r} is not an array")
    return item.numpy()


def _execute(data):
    """Run the stream's opcodes on a stack of plain values and stand-ins; the value on top at STOP."""
    stack, memo = [], {}
    for count, (name, argument) in enumerate(_opcodes(io.BytesIO(data))):
        if count >= MAX_OPCODES:
            raise UnsafePickleError("it has far more parts than a dictionary of a few arrays")
        if name == "STOP":
            return stack.pop()
        if name in _IGNORED:
            pass
        elif name in _PUSHED:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "MARK":
            stack.append(_Mark())
        elif name == "GLOBAL":
            stack.append(_allowed(argument))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_allowed(f"{module} {attribute}"))
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "DICT":
            stack.append(_items({}, _to_mark(stack)))
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            _items(stack[-1], [key, value])
        elif name == "SETITEMS":
            items = _to_mark(stack)
            _items(stack[-1], items)
        elif name == "TUPLE":
            stack.append(tuple(_to_mark(stack)))
        elif name in _TUPLES:
            n = len(stack) - _TUPLES[name]
            stack[n:] = [tuple(stack[n:])]
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_call(function, arguments))
        elif name == "BUILD":
            state = stack.pop()
            stack[-1].build(state)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "POP":
            stack.pop()
        else:
            raise UnsafePickleError(f"it holds something ({name}) that no dictionary of numeric arrays has")
    raise UnsafePickleError("it is cut short")


def _opcodes(stream):
    """Name and argument of every opcode; unlike in `pickletools.genops`, a text of Python 2 may hold any bytes."""
    while code := stream.read(1):
        opcode = pickletools.code2op[code.decode("latin-1")]
        if opcode.name == "STRING":  # of protocol 0, Python 2's own: quoted, its bytes as escapes
            yield opcode.name, codecs.escape_decode(stream.readline().strip()[1:-1])[0].decode("latin-1")
        else:
            yield opcode.name, opcode.arg and opcode.arg.reader(stream)


def _allowed(name):
    if name not in _ALLOWED:
        raise UnsafePickleError(f"it asks for {name[:60].replace(' ', '.')!r}, which no dictionary of arrays needs")
    return _Name(_ALLOWED[name])


def _call(function, arguments):
    kind = function if type(function) is _Name else None
    if kind == "reconstruct":
        return _Array()
    if kind == "dtype":
        return _DType(arguments[0])
    if kind == "frombuffer":
        data, dtype, shape, order = arguments
        return _Array(shape, dtype, order == "F", data)
    if kind == "encode" and arguments[1] in ("latin1", "latin-1"):
        return arguments[0].encode("latin-1")
    raise UnsafePickleError("it calls something that no dictionary of arrays needs")


def _to_mark(stack):
    items = []
    while type(item := stack.pop()) is not _Mark:
        items.append(item)
    return items[::-1]


def _items(target, items):
    """Put alternating keys and values into a dict; only texts are keys, so that hashing stays cheap."""
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[_text(key)] = value
    return target


def _text(value):
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if type(value) is not str or len(value) > 1000:
        raise UnsafePickleError("it holds a name that is not a short text")
    return value
