"""Functions of the task definitions beside this file."""

from equipoise.evaluation.grading import math_results, with_boxed_answers  # noqa: F401
