"""Validation of nested values that were read from a file."""

import math


def find_wrong(value, shape, where=""):
    """Where a nested value does not have a shape, in words after its path ``where``; an empty text if it does.

    ``shape``: a type (float accepts ints); a value; ``[shape]``; ``{name: shape}`` for required entries, ``{str:
    shape}`` for all; a tuple of alternatives.
    """
    if isinstance(shape, tuple):
        wrong = [find_wrong(value, alternative, where) for alternative in shape]
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
        valid = type(value) is shape if isinstance(shape, type) else value == shape
        if shape is float:
            valid = type(value) in (int, float) and math.isfinite(value)
        wrong = ["" if valid else f"{where} is {value!r}"]
    return next(filter(None, wrong), "")
