"""Fine-tune the pre-trained encoders on a label and test them: the number, its protocol and its audit.

    python Fine_tuning/fine_tuning.py --data-dir data/DEAP --run-dir runs/deap --label arousal

Edit the constants below, or give them as flags. Relative paths in constants start at the repository.
Before: main_pretrain_1s.py and main_pretrain_5s.py with the same run directory (or --init random, without them).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
from utils.base import errors
from utils.base.settings import read_settings
from utils.finetuning.finetuning import finetune

# Where
DATA_DIR = "data/DEAP"  # prepared folder, from data_prep/
RUN_DIR = "runs/deap"  # folder with the split and the pre-trained encoders
RESUME = True  # keep the folds that are complete; False: run them again
DEVICE = "auto"  # auto | cpu | cuda | mps
THREADS = None  # threads that compute on a CPU (None: as many as pay for networks of this size)
PRECISION = "fp32"  # arithmetic of the encoders: fp32 | tf32 (CUDA) | bf16
COMPILE = None  # compile the networks, which takes a minute (None: on CUDA, if there are steps enough to pay it back)
QUIET = False  # True: say nothing but warnings and errors; log.jsonl has the progress
STREAM = None  # recordings on a GPU: False: all of them | True: batch by batch (None: all, if they fit)

# Protocol; None: as RUN_DIR was split in pre-training
PROTOCOL = None  # subject-dependent | cross-subject
SPLIT = None  # subject-dependent: trial | window | authors; cross-subject: subject | subject+trial
N_FOLDS = None  # folds of the cross-validation
FOLDS = []  # which of them to run, such as [0, 1]; empty: all
SEED = 0  # of the first weights and the batches

# Task
LABEL = "arousal"  # arousal | valence | four (the quadrants) | any other rating of the data set
THRESHOLD = None  # a rating of at least this is high (None: the data set's own, 5 for DEAP, 3 for DREAMER)
LABEL_FRACTION = 1.0  # of each fold's training trials, person by person, whose labels are used
PERMUTE_LABELS = False  # True: shuffle each person's labels over the trials; an honest protocol must then score chance
PERMUTATIONS = 0  # permutation test with so many shuffled labellings (0: none)
PERMUTATION_METHOD = "auto"  # finetune: train again each time | probe: a linear probe, cheap | auto: probe from 21 on

# Network
MODALITIES = None  # eeg+pps | eeg | pps (None: all that the data have)
RESOLUTIONS = "5s+1s"  # 5s+1s | 5s | 1s
INIT = "pretrained"  # pretrained | random: first weights of the encoders
PRETRAIN_VARIANT = ""  # which pre-training: what its folder is called behind pretrain_1s_, such as no-cmca
FREEZE = False  # True: encoders stay as they are, only gates and classifier are trained
GATE = True  # False: features are not weighted by their confidence
FRONT_END = None  # what the encoders see (None: as pre-trained, else the recipe's): raw | bandpower | bandpower-v1
PPS_CHANNELS = []  # peripheral channels by name; empty: those of the pre-trained encoders
EMBED_DIM_1S = None  # width of a token of the 1 s encoders (None: as pre-trained, else the recipe's)
EMBED_DIM_5S = None  # likewise of the 5 s encoders

# Training; None: the recipe's value
RECIPE = None  # hyper-parameters of utils/pretraining/recipes.py: paper | robust (None: of pre-training, else paper)
EPOCHS = None  # passes over the training windows (paper: 6 DEAP, 15 DREAMER; across subjects 10)
BATCH_SIZE = None  # 5 s windows per batch (paper: 256)
LR = None  # learning rate of Adam at each restart of the cosine schedule (paper: 1e-3)
WEIGHT_DECAY = None  # L2 penalty (paper: 0)
TAG = ""  # added to the folder's name, to keep apart what the name does not tell, such as another seed


if __name__ == "__main__":
    errors.run(lambda: finetune(read_settings(globals())))
