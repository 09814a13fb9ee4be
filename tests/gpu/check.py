"""`make gpu-check`: one command on the first GPU that comes, without any download; a table with goals, and JSON.

PYTHONPATH=tests python -m gpu.check [--output tests/gpu/measured.json] [--device cuda] [--small]

It is made to take at most 8 minutes on an H100. `--device cpu --small` runs all of it on a tiny model. The table in docs/speed.md is
generated from the JSON of a run on a GPU (`gpu.table`); until there is one it says "not measured".
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from equipoise.modelling.device import prepared
from gpu.equality import Check, checks
from gpu.models import FULL, IN_SMALL
from gpu.speed import measures
from gpu.table import MEASURED, as_rows

MOST_SECONDS = 480


def main(arguments: list[str] | None = None) -> int:
    """Runs everything; 0 where every goal is met, 1 where one is not, 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default=str(MEASURED))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("torch sees no GPU here: not measured", file=sys.stderr)
        return 2
    device = prepared(torch.device(options.device), cpu_is_meant=options.device == "cpu")
    started, scale = time.perf_counter(), IN_SMALL if options.small else FULL
    found: list[Check] = []
    for part in (checks, measures):
        for check in part(scale, device):
            found.append(check)
            print(" | ".join(as_rows([_values(check)])[0]), flush=True)
    found.append(Check("all of this, seconds", time.perf_counter() - started, MOST_SECONDS, "s"))
    print(" | ".join(as_rows([_values(found[-1])])[0]), flush=True)
    card = torch.cuda.get_device_properties(device).name if device.type == "cuda" else "CPU"
    made = {"device": card, "torch": torch.__version__, "small": options.small, "seconds": found[-1].value}
    Path(options.output).write_text(json.dumps(made | {"checks": [_values(check) for check in found]}, indent=1) + "\n", encoding="utf-8")
    missed = [check.what for check in found if not check.holds]
    print(f"{card}: {len(found) - len(missed)} of {len(found)} goals met in {made['seconds']:.0f} s; {options.output}")
    return 1 if missed else 0


def _values(check: Check) -> dict:
    return check._asdict() | {"holds": check.holds}


if __name__ == "__main__":
    sys.exit(main())
