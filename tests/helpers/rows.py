"""Prompt/response rows of a few known words, and JSON lines of them."""

import json
from pathlib import Path

WORDS = [f"w{i}" for i in range(40)] + list("0123456789+-*=?.,:")


def write_jsonl(path: Path, rows: list[dict]) -> str:
    """Writes rows as JSON lines and returns the path as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def texts(count: int, shift: int = 0) -> list[dict]:
    """Prompt/response rows of a few words each, every one different."""
    return [
        {"id": f"row-{i}", "prompt": f"w{(i + shift) % 40} + w{i % 7} ?", "response": f"w{(i * 3 + shift) % 40} " + "w1 " * (i % 4) + "."}
        for i in range(count)
    ]
