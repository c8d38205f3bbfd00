"""Limits for MATLAB files: how much a variable unpacks to and how deep it nests, before its reader gets it.

SciPy and HDF5 believe what a file declares. A few bytes can ask for more memory than there is, nest deeper than SciPy's
compiled code can follow, or name types that it looks up beyond the end of a table. So every variable is gone through
first, unpacked as a stream of which nothing is kept. Format: MathWorks, "MAT-File Format", level 5.
"""

import io
import math
import struct
import zlib

MAX_BYTES = 4_000_000_000  # of what is read, unpacked; DREAMER has 2 GB
MAX_ITEMS = 1_000_000  # arrays, cells and fields; DREAMER has 2,000
MAX_DEPTH = 16  # cells in structures in cells; DREAMER has 6
MAX_TEXT = 1 << 20  # characters of a text
MAX_NAME = 4096  # bytes of a variable's name, fields of a structure
CHUNK = 1 << 16
MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, CHAR, SPARSE, OPAQUE = 1, 2, 4, 5, 17
NUMERIC = range(6, 16)
COMPLEX = 0x800
NUMBER_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}  # of the types that numbers are stored in
TEXT_TYPES = (1, 2, 4, 16, 17, 18)
TEXT_BYTES = 16  # memory that a character takes while SciPy reads it
COMPLEX_BYTES = 16  # of a complex number, however small its parts are stored
DAMAGED = "is damaged or cut short; copy or download it again"
OTHER_KIND = "which recordings do not have; save numbers, texts, cells and structures only"


class RefusedError(Exception):
    """The rest of a sentence that begins with the file's name."""


class Budget:
    """What may still be read of a file."""

    def __init__(self, n_bytes):
        self.n_bytes, self.n_items = n_bytes, MAX_ITEMS

    def spend(self, n_bytes=0, n_items=0):
        self.n_bytes -= n_bytes
        self.n_items -= n_items
        if self.n_bytes < 0:
            raise RefusedError("declares more data than any recording has")
        if self.n_items < 0:
            raise RefusedError("has far more parts than any recording")


def variables(file, order):
    """Every `Variable` of a file of version 5 to 7 in turn; its bytes have the ``order`` ``"<"`` or ``">"``."""
    end = file.seek(0, io.SEEK_END)
    place = file.seek(128)
    while place < end:
        kind, size = struct.unpack(order + "II", file.read(8))
        if not size or place + 8 + size > end:
            raise RefusedError(DAMAGED)
        stream = io.BufferedReader(Unpacked(file, size, packed=kind == COMPRESSED), CHUNK)
        if kind == COMPRESSED:
            kind, _ = struct.unpack(order + "II", stream.read(8))
        if kind != MATRIX:
            raise RefusedError(DAMAGED)
        yield Variable(stream, order)
        place = file.seek(place + 8 + size)


class Unpacked(io.RawIOBase):
    """The bytes of one variable of a file, decompressed if need be."""

    def __init__(self, file, size, packed):
        self.file, self.left = file, size
        self.inflate = zlib.decompressobj() if packed else None

    def readable(self):
        return True

    def readinto(self, buffer):
        part, waiting = b"" if self.inflate else self._stored(len(buffer)), True
        while self.inflate and waiting and not part and not self.inflate.eof:
            waiting = self.inflate.unconsumed_tail or self._stored(CHUNK)
            part = self.inflate.decompress(waiting, len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def _stored(self, n):
        data = self.file.read(min(n, self.left))
        self.left -= len(data)
        return data


class Variable:
    """Goes through a variable as SciPy's reader will, and keeps nothing."""

    def __init__(self, stream, order):
        self.stream, self.order = stream, order
        self.head = self._header()
        self.name = self.head[-1]

    def measure(self, budget):
        """Refuse what is larger or deeper than recordings, or of kinds that they do not have."""
        self.budget = budget
        self._contents(*self.head[:-1], depth=1)

    def _bytes(self, n):
        data = self.stream.read(n)
        if len(data) < n:
            raise RefusedError(DAMAGED)
        return data

    def _element(self, most=None):
        """Type, size and bytes of a data element of at most ``most`` bytes; by default it is read and forgotten."""
        raw = self._bytes(8)
        kind, size = struct.unpack(self.order + "II", raw)
        in_tag = kind >> 16  # the size of an element that sits in its tag
        kind, size = (kind & 0xFFFF, in_tag) if in_tag else (kind, size)
        if (in_tag and size > 4) or (most is not None and size > most):
            raise RefusedError(DAMAGED)
        data, left = (raw[4 : 4 + size], 0) if in_tag else (b"", size + -size % 8)
        if most is None:
            self.budget.spend(size)
        while left:
            part = self._bytes(min(left, CHUNK))
            left -= len(part)
            data = part if most is None else data + part
        return kind, size, data[:size]

    def _header(self):
        """Class, whether complex, shape and name of a matrix, behind its tag."""
        self._bytes(8)
        (flags,) = struct.unpack(self.order + "I4x", self._bytes(8))
        shape = ()
        if flags & 0xFF != OPAQUE:
            raw = self._element(128)[2]
            shape = struct.unpack(f"{self.order}{len(raw) // 4}i", raw[: len(raw) // 4 * 4])
            if len(shape) < 2 or min(shape) < 0:
                raise RefusedError(DAMAGED)
        name = self._element(MAX_NAME)[2].decode("latin-1")
        return flags & 0xFF, bool(flags & COMPLEX), shape, name

    def _matrix(self, depth):
        kind, size = struct.unpack(self.order + "II", self._bytes(8))
        if kind != MATRIX:
            raise RefusedError(DAMAGED)
        self.budget.spend(n_items=1)
        if size:
            *head, _ = self._header()
            self._contents(*head, depth=depth)

    def _contents(self, kind, is_complex, shape, depth):
        if depth > MAX_DEPTH:
            raise RefusedError("is nested deeper than any recording")
        count = math.prod(shape)
        if kind in NUMERIC:
            for _ in range(1 + is_complex):  # the real parts, and the imaginary ones
                stored, size, _ = self._element()
                if stored not in NUMBER_BYTES or size != count * NUMBER_BYTES[stored]:
                    raise RefusedError(DAMAGED)
            self.budget.spend(COMPLEX_BYTES * count * is_complex)
        elif kind == CHAR:
            stored, size, _ = self._element()
            if size and stored not in TEXT_TYPES:
                raise RefusedError(DAMAGED)
            if max(size, count) > MAX_TEXT:
                raise RefusedError("has a longer text than any recording")
            self.budget.spend(TEXT_BYTES * max(size, count))
        elif kind in (CELL, STRUCT):
            fields = 1 if kind == CELL else self._count_fields()
            self.budget.spend(n_items=count * max(1, fields))
            for _ in range(count * fields):
                self._matrix(depth + 1)
        else:
            what = "a sparse matrix" if kind == SPARSE else "a MATLAB object"
            raise RefusedError(f"has {what} in its variable {self.name}, {OTHER_KIND}")

    def _count_fields(self):
        """How many fields a structure has; their names must end within their places."""
        raw = self._element(4)[2]
        length = struct.unpack(self.order + "i", raw)[0] if len(raw) == 4 else 0
        names = self._element(MAX_TEXT)[2]
        if not names:
            return 0
        places = [names[i : i + length] for i in range(0, len(names) // max(1, length) * length, max(1, length))]
        if length < 1 or len(places) > MAX_NAME or not all(b"\0" in place for place in places):
            raise RefusedError(DAMAGED)
        return len(places)
