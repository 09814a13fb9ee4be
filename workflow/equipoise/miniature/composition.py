"""What a selection of the miniature's pool is made of: the one audit that only a generated pool allows, since it knows its own faults."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from equipoise.errors import UserError

KINDS = ("right", "wrong", "verbose", "off_task")


@dataclass(frozen=True)
class Audit:
    """Shares, in percent of the selected rows.

    `right`, `wrong`, `verbose` and `off_task` add up to 100. `duplicate`: rows that repeat, in other words, a row already selected
    at a better rank. tasks: percent by source, `off-task` included.
    """

    rows: int
    right: float
    wrong: float
    verbose: float
    off_task: float
    duplicate: float
    tasks: dict[str, float]


def has_audit(metadata: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a pool's metadata, one mapping per row, carries what an audit needs: every row's `kind` and `duplicate_of`."""
    return bool(metadata) and all("kind" in row and "duplicate_of" in row for row in metadata)


def read_metadata(column: Sequence[str]) -> list[dict[str, Any]]:
    """The `metadata` column of pool.parquet (one JSON text per row) as mappings, in row order."""
    return [json.loads(text or "{}") for text in column]


def audit_selection(rows: Sequence[int], ids: Sequence[str], sources: Sequence[str], metadata: Sequence[Mapping[str, Any]]) -> Audit:
    """Audits a selection.

    rows: pool row numbers in rank order, as the field `row` of a selection's lines. ids, sources, metadata: of the whole pool, in row
    order. Raises `UserError` when nothing is selected or the pool carries no audit fields.
    """
    if not rows:
        raise UserError("selection: no rows to audit; select at least one")
    if not has_audit(metadata):
        raise UserError("pool: no audit fields (kind, duplicate_of); only the miniature's pool can be audited")
    kinds = Counter(metadata[row]["kind"] for row in rows)
    seen: set[str] = set()
    repeated = 0
    for row in rows:
        original = metadata[row]["duplicate_of"] or ids[row]
        repeated += original in seen
        seen.add(original)
    share = 100 / len(rows)
    tasks = Counter(sources[row] for row in rows)
    return Audit(
        rows=len(rows),
        **{kind: kinds[kind] * share for kind in KINDS},
        duplicate=repeated * share,
        tasks={task: tasks[task] * share for task in dict.fromkeys(sources) if tasks[task]},
    )
