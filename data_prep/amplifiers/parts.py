"""What is done of a long preparation, kept until it is whole: the same command goes on after an interruption."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np

from utils.base.files import atomic


class Parts:
    """People who are prepared already, kept next to the folder to be made; ``settings`` are what they depend on,
    for JSON.
    """

    def __init__(self, folder, settings):
        self.folder = Path(folder).with_name(f".{Path(folder).name}.parts.partial")
        self.settings = settings

    def get(self, key, make):
        """Arrays by name that are kept under this key (for JSON, with checksums), or those that ``make()`` returns,
        then kept.
        """
        text = json.dumps([self.settings, key], sort_keys=True)
        path = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        except FileNotFoundError:
            pass
        except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile):  # damaged: made again
            pass
        arrays = make()
        with atomic(path) as file:
            np.savez(file, **arrays)
        return arrays

    def remove(self):
        """Forget them: the whole is there."""
        shutil.rmtree(self.folder, ignore_errors=True)
