"""Limits for MATLAB files: how much a variable unpacks to and how deep it nests, before its reader gets it.

SciPy and HDF5 trust what a file declares. A few bytes can ask for more memory than there is, nest deeper than SciPy's
compiled code can follow, or name types that it looks up beyond the end of a table. So every variable is walked first,
unpacked as a stream of which nothing is kept. SciPy in a process with limited memory would still look up those types,
and neither Windows nor macOS limits a process so. Format: MathWorks, "MAT-File Format", level 5.
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
CHUNK = 1 << 20
MOST_DEFLATED = 1100  # times that zlib makes something smaller; in truth 1032
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

    def __init__(self, n_bytes, n_items=MAX_ITEMS):
        self.n_bytes, self.n_items = n_bytes, n_items

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
    start = file.seek(128)
    while start < end:
        tag = file.read(8)
        _need(len(tag) == 8)
        kind, size = struct.unpack(order + "II", tag)
        _need(size and start + 8 + size <= end)
        is_packed = kind == COMPRESSED
        file.seek(start + 8 * is_packed)  # a compressed variable has its own tag inside
        yield Variable(_parts(file, size + 8 * (not is_packed), is_packed), order)
        start = file.seek(start + 8 + size)


def _need(valid):
    if not valid:
        raise RefusedError(DAMAGED)


def _parts(file, size, is_packed):
    """The next ``size`` bytes of a file in parts of at most 1 MB, decompressed if need be."""
    inflate = zlib.decompressobj()
    step = CHUNK // MOST_DEFLATED if is_packed else CHUNK
    while size and not inflate.eof:
        part = file.read(min(step, size))
        _need(part)  # another process may cut the file short
        size -= len(part)
        try:
            part = inflate.decompress(part) if is_packed else part
        except zlib.error:
            raise RefusedError(DAMAGED) from None
        yield part


class Variable:
    """Walks a variable as SciPy's reader will, and keeps nothing."""

    def __init__(self, parts, order):
        self.parts, self.part, self.order = parts, io.BytesIO(), order
        _need(self._pair()[0] == MATRIX)
        *self.header, self.name = self._header()

    def measure(self, budget):
        """Refuse what is larger or deeper than recordings, or of kinds that they do not have."""
        self.budget = budget
        self._contents(*self.header, depth=1)

    def _bytes(self, n):
        data = self.part.read(n)
        while len(data) < n:
            part = next(self.parts, None)
            _need(part is not None)
            self.part = io.BytesIO(part)
            data += self.part.read(n - len(data))
        return data

    def _pair(self):
        return struct.unpack(self.order + "II", self._bytes(8))

    def _tag(self):
        """Type and size of a data element, and its data if they are in the tag itself."""
        raw = self._bytes(8)
        kind, size = struct.unpack(self.order + "II", raw)
        in_tag = kind >> 16  # the size of such data
        _need(in_tag <= 4)
        return (kind & 0xFFFF, in_tag, raw[4 : 4 + in_tag]) if in_tag else (kind, size, None)

    def _data(self, most):
        """The data of an element of at most ``most`` bytes."""
        _, size, data = self._tag()
        _need(size <= most)
        return self._bytes(size + -size % 8)[:size] if data is None else data

    def _skip(self):
        """Type and size of an element, whose data are skipped."""
        kind, size, data = self._tag()
        self.budget.spend(size)
        left = size + -size % 8 if data is None else 0
        while left:  # the rest of this part, or the first byte of the next one
            left -= len(self.part.read(left) or self._bytes(1))
        return kind, size

    def _header(self):
        """Class, whether complex, shape and name of a matrix, behind its tag."""
        self._pair()
        flags, _ = self._pair()
        shape = ()
        if flags & 0xFF != OPAQUE:
            raw = self._data(128)
            shape = struct.unpack(f"{self.order}{len(raw) // 4}i", raw[: len(raw) // 4 * 4])
            _need(len(shape) >= 2 and min(shape) >= 0)
        return flags & 0xFF, bool(flags & COMPLEX), shape, self._data(MAX_NAME).decode("latin-1")

    def _matrix(self, depth):
        kind, size = self._pair()
        _need(kind == MATRIX)
        self.budget.spend(n_items=1)
        if size:
            *header, _ = self._header()
            self._contents(*header, depth=depth)

    def _contents(self, kind, is_complex, shape, depth):
        if depth > MAX_DEPTH:
            raise RefusedError("is nested deeper than any recording")
        count = math.prod(shape)
        if kind in NUMERIC:
            for _ in range(1 + is_complex):  # the real parts, and the imaginary ones
                stored, size = self._skip()
                _need(size == count * NUMBER_BYTES.get(stored, math.nan))
            self.budget.spend(COMPLEX_BYTES * count * is_complex)
        elif kind == CHAR:
            stored, size = self._skip()
            _need(not size or stored in TEXT_TYPES)
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
        length, names = self._data(4), self._data(MAX_TEXT)
        if not names:
            return 0
        _need(len(length) == 4)
        (length,) = struct.unpack(self.order + "i", length)
        _need(length > 0)
        places = [names[i : i + length] for i in range(0, len(names) // length * length, length)]
        _need(len(places) <= MAX_NAME and all(b"\0" in place for place in places))
        return len(places)
