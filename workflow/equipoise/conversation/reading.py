"""Rows to records: what is bad is refused or counted, what repeats is counted or removed, what was not read is named."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from equipoise.conversation.duplicates import Duplicates
from equipoise.conversation.forms import Conversation, refuse_unknown, to_conversation
from equipoise.conversation.messages import BadRow
from equipoise.conversation.record import Record
from equipoise.conversation.seen import Seen
from equipoise.conversation.sources import Row, find_files, read_rows
from equipoise.errors import UserError

NAMED = 10  # bad rows in a refusal
LINE_BITS = 40  # of a place: a file's number above them, the line in it below


@dataclass(frozen=True)
class Options:
    """What the configuration says of reading a source; its keys explain the values."""

    format: str | None
    columns: Mapping[str, str]
    bad_rows: Literal["refuse", "skip"]
    repeated_ids: Literal["refuse", "rename"]
    deduplicate: Literal["none", "exact", "near"]
    limit: int | None


AS_IT_IS = Options(format=None, columns={}, bad_rows="refuse", repeated_ids="rename", deduplicate="none", limit=None)
"""For files that no key of the configuration is about."""


@dataclass
class Summary:
    """What became of the rows of a source."""

    rows: int = 0
    records: int = 0
    forms: Counter[str] = field(default_factory=Counter)
    """Records by form."""
    bad_rows: Counter[str] = field(default_factory=Counter)
    """Rows by the reason why they are bad."""
    not_taken: int = 0
    """Rows whose answer is labelled as one not to learn from."""
    unread: Counter[str] = field(default_factory=Counter)
    """Records by field with text that their form does not read; it is in their metadata."""
    renamed: int = 0
    """Records whose id stood before."""
    exact_duplicates: int = 0
    removed: list[dict[str, str]] = field(default_factory=list)
    """Duplicates left out: row (its made id), id, kind (exact or near), and of (the id of the one that stays)."""

    def content(self) -> dict[str, object]:
        """The summary for a manifest."""
        return {name: dict(sorted(value.items())) if isinstance(value, Counter) else value for name, value in vars(self).items()}

    def lines(self) -> list[str]:
        """What a reader of the log should know, a line each."""
        unread = [f"{n:,} rows have text in {name!r}, which is not read but kept as metadata" for name, n in self.unread.items()]
        bad = [f"{n:,} rows are left out: {reason}" for reason, n in self.bad_rows.most_common()]
        counts = {
            "rows are left out: their label is false": self.not_taken,
            "rows have an id that stood before, and got another": self.renamed,
            "rows repeat an earlier conversation exactly": self.exact_duplicates,
            "duplicates are removed": len(self.removed),
        }
        return [*unread, *bad, *(f"{n:,} {what}" for what, n in counts.items() if n)]


def read_files(entries: Iterable[str | Path], options: Options, summary: Summary) -> Iterator[Record]:
    """The records of files, folders and patterns; see `find_files` and `read_records`."""
    return read_records((row for file in find_files(entries) for row in read_rows(file)), options, summary)


def read_records(rows: Iterable[Row], options: Options, summary: Summary) -> Iterator[Record]:
    """The records of rows; see `placed_records`."""
    return (record for _, record in placed_records(rows, options, summary))


def placed_records(rows: Iterable[Row], options: Options, summary: Summary) -> Iterator[tuple[Row, Record]]:
    """The records of rows, each beside its row, in their order, up to `options.limit`; `summary` counts what became of the rows.

    Raises `UserError` for an unknown form or column and, with `bad_rows: refuse`, at the end: it names the first ten bad rows and their
    total. Exact duplicates are removed before repeated ids are looked for: a file that is there twice is no mistake to its removal.
    """
    refuse_unknown(options.format, options.columns)
    duplicates, identities, named = Duplicates(options.deduplicate), _Identities(), []
    for row in rows:
        if summary.records == options.limit:
            break
        summary.rows += 1
        try:
            if row.problem:
                raise row.problem
            conversation = to_conversation(row.value, options.format, options.columns)
            if conversation is None:
                summary.not_taken += 1
                continue
            record = _record(row, conversation)
            if _is_removed(row, record, duplicates, options, summary):
                continue
            record = _with_own_id(record, identities, options, summary)
        except BadRow as problem:
            summary.bad_rows[problem.reason] += 1
            named += [f"{row.where}: {problem}"][: NAMED - len(named)]
            continue
        identities.remember(record.id, row)
        duplicates.remember(record.id)
        summary.records += 1
        summary.forms[conversation.form] += 1
        summary.unread.update(conversation.unread)
        yield row, record
    if named and options.bad_rows == "refuse":
        total = summary.bad_rows.total()
        text = "; ".join(named) + ("; ..." if total > len(named) else "")
        text = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
        raise UserError(f"{text} ({total:,} of {summary.rows:,} rows are bad: correct them, or write bad_rows: skip)")


def _record(row: Row, conversation: Conversation) -> Record:
    identity, source = conversation.about["id"], conversation.about["source"] or conversation.about["dataset"] or row.source
    if not isinstance(identity, str | int | float | None) or not isinstance(source, str):
        raise BadRow("id or source is not text", f"{type(identity).__name__}, {type(source).__name__}")
    made = identity is None or identity == ""
    record = Record(row.made_id if made else str(identity), source, conversation.messages, conversation.tools, conversation.metadata)
    try:
        "".join(filter(None, record.columns)).encode()
    except UnicodeEncodeError:
        raise BadRow("a text holds half of a surrogate pair, which UTF-8 does not have") from None
    except ValueError:
        raise BadRow("a number is not finite (NaN, Infinity)") from None
    return record


def _is_removed(row: Row, record: Record, duplicates: Duplicates, options: Options, summary: Summary) -> bool:
    earlier = duplicates.earlier(record)
    if earlier is None:
        return False
    kind, identity = earlier
    summary.exact_duplicates += kind == "exact"
    if options.deduplicate == "none":
        return False
    summary.removed.append({"row": row.made_id, "id": record.id, "kind": kind, "of": identity})
    return True


def _with_own_id(record: Record, identities: "_Identities", options: Options, summary: Summary) -> Record:
    """The record, under another id where its own stood before and may be changed."""
    where = identities.where(record.id)
    if where is None:
        return record
    if options.repeated_ids == "refuse":
        remedy = "give it another, which pool.repeated_ids: rename does for a pool"
        raise BadRow(f"its id stands before; {remedy}", f"{record.id!r} at {where}")
    summary.renamed += 1
    return replace(record, id=identities.unused(record.id))


class _Identities:
    """The ids so far and where each stands, at some 40 bytes an id."""

    def __init__(self) -> None:
        self._places, self._last, self._files = Seen(), Seen(), {}

    def where(self, identity: str) -> str | None:
        """The place of the row with this id, as messages say it; none where there is none."""
        place = self._places.get(identity)
        return None if place is None else f"{list(self._files)[place >> LINE_BITS]}:{place & ((1 << LINE_BITS) - 1)}"

    def remember(self, identity: str, row: Row) -> None:
        file = self._files.setdefault(row.file, len(self._files))
        self._places.set(identity, file << LINE_BITS | row.line)

    def unused(self, identity: str) -> str:
        """The id with the first number, from 2, that makes it another than all so far."""
        number = self._last.get(identity) or 2
        while self._places.get(f"{identity}#{number}") is not None:
            number += 1
        self._last.set(identity, number + 1)
        return f"{identity}#{number}"
