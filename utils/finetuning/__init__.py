"""Fine-tuning: first encoders, labels, the engine, baselines."""
