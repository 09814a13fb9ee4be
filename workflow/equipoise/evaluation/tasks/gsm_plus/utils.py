"""Functions of the task definition beside this file."""

from equipoise.evaluation.grading import gsm_plus_results  # noqa: F401
