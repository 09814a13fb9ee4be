"""Mixes a pool from instruction files as they are shipped: rows drawn by seed from each, none changed but for `source`.

    python examples/real-pool/make_pool.py --output resources/smollm2-135m-cpu/pool.jsonl \\
        alpaca=alpaca_en_demo.json:600 code_alpaca=code_alpaca_2k.json:500 glaive=glaive_toolcall_en_demo.json:200 \\
        mbpp=mbpp/train.jsonl:100:prompt=text,response=code

A part is NAME=FILE:ROWS, and after a further colon the fields to rename. FILE: a JSON array, or JSON lines. Exit status 2 for a mistake.
"""

import argparse
import json
import random
import sys
from pathlib import Path


def rows_of(path: Path) -> list[dict]:
    """All rows of a JSON array or of JSON lines."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.split("\n") if line.strip()]


def drawn(part: str, seed: int) -> list[dict]:
    """The rows of one part of the command line, in the order of their file."""
    name, _, rest = part.partition("=")
    file, rows, *renamed = rest.split(":")
    names = dict(pair.split("=") for pair in renamed[0].split(",")) if renamed else {}
    found = rows_of(Path(file))
    if int(rows) > len(found):
        raise ValueError(f"{file} has {len(found)} rows, fewer than the {rows} of {name}")
    places = sorted(random.Random(f"{seed} {name}").sample(range(len(found)), int(rows)))
    kept = [{new: found[place][old] for new, old in names.items()} if names else found[place] for place in places]
    return [{"id": f"{name}-{place}", "source": name, **row} for place, row in zip(places, kept, strict=True)]


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("parts", nargs="+", metavar="NAME=FILE:ROWS")
    arguments = parser.parse_args()
    try:
        rows = [row for part in arguments.parts for row in drawn(part, arguments.seed)]
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    random.Random(arguments.seed).shuffle(rows)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"{arguments.output}: {len(rows):,} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
