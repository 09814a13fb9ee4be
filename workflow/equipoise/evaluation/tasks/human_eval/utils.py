"""Functions of the task definition beside this file."""

from equipoise.evaluation.grading import human_eval_results

__all__ = ["human_eval_results"]
