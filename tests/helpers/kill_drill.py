"""Kills a run's whole process group with SIGKILL at seeded random moments, types the command again, and compares what came out.

    python tests/helpers/kill_drill.py --kills 10 --seed 0 --longest 120 --reference results/miniature \\
        --results drill/miniature -- make demo ARGS="--config results=drill"

compares matrix, gradients, rankings and selections of the killed run with those of the undisturbed one, byte for byte.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from equipoise.store.lease import LEASES

COMPARED = ("attribution", "selection", "gradients", "ranking")


def kill_and_repeat(
    command: list[str], kills: int, longest: float, seed: int, folder: Path, environment: dict | None = None
) -> dict[float, bool]:
    """Starts `command` `kills` times and kills its process group after a random time of at most `longest` seconds: by turns after it was
    started, and after its first job was.

    Returns those times, each with whether the kill met jobs at work. The command is then left alone. Raises `RuntimeError` with the end of
    its output when it fails.
    """
    generator = random.Random(seed)
    moments = dict.fromkeys((generator.uniform(0, longest) for _ in range(kills)), False)
    for number, moment in enumerate(moments):
        began = time.time()
        process = _start(command, folder, environment)
        while number % 2 and process.poll() is None and not _jobs_since(began, folder):
            time.sleep(0.1)
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            moments[moment] = _jobs_since(began, folder)
    process = _start(command, folder, environment)
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the command failed after {kills} kills:\n{output[-6000:]}")
    return moments


def _jobs_since(began: float, folder: Path) -> bool:
    """Whether a job that was started since then has not ended: snakemake marks its outputs as incomplete."""
    with suppress(FileNotFoundError):  # ended while one looks
        return any(mark.stat().st_mtime >= began for mark in (folder / ".snakemake" / "incomplete").glob("*"))
    return False


def _start(command: list[str], folder: Path, environment: dict | None) -> subprocess.Popen:
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def result_digests(results: Path) -> dict[str, str]:
    """SHA-256 by relative path of all files that must not depend on when a run was killed, what killed jobs left included; leases and the
    seconds that a ranking took left out."""
    found = {}
    for stage in COMPARED:
        for path in sorted(results.glob(f"**/{stage}/**/*")):
            if path.is_file() and LEASES not in path.parts and not path.name.endswith(".seconds.json"):
                found[str(path.relative_to(results))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def main() -> None:
    """Command line of the drill."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=240, help="seconds")
    parser.add_argument("--reference", type=Path, required=True, help="results of an undisturbed run")
    parser.add_argument("--results", type=Path, required=True, help="results of the run that is killed")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    command = [word for word in arguments.command if word != "--"]
    start = time.monotonic()
    moments = kill_and_repeat(command, arguments.kills, arguments.longest, arguments.seed, Path.cwd())
    times = ", ".join(f"{moment:.0f} s" for moment in moments)
    print(f"killed after {times}, {sum(moments.values())} times with jobs at work; {time.monotonic() - start:.0f} s in all")
    expected, found = result_digests(arguments.reference), result_digests(arguments.results)
    different = sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))
    print(f"{len(expected)} files compared, {len(different)} differ")
    sys.exit("\n".join(different) if different or not expected else 0)


if __name__ == "__main__":
    main()
