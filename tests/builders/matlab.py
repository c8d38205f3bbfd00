"""MATLAB files of version 5, byte by byte."""

import struct
import zlib


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(kind, shape, content, name=b""):
    flags, dims = element(6, struct.pack("<II", kind, 0)), element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, flags + dims + element(1, name) + content)


def mat(*variables, compress=False):
    """A file of version 5."""
    if compress:
        variables = [struct.pack("<II", 15, len(squeezed := zlib.compress(v))) + squeezed for v in variables]
    return b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + b"".join(variables)
