"""What the scripts share: settings, splits, batches, training loops, checkpoints, metrics."""
