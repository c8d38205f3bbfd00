"""Constants and flags."""

import ast
import runpy
import shlex

import pytest

from data_prep import open_prepared
from tests.support import ROOT, refused
from utils.base.errors import InputError
from utils.base.rules import rules_of
from utils.base.settings import _comments, other_flags, read_settings
from utils.pretraining import resolve
from utils.protocol import splits

SOURCE = '''"""A script."""
DATA_DIR = "data/here"  # the data
EPOCHS = None  # how often
LR = 1  # how fast
FOLDS = []  # which
PPS_CHANNELS = ["GSR", "hEOG"]  # what
PERMUTE_LABELS = False  # shuffled?
SPLIT = None  # how
PPS_NORMALISE = "trial"  # how, 100 % sure
'''


SCRIPTS = [p for f in (".", "Fine_tuning", "data_prep", "utils", "benchmarks") for p in (ROOT / f).glob("*.py")]
SCRIPTS = [p for p in SCRIPTS if "read_settings(globals()" in p.read_text()]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_every_constant_of_every_script_is_a_flag_with_a_comment(path):
    names = [
        node.targets[0].id
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper()
    ]
    assert names
    assert set(names) <= set(rules_of(path))
    assert set(names) <= {name for name, comment in _comments(path).items() if comment}


WRONG = {  # by kind of rule
    "int": ("many", "1.5", "nan", "1e3", "", "[1]", "9" * 400),
    "float": ("fast", "nan", "inf", "-1e999", "", "1,2"),
    "ints": ("a", "1,1.5", "1;2", "-1", "9" * 400),
    "tag": ("../up", "a b", "a/b", "x" * 101),
    "bool": ("yes",),
}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_every_flag_refuses_what_it_cannot_be(path):
    source = {"__file__": str(path), "__doc__": "A script."}
    constants = source | {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper()
    }
    tried = 0
    rules = rules_of(path)
    for name in set(constants) & set(rules):
        rule, flag = rules[name], "--" + name.lower().replace("_", "-")
        values = [
            *WRONG.get(rule.kind, ()),
            *(["sideways"] if rule.choices else []),
            *([""] if rule.kind == "path" else []),
        ]
        values += [str(int(rule.least) - 1)] if abs(rule.least) < 1e12 else []
        values += [str(rule.most * 2)] if rule.most < 1e12 else []
        for value in values:
            argv = [flag, value] if rule.kind == "bool" else [f"{flag}={value}"]
            with pytest.raises(InputError) as error:
                read_settings(dict(constants), argv)
            assert flag in str(error.value) or value in str(error.value), (argv, error.value)
            tried += 1
    assert tried > 1


@pytest.fixture
def constants(tmp_path):
    (tmp_path / "script.py").write_text(SOURCE)
    constants = {"__file__": str(tmp_path / "script.py"), "__doc__": "A script.", "helper": 1}
    exec(SOURCE, constants)
    return constants


def test_constants_are_the_settings(constants, capsys):
    settings = read_settings(constants, [])
    assert settings.as_dict() == {
        "DATA_DIR": str(ROOT / "data" / "here"),
        "EPOCHS": None,
        "LR": 1.0,
        "FOLDS": [],
        "PPS_CHANNELS": ["GSR", "hEOG"],
        "PERMUTE_LABELS": False,
        "SPLIT": None,
        "PPS_NORMALISE": "trial",
    }
    assert capsys.readouterr().out == ""


