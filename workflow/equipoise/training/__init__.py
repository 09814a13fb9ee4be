"""Supervised fine-tuning of warm-up and target models, and epoch checkpoints with Adam moments."""
