"""The one record form: a conversation as messages, the tools it may call, and where it comes from.

A message is a dict: `role` (system, developer, user, assistant or tool), `content` (text; null or absent beside `tool_calls`), and where
the source has them `tool_calls` (a list, on assistant turns), `name` and `tool_call_id` (on tool turns), `train` (bool) and `weight`
(number, 0 or more) of the turn's loss, and any further key, kept as it came (`reasoning_content` and such, which chat templates read).
Keys that are null and an empty `tool_calls` are left out, as templates ask whether a key is there; parts of a content are one text.

In Parquet a record is five text columns: id, source, messages, tools (null without) and metadata, the last three as JSON in the order of
keys they came in. Arrow's own structs give every message the keys of all others, filled with null, inside tool arguments too.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from equipoise.conversation.strict_json import loads
from equipoise.files import canonical_json

Message = dict[str, Any]
ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
TEXT_COLUMNS = ("id", "source")
JSON_COLUMNS = ("messages", "tools", "metadata")


@dataclass(frozen=True)
class Record:
    """One conversation that ends with an assistant turn."""

    id: str
    source: str
    messages: list[Message]
    tools: list[dict[str, Any]] | None
    metadata: dict[str, Any]

    @property
    def response(self) -> str:
        """The last assistant turn as text."""
        return message_text(self.messages[-1])

    @property
    def prompt(self) -> str:
        """What stands before the last assistant turn, as text: one turn as it is, further ones each after a line that names its role."""
        first, *later = self.messages[:-1]
        return message_text(first) + "".join(f"\n<|{message['role']}|>\n{message_text(message)}" for message in later)

    @property
    def plain(self) -> bool:
        """Whether prompt and response are all that its messages say."""
        return [list(message) for message in self.messages] == [["role", "content"]] * 2

    @property
    def conversation(self) -> dict[str, Any]:
        """Its messages, and its tools where it has any: the fields of a row to train on."""
        return {"messages": self.messages, **({"tools": self.tools} if self.tools else {})}

    @cached_property
    def columns(self) -> tuple[str | None, ...]:
        """Its texts in `TEXT_COLUMNS` and `JSON_COLUMNS`, kept: they are checked, compared and written. Raises `ValueError` for what JSON
        cannot hold."""
        return self.id, self.source, *(None if value is None else json_text(value) for value in (self.messages, self.tools, self.metadata))

    @property
    def wording(self) -> str:
        """Equal in exact duplicates among records that were read, as `key`, which takes longer: messages of role and content alone, which
        readers put in this order, are known by their text."""
        if self.tools is None and all(list(message) == ["role", "content"] for message in self.messages):
            return self.columns[len(TEXT_COLUMNS)] or ""
        return self.key

    @property
    def key(self) -> str:
        """SHA-256 of the canonical messages and tools, where a null content counts as an absent one: equal in exact duplicates."""
        messages = [{name: value for name, value in message.items() if value is not None} for message in self.messages]
        return hashlib.sha256(canonical_json([messages, self.tools]).encode()).hexdigest()

    def to_json(self) -> str:
        """The record as canonical JSON. Raises `ValueError` for what JSON or UTF-8 cannot hold."""
        return canonical_json({field.name: getattr(self, field.name) for field in fields(self)})

    @staticmethod
    def from_json(text: str) -> "Record":
        """The record that `to_json` wrote."""
        return Record(**loads(text))


def message_text(message: Message) -> str:
    """Content and tool calls (as canonical JSON) of a message."""
    parts = [message.get("content") or "", canonical_json(message["tool_calls"]) if message.get("tool_calls") else ""]
    return "\n".join(part for part in parts if part)


def to_columns(records: Sequence[Record]) -> dict[str, list[str | None]]:
    """Records as the text columns of a Parquet file, by name."""
    return {name: [record.columns[place] for record in records] for place, name in enumerate((*TEXT_COLUMNS, *JSON_COLUMNS))}


def json_text(value: Any) -> str:
    """JSON without white space, keys in their order."""
    return ENCODER.encode(value)


def from_columns(columns: Mapping[str, Sequence[str | None]]) -> Iterator[Record]:
    """The records of such columns."""
    for row in zip(*(columns[name] for name in (*TEXT_COLUMNS, *JSON_COLUMNS)), strict=True):
        identity, source, *texts = row
        yield Record(identity, source, *(None if text is None else loads(text) for text in texts))
