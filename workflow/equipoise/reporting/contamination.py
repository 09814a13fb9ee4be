"""The contamination table: pool rows that share a run of words with test items, task by task."""

import pandas as pd

from equipoise.config import Experiment
from equipoise.reporting.tables import Column, Table
from equipoise.store.manifest import read_manifest


def contamination_table(config: Experiment) -> Table | None:
    """Per task, and for any of them: items compared, pool rows found, their share in per cent; none where nothing was looked for."""
    if config.pool.decontaminate == "skip":
        return None
    layout = config.layout
    found = read_manifest(layout.contamination, "contamination")
    lines = [{"label": name, "items": task["items"], "found": task["count"]} for name, task in found["tasks"].items()]
    lines.append({"label": "any task", "items": sum(task["items"] for task in found["tasks"].values()), "found": found["found"]})
    frame = pd.DataFrame(lines)
    frame["share"] = 100 * frame["found"] / found["rows"]
    removed = read_manifest(layout.pool_manifest, "pool")["removed"]
    fate = f"{removed:,} rows were removed before anything else" if config.pool.decontaminate == "remove" else "None was removed"
    caption = (
        f"Rows of the pool ({found['rows']:,}) that share {found['gram']} words in a row with a test item (question and target) that is "
        f"evaluated, in any case and punctuation. {fate}."
    )
    columns = (
        Column("label", "Task"),
        Column("items", "Test items", 0),
        Column("found", "Pool rows", 0),
        Column("share", "% of the pool", 2),
    )
    return Table("table_contamination", "Test items in the pool.", caption, frame, columns)
