"""What is done of a long preparation, kept until it is whole: the same command goes on after an interruption."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np

from utils.base.files import atomic


class Parts:
    """People that are prepared already, in a folder beside the one that is to be made.

    Parameters
    ----------
    folder : path
        The prepared folder.
    settings : dict
        Everything that the parts depend on beside their own ``key``, for JSON.
    """

    def __init__(self, folder, settings):
        self.folder = Path(folder).with_name(f".{Path(folder).name}.parts.partial")
        self.settings = settings

    def get(self, key, make):
        """Arrays by name: those that were kept under this key, or what ``make()`` gives, kept from now on.

        Parameters
        ----------
        key : object
            For JSON; what this part is made of, checksums of its files included.
        make : callable
            Returns a dict of str to numpy.ndarray.
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
