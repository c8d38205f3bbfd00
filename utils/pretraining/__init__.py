"""Pre-training: batches, networks, the engine, checkpoints."""
