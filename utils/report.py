"""Print every result of a run directory as one table.

python utils/report.py --run-dir runs/deap
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import utils.errors
from utils.errors import InputError
from utils.files import read_json
from utils.results import print_overview
from utils.settings import read_settings

RUN_DIR = "runs/deap"  # folder with the results


def main():
    settings = read_settings(globals())
    paths = sorted(settings.RUN_DIR.glob("*/metrics.json"))
    if not paths:
        raise InputError(f"--run-dir {settings.RUN_DIR} has no results; run Fine_tuning/fine_tuning.py with it first")
    print_overview({path.parent.name: read_json(path, "run its script again") for path in paths})


if __name__ == "__main__":
    utils.errors.run(main)
