"""The audit that only a generated pool allows: what each selection is made of, from what the pool knows of its own rows."""

import json
from pathlib import Path

import pandas as pd

from equipoise.budgets import budget_label
from equipoise.config import Experiment
from equipoise.errors import UserError
from equipoise.experiment import selection_seeds
from equipoise.miniature.composition import KINDS, audit_selection, has_audit, read_metadata
from equipoise.reporting.labels import budget_text, long_label
from equipoise.reporting.tables import Column, Table


def audit_table(config: Experiment) -> Table | None:
    """Shares of right, wrong, verbose, off-task and repeated rows in every selection and in the pool; none for a pool without these "
    "facts."""
    import pyarrow.parquet as pq

    layout = config.layout
    if config.miniature is None:
        return None
    pool = pq.read_table(layout.pool, columns=["id", "source", "metadata"])
    metadata = read_metadata(pool["metadata"].to_pylist())
    if not has_audit(metadata):
        raise UserError(
            f"{layout.pool}: the miniature's rows lack kind and duplicate_of; make the pool again, or drop `miniature:` from the config"
        )
    ids, sources = pool["id"].to_pylist(), pool["source"].to_pylist()
    lines = [_line("Pool", "", "", audit_selection(range(len(ids)), ids, sources, metadata))]
    for budget in map(budget_label, config.budgets):
        for name in config.selectors:
            if name != "full":
                seed = selection_seeds(config, name)[0]
                rows = _rows(layout.selection(name, seed, budget))
                lines.append(_line(budget_text(budget), name, budget, audit_selection(rows, ids, sources, metadata)))
    caption = (
        "What each selection is made of, in percent of its rows: answers right, wrong or verbose, rows off task (these four add up to "
        "100), and "
        "rows that repeat one already selected. Only a generated pool knows this; no selector sees it, but for the oracle. Seeded "
        "selectors are "
        "shown with their first seed."
    )
    columns = [
        Column("label", "Selector"),
        Column("rows", "Rows", 0),
        *(Column(kind, kind.replace("_", "-").capitalize(), 1) for kind in KINDS),
    ]
    columns.append(Column("duplicate", "Repeated", 1))
    return Table("table_audit", "Audit of the selections.", caption, pd.DataFrame(lines), tuple(columns), group="group")


def _rows(path: str) -> list[int]:
    with Path(path).open(encoding="utf-8") as file:
        return [json.loads(line)["row"] for line in file]


def _line(group: str, name: str, budget: str, audit) -> dict[str, object]:
    shares = {kind: getattr(audit, kind) for kind in KINDS}
    label = long_label(name) if name else "all rows"
    return {"group": group, "label": label, "selector": name, "budget": budget, "rows": audit.rows, **shares, "duplicate": audit.duplicate}
