"""`instance_max_normalized` (the paper's Normalized): s_i = max_j A_norm_ij, largest first."""

from equipoise.selection.normalise import informative, normalised_source
from equipoise.selection.problem import Problem, Ranking, ranked_by_score
from equipoise.selection.score_rows import largest_entries, scan_moments_of


def rank(problem: Problem, rows: int) -> Ranking:
    """The `rows` rows of largest normalised entry; columns: the first column that has it. Raises like `bids`."""
    with normalised_source(problem) as (source, known):
        moments = known or scan_moments_of(problem).moments()
        active = informative(problem, moments)
        scores, winners = largest_entries(source, problem.usable, moments.mean, moments.std, active)
        return ranked_by_score(scores, winners, problem.valid, rows)
