"""Lets snakemake make again what its manifest says is there and is not, or what another configuration made.

A manifest stands for files that snakemake does not know of. Where some are gone or of another size, its job is planned as if it were forced
(`-n` shows it too), by a look at names and sizes when the jobs are planned: nothing is deleted or written, and times do not
count, so that a copied folder of results stays valid. The same holds for an artefact whose manifest names other values of the keys that
count, or other files of the user's: of a stage that was run by hand snakemake remembers no parameters.
"""

import functools
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from functools import partial
from typing import Any, NamedTuple

from equipoise.comparison import compared
from equipoise.config import Experiment
from equipoise.jobs import Item, stages
from equipoise.store.artefact import is_of_another
from equipoise.store.kinds import KINDS
from equipoise.store.verify import whole_content

AT_A_TIME = 16
"""Threads: a network file system answers many questions in the time of one."""
BATCH = 32  # jobs that a thread takes


class Owner(NamedTuple):
    """An experiment of those whose estimators are compared, the folder of what is its alone, and what `is_of_another` knows of it."""

    config: Experiment
    place: str
    known: dict[str, Any]


def unmade(config: Experiment) -> set[str]:
    """Outputs of the jobs of which a manifest stands and what it vouches for does not."""
    jobs = [job for stage in stages(config) for job in stage.jobs]
    owners = [Owner(each, f"{each.layout.root}/{each.layout.place}", {}) for each in reversed(compared(config))]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        stand = pool.map(partial(_all_stand, owners), (jobs[start : start + BATCH] for start in range(0, len(jobs), BATCH)))
        stands = itertools.chain.from_iterable(stand)
        return {output for job, whole in zip(jobs, stands, strict=True) if not whole for item in job for output in item.outputs}


def _all_stand(owners: list[Owner], jobs: list[list[Item]]) -> list[bool]:
    return [all(_stands(owners, item) for item in job) for job in jobs]


def _stands(owners: list[Owner], item: Item) -> bool:
    """Whether what the item's manifests vouch for is there, made as it would be now; true where there is none yet. The matrix is its
    shards'."""
    if item.kind == "seal_attribution":
        return True
    manifests = [output for output in item.outputs if output.endswith(".json")]
    if item.kind == "fold":
        manifests = manifests[:1]
    for path in filter(os.path.exists, manifests):
        owner = next((each for each in owners if path.startswith(each.place)), owners[-1])
        if not stands_now(owner.config, owner.known, path):
            return False
    return True


def stands_now(config: Experiment, known: dict[str, Any], manifest: str) -> bool:
    """Whether what a manifest vouches for is there, and made by this configuration from the user's files as they are. known: as
    `is_of_another` fills it."""
    content = whole_content(manifest)
    if content is None:
        return False
    if content.get("kind") not in KINDS or not {"of", "configured", "made_from"} <= content.keys():
        return True  # of an earlier version: readers refuse it, and say so
    return not is_of_another(config, content, known)


def make_again(config: Experiment, prefix: str = "") -> None:
    """Within this process snakemake plans the jobs of `unmade` as forced, where they are part of what was asked for.

    prefix: folder that the experiment's relative paths lie in, when another workflow uses its rules as a module with a prefix.
    """
    from snakemake.dag import DAG

    plan = getattr(DAG.init, "__wrapped__", DAG.init)

    @functools.wraps(plan)
    async def init(self, *arguments, **options):
        if os.path.isdir(prefix or "."):
            with chdir(prefix or "."):
                again = unmade(config)
            # As targets of --forcerun, all of them would be made, whatever was asked for.
            self.forcefiles.update(os.path.join(prefix, path) for path in again)
        return await plan(self, *arguments, **options)

    DAG.init = init
