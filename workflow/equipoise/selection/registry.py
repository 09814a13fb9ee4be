"""The registry of selectors: a name, what it ranks on, and the module that implements it.

A new selector is one module with a `rank` function of the signature below and one line in `SELECTORS`. Nothing heavy is imported
here: the configuration and the Snakefile validate names with it.

    rank(problem: equipoise.selection.problem.Problem, rows: int) -> equipoise.selection.problem.Ranking
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from equipoise.errors import UserError


@dataclass(frozen=True)
class Selector:
    """One selector.

    name: as in config, paths and on the command line. label: for tables and figures.
    matrix: what it ranks on: `influence` (the attribution matrix), `last_token` or `position_weighted` (cosines of states), or None
    when it looks at no matrix. seeded: whether the ranking depends on the selection seed.
    module: dotted module whose `rank` function implements it.
    """

    name: str
    label: str
    matrix: str | None
    module: str
    seeded: bool = False

    def load(self) -> Callable[..., Any]:
        """The implementation: `rank(problem, rows) -> Ranking`."""
        return import_module(self.module).rank


SELECTORS: tuple[Selector, ...] = (
    Selector("random", "Random", None, "equipoise.selection.random", seeded=True),
    Selector("task_max", "LESS (task-wise max)", "influence", "equipoise.selection.task_max"),
    Selector("sum", "Sum", "influence", "equipoise.selection.sum"),
    Selector("instance_max", "Unnormalized (instance-wise max)", "influence", "equipoise.selection.instance_max"),
    Selector("instance_max_normalized", "Normalized", "influence", "equipoise.selection.instance_max_normalized"),
    Selector("bids", "BIDS", "influence", "equipoise.selection.bids"),
    Selector("rds", "RDS", "last_token", "equipoise.selection.instance_max"),
    Selector("round_robin", "Round robin", "influence", "equipoise.selection.round_robin"),
    Selector("task_quota", "Task quota", "influence", "equipoise.selection.task_quota"),
    Selector("rds_plus", "RDS+", "position_weighted", "equipoise.selection.round_robin"),
    Selector("full", "Full data", None, "equipoise.selection.full"),
    Selector("oracle", "Oracle", None, "equipoise.selection.oracle"),
)
_BY_NAME = {selector.name: selector for selector in SELECTORS}


def selector_names() -> tuple[str, ...]:
    """Names of all selectors, in the order of the tables."""
    return tuple(_BY_NAME)


def selector(name: str) -> Selector:
    """The selector called `name`; raises `UserError` listing the names there are."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UserError(f"no selector {name!r}; write one of {', '.join(_BY_NAME)}") from None
