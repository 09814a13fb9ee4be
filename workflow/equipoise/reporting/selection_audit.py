"""The audit that only a generated pool allows: what each selection is made of, from what the pool knows of its own rows."""

import json
from pathlib import Path

import pandas as pd

from equipoise.budgets import budget_label
from equipoise.errors import UserError
from equipoise.experiment import selection_seeds
from equipoise.miniature.composition import KINDS, audit_selection, has_audit, read_metadata
from equipoise.reporting.labels import budget_text
from equipoise.reporting.material import Material
from equipoise.reporting.table import Column, Table
from equipoise.selectors import selector
from equipoise.store.artefact import open_artefact


def table_audit(material: Material) -> Table:
    """What each selection is made of, in percent of its rows: answers right, wrong or verbose, rows off task (these four add up to 100),
    and rows that repeat one already selected. Only a generated pool knows this, and of the selectors only the oracle sees it. Seeded
    selectors are shown with their first seed."""
    import pyarrow.parquet as pq

    config, layout = material.config, material.config.layout
    pool = pq.read_table(open_artefact(config, "pool").only_file(), columns=["id", "source", "metadata"])
    metadata = read_metadata(pool["metadata"].to_pylist())
    if not has_audit(metadata):
        raise UserError(
            f"{layout.pool}: the miniature's rows lack kind and duplicate_of; make the pool again, or drop `miniature:` from the config"
        )
    ids, sources = pool["id"].to_pylist(), pool["source"].to_pylist()
    lines = [_line("Pool", "", "", audit_selection(range(len(ids)), ids, sources, metadata))]
    for budget in map(budget_label, config.budgets):
        for name in config.selectors:
            if selector(name).chooses:
                seed = selection_seeds(config, name)[0]
                rows = _rows(open_artefact(config, "selection", selector=name, selection_seed=seed, budget=budget).only_file())
                lines.append(_line(budget_text(budget), name, budget, audit_selection(rows, ids, sources, metadata)))
    columns = (
        Column("label", "Selector"),
        Column("rows", "Rows", 0),
        *(Column(kind, kind.replace("_", "-").capitalize(), 1) for kind in KINDS),
        Column("duplicate", "Repeated", 1),
    )
    return Table("", pd.DataFrame(lines), columns, group="group")


def _rows(path: Path) -> list[int]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line)["row"] for line in file]


def _line(group: str, name: str, budget: str, audit) -> dict[str, object]:
    shares = {kind: getattr(audit, kind) for kind in KINDS}
    label = selector(name).label if name else "all rows"
    return {"group": group, "label": label, "selector": name, "budget": budget, "rows": audit.rows, **shares, "duplicate": audit.duplicate}
