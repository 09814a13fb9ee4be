"""Functions of the task definition beside this file."""

from equipoise.evaluation.grading import load_mbpp, mbpp_results  # noqa: F401
