"""The constants at the top of a script are its settings, and each is a flag: RUN_DIR <-> --run-dir."""

import argparse
import ast
import contextlib
import difflib
import math
import os
import re
import sys
import tokenize
from pathlib import Path
from types import SimpleNamespace

from utils.base.errors import InputError
from utils.base.rules import rules_of
from utils.base.surroundings import ROOT, Silence


class Settings(SimpleNamespace):
    """The settings of one run by the constants' names; they are frozen, and `replace` makes others.

    ``given`` names those that flags set, ``words`` has all as flags, ``given_values`` what all were before anything
    was resolved.
    """

    def __init__(self, **values):
        super().__init__(**{"given_values": dict(values)} | values)

    def as_dict(self):
        """All settings as plain values, for JSON; paths are absolute but RUN_DIR, in which they are stored."""
        settings = {name: value for name, value in vars(self).items() if name.isupper()}
        paths = {name: os.path.abspath(value) for name, value in settings.items() if isinstance(value, Path)}
        return settings | paths | ({"RUN_DIR": str(settings["RUN_DIR"])} if "RUN_DIR" in settings else {})

    def replace(self, **values):
        """The same settings with other values of these names."""
        return Settings(**vars(self) | values)

    def __setattr__(self, name, value):
        raise AttributeError(f"{name}: settings are frozen; Settings.replace makes others")

    def __getattr__(self, name):
        if name.isupper():
            raise MissingConstantError(f"the script has no constant {name}; put its line back (git diff shows it)")
        raise AttributeError(name)


class MissingConstantError(InputError, AttributeError):
    """A constant that was deleted from a script."""


def read_settings(constants, argv=None, positional=None):
    """`Settings` of a script: its constants (``globals()``), overridden by flags (``argv``, by default the process's).

    ``positional`` is a list setting that may also be given without its flag.
    """
    rules = rules_of(constants["__file__"])
    _refuse_unknown(constants["__file__"], rules)
    assigned = _assigned(constants["__file__"])  # and not imported from elsewhere
    defaults = {name: value for name, value in constants.items() if name in rules and name in assigned}
    comments = _comments(constants["__file__"])
    description, example = _example(constants["__doc__"])
    look = dict(formatter_class=argparse.RawDescriptionHelpFormatter, argument_default=argparse.SUPPRESS)
    parser = _Parser(description=description, epilog=example, allow_abbrev=False, **look)
    for name, value in defaults.items():
        action = {"action": argparse.BooleanOptionalAction} if rules[name].kind == "bool" else {"metavar": "X"}
        help_text = f"{comments.get(name, '')} (now: {show(value) or 'empty'})".replace("%", "%%")
        parser.add_argument(_flag(name), dest=name, help=help_text, **action)
    if positional:
        parser.add_argument("positional", nargs="*", metavar=positional.lower())
    given = vars(parser.parse_args(argv))
    if given.get("positional"):
        given[positional] = given["positional"]
    # QUIET changes no result: it is obeyed here and is no setting
    if _check(rules["QUIET"], given.pop("QUIET", defaults.pop("QUIET", False)), "QUIET"):
        sys.stdout = Silence()

    settings = {}
    for name, value in defaults.items():
        settings[name] = _check(rules[name], given.get(name, value), _flag(name) if name in given else name)
        if rules[name].kind == "path" and settings[name] is not None:  # a constant is relative to the repository
            settings[name] = (Path() if name in given else ROOT) / _without_tilde(settings[name], _flag(name))
    _say_given(constants["__file__"], {name: settings[name] for name in settings if name in given})
    words = {name: _words(rules[name], name, value) for name, value in settings.items() if rules[name].kind != "path"}
    return Settings(**settings, given=given.keys() & settings.keys(), words=words)


def _without_tilde(path, flag):
    try:
        return path.expanduser()
    except RuntimeError:
        raise InputError(f"{flag} {path}:", "there is no such user", "begin with ./") from None


