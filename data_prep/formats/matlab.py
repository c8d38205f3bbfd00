"""Variables of a MATLAB file as plain values: SciPy reads versions 5 to 7, h5py version 7.3; `matlab_limits` first."""

import math
import warnings

import numpy as np
import scipy.io

from data_prep.formats import matlab_limits as limits
from utils.base.errors import InputError

HDF5_START = b"\x89HDF\r\n\x1a\n"


def is_real(value):
    """Whether a value is an array of real numbers."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "iuf"


def load(path, names, max_bytes=limits.MAX_BYTES):
    """Variables of a MATLAB file by name, as far as it has them, and the names of all that it has.

    They unpack to ``max_bytes`` at most. A structure is a dict; cells, an array of structures and the rows of a matrix
    of characters are a list, in MATLAB's order (first index fastest).
    """
    budget = limits.Budget(max_bytes)
    with open(path, "rb") as file:
        try:
            start = file.read(520)
            if start.startswith(b"MATLAB 7.3") or HDF5_START in (start[:8], start[512:]):
                return _read_hdf5(path, names, budget)
            order = {b"IM": "<", b"MI": ">"}.get(start[126:128])
            if order is None:
                what = "is not a MATLAB file, or one of version 4, which holds no recordings"
                raise limits.RefusedError(f"{what}; save it with MATLAB's -v7")
            return _read_level_5(file, order, names, budget)
        except MemoryError:
            raise
        except limits.RefusedError as error:
            reason = error
        except Exception as error:  # SciPy and HDF5 raise nearly anything for a damaged file
            reason = f"{limits.DAMAGED} ({type(error).__name__})"
    raise InputError(f"{path} {reason}")


# --- versions 5 to 7


def _read_level_5(file, order, names, budget):
    available = []
    for variable in limits.variables(file, order):
        if variable.name in names and variable.name not in available:
            variable.measure(budget)
        available += [variable.name] if variable.name else []  # MATLAB keeps what functions need under no name
    wanted = [name for name in names if name in available]
    if not wanted:
        return {}, available
    file.seek(0)
    with warnings.catch_warnings(action="ignore"):
        codec = "utf-16-le" if order == "<" else "utf-16-be"
        values = scipy.io.loadmat(file, variable_names=wanted, uint16_codec=codec)
    return {name: _plain(values[name]) for name in wanted}, available


def _plain(value):
    """What SciPy makes of a variable, without its habit of two axes for everything."""
    if value.dtype.names:
        items = [{name: _plain(item[name]) for name in value.dtype.names} for item in value.ravel(order="F")]
        return items[0] if len(items) == 1 else items
    if value.dtype == object:
        return [_plain(item) for item in value.ravel(order="F") if item is not None]
    if value.dtype.kind == "U":
        rows = [str(row) for row in value.ravel(order="F")]
        return rows if len(rows) > 1 else "".join(rows)
    return value


# --- version 7.3


def _read_hdf5(path, names, budget):
    """The same from a file of MATLAB 7.3, which is HDF5 with all axes reversed."""
    try:
        import h5py
    except ImportError:
        remedy = "install h5py (pip install h5py), or save it with MATLAB's save(..., '-v7')"
        raise limits.RefusedError(f"is a MATLAB 7.3 (HDF5) file; {remedy}") from None

    def member(group, name):
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise limits.RefusedError(f"has a link to something else in place of {name}")
        return group[name]

    def value(item, depth=1):
        if depth > limits.MAX_DEPTH:
            raise limits.RefusedError("is nested deeper than any recording")
        if isinstance(item, h5py.Group):
            budget.spend(n_items=len(item))
            return {name: value(member(item, name), depth + 1) for name in item}
        if "MATLAB_empty" in item.attrs:
            return np.zeros((0, 0))
        is_cell = h5py.check_ref_dtype(item.dtype) is h5py.Reference
        is_text = item.attrs.get("MATLAB_class") in (b"char", "char")
        is_plain = is_cell or item.dtype.kind in "iufbc" or item.dtype.names == ("real", "imag")
        if not is_plain or item.is_virtual or item.external or "MATLAB_object_decode" in item.attrs:
            raise limits.RefusedError(f"has objects or links in {item.name}, {limits.OTHER_KIND}")
        chunk = math.prod(item.chunks or (0,)) * item.dtype.itemsize  # which may be larger than the data
        budget.spend(max(item.nbytes, chunk) * (limits.TEXT_BYTES if is_text else 1))
        array = item[()].T
        if is_cell:
            budget.spend(n_items=array.size)
            return [value(file[reference], depth + 1) for reference in array.ravel(order="F")]
        if is_text:
            rows = ["".join(map(chr, row)) for row in array.reshape(len(array), -1)]
            return rows if len(rows) > 1 else "".join(rows)
        return array

    with h5py.File(path, "r") as file:
        available = [name for name in file if not name.startswith("#")]
        return {name: value(member(file, name)) for name in names if name in available}, available
