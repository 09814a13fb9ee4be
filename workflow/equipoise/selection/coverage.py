"""Selectors that cover the pool's last-layer states: `kcenter`, `facility_location`. One pass over them, and a sample in memory.

The greedy choice is exact among `SAMPLE` valid rows at even distances (all of them, if there are no more), whose similarities fit into
memory. In one pass every other row joins the most similar of the chosen; then the chosen give rows in turns, in their order: `kcenter` the
least similar one left, `facility_location` the most similar one.
"""

from collections.abc import Callable

import numpy as np

from equipoise.selection.problem import NO_COLUMN, Problem, Ranking, unscored

SAMPLE = 2048
CENTRES = 1024
"""Rows that the greedy choice ends at where there are more rows than the sample has."""
GRID = 2.0**32
"""Cosines are whole numbers of 1/GRID, so that equal rows are equally similar wherever they stand, and gains add up without rounding: among
equals the first row is taken, on every machine."""


def kcenter(problem: Problem, rows: int) -> Ranking:
    """Greedy k-center: each time the row that is farthest from the chosen ones; the first is the one farthest from the mean state.

    States are of unit length, so the largest distance is the smallest cosine. Source: Sener and Savarese 2018 (arXiv 1708.00489).
    """
    return _covered(problem, rows, _farthest, -1.0)


def facility_location(problem: Problem, rows: int) -> Ranking:
    """Greedy facility location: each time the row that raises sum_i max_chosen (1 + cosine) most.

    Source: Lin and Bilmes 2011 (ACL P11-1052); for instruction data Bukharin and Zhao 2023, Data Diversity Matters (arXiv 2311.14736).
    """
    return _covered(problem, rows, _representative, 1.0)


def _farthest(states: np.ndarray, picks: int) -> np.ndarray:
    """Places in the order of choice, int64 [picks]."""
    nearest = _cosines(states, states.mean(axis=0))
    order = np.empty(picks, np.int64)
    free = np.ones(len(states), bool)
    for step in range(picks):
        order[step] = np.flatnonzero(free)[np.argmin(nearest[free])]
        free[order[step]] = False
        cosine = _cosines(states, states[order[step]])
        nearest = cosine if step == 0 else np.maximum(nearest, cosine)
    return order


def _representative(states: np.ndarray, picks: int) -> np.ndarray:
    similarity = 1 + _cosines(states, states.T)
    covered = np.zeros(len(states))
    order = np.empty(picks, np.int64)
    free = np.ones(len(states), bool)
    gain = np.full(len(states), np.inf)  # bounds: gains only fall, so the largest is looked at again until it stays the largest
    for step in range(picks):
        while True:
            best = np.flatnonzero(free)[np.argmax(gain[free])]
            now = np.maximum(similarity[:, best] - covered, 0).sum()
            if now >= gain[best]:
                break
            gain[best] = now
        order[step], free[best] = best, False
        covered = np.maximum(covered, similarity[:, best])
    return order


def _cosines(states: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.round(states @ others * GRID) / GRID


def _covered(problem: Problem, rows: int, choose: Callable[[np.ndarray, int], np.ndarray], sign: float) -> Ranking:
    valid = np.flatnonzero(problem.valid)
    sampled = valid if len(valid) <= SAMPLE else valid[(np.arange(SAMPLE) * len(valid)) // SAMPLE]
    held = np.zeros(problem.rows, bool)
    held[sampled] = True
    states = np.concatenate([block.values[held[block.start : block.start + len(block.values)]] for block in problem.states.blocks()])
    whole = len(sampled) == len(valid)
    chosen = choose(states.astype(np.float64), len(sampled) if whole else CENTRES)
    centres = sampled[chosen]
    if whole:
        return unscored(centres[:rows])
    place = states[chosen].astype(np.float64)
    owner, similarity = np.full(problem.rows, NO_COLUMN), np.full(problem.rows, np.nan)
    for block in problem.states.blocks():
        cosine = _cosines(block.values.astype(np.float64), place.T)
        inside = slice(block.start, block.start + len(block.values))
        owner[inside], similarity[inside] = cosine.argmax(axis=1), cosine.max(axis=1)
    others = np.setdiff1d(valid, centres)
    order = others[np.lexsort((others, -sign * similarity[others], owner[others]))]
    starts = np.searchsorted(owner[order], np.arange(len(centres)))
    turn = np.arange(len(order)) - starts[owner[order]]
    following = order[np.lexsort((owner[order], turn))]
    return unscored(np.concatenate([centres, following])[:rows])
