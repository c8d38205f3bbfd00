"""Baselines on the folds of a run directory: classical models, networks of others, and your own network.

    python Fine_tuning/baseline.py --data-dir data/DEAP --run-dir runs/deap --label arousal
    python Fine_tuning/baseline.py --data-dir data/DEAP --run-dir runs/deap --models EEGNet,my_net.py:Net

What a network has to beat before anything is said about it. Needs no pre-training. By default log band power, simple
statistics and linear models; the names of networks are braindecode's (pip install -r requirements-networks.txt).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
from utils.base import errors
from utils.base.settings import read_settings
from utils.finetuning.baselines import run_baselines

# Where
DATA_DIR = "data/DEAP"  # prepared folder, from data_prep/
RUN_DIR = "runs/deap"  # folder with the split; results go beside those of the network
QUIET = False  # True: say nothing but warnings and errors

# Protocol; None: as RUN_DIR was split in pre-training
PROTOCOL = None  # subject-dependent | cross-subject
SPLIT = None  # subject-dependent: trial | window | authors; cross-subject: subject | subject+trial
N_FOLDS = None  # folds of the cross-validation
FOLDS = []  # which of them to run, such as [0, 1]; empty: all
SEED = 0  # of a new split and of the permutation

# Task
LABEL = "arousal"  # arousal | valence | four (the quadrants) | any other rating of the data set
THRESHOLD = None  # a rating of at least this is high (None: the data set's own)
LABEL_FRACTION = 1.0  # of each fold's training trials, person by person, whose labels are used
STANDARDISE = None  # none | subject: each person's features to mean 0, deviation 1 (None: both; networks: none)
PERMUTE_LABELS = False  # True: shuffle each person's labels over the trials; an honest protocol must then score chance

# Models
MODELS = ["logistic", "lda", "nearest", "stimulus"]  # the last sees no signals: the stimulus' rating by other people
MODALITIES = None  # eeg+pps | eeg | pps (None: all that the data have)
PPS_CHANNELS = []  # peripheral channels by name; empty: the paper's (DEAP: GSR), else all
TAG = ""  # added to the folder's name, to keep apart what the name does not tell

# Networks in MODELS: EEGNet, ... of braindecode | my_net.py:Net, a class in your file | CBraMod=FOLDER with its weights
EPOCHS = 20  # passes over the training windows
BATCH_SIZE = 64  # windows of 5 s
LR = None  # learning rate of Adam (None: 1e-3; to fine-tune a foundation model 1e-4)
WEIGHT_DECAY = 0.0  # L2 penalty
FREEZE = False  # True: of a foundation model train the last layer only
KEEP = "last"  # weights to keep: last epoch | best epoch on a part of the training trials that is set aside
VALIDATION_FRACTION = 0.1  # that part, for KEEP = "best"
RESUME = True  # keep folds that are complete; False: start again
DEVICE = "auto"  # auto | cpu | cuda | mps
PRECISION = "fp32"  # arithmetic of the networks: fp32 | tf32 (CUDA) | bf16
THREADS = None  # threads that compute on a CPU (None: as many as pay for networks of this size)


if __name__ == "__main__":
    errors.run(lambda: run_baselines(read_settings(globals())))
