"""Functions of the task definitions beside this file."""

from equipoise.evaluation.grading import math_results, with_boxed_answers

__all__ = ["math_results", "with_boxed_answers"]
