"""What each setting decides, in one table (`utils.base.rules`): held against the lists that it took the place of."""

import ast

import pytest

from tests.support import ROOT
from utils.base.rules import BEFORE, ROLES, RULES, name_parts, result_of

RESULT = {  # settings that a result depends on, by what computes it
    "P": "WINDOW MODALITIES PPS_CHANNELS FRONT_END EMBED_DIM PROJECTOR_DIMS SEED BATCH_SIZE SUBJECTS_PER_GROUP "
    "POSITIVES GROUP_LOSS_EEG GROUP_LOSS_PPS CMCA AUGMENTATION ENCODER TEMPERATURE LR WARM_UP WEIGHT_DECAY KEEP "
    "VALIDATION_FRACTION PRECISION",
    "F": "LABEL THRESHOLD PERMUTE_LABELS LABEL_FRACTION MODALITIES RESOLUTIONS INIT FREEZE GATE PPS_CHANNELS "
    "FRONT_END SEED EPOCHS BATCH_SIZE LR WEIGHT_DECAY PRECISION",
    "B": "LABEL THRESHOLD LABEL_FRACTION STANDARDISE PERMUTE_LABELS MODALITIES PPS_CHANNELS",
    "N": "LABEL THRESHOLD LABEL_FRACTION STANDARDISE PERMUTE_LABELS MODALITIES PPS_CHANNELS SEED EPOCHS BATCH_SIZE LR "
    "WEIGHT_DECAY FREEZE KEEP VALIDATION_FRACTION PRECISION",
}
MAY_DIFFER = (  # between the seeds of one result
    "SEED DATA_DIR RUN_DIR TAG DEVICE THREADS STREAM COMPILE RESUME MODELS PERMUTATIONS PERMUTATION_METHOD PROTOCOL "
    "SPLIT N_FOLDS FOLDS"
)
STAGES = {
    "P": ("main_pretrain_1s.py", "main_pretrain_5s.py"),
    "F": ("Fine_tuning/fine_tuning.py",),
    "B": ("Fine_tuning/baseline.py",),
    "N": ("Fine_tuning/baseline.py",),
}


def constants(script):
    body = ast.parse((ROOT / script).read_text()).body
    return {node.targets[0].id for node in body if isinstance(node, ast.Assign) and node.targets[0].id.isupper()}


@pytest.mark.parametrize("stage", RESULT)
def test_what_a_result_depends_on(stage):
    assert set(result_of(stage)) == set(RESULT[stage].split())
    for script in STAGES[stage]:
        assert set(result_of(stage)) <= constants(script)


@pytest.mark.parametrize("stage", "PFB")
def test_every_constant_of_a_stage_has_a_role_there(stage):
    has = {name for name, role in ROLES.items() if stage in role.stages}
    for script in STAGES[stage]:
        assert constants(script) == has
    assert ROLES.keys() <= RULES.keys()


def test_what_may_differ_between_seeds():
    of_results = constants("Fine_tuning/fine_tuning.py") | constants("Fine_tuning/baseline.py")
    assert {name for name in of_results if ROLES[name].differs} == set(MAY_DIFFER.split())


def test_what_files_of_before_mean_and_what_windows_need_not_share():
    assert BEFORE == {"WARM_UP": 0, "ENCODER": "physiosync"}
    assert [name for name, role in ROLES.items() if role.per_window] == ["EMBED_DIM", "EPOCHS"]


NAMES = {  # as folders have always been called
    "": {},
    "eeg_no-group-loss-eeg_no-group-loss-pps": dict(MODALITIES="eeg", GROUP_LOSS_EEG=False, GROUP_LOSS_PPS=False),
    "no-cmca_no-augmentation_augmentation_x": dict(CMCA=False, AUGMENTATION=False, POSITIVES="augmentation", TAG="x"),
    "no-cmca_pps_1s_random_frozen_labels-0.25_no-gate_permuted_t": dict(
        PRETRAIN_VARIANT="no-cmca", MODALITIES="pps", RESOLUTIONS="1s", INIT="random", FREEZE=True, LABEL_FRACTION=0.25,
        GATE=False, PERMUTE_LABELS=True, TAG="t",
    ),
    "frozen_standardised_labels-0.5_permuted": dict(
        FREEZE=True, STANDARDISE="subject", LABEL_FRACTION=0.5, PERMUTE_LABELS=True
    ),
}  # fmt: skip
DEFAULTS = dict(
    MODALITIES=None, GROUP_LOSS_EEG=True, GROUP_LOSS_PPS=True, CMCA=True, AUGMENTATION=True, POSITIVES="stimulus",
    TAG="", PRETRAIN_VARIANT="", RESOLUTIONS="5s+1s", INIT="pretrained", FREEZE=False, LABEL_FRACTION=1.0, GATE=True,
    PERMUTE_LABELS=False, STANDARDISE="none",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_folders(name):
    assert "_".join(name_parts(DEFAULTS | NAMES[name])) == name
    assert name_parts(DEFAULTS | {"MODALITIES": "eeg+pps"}) == []


@pytest.mark.parametrize("script", sorted({script for scripts in STAGES.values() for script in scripts}))
def test_comments_name_the_choices_of_the_rule(script):
    from utils.base.settings import _comments

    comments = _comments(ROOT / script)
    for name in constants(script):
        for choice in RULES[name].choices:
            assert choice in comments[name] or name == "FRONT_END", f"{name}: {choice}"
