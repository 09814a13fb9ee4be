"""The tiny experiment, and what its first stages leave, written directly: where every made experiment starts from."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from equipoise.config import Experiment
from equipoise.data.pool_file import GROUP_ROWS
from equipoise.data.shards import plan_shards
from equipoise.files import file_digest
from equipoise.store.artefact import publish
from helpers.rows import texts, write_jsonl


def tiny_values(folder: Path, base: Path | str) -> dict:
    """Raw values of a small valid experiment below `folder`: 40 pool rows, two jsonl tasks of 4 validation examples."""
    return {
        "experiment": "tiny",
        "results": str(folder / "results"),
        "budgets": [0.1, 0.2],
        "selectors": ["random", "task_max", "bids", "full"],
        "model": {"name": "tiny", "base": str(base), "precision": "fp32", "max_length": 32, "device": "cpu"},
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.0},
        "pool": {"files": [write_jsonl(folder / "pool.jsonl", texts(40))]},
        "targets": {"size": 4},
        "tasks": {
            "first": {"capability": "logic", "files": [write_jsonl(folder / "first.jsonl", texts(6, 3))]},
            "second": {"capability": "math", "files": [write_jsonl(folder / "second.jsonl", texts(6, 11))]},
        },
        "training": {
            "batch_size": 8,
            "micro_batch_size": 4,
            "learning_rate": 0.01,
            "schedule": "linear",
            "report_to": [],
        },
        "warmup": {"epochs": 2},
        "gradients": {"precision": "fp32", "token_budget": 256, "projection": {"dimension": 64}},
        "finetune": {"epochs": 1, "full_epochs": [1], "seeds": [0]},
    }


def change(values: dict, path: str, value: object) -> None:
    """Puts a value at a path of keys, in sections that may not be there yet."""
    *parents, last = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[last] = value


def changed(values: dict, sections: dict) -> dict:
    """The values with the keys of each given section put over it; what is no section, and `tasks` and `suites`, is replaced."""
    merged = dict(values)
    for name, change in sections.items():
        whole = name in ("tasks", "suites") or not isinstance(change, dict)
        merged[name] = change if whole else {**values.get(name, {}), **change}
    return merged


def write_pool(config: Experiment, columns: dict[str, object], shards: int = 1) -> list[list[int]]:
    """Leaves the pool of these columns as `prepare_pool` does; its row ranges by shard."""
    layout = config.layout
    table = pa.table(columns)
    Path(layout.pool).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, layout.pool, row_group_size=GROUP_ROWS)
    digest, plan = file_digest(layout.pool), plan_shards(table.num_rows, shards)
    counts = {each["values"]: each["counts"] for each in table["source"].value_counts().to_pylist()}
    said = {"rows": table.num_rows, "digest": digest, "fingerprint": digest, "shards": plan, "sources": counts}
    publish(config, "pool", {}, [layout.pool], **said)
    return plan


def read_pool(path: str | Path) -> dict[str, list]:
    """The columns of a prepared pool as Python lists, by name."""
    return pq.read_table(path).to_pydict()


def write_target(config: Experiment, task: str, rows: list[tuple[str, str, bool]]) -> None:
    """Leaves validation examples of (prompt, response, chat) as `prepare_targets` does."""
    path = Path(config.layout.target(task))
    path.parent.mkdir(parents=True, exist_ok=True)
    prompts, responses, chat = zip(*rows, strict=True)
    ids = [f"{task}/{i}" for i in range(len(rows))]
    pq.write_table(pa.table({"id": ids, "task": [task] * len(rows), "prompt": prompts, "response": responses, "chat": chat}), path)
    digest = file_digest(path)
    publish(config, "targets", {"task": task}, [path], task=task, rows=len(rows), digest=digest, fingerprint=digest)
