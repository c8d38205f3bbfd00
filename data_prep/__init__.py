"""From raw recordings to the prepared folder: one reader per data set, one writer for all."""

import utils  # noqa: F401  former names of modules
from data_prep.folder.from_arrays import write_prepared
from data_prep.folder.prepared import Prepared, open_prepared
from data_prep.folder.writer import PreparedWriter

__all__ = ["Prepared", "PreparedWriter", "open_prepared", "write_prepared"]
