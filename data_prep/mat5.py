"""Streams a structure out of a MATLAB file (version 5 to 7), one cell at a time.

``scipy.io.loadmat`` holds a whole variable in memory, more than 2 GB for DREAMER, and takes whatever sizes a broken or
hostile file declares. This reads the few kinds of value that recordings are made of, in order, within fixed limits;
the tests compare it with SciPy. Format: MathWorks, "MAT-File Format", level 5.
"""

import math
import struct
import zlib

import numpy as np

MAX_ELEMENT = 256 << 20  # bytes of one array; an hour of DREAMER's EEG has 52 MB
MAX_TOTAL = 8 << 30  # bytes after decompression; DREAMER has 2 GB
MAX_ITEMS = 1_000_000  # cells and fields in all
MAX_DEPTH = 12
CHUNK = 1 << 20
MATRIX, COMPRESSED = 14, 15
STORAGE = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
ENCODING = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
CELL, STRUCT, CHAR = 1, 2, 4
NUMERIC = range(6, 16)
COMPLEX = 0x08


class MatError(Exception):
    """The file is not a MATLAB file of version 5 to 7, is damaged, or holds what recordings do not need."""


class Cells(list):
    """A cell array as a flat list, in MATLAB's order (first index fastest)."""


def stream_struct(file, variable, streamed):
    """Fields of a 1 x 1 structure, one after the other.

    Parameters
    ----------
    file : binary file
        At its start.
    variable : str
        Name of the structure.
    streamed : str
        A field with a cell array that is not to be held in memory.

    Yields
    ------
    name : str
        Of the field.
    value : dict, Cells, numpy.ndarray or str
        Of the streamed field one cell at a time; before them comes ``(streamed + " size", number of cells)``.

    Raises
    ------
    MatError
    """
    try:
        header = file.read(128)
        if header[126:] not in (b"IM", b"MI"):
            raise MatError("it is not a MATLAB file of version 5 to 7")
        order = "<" if header[126:] == b"IM" else ">"
        while tag := file.read(8):
            kind, size = struct.unpack(order + "II", tag)
            source = _Source(file, size, compressed=kind == COMPRESSED)
            reader = _Reader(source.read, order)
            if kind == COMPRESSED:
                kind, _, _ = reader.tag()
            if kind != MATRIX:
                raise MatError("it holds something else than variables")
            kind, shape, name = reader.header()
            if name == variable:
                if kind != STRUCT or math.prod(shape) != 1:
                    raise MatError(f"its variable {variable} is not one structure")
                yield from _stream_fields(reader, streamed)
                return
            source.skip()
        raise MatError(f"it has no variable {variable}")
    except (MatError, MemoryError, OSError):
        raise
    except Exception:  # a damaged file makes any step stumble
        raise MatError("it is damaged or cut short") from None


def _stream_fields(reader, streamed):
    for field in reader.field_names():
        if field != streamed:
            yield field, reader.matrix()
            continue
        kind, shape, _ = reader.matrix_header()
        if kind != CELL:
            raise MatError(f"its field {field} is not a cell array")
        yield f"{field} size", math.prod(shape)
        for _ in range(math.prod(shape)):
            yield field, reader.matrix()


class _Source:
    """The bytes of one variable, decompressed if need be, never more than MAX_TOTAL."""

    def __init__(self, file, size, compressed):
        self.file, self.left, self.total = file, size, 0
        self.inflate = zlib.decompressobj() if compressed else None

    def read(self, n):
        self.total += n
        if n > MAX_ELEMENT or self.total > MAX_TOTAL:
            raise MatError("it declares more data than any recording has")
        if self.inflate is None:
            return self._raw(n)
        parts, missing = [], n
        while missing:
            waiting = self.inflate.unconsumed_tail or self._raw(min(CHUNK, self.left))
            part = self.inflate.decompress(waiting, min(missing, CHUNK))
            if not part and not self.left and not self.inflate.unconsumed_tail:
                raise MatError("it is cut short")
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _raw(self, n):
        data = self.file.read(n)
        if len(data) < n or n > self.left:
            raise MatError("it is cut short")
        self.left -= n
        return data

    def skip(self):
        """Go to the end of the variable."""
        while self.left:
            self._raw(min(CHUNK, self.left))


class _Reader:
    """Values from a stream of elements."""

    def __init__(self, read, order):
        self.read, self.order, self.items, self.depth = read, order, 0, 0

    def tag(self):
        """Type, size in bytes, and the data itself where it sits in the tag."""
        raw = self.read(8)
        kind, size = struct.unpack(self.order + "II", raw)
        if kind >> 16:  # small element: size in the upper half, data in the second word
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise MatError("it is damaged or cut short")
            return kind, size, raw[4 : 4 + size]
        return kind, size, None

    def element(self):
        """Type and bytes of a data element."""
        kind, size, data = self.tag()
        if data is None:
            data = self.read(size)
            self.read(-size % 8)
        return kind, data

    def array(self):
        """A data element as a flat array."""
        kind, data = self.element()
        if kind not in STORAGE:
            raise MatError("it holds data of a kind that recordings do not have")
        return np.frombuffer(data, self.order + STORAGE[kind])

    def header(self):
        """Class, shape and name of a matrix, behind its tag."""
        flags = self.array()[0]
        shape = tuple(int(n) for n in self.array())
        name = self.array().tobytes().decode("latin-1")
        if any(n < 0 for n in shape) or (int(flags) >> 8) & COMPLEX:
            raise MatError("it holds a matrix that no recording has")
        self.items += 1 + (math.prod(shape) if (flags & 0xFF) in (CELL, STRUCT) else 0)
        if self.items > MAX_ITEMS:
            raise MatError("it has far more parts than any recording")
        return int(flags) & 0xFF, shape, name

    def matrix_header(self):
        """Class, shape and name of the next matrix; an empty element is an empty array."""
        kind, size, _ = self.tag()
        if kind != MATRIX:
            raise MatError("it is damaged or cut short")
        return self.header() if size else (6, (0, 0), None)

    def field_names(self):
        """Names of a structure's fields."""
        length = int(self.array()[0])
        _, names = self.element()
        names = [names[i : i + length].split(b"\0")[0].decode("latin-1") for i in range(0, len(names), max(1, length))]
        self.items += len(names)
        return names

    def matrix(self):
        """The next matrix: Cells, dict (structure), numpy.ndarray or str."""
        kind, shape, name = self.matrix_header()
        if name is None:
            return np.zeros((0, 0))
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise MatError("it is nested deeper than any recording")
        if kind == CELL:
            value = Cells(self.matrix() for _ in range(math.prod(shape)))
        elif kind == STRUCT:
            if math.prod(shape) != 1:
                raise MatError("it holds an array of structures")
            value = {field: self.matrix() for field in self.field_names()}
        elif kind == CHAR:
            code, data = self.element()
            encoding = ENCODING[code] + {"<": "-le", ">": "-be"}[self.order] * (ENCODING[code] in ("utf-16", "utf-32"))
            value = data.decode(encoding)
        elif kind in NUMERIC:
            value = self.array().reshape(shape, order="F")
        else:
            raise MatError("it holds a kind of variable that recordings do not have")
        self.depth -= 1
        return value
