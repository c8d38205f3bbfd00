"""What values each constant may take, a rule for every setting of every script; and what it decides, its role."""

import math
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Rule:
    """What values a constant may take. ``kind``: path, text, tag (for a file's name), int, float, bool, ints, names,
    numbers (one, or one by name)."""

    kind: str
    choices: tuple = ()
    least: float = -math.inf
    most: float = math.inf
    positive: bool = False  # greater than 0, for floats
    optional: bool = False  # None leaves the choice to the recipe or the run directory
    multiple: int = 1  # of what an int must be
    length: int | None = None  # of a list


def _count(least=1, optional=False):
    return Rule("int", least=least, optional=optional)


def _choice(*choices, optional=False):
    return Rule("text", choices, optional=optional)


SPLITS = {  # by protocol, the default first: what is tested; `utils.protocol.held_out` has what each fold holds out
    "subject-dependent": {
        "trial": "new trials of known people",
        "window": "the paper's windows, divided once: all trials are in training",
        "authors": "the paper's division: 1 s encoders have seen test windows, and all trials are in training",
    },
    "cross-subject": {"subject": "new people, known stimuli", "subject+trial": "new people and new stimuli"},
}
ALL_SPLITS = {split: tested for splits in SPLITS.values() for split, tested in splits.items()}
_RULES = {  # by the names of constants that have it
    "DATA_DIR RUN_DIR RAW_DIR OUT_DIR RAW_FILE MODEL INPUT CHECKPOINT OUT_FILE": Rule("path"),
    "BIDS_DIR": Rule("path", optional=True),
    "LABEL ENCODER": Rule("text"),
    "TASK FILES TRIAL UNTIL STIMULUS GROUP": Rule("text", optional=True),
    "PRETRAIN_VARIANT TAG": Rule("tag"),
    "PERMUTE_LABELS FREEZE GATE GROUP_LOSS_EEG GROUP_LOSS_PPS CMCA AUGMENTATION RESUME CUDA_GRAPH "
    "RATED NULL FEATURE_MAPS QUIET QUICK ABLATIONS DRY_RUN": Rule("bool"),
    "COMPILE STREAM": Rule("bool", optional=True),
    "MODELS RUNS PPS_CHANNELS SESSIONS RATINGS EEG_CHANNELS LABELS ENCODERS": Rule("names"),
    "FOLDS SEEDS": Rule("ints", least=0),
    "PROJECTOR_DIMS": Rule("ints", least=1, length=3, optional=True),
    "RATING_MIN RATING_MAX": Rule("numbers"),
    "THRESHOLD": Rule("numbers", optional=True),
    "SAMPLING_RATE BASELINE_BEFORE SUBJECTS TRIALS SECONDS CHANNELS ROUNDS": _count(),
    "PERMUTATIONS WARM_UP DELAY": _count(0),
    "SEGMENT_SECONDS": _count(5),
    "EPOCHS": _count(0, optional=True),
    "SUBJECTS_PER_GROUP SAVE_EVERY THREADS FOLDS_AT_ONCE": _count(1, optional=True),
    "N_FOLDS BATCH_SIZE": _count(2, optional=True),
    "EMBED_DIM EMBED_DIM_1S EMBED_DIM_5S": Rule("int", least=4, multiple=4, optional=True),
    "SEED": Rule("int", least=0, most=2**32 - 1),
    "LABEL_FRACTION": Rule("float", positive=True, most=1),
    "VALIDATION_FRACTION": Rule("float", positive=True, most=0.5),
    "TEMPERATURE LR LAST HIGH_PASS LOW_PASS NOTCH": Rule("float", positive=True, optional=True),
    "WEIGHT_DECAY": Rule("float", least=0, optional=True),
    "REST_SECONDS": Rule("float", least=0, most=3600, optional=True),
    "EFFECT": Rule("float", least=0, most=2),
    "TREND": Rule("float", least=0, most=10),
    "GSR_DRIFT": Rule("float", least=0, most=100),
    "PROTOCOL": _choice(*SPLITS, optional=True),
    "SPLIT": _choice(*ALL_SPLITS, optional=True),
    "PERMUTATION_METHOD": _choice("auto", "finetune", "probe"),
    "STANDARDISE": _choice("none", "subject", optional=True),
    "SCORE": _choice(*(prefix + name for prefix in ("", "trial_") for name in ("accuracy", "f1", "balanced_accuracy"))),
    "PAIRS": _choice("subjects", "folds"),
    "WINDOW": _choice("1s", "5s"),
    "MODALITIES": _choice("eeg+pps", "eeg", "pps", optional=True),
    "MODALITY": _choice("eeg", "pps", optional=True),
    "RESOLUTIONS": _choice("5s+1s", "5s", "1s"),
    "INIT": _choice("pretrained", "random"),
    "POSITIVES": _choice("stimulus", "augmentation"),
    "RECIPE": _choice("paper", "robust", optional=True),
    "FRONT_END": _choice("raw", "bandpower", "bandpower-v1", optional=True),
    "KEEP": _choice("last", "best"),
    "DEVICE": _choice("auto", "cpu", "cuda", "mps"),
    "PRECISION": _choice("fp32", "tf32", "bf16"),
    "PARALLEL": _choice("folds", "batch"),
    "EEG_NORMALISE": _choice("channels", "trial"),
    "PPS_NORMALISE": _choice("trial", "none", "subject"),
    "REFERENCE": _choice("average", "file"),
    "BAD_CHANNELS": _choice("interpolate", "refuse", "keep"),
    "MISSING": _choice("error", "drop", "keep"),
    "SEGMENT": _choice("first", "last"),
    "SHORT_TRIALS": _choice("error", "drop"),
    "FORMAT": _choice("deap", "dreamer"),
    "FORMATS": Rule("names", ("deap", "dreamer")),
    "ONLY": Rule("names", tuple(ALL_SPLITS)),
    "SPLITS NOISE_SPLITS": Rule("names", tuple(name for name in ALL_SPLITS if name != "authors")),
}
RULES = {name: rule for names, rule in _RULES.items() for name in names.split()}
OF_SCRIPT = {  # rules of one script, where its constant is another thing than elsewhere
    "predict": {"STANDARDISE": _choice("person", "training")},
    "extract_features": {"STANDARDISE": _choice("person", "training")},
    "prepare_stress_predict": {"SECONDS": _count(5)},
    "prepare_recordings": {
        "TRIALS": Rule("path", optional=True),
        "CHANNELS": Rule("path", optional=True),
        "SECONDS": _count(5, optional=True),
        "EEG_CHANNELS": Rule("names", optional=True),
        "PPS_CHANNELS": Rule("names", optional=True),
    },
}

