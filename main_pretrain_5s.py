"""Pre-train the encoders of 5 s windows, EEG and PPS, without labels (LS-TCL long-term, and CM-CA).

    python main_pretrain_5s.py --data-dir data/DEAP --run-dir runs/deap --split trial

Edit the constants below, or give them as flags. Relative paths in constants start at this repository.
The same command goes on where an earlier one stopped. Next: Fine_tuning/fine_tuning.py.
"""

import physiosync  # noqa: F401
from utils.base import errors
from utils.base.settings import read_settings
from utils.pretraining.pretraining import pretrain

# Where
DATA_DIR = "data/DEAP"  # prepared folder, from data_prep/
RUN_DIR = "runs/deap"  # folder for the split, the checkpoints and the results
RESUME = True  # go on from the last complete epoch; False: start again
DEVICE = "auto"  # auto | cpu | cuda | mps
THREADS = None  # threads that compute on a CPU (None: as many as pay for networks of this size)
PRECISION = "fp32"  # arithmetic of the encoders: fp32 | tf32 (CUDA) | bf16
STREAM = None  # recordings on a GPU: False: all of them | True: what the next steps need (None: all, if they fit)
PARALLEL = "folds"  # what several processes (torchrun, srun) share: folds | batch: each fold's batches
CUDA_GRAPH = True  # on CUDA, capture the step once and replay it; False: run it operation by operation, to debug
COMPILE = None  # compile the networks, which takes a minute (None: on CUDA, if there are steps enough to pay it back)
FOLDS_AT_ONCE = None  # folds that one step trains (None: on CUDA as many as fit into its memory, else 1)
QUIET = False  # True: say nothing but warnings and errors; log.jsonl has the progress

# Protocol; None: as RUN_DIR was split before, or for a new one what the comment says
PROTOCOL = None  # subject-dependent (None) | cross-subject
SPLIT = None  # subject-dependent: trial (None) | window | authors; cross-subject: subject (None) | subject+trial
N_FOLDS = None  # folds of the cross-validation (None: 10, or one per trial if there are fewer; cross-subject: one each)
FOLDS = []  # which of them to run, such as [0, 1]; empty: all
SEED = 0  # of the split, the first weights and the batches

# Networks
WINDOW = "5s"  # window length: 1s | 5s
ENCODER = "physiosync"  # of EEG: physiosync (paper) | EEGNet, ... of braindecode | my_net.py:Net, a class in your file
FRONT_END = None  # what the encoders see (None: the recipe's): raw samples (paper) | bandpower | bandpower-v1
EMBED_DIM = None  # width of a token, a multiple of 4 (None: the recipe's; paper: as many as a window has samples)
PROJECTOR_DIMS = None  # widths of the projector's layers (paper: 1024,2048,4096)
MODALITIES = None  # eeg+pps | eeg | pps (None: all that the data have)
PPS_CHANNELS = []  # peripheral channels by name, such as ["GSR", "zEMG"]; empty: the paper's (DEAP: GSR), else all

# Losses; every variant writes to a folder of its own
GROUP_LOSS_EEG = True  # LS-TCL inside EEG
GROUP_LOSS_PPS = True  # LS-TCL inside the peripheral signals
CMCA = True  # alignment between EEG and peripheral signals
POSITIVES = "stimulus"  # what must look alike: stimulus: two groups of people | augmentation: two views of one window
AUGMENTATION = True  # False: all six passes of an epoch show the windows as they are
TAG = ""  # added to the folder's name, to keep apart what the name does not show, such as other channels

# Training; None: the recipe's value
RECIPE = "paper"  # hyper-parameters of utils/pretraining/recipes.py: paper | robust
EPOCHS = None  # passes over all windows in all six augmentations (paper: 500); 0 saves random weights
BATCH_SIZE = None  # positive pairs per batch (paper: 8; across subjects its 128 windows are 32 pairs of groups of 2)
SUBJECTS_PER_GROUP = None  # people whose windows are pooled, at most half of them (paper: 2)
TEMPERATURE = None  # of the contrastive losses (paper: 0.1; across subjects 0.07)
LR = None  # learning rate of Adam (paper: 7e-4 DEAP, 1e-4 DREAMER)
WARM_UP = 0  # first epochs in which the learning rate rises in equal steps to LR
WEIGHT_DECAY = None  # L2 penalty (paper: 1e-3)
KEEP = "last"  # weights to keep: last epoch | best epoch on a part of the training rows that is set aside
VALIDATION_FRACTION = 0.1  # that part, for KEEP = "best"
SAVE_EVERY = None  # epochs between checkpoints (None: one, or as many as keep the saving below 5 % of the time)


if __name__ == "__main__":
    errors.run(lambda: pretrain(read_settings(globals())))