def _assigned(file):
    """The nodes that a script assigns to names in its first level, by name."""
    nodes = {}
    for node in ast.parse(Path(file).read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        targets = [x for target in targets for x in getattr(target, "elts", [target]) if isinstance(x, ast.Name)]
        nodes |= {target.id: node.value for target in targets if hasattr(node, "value")}
    return nodes


def _refuse_unknown(file, rules):
    """Refuse a constant that no script knows: it would change nothing."""
    names = _assigned(file)
    known = names.keys() & rules.keys()
    for name, value in names.items():
        like = name.upper() in known and isinstance(value, ast.Constant)
        if name not in rules and (name.isupper() or like):
            near = difflib.get_close_matches(name.upper(), known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "delete it, --help lists all that there are"
            raise InputError(Path(file).name, f"has a constant {name} that no script knows", hint)


def other_flags(script, words):
    """The flags (of `Settings.words`) with which a script continues a run, without those that its constants equal."""
    rules, constants, flags = rules_of(script), _assigned(ROOT / script), []
    for name in [name for name in words if name in constants and name not in ("DATA_DIR", "RUN_DIR", "WINDOW")]:
        with contextlib.suppress(ValueError, InputError):  # a constant that is no plain value, or a wrong one
            value = _check(rules[name], ast.literal_eval(constants[name]), name)
            if words[name] == _words(rules[name], name, value):
                continue
        flags += words[name]
    return flags


def _say_given(file, given):
    """Print what flags have set, in the groups of the script's constants: the first words of the comment above each."""
    group, groups = "", {}
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and not line.startswith("# isort"):
            group = re.split("[;:.]", line[2:])[0].lower()
        elif match := re.match(r"([A-Z][A-Z0-9_]*) = ", line):
            groups[match[1]] = group
    lines = {}
    for name, value in given.items():
        lines.setdefault(groups.get(name, ""), []).append(f"{name} = {show(value)}")
    if given:
        print(f"your settings; all others are the constants at the top of {Path(file).name}:")
    for group, parts in lines.items():
        print(f"  {group}: {', '.join(parts)}" if group else f"  {', '.join(parts)}")


def _example(text):
    """A script's description without its first commands, and these, for the end of --help."""
    match = re.search(r"(?:^ {4}\S.*\n)(?:^ {4}.*\n)*\n?", text, re.MULTILINE)
    if match is None:
        return text, None
    return text[: match.start()] + text[match.end() :], "example:\n" + match[0].rstrip()


def _words(rule, name, value):
    """A flag as it stands on the command line."""
    if rule.kind == "bool":
        return [_flag(name) if value else _flag(name).replace("--", "--no-", 1)]
    shown = "none" if value is None else show(value)
    return [f"{_flag(name)}={shown}"] if shown.startswith("-") else [_flag(name), shown]


def _flag(name):
    return "--" + name.lower().replace("_", "-")


def show(value):
    """A value as it stands on the command line."""
    if isinstance(value, dict):
        return ",".join(f"{name}={number:g}" for name, number in value.items())
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _check(rule, value, where):
    """The value in its type; ``where`` is its flag or constant, for messages."""
    if value is None or (value == "none" and "none" not in rule.choices):
        if not rule.optional:
            raise InputError(where, "needs a value")
        return None
    try:
        return _convert(rule, rule.kind, value)
    except ValueError as error:
        raise InputError(where, f"{error}, not {value!r}") from None


def _convert(rule, kind, value):
    """The value in the type of its ``kind``; the text of a ValueError says what is wrong."""
    if kind in ("ints", "names"):
        items = value.split(",") if isinstance(value, str) else [value] if type(value) is int else value
        if not isinstance(items, list | tuple):
            raise ValueError("must be a list")
        items = [item.strip() if isinstance(item, str) else item for item in items]
        items = [_convert(rule, "int" if kind == "ints" else "text", item) for item in items if item != ""]
        if rule.length not in (None, len(items)):
            raise ValueError(f"must be a list of {rule.length} values")
        if len(set(items)) < len(items) and rule.length is None:
            raise ValueError("must not name anything twice")
        return items
    if kind == "numbers":
        if isinstance(value, str) and "=" in value:
            pairs = [item.rpartition("=") for item in value.split(",") if item.strip()]
            value = {name.strip(): number.strip() for name, _, number in pairs}
            if "" in value or len(value) < len(pairs):
                raise ValueError("must be a number, or one for each name such as arousal=5,stress=.5")
        if isinstance(value, dict):
            return {name: _convert_named(rule, name, number) for name, number in value.items()}
        return _convert(rule, "float", value)
    if kind in ("int", "float"):
        return _number(rule, int if kind == "int" else float, value)
    if kind == "bool":
        if not isinstance(value, bool):
            raise ValueError("must be True or False")
        return value
    if not isinstance(value, str | Path) or (not str(value) and kind != "tag"):
        raise ValueError("must be a text")
    if kind == "tag" and not re.fullmatch(r"[\w+.-]{0,100}", str(value)):
        raise ValueError("must be of letters, digits, '_', '+', '-' and '.'")
    if rule.choices and value not in rule.choices:
        raise ValueError(f"must be one of {', '.join(rule.choices)}")
    return Path(value) if kind == "path" else str(value)


def _convert_named(rule, name, number):
    try:
        return _convert(rule, "float", number)
    except ValueError as error:
        raise ValueError(f"of {name} {error}") from None


def _number(rule, convert, value):
    """An int or a float within the bounds of its rule."""
    try:
        if isinstance(value, bool) or (convert is int and isinstance(value, float)):
            raise ValueError
        number = convert(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("must be a whole number" if convert is int else "must be a number") from None
    if convert is int and abs(number) >= 2**63:
        raise ValueError("must be a smaller number")
    for valid, bound in (
        (math.isfinite(number), "finite"),
        (number > 0 or not rule.positive, "greater than 0"),
        (number >= rule.least, f"at least {rule.least}"),
        (number <= rule.most, f"at most {rule.most}"),
        (convert is float or number % rule.multiple == 0, f"a multiple of {rule.multiple}"),
    ):
        if not valid:
            raise ValueError(f"must be {bound}")
    return number


def _comments(file):
    """The comment behind each constant of a script, its text for --help."""
    with tokenize.open(file) as source:
        comments = [token for token in tokenize.generate_tokens(source.readline) if token.type == tokenize.COMMENT]
    by_line = {token.start[0]: token.string.lstrip("# ") for token in comments}
    return {name: by_line.get(node.end_lineno, "") for name, node in _assigned(file).items()}


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        if "unrecognized" in message:
            flags = [option for action in self._actions for option in action.option_strings if option != "-h"]
            wrong = message.split("arguments: ", 1)[-1].split()[0].partition("=")[0]
            if not wrong.startswith("-"):
                raise InputError(f"unexpected {wrong!r}? several values of one flag need commas, blanks need quotes")
            near = difflib.get_close_matches(wrong, flags, n=3)
            message += f"; did you mean {' or '.join(near)}?" if near else f"; --help lists the {len(flags)} flags"
        raise InputError(message)
