"""Propose what your recordings hold: tables of trials and channels to look at and to correct, and a picture of both.

    python data_prep/propose_trials.py --bids-dir my_study --task film --ratings arousal --out-file film/trials.csv
    python data_prep/propose_trials.py --files "eeg/*.bdf" --trial marker=2 --until marker=4 --out-file film/trials.csv

Writes trials.csv, and beside it channels.csv and trials.html. prepare_recordings.py does what the two tables say.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import physiosync  # noqa: F401
import utils.base.errors  # before all packages, to say in one line which are not installed

# isort: split

from data_prep.amplifiers import proposal_page, recordings
from data_prep.amplifiers.proposal import missing_flags, propose, scale_flags
from utils.base.progress import say_next, warn
from utils.base.settings import read_settings

BIDS_DIR = None  # a BIDS data set
TASK = None  # its task, such as film
SESSIONS = []  # its sessions (empty: all)
FILES = None  # recordings in the place of a data set, such as "eeg/*.bdf"
# what a trial is
TRIAL = None  # what begins one: COLUMN=VALUE|VALUE, or a table subject,value (None: rows with ratings)
UNTIL = None  # what ends one: COLUMN=VALUE, or COLUMN (None: its duration)
LAST = None  # s that are taken from its end (None: all)
STIMULUS = None  # column of its name (None: stim_file, or else trial_type)
RATINGS = []  # columns that are ratings (empty: all of events.tsv that have no other meaning)
RATED = True  # False: nobody rated them; one person will do
GROUP = None  # column that says which stimuli belong together (None: none)
OUT_FILE = "proposal/trials.csv"  # table to write
QUIET = False  # True: say nothing but warnings and errors


def main():
    """Write the tables and the page, and say what was understood."""
    settings = read_settings(globals())
    recordings.need_mne()
    proposal = propose(settings)
    table, channels, page = proposal_page.write(proposal, settings.OUT_FILE)
    for text in proposal.found:
        print(f"found: {text}")
    recordings.say_notes(proposal.recordings.values())
    for text in proposal.warnings:
        warn(text)
    for text in proposal.doubts:
        print(f"doubt: {text}")
    print(f"wrote {table}, {channels.name} and {page.name}: look at {page.name}, correct the tables")
    flags = [*scale_flags(proposal.trials), *missing_flags(proposal.trials)]
    out = Path("data") / settings.OUT_FILE.resolve().parent.name.upper()
    say_next("data_prep/prepare_recordings.py", "--trials", table, "--channels", channels, *flags, "--out-dir", out)


if __name__ == "__main__":
    utils.base.errors.run(main)
