"""Functions of the task definition beside this file."""

from equipoise.evaluation.grading import human_eval_results  # noqa: F401
