"""All jobs of a matrix in one call: what `equipoise attribute` runs."""

from collections.abc import Sequence

from equipoise import experiment
from equipoise.attribution.assemble import assemble_attribution
from equipoise.attribution.seal import seal_attribution
from equipoise.config import Experiment


def attribute(config: Experiment, matrices: Sequence[str] | None = None) -> None:
    """Assembles and seals matrices; by default those that the experiment's selectors need.

    Rows whose inputs are unchanged and that are intact are left alone. Raises `UserError` like the stages.
    """
    for matrix in experiment.matrices(config) if matrices is None else matrices:
        for shard in experiment.assembled_shards(config):
            assemble_attribution(config, matrix, int(shard))
        seal_attribution(config, matrix)
