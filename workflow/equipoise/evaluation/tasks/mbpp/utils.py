"""Functions of the task definition beside this file."""

from equipoise.evaluation.grading import load_mbpp, mbpp_results

__all__ = ["load_mbpp", "mbpp_results"]
