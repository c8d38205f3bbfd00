"""From raw recordings to the prepared folder: one reader per data set, one writer for all."""

from data_prep.from_arrays import write_prepared
from data_prep.prepared import Prepared, open_prepared
from data_prep.writer import PreparedWriter

__all__ = ["Prepared", "PreparedWriter", "open_prepared", "write_prepared"]
