"""Single values that people bring: keys, names and numbers in any type, or refused in one line that names them."""

import difflib
import math
import numbers
import unicodedata

import numpy as np

from utils.base.errors import InputError

NAME_CHARACTERS = 200
RATE_TOLERANCE = 1e-7  # of a rate in float32, or one that is 1 / a difference of times


def check_keys(found, known, where):
    """Refuse keys that are not among ``known``, with a suggestion."""
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.6) or [
                name for name in known if sorted(name.split("_")) == sorted(str(key).split("_"))
            ]
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise InputError(f"{where} has {str(key)[:60]!r}, which is not known; {meant}there are {', '.join(known)}")


def one_value(value):
    """The value of an array of one element, such as MATLAB's [[128]]; anything else as it is."""
    while isinstance(value, np.ndarray | list | tuple) and np.size(value) == 1:
        value = value.item() if isinstance(value, np.ndarray) else value[0]
    return value.item() if isinstance(value, np.generic) else value


def check_text(value, what):
    """A name: one line of printable text, stripped; whole numbers and MATLAB's 1 x 1 cells are accepted."""
    value = one_value(value)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and abs(value) < 1e300 and value == int(value):
        value = str(int(value))
    if not isinstance(value, str):
        raise InputError(f"{what} must be a text, not {_short(value)}")
    value = unicodedata.normalize("NFC", value.lstrip("\ufeff").strip())
    if not value:
        raise InputError(f"{what} is empty; give it a name")
    if len(value) > NAME_CHARACTERS:
        raise InputError(f"{what} has {len(value)} characters, {value[:20]!r}...; at most {NAME_CHARACTERS} are taken")
    if len(value.splitlines()) > 1 or any(unicodedata.category(character) == "Cs" for character in value):
        raise InputError(f"{what} is {value[:60]!a}, which is not a line of text; rename it")
    return value


def check_names(values, what, n_trials=None, once=True):
    """Names as a list of texts, from a list, a tuple, an array or a column of a table; ``once``: all are distinct."""
    if isinstance(values, str | bytes | set | frozenset | dict) or not hasattr(values, "__iter__"):
        raise InputError(f"{what} must be a list of names, not {_short(values)}")
    values = values.ravel() if isinstance(values, np.ndarray) else list(values)
    names = [check_text(value, f"{what}, number {number},") for number, value in enumerate(values, 1)]
    twice = [name for name in names if names.count(name) > 1] if once else []
    if twice:
        raise InputError(f"{what} names {twice[0]!r} twice; every name may come once")
    if n_trials not in (None, len(names)):
        raise InputError(f"{what} has {len(names)} names for {n_trials} trials; one each is needed")
    return names


def check_number(value, what):
    """A finite number as a Python int or float, from any numeric type."""
    value = one_value(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputError(f"{what} must be a number, not {_short(value)}")
    if abs(value) >= 1e9 or not math.isfinite(value):
        raise InputError(f"{what} must be a finite number below 1e9, not {_short(value)}")
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def check_rate(value, what="sampling_rate"):
    """A sampling rate in Hz as a positive int: ``256``, ``256.0``, ``np.int64(256)`` or MATLAB's ``[[256]]``."""
    rate = check_number(value, what)
    whole = round(rate)
    if rate <= 0:
        raise InputError(f"{what} must be greater than 0 Hz, not {rate:g}")
    if whole < 1 or abs(rate - whole) > RATE_TOLERANCE * rate:
        remedy = f"resample the signals to {max(1, whole)} Hz (write_prepared does so with sampling_rates)"
        raise InputError(f"{what} must be whole, not {rate:.10g} Hz: {remedy}")
    return whole


def _short(value):
    text = " ".join(repr(value).split())
    return f"{text[:40]}..." if len(text) > 43 else text
