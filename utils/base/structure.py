"""Whether plain values that were read from a file have the structure that whoever uses them relies on."""

import math


def find_wrong(value, shape, where=""):
    """What of a nest of plain values has not the shape it should have, in words; an empty text if nothing.

    Parameters
    ----------
    value : object
        From JSON or a checkpoint.
    shape : type, value, list, dict or tuple
        A type (float takes whole numbers too); a value; ``[shape]`` for a list of such; ``{name: shape}`` for entries
        that must be there, ``{str: shape}`` for all entries; a tuple for one of several shapes.
    where : str
        How to get there.
    """
    if isinstance(shape, tuple):
        found = [find_wrong(value, one, where) for one in shape]
        return "" if "" in found else found[-1]
    if isinstance(shape, list) and isinstance(value, list):
        found = (find_wrong(item, shape[0], f"{where}[{number}]") for number, item in enumerate(value))
    elif isinstance(shape, dict) and isinstance(value, dict):
        names = value if str in shape else shape
        missing = [name for name in names if name not in value]
        if missing:
            return f"{f'{where}: ' if where else ''}no {missing[0]}"
        found = (find_wrong(value[n], shape.get(n, shape.get(str)), f"{where}.{n}".strip(".")) for n in names)
    else:
        found = ["" if _is(value, shape) else f"{where} is {value!r}"]
    return next(filter(None, found), "")


def _is(value, shape):
    if shape is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is shape if isinstance(shape, type) else value == shape
