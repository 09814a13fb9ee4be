"""Every hostile program once, in a process of its own: `python -m helpers.hostile_walk MODE` says as JSON what they could do.

It adopts what its programs leave behind, so that nothing can hide from it, and holds what they are after: a secret in its environment, its
memory and a file, an open file that its children may inherit, and files that anyone may write to.
"""

import ctypes
import json
import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from equipoise.config import Sandbox
from equipoise.evaluation.sandbox import check_sandbox, run_program
from helpers.cheating_programs import CHEATING
from helpers.host_state import host_state, small_state
from helpers.hostile_programs import HOSTILE
from helpers.reaching_programs import REACHING
from helpers.sandbox_programs import RIGHT, TESTS

SECRET = "HF_TOKEN"
PR_SET_CHILD_SUBREAPER = 36
AT_ONCE = 6
CORPUS = {name: (program, TESTS) if isinstance(program, str) else program for name, program in (HOSTILE | CHEATING | REACHING).items()}


def main() -> None:
    (mode,) = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    settings = Sandbox(mode=mode, seconds=1, memory_mb=512)
    within = check_sandbox(settings)
    with tempfile.TemporaryDirectory(dir="/tmp") as first, tempfile.TemporaryDirectory(dir="/dev/shm") as second:
        baits = [bait(Path(folder)) for folder in (first, second)]
        inherited = os.open(baits[0] / "file", os.O_RDWR)
        os.set_inheritable(inherited, True)
        walk = Walk(settings, baits)
        before = [host_state(baits), host_state(baits)]  # what moves by itself between two looks is nothing to compare
        with ThreadPoolExecutor(AT_ONCE) as pool:
            walk.begun = time.monotonic()
            passed = [name for name, passed in zip(CORPUS, pool.map(walk.passes, CORPUS), strict=True) if passed]
        after = host_state(baits)
        changed = {path for path in before[0] | after if before[0].get(path) == before[1].get(path) != after.get(path)}
        right = run_program(RIGHT, TESTS, ["add"], Sandbox(mode=mode)).passed
    said = {"within": within, "ran": len(CORPUS), "passed": passed, "right": right, "left": left_behind(), "user": os.getuid()}
    print(json.dumps(said | {"changed": sorted(changed), "by": walk.changes, "seconds": walk.seconds}))


class Walk:
    """Runs the programs and looks at the host after each."""

    def __init__(self, settings: Sandbox, baits: list[Path]):
        self.settings, self.baits = settings, baits
        self.state, self.lock = small_state(baits), threading.Lock()
        self.changes: dict[str, list[str]] = {}
        self.seconds: dict[str, float] = {}

    def passes(self, name: str) -> bool:
        program, tests = CORPUS[name]
        words = {"BAIT": str(self.baits[0]), "SECRET": os.environ[SECRET], "MODE": self.settings.mode}
        for word, meant in words.items():
            program = program.replace(word, meant)
        begun = time.monotonic()
        verdict = run_program(program, tests, ["add"], self.settings)
        self.seconds[name] = round(time.monotonic() - begun, 2)
        with self.lock:
            now = small_state(self.baits)
            if now != self.state:
                self.changes[name] = sorted(path for path in now | self.state if now.get(path) != self.state.get(path))
                self.state = now
        return verdict.passed


def bait(folder: Path) -> Path:
    """A folder that anyone may write to, with a file, a folder and a link."""
    folder.chmod(0o777)
    (folder / "file").write_text(os.environ[SECRET])
    (folder / "file").chmod(0o666)
    (folder / "folder").mkdir()
    (folder / "folder").chmod(0o777)
    (folder / "link").symlink_to(folder / "file")
    return folder


def left_behind(patience: float = 20) -> list[str]:
    """Command lines of what still runs below this process; the dead are buried."""
    deadline = time.monotonic() + patience
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                if time.monotonic() > deadline:
                    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
                    return [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in children]
                time.sleep(0.05)
        except ChildProcessError:
            return []


if __name__ == "__main__":
    main()
