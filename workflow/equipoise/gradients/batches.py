"""The batch plan: which examples share a batch, fixed by the data alone."""

from collections.abc import Sequence


def plan_batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Cuts one store chunk's examples into batches of at most `token_budget` padded tokens, the longest first.

    lengths: tokens of each example, 0 for one that takes no part. Returns indices into `lengths`; an example longer than the
    budget is a batch of its own. Depends on nothing but the arguments, so a row's batch does not depend on how jobs are cut.
    """
    order = sorted((i for i, length in enumerate(lengths) if length), key=lambda i: (-lengths[i], i))
    batches, start = [], 0
    while start < len(order):
        count = max(1, token_budget // lengths[order[start]])
        batches.append(order[start : start + count])
        start += count
    return batches
