"""Turns, files and readings for the tests of the conversation room."""

import json
from pathlib import Path

from equipoise.conversation.reading import Options, Summary, read_files
from equipoise.conversation.record import Record

PLAIN = Options(format=None, columns={}, bad_rows="refuse", repeated_ids="refuse", deduplicate="none", limit=None)


def user(text: str, **more) -> dict:
    return {"role": "user", "content": text, **more}


def assistant(text: str | None, **more) -> dict:
    return {"role": "assistant", "content": text, **more}


def system(text: str) -> dict:
    return {"role": "system", "content": text}


def lines(path: Path, rows: list, **how) -> Path:
    """Writes rows as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, **how) + "\n" for row in rows), encoding="utf-8")
    return path


def read(*paths, options: Options = PLAIN) -> tuple[list[Record], Summary]:
    """The records of files, and what became of their rows."""
    summary = Summary()
    return list(read_files(paths, options, summary)), summary
