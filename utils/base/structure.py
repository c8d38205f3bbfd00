"""Validation of nested values that were read from a file."""

import math


def find_wrong(value, shape, where=""):
    """Where a nested value from JSON or a checkpoint does not have a shape, in words; an empty text if it does.

    ``shape``: a type (float accepts ints); a value; ``[shape]``; ``{name: shape}`` for required entries, ``{str:
    shape}`` for all; a tuple of alternatives. ``where`` is the path to the value.
    """
    if isinstance(shape, tuple):
        wrong = [find_wrong(value, one, where) for one in shape]
        return "" if "" in wrong else wrong[-1]
    if isinstance(shape, list) and isinstance(value, list):
        wrong = (find_wrong(item, shape[0], f"{where}[{number}]") for number, item in enumerate(value))
    elif isinstance(shape, dict) and isinstance(value, dict):
        names = value if str in shape else shape
        missing = [name for name in names if name not in value]
        if missing:
            return f"{f'{where}: ' if where else ''}no {missing[0]}"
        wrong = (find_wrong(value[n], shape.get(n, shape.get(str)), f"{where}.{n}".strip(".")) for n in names)
    else:
        wrong = ["" if _is(value, shape) else f"{where} is {value!r}"]
    return next(filter(None, wrong), "")


def _is(value, shape):
    if shape is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is shape if isinstance(shape, type) else value == shape
