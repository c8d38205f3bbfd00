"""Who is tested, and what was seen in training."""
