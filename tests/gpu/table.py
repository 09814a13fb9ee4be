"""The table of docs/speed.md about GPUs: generated from what `make gpu-check` wrote on one, else "not measured".

PYTHONPATH=tests python -m gpu.table prints it.
"""

import json
from pathlib import Path

MEASURED = Path(__file__).parent / "measured.json"
HEAD = "| `make gpu-check`, on a machine with a GPU | {} | |"


def lines(path: Path = MEASURED) -> list[str]:
    """Lines of the table."""
    if not path.is_file():
        return [HEAD.format("not measured")]
    made = json.loads(path.read_text(encoding="utf-8"))
    if made["small"] or made["device"] == "CPU":
        return [HEAD.format("not measured")]
    return [HEAD.format(made["device"]), *(f"| {' | '.join(row)} |" for row in as_rows(made["checks"]))]


def as_rows(found: list[dict]) -> list[tuple[str, str, str]]:
    """What, measured, goal: of checks as JSON."""
    rows = []
    for each in found:
        goal = "" if each["goal"] is None else f"at {'least' if each['at_least'] else 'most'} {each['goal']:g}"
        missed = "" if each["holds"] else " (missed)"
        rows.append((each["what"], f"{each['value']:.3g} {each['unit']}".strip() + missed, goal))
    return rows


if __name__ == "__main__":
    print("\n".join(lines()))
