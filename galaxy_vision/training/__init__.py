"""Training runs: arguments, one epoch, checkpoints, and what both training scripts share."""
