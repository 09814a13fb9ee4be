"""All jobs of a matrix in one call: what `equipoise attribute` runs."""

from equipoise.attribution.assemble import MATRICES, assemble_attribution
from equipoise.attribution.seal import seal_attribution
from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.selectors import selector
from equipoise.store.manifest import read_manifest


def attribute(config: Experiment, matrices: list[str] | None = None) -> None:
    """Assembles every shard of the matrices and seals them; by default of those that the experiment's selectors rank on.

    Shards whose inputs are unchanged and whose rows are intact are left alone. Raises `UserError` like the stages.
    """
    if matrices is None:
        needed = {selector(name).matrix for name in config.selectors}
        matrices = [matrix for matrix in MATRICES if matrix in needed]
    for matrix in matrices:
        if matrix not in MATRICES:
            raise UserError(f"matrix {matrix!r}: write one of {', '.join(MATRICES)}")
    layout = config.layout
    shards = len(read_manifest(layout.pool_manifest, "pool")["shards"])
    for matrix in matrices:
        for shard in range(shards):
            assemble_attribution(config, matrix, shard)
        seal_attribution(config, matrix)
