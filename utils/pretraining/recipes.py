"""Hyper-parameters by data set and protocol, in one table; a constant that is not None goes before them.

The paper's batches across subjects are 128 (DEAP) or 32 (DREAMER) windows. Here a batch is counted in positive pairs'
stimulus windows: B of them, each seen by two groups of N people, are 2 B N windows.

The robust recipe is the same for all data sets and protocols. Simulated recordings chose it (benchmarks/RESULTS.md).
"""

_PAPER = dict(FRONT_END="raw", PROJECTOR_DIMS=[1024, 2048, 4096])
_DEPENDENT = _PAPER | dict(EPOCHS=500, WEIGHT_DECAY=1e-3, BATCH_SIZE=8, SUBJECTS_PER_GROUP=2, TEMPERATURE=0.1)
_CROSS = _PAPER | dict(EPOCHS=500, WEIGHT_DECAY=1e-3, SUBJECTS_PER_GROUP=2, TEMPERATURE=0.07)
_TUNING = dict(FRONT_END="raw", LR=1e-3, WEIGHT_DECAY=0.0, BATCH_SIZE=256)

PRETRAIN = {  # by recipe, data set and protocol
    ("paper", "DEAP", "subject-dependent"): _DEPENDENT | dict(LR=7e-4),
    ("paper", "DREAMER", "subject-dependent"): _DEPENDENT | dict(LR=1e-4),
    ("paper", "DEAP", "cross-subject"): _CROSS | dict(LR=7e-4, BATCH_SIZE=32),
    ("paper", "DREAMER", "cross-subject"): _CROSS | dict(LR=1e-4, BATCH_SIZE=8),
}
FINETUNE = {
    ("paper", "DEAP", "subject-dependent"): _TUNING | dict(EPOCHS=6),
    ("paper", "DREAMER", "subject-dependent"): _TUNING | dict(EPOCHS=15),
    ("paper", "DEAP", "cross-subject"): _TUNING | dict(EPOCHS=10),
    ("paper", "DREAMER", "cross-subject"): _TUNING | dict(EPOCHS=10),
}
ROBUST_PRETRAIN = dict(
    FRONT_END="bandpower",
    EMBED_DIM=32,
    PROJECTOR_DIMS=[64, 64, 64],
    EPOCHS=2,
    BATCH_SIZE=32,
    SUBJECTS_PER_GROUP=4,
    TEMPERATURE=0.1,
    LR=7e-4,
    WEIGHT_DECAY=1e-3,
)
ROBUST_FINETUNE = dict(
    FRONT_END="bandpower", EMBED_DIM_1S=32, EMBED_DIM_5S=32, EPOCHS=9, BATCH_SIZE=64, LR=1e-4, WEIGHT_DECAY=0.0
)
ENOUGH_STEPS = 120  # of fine-tuning with the robust recipe: with more data, fewer of its epochs
FEWEST_EPOCHS = 2
for _name in ("DEAP", "DREAMER"):
    for _protocol in ("subject-dependent", "cross-subject"):
        PRETRAIN["robust", _name, _protocol], FINETUNE["robust", _name, _protocol] = ROBUST_PRETRAIN, ROBUST_FINETUNE
PPS_CHANNELS = {"DEAP": ["GSR"]}  # what the paper uses; all channels of any other data set