def test_flags_override_and_are_echoed(constants, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = "--data-dir x y --epochs 3 --lr 2e-3 --folds 0,2 --pps-channels GSR --permute-labels --pps-normalise none"
    settings = read_settings(constants, [flag.replace("_", " ") for flag in flags.replace("x y", "x_y").split()])
    assert str(settings.DATA_DIR) == "x y"  # relative to the working directory
    assert (settings.EPOCHS, settings.LR, settings.FOLDS) == (3, 0.002, [0, 2])
    assert (settings.PPS_CHANNELS, settings.PERMUTE_LABELS, settings.PPS_NORMALISE) == (["GSR"], True, "none")
    out = capsys.readouterr().out
    assert out.splitlines() == [
        "your settings; all others are the constants at the top of script.py:",
        "  DATA_DIR = x y, EPOCHS = 3, LR = 0.002, FOLDS = 0,2, PPS_CHANNELS = GSR, PERMUTE_LABELS = True, "
        "PPS_NORMALISE = none",
    ]


def test_settings_are_printed_in_the_groups_of_the_script(capsys):
    script = runpy.run_path(str(ROOT / "main_pretrain_5s.py"), run_name="script")
    read_settings(script, ["--epochs", "3", "--run-dir", "/r", "--lr", "0.1", "--split", "trial"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == ["  where: RUN_DIR = /r", "  protocol: SPLIT = trial", "  training: EPOCHS = 3, LR = 0.1"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_help_ends_with_an_example_that_can_be_typed(path, capsys):
    """Its script and its flags are there; it stands once."""
    constants = {"__file__": str(path), "__doc__": ast.get_docstring(ast.parse(path.read_text()), clean=False)}
    with pytest.raises(SystemExit):
        read_settings(constants, ["--help"])
    out = capsys.readouterr().out
    example = out.partition("\nexample:\n")[2]
    commands = [line.strip() for line in example.splitlines() if line.strip().startswith("python ")]
    assert commands, out
    for command in commands:
        script, *words = shlex.split(command, comments=True)[1:]
        assert (ROOT / script).samefile(path)
        names = {"--" + name.lower().replace("_", "-") for name in _comments(path)}
        assert {word for word in words if word.startswith("--")} <= names
        assert [line.strip() for line in out.splitlines()].count(command) == 1


def test_none_leaves_it_to_the_recipe(constants):
    constants["EPOCHS"] = 5
    assert read_settings(constants, ["--epochs", "none"]).EPOCHS is None


def test_help_has_the_comments(constants, capsys):
    with pytest.raises(SystemExit) as stop:
        read_settings(constants, ["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "how, 100 % sure (now: trial)" in out
    assert "--no-permute-labels" in out


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ("--unknown 3", [None, "--unknown", "--help", "10 flags"]),
        ("--epoch 3", [None, "--epoch", "--epochs?"]),
        ("--epochs", [None, "--epochs"]),
        ("--epochs three", ["must-be-whole-number", "--epochs", "three"]),
        ("--epochs 1.5", ["must-be-whole-number", "--epochs"]),
        ("--epochs -1", ["must-be-not", "--epochs", "at least 0"]),
        ("--lr 0", ["must-be-not", "--lr", "greater than 0"]),
        ("--lr nan", ["must-be-not", "--lr", "finite"]),
        ("--data-dir none", ["needs-value", "--data-dir"]),
        ("--folds 1,x", ["must-be-whole-number", "--folds"]),
        ("--folds 1,1", ["names-something-twice", "--folds"]),
        ("--folds -1", ["must-be-not", "--folds", "at least 0"]),
        ("--split odd", ["must-be-one", "--split", "trial, window"]),
        ("--pps-normalise all", ["must-be-one", "--pps-normalise", "trial, none"]),
        ("--data-dir ", ["must-be-text-not", "--data-dir"]),
        ("--permute-labels yes", ["several-values-one-flag", "yes"]),
    ],
)
def test_bad_flags(constants, flags, parts):
    with refused(*parts):
        read_settings(constants, flags.split(" "))


@pytest.mark.parametrize(
    ("name", "value"),
    [("EPOCHS", "many"), ("EPOCHS", 2.0), ("LR", True), ("FOLDS", 3.5), ("PERMUTE_LABELS", 1), ("SPLIT", 7)],
)
def test_bad_constants(constants, name, value):
    constants[name] = value
    with pytest.raises(InputError, match=name):
        read_settings(constants, [])


@pytest.mark.parametrize(
    ("flags", "kind", "words"),
    [
        ("--epoch 3", None, "--epochs?"),
        ("--folds 0 1", "several-values-one-flag", "'1'?"),
    ],
)
def test_a_slip_is_understood(constants, flags, kind, words):
    with refused(kind, words):
        read_settings(constants, flags.split(" "))


def test_settings_are_frozen_and_know_what_was_given(constants):
    settings = read_settings(constants, ["--epochs", "none"])
    for name in ("EPOCHS", "NEW", "network"):
        with pytest.raises(AttributeError, match="frozen"):
            setattr(settings, name, 3)
    resolved = settings.replace(EPOCHS=3, network="net")
    assert (resolved.EPOCHS, settings.EPOCHS, resolved.given_values["EPOCHS"]) == (3, None, None)
    assert resolved.as_dict() == settings.as_dict() | {"EPOCHS": 3}
    with pytest.raises(AttributeError, match="frozen"):
        resolved.EPOCHS = 4


def test_settings_of_a_pretraining_are_resolved_in_one_place(prepared, tmp_path):
    script = runpy.run_path(str(ROOT / "main_pretrain_1s.py"), run_name="script")
    flags = ["--data-dir", prepared, "--run-dir", tmp_path / "run", "--recipe", "robust", "--epochs", 7]
    settings = read_settings(script, list(map(str, flags)))
    before = settings.as_dict()
    resolved, manifest = resolve.pretraining(settings, open_prepared(prepared))
    assert settings.as_dict() == before
    assert (resolved.MODALITIES, resolved.PPS_CHANNELS, resolved.EPOCHS) == ("eeg+pps", ["GSR"], 7)
    assert resolved.FRONT_END == "bandpower"
    assert resolved.SUBJECTS_PER_GROUP == 2  # half of four people
    assert resolved.given_values["SUBJECTS_PER_GROUP"] is resolved.given_values["MODALITIES"] is None
    assert manifest.hash == splits.load(tmp_path / "run", open_prepared(prepared)).hash


def test_one_fold_needs_no_list(constants):
    constants["FOLDS"] = 0
    assert read_settings(constants, []).FOLDS == [0]


@pytest.fixture
def edited(tmp_path):
    """A copy of fine_tuning.py with a line changed, as constants; the rest of the repository stays where it is."""

    def edit(before, after):
        source = (ROOT / "Fine_tuning" / "fine_tuning.py").read_text()
        assert source.count(before) == 1
        (tmp_path / "fine_tuning.py").write_text(source.replace(before, after))
        return runpy.run_path(str(tmp_path / "fine_tuning.py"))

    return edit


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("EPOCH = 1", "EPOCHS"), ("epochs = 1", "EPOCHS"), ("LABELS: str = 'x'", "LABEL"), ("SEED, LRS = 1, 2", "LR")],
)
def test_a_constant_that_no_script_knows_is_refused(edited, wrong, meant):
    constants = edited('LABEL = "arousal"', f'{wrong}\nLABEL = "arousal"')
    name = wrong.split()[0 if "," not in wrong else 1].strip(":")
    with refused("has-constant-no-script", "fine_tuning.py", f" {name} ", meant):
        read_settings(constants, [])


def test_a_constant_that_was_deleted_is_named(edited):
    constants = edited("LR = None", "# LR = None")
    settings = read_settings(constants, [])
    with refused("script-has-no-constant", "LR"):
        settings.LR  # noqa: B018
    assert getattr(settings, "LR", "none") == "none"


def test_flags_that_go_on_are_those_that_the_constants_do_not_say():
    script = "main_pretrain_5s.py"
    constants = runpy.run_path(str(ROOT / "main_pretrain_1s.py")) | {"RECIPE": "robust", "N_FOLDS": 2, "TAG": "-x"}
    settings = read_settings(constants, ["--epochs", "1", "--seed", "0", "--no-cmca", "--run-dir", "r"])
    assert other_flags(script, settings.words) == "--n-folds 2 --no-cmca --tag=-x --recipe robust --epochs 1".split()
    assert read_settings(constants | {"EPOCHS": 3}, ["--epochs", "none"]).words["EPOCHS"] == ["--epochs", "none"]
