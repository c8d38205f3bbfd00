"""From raw recordings to the prepared folder: one reader per data set, one writer for all."""

from data_prep.prepared import Prepared, PreparedWriter, open_prepared

__all__ = ["Prepared", "PreparedWriter", "open_prepared"]
