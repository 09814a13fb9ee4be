"""Mixes a pool from instruction files as they are shipped: rows drawn by seed from each, none changed but for `source`.

    python examples/real-pool/make_pool.py --output resources/smollm2-135m-cpu/pool.jsonl \\
        alpaca=alpaca_en_demo.json:600 code_alpaca=code_alpaca_2k.json:500 glaive=glaive_toolcall_en_demo.json:200 \\
        mbpp=mbpp/train.jsonl:100:prompt=text,response=code

A part is NAME=FILE:ROWS, and after a further colon the fields to rename. FILE: a JSON array, or JSON lines. Exit status 2 for a mistake.
"""

import argparse
import json
import random
import re
import sys
from pathlib import Path

PART = re.compile(r"(?P<name>[^=:]+)=(?P<file>[^:]+):(?P<rows>\d+)(?::(?P<renamed>[^=,]+=[^=,]+(?:,[^=,]+=[^=,]+)*))?")


def rows_of(path: Path) -> list[dict]:
    """All rows of a JSON array or of JSON lines. Raises `ValueError` that names file and line."""
    text = path.read_text(encoding="utf-8")
    pieces = [(1, text)] if text.lstrip().startswith("[") else list(enumerate(text.split("\n"), 1))
    rows = []
    for number, piece in pieces:
        try:
            found = json.loads(piece) if piece.strip() else []
        except ValueError as error:
            raise ValueError(f"{path}:{number}: no JSON ({error}); give a JSON array or JSON lines") from None
        rows += found if isinstance(found, list) else [found]
    return rows


def letters(row: object) -> int:
    """Letters of a row's texts, those of turns and tools included; field names and marks of JSON count too, which is near enough."""
    return len(json.dumps(row, ensure_ascii=False))


def drawn(part: str, seed: int, longest: int | None = None) -> list[dict]:
    """The rows of one part of the command line, in the order of their file, of at most `longest` letters.

    Raises `ValueError` and `OSError` for mistakes.
    """
    given = PART.fullmatch(part)
    if given is None:
        raise ValueError(f"{part}: is no part; write NAME=FILE:ROWS or NAME=FILE:ROWS:prompt=FIELD,response=FIELD")
    name, file, count = given["name"], given["file"], int(given["rows"])
    names = dict(pair.split("=") for pair in given["renamed"].split(",")) if given["renamed"] else {}
    found = rows_of(Path(file))
    short = [place for place, row in enumerate(found) if longest is None or letters(row) <= longest]
    if count > len(short):
        raise ValueError(f"{file}: has {len(short)} rows that serve, fewer than the {count} of {name}; ask for fewer")
    places = sorted(random.Random(f"{seed} {name}").sample(short, count))
    for place in places:
        if not isinstance(found[place], dict) or (missing := names.values() - found[place].keys()):
            lacking = ", ".join(sorted(missing)) if isinstance(found[place], dict) else "any field"
            raise ValueError(f"{file}: row {place} lacks {lacking}; name fields that all rows have")
    kept = [{new: found[place][old] for new, old in names.items()} if names else found[place] for place in places]
    return [{"id": f"{name}-{place}", "source": name, **row} for place, row in zip(places, kept, strict=True)]


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=int, metavar="LETTERS", help="leave out rows with more, which a short context would cut")
    parser.add_argument("parts", nargs="+", metavar="NAME=FILE:ROWS")
    arguments = parser.parse_args()
    try:
        rows = [row for part in arguments.parts for row in drawn(part, arguments.seed, arguments.longest)]
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    random.Random(arguments.seed).shuffle(rows)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"{arguments.output}: {len(rows):,} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