STAGES = {  # of a run, by letter; a network of others is a baseline that is trained (`utils.finetuning.networks`)
    "P": ("main_pretrain_1s", "main_pretrain_5s"),
    "F": ("fine_tuning",),
    "B": ("baseline",),
    "N": (),
}


@dataclass(frozen=True)
class Role:
    """What a setting of a run decides."""

    stages: str  # that have it
    result: str = ""  # stages whose results depend on it
    name: tuple = ()  # what a folder's name says: values of which it says nothing, then the text for others
    differs: bool = False  # it may differ between the seeds of one result, and between what is compared
    per_window: bool = False  # 1 s and 5 s encoders may have values of their own
    before: object = None  # what files mean that do not say, from before there was one


_ROLES = {  # by the names of settings that have it, in the order of the parts of a folder's name
    # where
    "DATA_DIR RUN_DIR RESUME DEVICE THREADS": Role("PFB", differs=True),
    "STREAM": Role("PF", differs=True),
    "PARALLEL CUDA_GRAPH FOLDS_AT_ONCE SAVE_EVERY": Role("P"),
    "COMPILE": Role("PF", differs=True),
    "QUIET": Role("PFB"),
    # protocol: split.json has what came of it
    "PROTOCOL SPLIT N_FOLDS FOLDS": Role("PFB", differs=True),
    # which networks
    "WINDOW": Role("P", "P"),
    "PRETRAIN_VARIANT": Role("F", name=("", "{}")),  # the encoders' own settings are part of the result's identity
    "MODALITIES": Role("PFB", "PFBN", name=(None, "eeg+pps", "{}")),
    "PPS_CHANNELS": Role("PFB", "PFBN"),
    "FRONT_END": Role("PF", "PF"),
    "ENCODER": Role("P", "P", before="physiosync"),
    "EMBED_DIM": Role("P", "P", per_window=True),
    "EMBED_DIM_1S EMBED_DIM_5S": Role("F"),  # likewise
    "PROJECTOR_DIMS": Role("P", "P"),
    # losses
    "GROUP_LOSS_EEG": Role("P", "P", name=(True, "no-group-loss-eeg")),
    "GROUP_LOSS_PPS": Role("P", "P", name=(True, "no-group-loss-pps")),
    "CMCA": Role("P", "P", name=(True, "no-cmca")),
    "AUGMENTATION": Role("P", "P", name=(True, "no-augmentation")),
    "POSITIVES": Role("P", "P", name=("stimulus", "{}")),
    # task
    "RESOLUTIONS": Role("F", "F", name=("5s+1s", "{}")),
    "INIT": Role("F", "F", name=("pretrained", "{}")),
    "FREEZE": Role("FB", "FN", name=(False, "frozen")),
    "LABEL THRESHOLD": Role("FB", "FBN"),
    "STANDARDISE": Role("B", "BN", name=(None, "none", "standardised")),
    "LABEL_FRACTION": Role("FB", "FBN", name=(1.0, "labels-{:g}")),
    "GATE": Role("F", "F", name=(True, "no-gate")),
    "PERMUTE_LABELS": Role("FB", "FBN", name=(False, "permuted")),
    "PERMUTATIONS PERMUTATION_METHOD": Role("F", differs=True),
    "MODELS": Role("B", differs=True),
    "TAG": Role("PFB", name=("", "{}"), differs=True),
    # training
    "RECIPE": Role("PF"),  # its values are settings
    "SEED": Role("PFB", "PFN", differs=True),
    "EPOCHS": Role("PFB", "FN", per_window=True),  # pre-training goes on to more
    "BATCH_SIZE LR WEIGHT_DECAY PRECISION": Role("PFB", "PFN"),
    "SUBJECTS_PER_GROUP TEMPERATURE": Role("P", "P"),
    "WARM_UP": Role("P", "P", before=0),
    "KEEP VALIDATION_FRACTION": Role("PB", "PN"),
}
ROLES = {name: role for names, role in _ROLES.items() for name in names.split()}
BEFORE = {name: role.before for name, role in ROLES.items() if role.before is not None}


def result_of(stage):
    """Names of the settings that the results of a stage (a letter of ``STAGES``) depend on."""
    return tuple(name for name, role in ROLES.items() if stage in role.result)


def name_parts(values):
    """What a folder's name says of settings (by name): the options that are not the default."""
    said = {name: values[name] for name, role in ROLES.items() if role.name and name in values}
    parts = {name: ROLES[name].name for name, value in said.items() if value not in ROLES[name].name[:-1]}
    return [text.format(said[name]) for name, (*_, text) in parts.items()]


def rules_of(file):
    """The rules of a script's constants: of those that it may have."""
    stem = Path(file).stem
    letters = {letter for letter, scripts in STAGES.items() if stem in scripts}
    rules = RULES | OF_SCRIPT.get(stem, {})
    return {name: rules[name] for name, role in ROLES.items() if letters & set(role.stages)} if letters else rules
