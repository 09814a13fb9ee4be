"""The lm-eval driver and its task definitions."""
