"""Writes selections in the forms trainers read: JSONL in `messages` form, Parquet, a Hugging Face dataset folder."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from equipoise.errors import UserError
from equipoise.files import atomic_path, write_jsonl, write_text
from equipoise.selection.selection_file import find_selection, read_picks

PROVENANCE = {"id": str, "source": str, "row": int, "rank": int, "score": float, "column": int, "validation_id": str, "task": str}
CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
---
{rows} examples chosen by a selector, in rank order. `messages` holds the conversation; `id`, `row` and `source` name the pool record,
`score`, `task` and `validation_id` say what it was chosen for.
"""


def export(path: str | Path, form: str, output: str | Path, pool: str | Path | None = None) -> int:
    """Writes the selection behind `path` (selection file, run folder, or picks with `pool`) as `form` to `output`; returns its rows.

    form: jsonl, parquet or huggingface (a folder for `datasets.load_dataset`). pool: a file, folder or pattern of the pool's records, for
    picks of `equipoise select`, which hold row numbers only. Raises `UserError` for an unknown form and for picks without records.
    """
    if form not in FORMS:
        raise UserError(f"format {form!r}: write one of {', '.join(FORMS)}")
    lines = _with_messages(read_picks(find_selection(path), ("row",)), path, pool)
    FORMS[form](lines, Path(output))
    return len(lines)


def _with_messages(lines: list[dict[str, Any]], path: str | Path, pool: str | Path | None) -> list[dict[str, Any]]:
    if all("messages" in line for line in lines):
        return lines
    if pool is None:
        raise UserError(f"{path}: holds row numbers only; name the pool's records with --pool pool.jsonl")
    from equipoise.conversation.reading import AS_IT_IS, Summary, read_files

    wanted = {line["row"] for line in lines}
    records = {row: record for row, record in enumerate(read_files([pool], AS_IT_IS, Summary())) if row in wanted}
    picks = []
    for line in lines:
        if line["row"] not in records:
            raise UserError(f"{pool}: has no row {line['row']}; write the pool that the matrix was computed on")
        record = records[line["row"]]
        picks.append({**record.conversation, "id": record.id, "source": record.source, **line})
    return picks


def _flat(lines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Messages, tools where any line has some, and provenance: the same keys on every line."""
    keys = [*(["tools"] if any(line.get("tools") for line in lines) else []), *PROVENANCE]
    for line in lines:
        yield {"messages": line["messages"], **{key: line.get(key) for key in keys}}


def _write_jsonl(lines: list[dict[str, Any]], output: Path) -> None:
    write_jsonl(output, _flat(lines))


def _write_parquet(lines: list[dict[str, Any]], output: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = list(_flat(lines))
    if any("tools" in row or any(set(message) != {"role", "content"} for message in row["messages"]) for row in rows):
        _write_json_parquet(rows, output)
        return
    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema([("messages", pa.list_(message)), *((key, kinds[kind]) for key, kind in PROVENANCE.items())])
    with atomic_path(output) as part:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), part)


def _write_json_parquet(rows: list[dict[str, Any]], output: Path) -> None:
    """Messages and tools of which each has keys of its own, as `datasets.Json`: structs would give every one the keys of all."""
    from datasets import Dataset, Features, Json, List, Value

    kinds = {str: Value("string"), int: Value("int64"), float: Value("float64")}
    features = {key: List(Json()) if key in ("messages", "tools") else kinds[PROVENANCE[key]] for key in rows[0]}
    with atomic_path(output) as part:
        Dataset.from_list(rows, features=Features(features)).to_parquet(str(part))


def _write_huggingface(lines: list[dict[str, Any]], output: Path) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output}: exists already; write the path of a new folder")
    data = output / "data" / "train-00000-of-00001.parquet"
    _write_parquet(lines, data)
    try:
        write_text(output / "README.md", CARD.format(rows=len(lines)))
    except BaseException:
        shutil.rmtree(output)  # it was empty
        raise


FORMS: dict[str, Callable[[list[dict[str, Any]], Path], None]] = {
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
    "huggingface": _write_huggingface,
}
