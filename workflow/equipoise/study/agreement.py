"""Which measure of an estimator tells how well one selects by it: a pool's validation beside a study's arms on the same pool.

The measures are those of the validation (one step, LDS, QLD, its mirror; method.md, "Validation of estimators") and, of a generated pool,
the share of right rows among a selector's own picks. What they are to predict is the macro average after fine-tuning on the picks.
Estimators are the points, and there are few of them: `least_told` says what chance alone gives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.store.artefact import open_alone
from equipoise.study.one_pool import Arm
from equipoise.study.study import Study, finished_pools
from equipoise.study.tables import Made
from equipoise.validation.results import TITLES

RIGHT = "right"
"""What an audit calls rows whose answer is right."""
RIGHT_TITLE = "right rows among the selector's picks (per cent)"
FEWEST = 3
ENUMERATED = 8
"""Up to so many estimators chance is counted out over all orders."""
LEVEL = 0.05


@dataclass(frozen=True)
class Agreement:
    """Spearman's correlation over estimators between a measure and the macro average of what a selector picks by them.

    correlation: None for fewer than `FEWEST` estimators, or where one side is the same for all.
    """

    measure: str
    selector: str
    estimators: int
    correlation: float | None


def agreements(results: Sequence[Mapping[str, Any]], arms: Sequence[Arm]) -> list[Agreement]:
    """Every measure against every selector that reads influence.

    results: those of a validation, mappings of measure, candidate, share and value, larger values better; arms: of a study on the same
    pool. Macro averages and shares of right rows are means over budgets and seeds. Candidates that no arm selects by, such as baselines,
    and values that are not known are left out.
    """
    measures: dict[str, dict[str, float]] = {}
    for each in results:
        if each["value"] is not None:
            title = TITLES[each["measure"]].format(share=each.get("share") or 0.0)
            measures.setdefault(title, {})[each["candidate"]] = float(each["value"])
    by_selector: dict[str, dict[str, list[Arm]]] = {}
    for arm in arms:
        if arm.estimator:
            by_selector.setdefault(arm.selector, {}).setdefault(arm.estimator, []).append(arm)
    made: list[Agreement] = []
    for selector, of_estimators in by_selector.items():
        macros = {name: fmean(arm.macro for arm in own) for name, own in of_estimators.items()}
        right = {name: fmean(arm.audit[RIGHT] for arm in own) for name, own in of_estimators.items() if all(arm.audit for arm in own)}
        for title, values in (measures | {RIGHT_TITLE: right}).items():
            both = [name for name in macros if name in values]
            made.append(Agreement(title, selector, len(both), _spearman([values[n] for n in both], [macros[n] for n in both])))
    return made


def _spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    from scipy.stats import rankdata

    if len(one) < FEWEST or len(set(one)) == 1 or len(set(other)) == 1:
        return None
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def least_told(estimators: int) -> float | None:
    """The least correlation, without ties, that chance reaches in at most 5 % of the orders, both signs counted; None where none is.

    Counted out for up to `ENUMERATED` estimators, by Student's t for more.
    """
    if estimators > ENUMERATED:
        from scipy.stats import t

        reach = t.ppf(1 - LEVEL / 2, estimators - 2)
        return float(reach / sqrt(estimators - 2 + reach**2))
    orders = np.array(list(permutations(range(estimators))))
    squares = ((orders - np.arange(estimators)) ** 2).sum(axis=1)
    found = np.abs(1 - 6 * squares / (estimators * (estimators**2 - 1)))
    return next((float(value) for value in np.unique(found) if np.mean(found >= value - 1e-9) <= LEVEL), None)


def agreement_markdown(made: Sequence[Agreement]) -> str:
    """Measures down, selectors across: the correlation, and in brackets over how many estimators; below, what so few can tell."""
    selectors = list(dict.fromkeys(each.selector for each in made))
    by_place = {(each.measure, each.selector): each for each in made}
    lines = [
        "Spearman's correlation over estimators, their number in brackets, of a measure with the macro average of what a selector picks:",
        "",
        f"| measure | {' | '.join(selectors)} |",
        f"|---{'|---' * len(selectors)}|",
    ]
    for measure in dict.fromkeys(each.measure for each in made):
        texts = [_text(by_place.get((measure, selector))) for selector in selectors]
        lines.append(f"| {measure} | {' | '.join(texts)} |")
    for number in sorted({each.estimators for each in made if each.correlation is not None}):
        least = least_told(number)
        said = "no correlation is" if least is None else f"a correlation below {least:.2f} is not"
        lines += ["", f"With {number} estimators {said} told from chance (two-sided, 5 %, one cell looked at)."]
    return "\n".join(lines) + "\n"


def _text(each: Agreement | None) -> str:
    if each is None:
        return ""
    return f"{'unknown' if each.correlation is None else f'{each.correlation:+.2f}'} ({each.estimators})"


def measures_of(base: Experiment, study: Study) -> Made:
    """The table of every finished pool of a study whose experiment has a validation. Runs nothing.

    Raises `UserError` where there is none.
    """
    parts, values = [], []
    for experiment, result in finished_pools(base, study):
        path = Path(experiment.layout.validation)
        if path.exists():
            made = agreements(open_alone(path, "validation")["results"], result.arms)
            parts.append(f"{experiment.experiment}:\n\n{agreement_markdown(made)}")
            values.append({"experiment": experiment.experiment, "agreements": [vars(each) for each in made]})
    if not parts:
        raise UserError(
            f"{study.folder(base)}: no finished pool whose experiment has been validated; run the study, and `make validate` for its pool"
        )
    return Made("\n".join(parts), {"pools": values})
