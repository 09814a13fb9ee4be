"""Pool records from JSONL or Parquet: prompt/response, instruction/response or chat messages become one `Record`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.errors import UserError
from equipoise.files import read_jsonl

PROMPT_KEYS = ("prompt", "instruction")
RESPONSE_KEYS = ("response", "output", "completion")
READ_KEYS = {*PROMPT_KEYS, *RESPONSE_KEYS, "messages", "id", "source"}


@dataclass(frozen=True)
class Record:
    """One instruction example."""

    id: str
    source: str
    prompt: str
    response: str
    metadata: dict[str, Any]


def read_records(path: str | Path) -> Iterator[Record]:
    """Records of a .jsonl or .parquet file. Raises `UserError` naming file and line of a bad one."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; write the path of a .jsonl or .parquet file")
    readers = {".jsonl": lambda file: (row for _, row in read_jsonl(file)), ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise UserError(f"{path}: neither .jsonl nor .parquet; convert it to one of them")
    for number, row in enumerate(readers[path.suffix](path), 1):
        yield to_record(row, f"{path}:{number}", f"{path.stem}-{number - 1}", default_source=path.stem)


def to_record(row: Mapping[str, Any], where: str, default_id: str, default_source: str) -> Record:
    """A `Record` from one row. `where` names the row in errors; `default_id` and `default_source` stand in for missing fields."""
    if not isinstance(row, Mapping):
        raise UserError(f'{where}: not an object; write {{"prompt": ..., "response": ...}}')
    prompt, response = _texts(row, where)
    if not response.strip():
        raise UserError(f"{where}: the response is empty; remove the row or fill it")
    source = row.get("source") or row.get("dataset") or default_source
    metadata = {key: value for key, value in row.items() if key not in READ_KEYS}
    identity = row.get("id")
    return Record(default_id if identity is None else str(identity), str(source), prompt, response, metadata)


def _texts(row: Mapping[str, Any], where: str) -> tuple[str, str]:
    if row.get("messages") is not None:
        return _from_messages(row["messages"], where)
    prompt = next((row[key] for key in PROMPT_KEYS if row.get(key) is not None), None)
    response = next((row[key] for key in RESPONSE_KEYS if row.get(key) is not None), None)
    if not isinstance(prompt, str) or not isinstance(response, str):
        found = ", ".join(map(str, row)) or "no field"
        raise UserError(f"{where}: needs text fields prompt and response, instruction and response, or messages; found {found}")
    return prompt, response


def _from_messages(messages: Any, where: str) -> tuple[str, str]:
    """The last assistant turn is the response; the turns before it, in chat form, are its prompt."""
    try:
        turns = [(message["role"], message["content"]) for message in messages]
    except (TypeError, KeyError):
        raise UserError(f'{where}: messages must be a list of {{"role", "content"}}') from None
    roles = [role for role, _ in turns]
    if len(turns) < 2 or roles[-1] != "assistant" or roles[0] not in ("user", "system"):
        raise UserError(f"{where}: messages must start with user (or system) and end with assistant; found {', '.join(map(str, roles))}")
    opening = turns[0][1] + "".join(f"\n<|{role}|>\n{content}" for role, content in turns[1:-1])
    return opening, turns[-1][1]


def _parquet_rows(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: not Parquet ({str(error).splitlines()[0]})") from None
    for batch in file.iter_batches(batch_size=4096):
        yield from batch.to_pylist()
