"""Why a row was chosen: the pool record and the validation example that asked for it, side by side."""

import json
import textwrap
from pathlib import Path
from typing import Any

from equipoise.config_gradients import COMPARED
from equipoise.conversation.record import Message, message_text
from equipoise.errors import UserError
from equipoise.files import canonical_json
from equipoise.selection.selection_file import KEYS, find_selection, read_picks
from equipoise.store.artefact import open_alone

GAP = " | "


def explain(path: str | Path, row: str, width: int) -> str:
    """Text of at most `width` columns on the pick `row` (its record's id, or its row number) of a selection file or run folder.

    Raises `UserError` when the row is not in the selection.
    """
    line, example = _found(path, row)
    return "\n".join([*_facts(line), "", *side_by_side(f"POOL RECORD\n\n{record_text(line)}", _in_words(example), width)])


def explained(path: str | Path, row: str) -> dict[str, Any]:
    """The same as values: the pick as its selection has it, and `validation`, the example that asked for it (None: none did)."""
    line, example = _found(path, row)
    return {**line, "validation": example}


def _found(path: str | Path, row: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    file = find_selection(path)
    line = _find(file, row)
    root = file.parents[3]
    if root.parent.name == COMPARED:  # another estimator's selections lie below the experiment's
        root = root.parents[1]
    return line, _example(root, line)


def _find(file: Path, row: str) -> dict[str, Any]:
    lines = read_picks(file, [key for key in KEYS if key != "tools"])
    found = [line for line in lines if line["id"] == row] or [line for line in lines if str(line["row"]) == row]
    if not found:
        raise UserError(f"{file}: no pick with id or row {row!r}; write one that was selected, e.g. {lines[0]['id']}")
    return found[0]


def _facts(line: dict[str, Any]) -> list[str]:
    facts = [f"{line['id']} (row {line['row']}, source {line['source']}): rank {line['rank']}"]
    if line["score"] is not None:
        margin = "the last row left" if line["margin"] is None else f"ahead of the next best row by {line['margin']:.6g}"
        facts.append(f"score {line['score']:.6g}, {margin}")
    if line["task"] is None:
        facts.append("no validation example asked for it: the selector looks at no single one")
    else:
        facts.append(f"asked for by {line['validation_id']} (column {line['column']}) of task {line['task']}")
    facts.append(f"strongest for: {', '.join(line['top_tasks']) or 'nothing, its influence is not known'}")
    return facts


def record_text(line: dict[str, Any]) -> str:
    """The conversation of a pick: its tools where it has any, and every turn under its role."""
    tools = [f"[tools]\n{canonical_json(line['tools'])}"] if line.get("tools") else []
    return "\n\n".join([*tools, *_turns(line["messages"])])


def example_text(example: dict[str, Any]) -> str:
    """The conversation of a validation example (a row of validation.parquet), every turn under its role."""
    if example.get("messages"):
        return "\n\n".join(_turns(json.loads(example["messages"])))
    return f"[user]\n{example['prompt']}\n\n[assistant]\n{example['response']}"


def _turns(messages: list[Message]) -> list[str]:
    return [f"[{message['role']}]\n{message_text(message)}" for message in messages]


def _example(root: Path, line: dict[str, Any]) -> dict[str, Any] | None:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if line["task"] is None:
        return None
    if Path(line["task"]).name != line["task"]:
        raise UserError(f"task {line['task']!r}: no task of an experiment; explain needs a selection as the workflow wrote it")
    manifest = root / "targets" / line["task"] / "manifest.json"
    if not manifest.is_file():
        raise UserError(f"{manifest}: missing; explain needs the selection where the workflow wrote it, beside targets/")
    path = open_alone(manifest, "targets").only_file()
    table = pq.read_table(path)
    examples = table.filter(pc.equal(pc.cast(table["id"], "string"), line["validation_id"])).to_pylist()
    if not examples:
        raise UserError(f"{path}: holds no validation example {line['validation_id']}; the selection is older than the targets")
    return examples[0]


def _in_words(example: dict[str, Any] | None) -> str:
    return f"VALIDATION EXAMPLE\n\n{'(none)' if example is None else example_text(example)}"


def side_by_side(left: str, right: str, width: int) -> list[str]:
    """Lines of at most `width` columns: two texts in two equal columns, their own line breaks kept."""
    half = max(20, (width - len(GAP)) // 2)
    columns = [_wrap(text, half) for text in (left, right)]
    height = max(map(len, columns))
    padded = [column + [""] * (height - len(column)) for column in columns]
    return [f"{a:<{half}}{GAP}{b}".rstrip() for a, b in zip(*padded, strict=True)]


def _wrap(text: str, width: int) -> list[str]:
    lines = []
    for line in text.split("\n"):
        lines += textwrap.wrap(line, width, replace_whitespace=False, drop_whitespace=False, break_on_hyphens=False) or [""]
    return lines
