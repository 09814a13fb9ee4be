"""The contamination table: pool rows that share a run of words with test items, task by task."""

import pandas as pd

from equipoise.reporting.material import Material
from equipoise.reporting.table import Column, Table
from equipoise.store.artefact import open_artefact


def table_contamination(material: Material) -> Table:
    """Rows of the pool that share a run of words, in any case and punctuation, with the question and target of a test item that is
    evaluated."""
    config = material.config
    searched = open_artefact(config, "contamination")
    tasks, total = searched["tasks"], searched["rows"]
    lines = [{"label": name, "items": task["items"], "found": task["count"]} for name, task in tasks.items()]
    lines.append({"label": "any task", "items": sum(task["items"] for task in tasks.values()), "found": searched["found"]})
    frame = pd.DataFrame(lines)
    frame["share"] = 100 * frame["found"] / total
    removed = open_artefact(config, "pool")["removed"]
    fate = f"{removed:,} rows were removed before anything else" if config.pool.decontaminate == "remove" else "None was removed"
    caption = f"A run is {searched['gram']} words; the pool had {total:,} rows. {fate}."
    columns = (
        Column("label", "Task"),
        Column("items", "Test items", 0),
        Column("found", "Pool rows", 0),
        Column("share", "% of the pool", 2),
    )
    return Table(caption, frame, columns)
