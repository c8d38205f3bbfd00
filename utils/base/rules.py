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


RULES = {
    # where
    "DATA_DIR": Rule("path"),
    "RUN_DIR": Rule("path"),
    "RAW_DIR": Rule("path"),
    "OUT_DIR": Rule("path"),
    # protocol
    "PROTOCOL": _choice("subject-dependent", "cross-subject", optional=True),
    "SPLIT": _choice("trial", "window", "authors", "subject", "subject+trial", optional=True),
    "N_FOLDS": _count(2, optional=True),
    "FOLDS": Rule("ints", least=0),
    "SEED": Rule("int", least=0, most=2**32 - 1),
    "SEEDS": Rule("ints", least=0),
    "LABEL": Rule("text"),
    "THRESHOLD": Rule("numbers", optional=True),
    "PERMUTE_LABELS": Rule("bool"),
    "LABEL_FRACTION": Rule("float", positive=True, most=1),
    "PERMUTATIONS": _count(0),
    "PERMUTATION_METHOD": _choice("auto", "finetune", "probe"),
    "MODELS": Rule("names"),
    "ENCODER": Rule("text"),
    "STANDARDISE": _choice("none", "subject", optional=True),
    # comparison
    "RUNS": Rule("names"),
    "SCORE": _choice(*(prefix + name for prefix in ("", "trial_") for name in ("accuracy", "f1", "balanced_accuracy"))),
    "PAIRS": _choice("subjects", "folds"),
    # networks
    "WINDOW": _choice("1s", "5s"),
    "EMBED_DIM": Rule("int", least=4, multiple=4, optional=True),
    "EMBED_DIM_1S": Rule("int", least=4, multiple=4, optional=True),
    "EMBED_DIM_5S": Rule("int", least=4, multiple=4, optional=True),
    "PROJECTOR_DIMS": Rule("ints", least=1, length=3, optional=True),
    "PPS_CHANNELS": Rule("names"),
    "MODALITIES": _choice("eeg+pps", "eeg", "pps", optional=True),
    "RESOLUTIONS": _choice("5s+1s", "5s", "1s"),
    "INIT": _choice("pretrained", "random"),
    "PRETRAIN_VARIANT": Rule("tag"),
    "FREEZE": Rule("bool"),
    "GATE": Rule("bool"),
    "TAG": Rule("tag"),
    # losses
    "GROUP_LOSS_EEG": Rule("bool"),
    "GROUP_LOSS_PPS": Rule("bool"),
    "CMCA": Rule("bool"),
    "AUGMENTATION": Rule("bool"),
    "POSITIVES": _choice("stimulus", "augmentation"),
    # training
    "RECIPE": _choice("paper", "robust", optional=True),
    "FRONT_END": _choice("raw", "bandpower", "bandpower-v1", optional=True),
    "EPOCHS": _count(0, optional=True),
    "BATCH_SIZE": _count(2, optional=True),
    "SUBJECTS_PER_GROUP": _count(1, optional=True),
    "TEMPERATURE": Rule("float", positive=True, optional=True),
    "LR": Rule("float", positive=True, optional=True),
    "WARM_UP": _count(0),
    "WEIGHT_DECAY": Rule("float", least=0, optional=True),
    "KEEP": _choice("last", "best"),
    "VALIDATION_FRACTION": Rule("float", positive=True, most=0.5),
    "SAVE_EVERY": _count(optional=True),
    "RESUME": Rule("bool"),
    "DEVICE": _choice("auto", "cpu", "cuda", "mps"),
    "THREADS": _count(optional=True),
    "PRECISION": _choice("fp32", "tf32", "bf16"),
    "CUDA_GRAPH": Rule("bool"),
    "COMPILE": Rule("bool", optional=True),
    "FOLDS_AT_ONCE": _count(optional=True),
    "STREAM": Rule("bool", optional=True),
    "PARALLEL": _choice("folds", "batch"),
    # preparation and synthetic recordings
    "EEG_NORMALISE": _choice("channels", "trial"),
    "PPS_NORMALISE": _choice("trial", "none", "subject"),
    "REST_SECONDS": Rule("float", least=0, most=3600, optional=True),
    "RAW_FILE": Rule("path"),
    "BIDS_DIR": Rule("path", optional=True),
    "TASK": Rule("text", optional=True),
    "FILES": Rule("text", optional=True),
    "TRIAL": Rule("text", optional=True),
    "UNTIL": Rule("text", optional=True),
    "LAST": Rule("float", positive=True, optional=True),
    "STIMULUS": Rule("text", optional=True),
    "GROUP": Rule("text", optional=True),
    "SESSIONS": Rule("names"),
    "RATED": Rule("bool"),
    "RATINGS": Rule("names"),
    "RATING_MIN": Rule("numbers"),
    "RATING_MAX": Rule("numbers"),
    "EEG_CHANNELS": Rule("names"),
    "HIGH_PASS": Rule("float", positive=True, optional=True),
    "LOW_PASS": Rule("float", positive=True, optional=True),
    "NOTCH": Rule("float", positive=True, optional=True),
    "REFERENCE": _choice("average", "file"),
    "BAD_CHANNELS": _choice("interpolate", "refuse", "keep"),
    "SAMPLING_RATE": _count(1),
    "MISSING": _choice("error", "drop", "keep"),
    "SEGMENT": _choice("first", "last"),
    "SEGMENT_SECONDS": _count(5),
    "SHORT_TRIALS": _choice("error", "drop"),
    "DELAY": _count(0),
    "BASELINE_BEFORE": _count(1),
    "FORMAT": _choice("deap", "dreamer"),
    "SUBJECTS": _count(1),
    "TRIALS": _count(1),
    "SECONDS": _count(1),
    "EFFECT": Rule("float", least=0, most=2),
    "GSR_DRIFT": Rule("float", least=0, most=100),
    "TREND": Rule("float", least=0, most=10),
    "NULL": Rule("bool"),
    # report, prediction, features
    "MODEL": Rule("path"),
    "INPUT": Rule("path"),
    "CHECKPOINT": Rule("path"),
    "MODALITY": _choice("eeg", "pps", optional=True),
    "OUT_FILE": Rule("path"),
    "FEATURE_MAPS": Rule("bool"),
    # every script
    "QUIET": Rule("bool"),
    # benchmarks
    "FORMATS": Rule("names", ("deap", "dreamer")),
    "SPLITS": Rule("names", ("trial", "subject", "window", "subject+trial")),
    "NOISE_SPLITS": Rule("names", ("trial", "subject", "window", "subject+trial")),
    "SIZES": Rule("names"),
    "HELD_OUT_EPOCHS": _count(1),
    "CHANNELS": _count(1),
    "ROUNDS": _count(1),
    "QUICK": Rule("bool"),
}
OF_SCRIPT = {  # rules of one script, where its constant is another thing than elsewhere
    "predict": {"STANDARDISE": _choice("person", "training")},
    "extract_features": {"STANDARDISE": _choice("person", "training")},
    "reproduce": {
        "ONLY": Rule("names", ("authors", "window", "trial", "subject", "subject+trial")),
        "LABELS": Rule("names"),
        "ENCODERS": Rule("names"),
        "ABLATIONS": Rule("bool"),
        "DRY_RUN": Rule("bool"),
    },
    "study_moments": {"RAW_DIR": Rule("path", optional=True)},
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


ROLES = {  # in the order of the parts of a folder's name
    # where
    "DATA_DIR": Role("PFB", differs=True),
    "RUN_DIR": Role("PFB", differs=True),
    "RESUME": Role("PFB", differs=True),
    "DEVICE": Role("PFB", differs=True),
    "THREADS": Role("PFB", differs=True),
    "STREAM": Role("PF", differs=True),
    "PARALLEL": Role("P"),
    "CUDA_GRAPH": Role("P"),
    "COMPILE": Role("P"),
    "FOLDS_AT_ONCE": Role("P"),
    "SAVE_EVERY": Role("P"),
    "QUIET": Role("PFB"),
    # protocol: split.json has what came of it
    "PROTOCOL": Role("PFB", differs=True),
    "SPLIT": Role("PFB", differs=True),
    "N_FOLDS": Role("PFB", differs=True),
    "FOLDS": Role("PFB", differs=True),
    # which networks
    "WINDOW": Role("P", "P"),
    "PRETRAIN_VARIANT": Role("F", name=("", "{}")),  # the encoders' own settings are part of the result's identity
    "MODALITIES": Role("PFB", "PFBN", name=(None, "eeg+pps", "{}")),
    "PPS_CHANNELS": Role("PFB", "PFBN"),
    "FRONT_END": Role("PF", "PF"),
    "ENCODER": Role("P", "P", before="physiosync"),
    "EMBED_DIM": Role("P", "P", per_window=True),
    "EMBED_DIM_1S": Role("F"),  # likewise
    "EMBED_DIM_5S": Role("F"),
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
    "LABEL": Role("FB", "FBN"),
    "THRESHOLD": Role("FB", "FBN"),
    "STANDARDISE": Role("B", "BN", name=(None, "none", "standardised")),
    "LABEL_FRACTION": Role("FB", "FBN", name=(1.0, "labels-{:g}")),
    "GATE": Role("F", "F", name=(True, "no-gate")),
    "PERMUTE_LABELS": Role("FB", "FBN", name=(False, "permuted")),
    "PERMUTATIONS": Role("F", differs=True),
    "PERMUTATION_METHOD": Role("F", differs=True),
    "MODELS": Role("B", differs=True),
    "TAG": Role("PFB", name=("", "{}"), differs=True),
    # training
    "RECIPE": Role("PF"),  # its values are settings
    "SEED": Role("PFB", "PFN", differs=True),
    "EPOCHS": Role("PFB", "FN", per_window=True),  # pre-training goes on to more
    "BATCH_SIZE": Role("PFB", "PFN"),
    "SUBJECTS_PER_GROUP": Role("P", "P"),
    "TEMPERATURE": Role("P", "P"),
    "LR": Role("PFB", "PFN"),
    "WARM_UP": Role("P", "P", before=0),
    "WEIGHT_DECAY": Role("PFB", "PFN"),
    "KEEP": Role("PB", "PN"),
    "VALIDATION_FRACTION": Role("PB", "PN"),
    "PRECISION": Role("PFB", "PFN"),
}
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
