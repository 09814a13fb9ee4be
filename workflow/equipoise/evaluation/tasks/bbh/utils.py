"""Functions of the task definitions beside this file."""

from equipoise.evaluation.closing import bbh_results  # noqa: F401
