"""What the scripts share: settings, splits, batches, training loops, checkpoints, metrics."""

import utils.base.former_names  # noqa: F401
