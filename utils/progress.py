"""One progress bar on a terminal; plain lines in a log file."""

import sys

from tqdm import tqdm


class Progress(tqdm):
    """A tqdm bar with rate and time left, drawn only on a terminal; elsewhere `note` prints lines."""

    bars = True  # False where several processes share a terminal

    def __init__(self, *args, **kwargs):
        super().__init__(*args, disable=None if sys.stderr is not None and self.bars else True, **kwargs)

    def note(self, text):
        """Show ``text`` beside the bar, or as a line where there is no terminal."""
        if self.disable:
            print(text, flush=True)
        else:
            self.set_postfix_str(text)
