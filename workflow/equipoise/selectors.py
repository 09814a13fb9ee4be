"""The selectors: every fact of each, once. Configuration, workflow, planning and report ask here; nothing heavy is imported.

A new selector is one module with a function of this signature, and one entry in `SELECTORS` (docs/extending.md):

    (problem: equipoise.selection.problem.Problem, rows: int) -> equipoise.selection.problem.Ranking
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from equipoise.errors import UserError

MATRICES = ("influence", "last_token", "position_weighted")
"""What a selector may rank on: the attribution matrix, or cosines of last-layer states at the first warm-up's last epoch."""
SAMPLED = "sampled"
"""The matrix beside them that holds the influence of the sampled rows alone, which a model of it is fitted on (estimator mates)."""
BASE_LOSS, ALONE = SCORED = ("base_loss", "base_loss_alone")
"""Losses of a response under the untuned base, with its prompt and without it, which the stage score_pool makes."""
LOSSES, NORMS = STORED = ("losses", "norms")
"""[N, epochs], what the stores of the pool's gradients hold beside them."""
BASELINE = "#9600ff"
"""The colour that all selectors without influence share, so that there may be more of them than colours: their markers are letters."""


@dataclass(frozen=True)
class Selector:
    """One selector, or one of the two arms without a choice: the whole pool and the untouched base.

    name: as in config, paths and on the command line. label: for tables; figures leave out the part in brackets.
    color, marker: in every figure (see reporting/style.py for how they are kept apart).
    implementation: `module:function`, or None where no rows are chosen. matrix: one of `MATRICES`, or None when it looks at none.
    pool: columns of the pool that it reads (data/pool.py, `SCORED`, `STORED`), which only an experiment has; `equipoise select` has a
    matrix alone. states: kind of the pool's states that it reads.
    seeded: its ranking depends on the selection seed. swept: it is run at every budget; otherwise on the whole pool.
    competes: it is ranked and compared with the others; otherwise it is an anchor beside them. trains: its runs are fine-tuned.
    baseline: the others are compared with it. planted: it needs the ranks that only a generated pool knows.
    epochs: the key of `finetune` that says how many epochs its runs take.
    """

    name: str
    label: str
    color: str
    marker: str | tuple[int, int, int]
    matrix: str | None = None
    implementation: str | None = None
    seeded: bool = False
    swept: bool = True
    competes: bool = True
    trains: bool = True
    baseline: bool = False
    planted: bool = False
    pool: tuple[str, ...] = ()
    states: str | None = None
    epochs: str = "epochs"

    @property
    def short_label(self) -> str:
        """The label without its part in brackets."""
        return self.label.split(" (")[0]

    @property
    def chooses(self) -> bool:
        """Whether it takes some rows and leaves others."""
        return self.trains and self.swept

    def load(self) -> Callable[..., Any]:
        """The implementation: (problem, rows) -> Ranking. Raises `UserError` where there is none."""
        if self.implementation is None:
            raise UserError(f"selector {self.name}: chooses no rows; write one of {', '.join(selector_names())}")
        module, function = self.implementation.split(":")
        return getattr(import_module(f"equipoise.selection.{module}"), function)


SELECTORS: tuple[Selector, ...] = (
    Selector("zero_shot", "Zero-shot", "#77b0c2", "p", swept=False, competes=False, trains=False),
    Selector("random", "Random", "#938b92", "d", None, "without_matrix:random", seeded=True, baseline=True),
    Selector("task_max", "LESS (task-wise max)", "#cd5b09", "s", "influence", "top_scores:task_max", baseline=True),
    Selector("sum", "Sum", "#5cb1ee", "^", "influence", "top_scores:sum_"),
    Selector("instance_max", "Unnormalized (instance-wise max)", "#e39f0e", "v", "influence", "top_scores:instance_max"),
    Selector("instance_max_normalized", "Normalized", "#03a372", "D", "influence", "top_scores:instance_max_normalized"),
    Selector("bids", "BIDS", "#0072b2", "o", "influence", "bids:bids"),
    Selector("bids_sum", "BIDS by sums", "#964bf0", "8", "influence", "bids:bids_sum"),
    Selector("bids_task", "BIDS by task", "#d200b4", (3, 1, 0), "influence", "bids:bids_task"),
    Selector("rds", "RDS", "#9e8d42", "P", "last_token", "top_scores:instance_max"),
    Selector("round_robin", "Round robin", "#b0396b", "X", "influence", "turns:round_robin"),
    Selector("round_robin_floor", "Round robin, floor", "#00c369", (4, 1, 0), "influence", "turns:round_robin_floor"),
    Selector("task_quota", "Task quota", "#aa649b", "<", "influence", "turns:task_quota"),
    Selector("rds_plus", "RDS+", "#916de2", ">", "position_weighted", "turns:round_robin"),
    Selector("longest", "Longest", BASELINE, "$L$", None, "baselines:longest", pool=("completion_tokens",)),
    Selector("perplexity", "Perplexity (middle band)", BASELINE, "$P$", None, "baselines:perplexity", pool=(BASE_LOSS,)),
    Selector("ifd", "IFD", BASELINE, "$I$", None, "baselines:ifd", pool=SCORED),
    Selector("loss_drop", "Loss drop", BASELINE, "$D$", None, "baselines:loss_drop", pool=(BASE_LOSS, LOSSES)),
    Selector("s2l", "S2L", BASELINE, "$S$", None, "baselines:s2l", pool=(LOSSES,)),
    Selector("gradient_norm", "Gradient norm", BASELINE, "$G$", None, "baselines:gradient_norm", pool=(NORMS,)),
    Selector("kcenter", "k-center", BASELINE, "$K$", None, "coverage:kcenter", states="position_weighted"),
    Selector("facility_location", "Facility location", BASELINE, "$F$", None, "coverage:facility_location", states="position_weighted"),
    Selector("full", "Full data", "#81604c", "h", None, "without_matrix:full", swept=False, competes=False, epochs="full_epochs"),
    Selector("oracle", "Oracle", "#9fb74b", "*", None, "without_matrix:oracle", competes=False, planted=True, pool=("metadata",)),
)
_BY_NAME = {selector.name: selector for selector in SELECTORS}


def selector_names() -> tuple[str, ...]:
    """Names of the selectors that a configuration may list: those with an implementation, in the order of the tables."""
    return tuple(name for name, selector in _BY_NAME.items() if selector.implementation)


def selector(name: str) -> Selector:
    """The selector called `name`; raises `UserError` listing the names."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UserError(f"no selector {name!r}; write one of {', '.join(selector_names())}") from None
