"""Runs the workflow on a Slurm as a user would, and disturbs it at a known point: a gradient job halted between two chunks."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml

from equipoise.cluster.run import leftovers
from equipoise.store.lease import LEASES, Claim
from helpers.places import REPOSITORY

PATIENCE = 1200.0
SAVED_AFTER = 6.0  # seconds; slurmctld saves its state 5 s after a change at the latest
COMPARED = ("gradients", "attribution", "ranking", "selection")
OWN_NODE = "# written by equipoise's tests/integration/slurm/single_node.sh"
CHUNKS = 3
"""Chunks of a shard in the experiments that are halted."""
HALTING = """
import os, signal, sys
def halt(event, arguments):
    if event == "os.rename" and "/gradients/pool/" in str(arguments[1]) and "/chunks/" in str(arguments[1]):
        try:
            os.remove(os.path.join(os.environ["HALTS"], os.path.basename(arguments[1])))
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGSTOP)
sys.addaudithook(halt)
"""
"""Runs in every Python of a run: the process that is about to vouch for a chunk named in the folder HALTS takes that name away and stops.
Stopped from outside, a shard of seconds could end before a busy machine looks at it."""
SITE = {
    "account": "lab",
    "cores_per_gpu": 1,  # the node has eight, and four jobs with a GPU run side by side
    "slurm-init-seconds-before-status-checks": 3,
    "latency-wait": 5,
    "groups": {rule: "selections" for rule in ("assemble_attribution", "seal_attribution", "rank", "select_budget")},  # one short job
    "group-components": {"shards": 1},
    "default-resources": {"mem_mb": 2000, "runtime": 10},
    "set-resources": {
        rule: {"mem_mb": 2500, "runtime": 10}
        for rule in (
            "warm_up",
            "collect_pool_gradients",
            "collect_target_gradients",
            "assemble_attribution",
            "rank",
            "fine_tune_and_evaluate",
            "report",
        )
    },
}


def wait_until(what: str, condition: Callable[[], object], patience: float = PATIENCE) -> object:
    """The first true value of `condition`, looked at often; fails the test after `patience` seconds."""
    end = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not within {patience:.0f} s"
        time.sleep(0.05)
    return value


def slurm(*command: str) -> str:
    """Output of a Slurm command."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def restart(daemon: str) -> None:
    """Kills slurmd or slurmctld with SIGKILL and starts it again; first waits, as slurmctld forgets what it has not saved."""
    time.sleep(SAVED_AFTER)
    pid = int(Path(f"/run/{daemon}.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    wait_until(f"{daemon} ended", lambda: not Path(f"/proc/{pid}").exists(), 30)
    subprocess.run([daemon], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(f"{daemon} answers", lambda: subprocess.run(["sinfo"], capture_output=True, check=False).returncode == 0, 60)


def node() -> str:
    """Name of the one node."""
    return slurm("sinfo", "--noheader", "--format=%n").split()[0]


def job_field(job: str, field: str) -> str:
    """What the accounting says of a job, e.g. its State, Timelimit, AllocTRES."""
    return slurm("sacct", "--allocations", "--noheader", "--parsable2", f"--format={field}%200", "--jobs", job).strip()


def job_state(job: str) -> str:
    """State of a job by the accounting, e.g. RUNNING, TIMEOUT; empty before it is known there."""
    return job_field(job, "State").split(" ")[0]


def gpus(resources: str) -> int:
    """GPUs in an AllocTRES of the accounting."""
    found = re.search(r"gres/gpu=(\d+)", resources)
    return int(found.group(1)) if found else 0


class SlurmRun:
    """One experiment in `folder`: started by the README's one command, its results compared as bytes."""

    def __init__(self, folder: Path, site: dict):
        self.folder = folder
        self.site = folder / "site.yaml"
        self.site.write_text(yaml.safe_dump(site))
        self.snakemake: subprocess.Popen | None = None
        self.halts = folder / "halts"
        self.halts.mkdir(exist_ok=True)
        (self.halts / "sitecustomize.py").write_text(HALTING)

    def start(self, *arguments: str, halting: Iterable[str] = ()) -> None:
        """Starts the run; the jobs of the shards `halting` stop (SIGSTOP) once each has written its first chunk."""
        for shard in halting:
            self._halt(shard).touch()
        command = [
            sys.executable,
            "-m",
            "equipoise",
            "run",
            "--snakefile",
            str(REPOSITORY / "Snakefile"),
            "--configfile",
            "experiment.yaml",
        ]
        command += ["--profile", str(REPOSITORY / "profiles" / "slurm"), *arguments]
        with open(self.folder / "run.log", "a") as log:
            self.snakemake = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env=os.environ
                | {"EQUIPOISE_SITE": str(self.site), "EQUIPOISE_STAND_IN_GPUS": "1"}
                | {"HALTS": str(self.halts), "PYTHONPATH": os.pathsep.join(filter(None, [str(self.halts), os.environ.get("PYTHONPATH")]))},
            )

    def finish(self, patience: float = PATIENCE) -> None:
        """Waits for the run and demands that it ended well."""
        status = self.snakemake.wait(patience)
        assert status == 0, (self.folder / "run.log").read_text()[-6000:]

    def stop(self) -> None:
        """Leaves nothing running, whatever the test came to."""
        if self.snakemake is not None and self.snakemake.poll() is None:
            self.snakemake.kill()
            self.snakemake.wait()
        if jobs := leftovers(self.folder):
            subprocess.run(["scancel", "--signal=KILL", *jobs], check=False)
            subprocess.run(["scancel", *jobs], check=False)

    def submitted(self) -> list[dict[str, str]]:
        """Every job of the last controller by the accounting, in the order of submission, with its rule (a group's: `<group>_<rule>`)."""
        name = re.findall(r"SLURM run ID: (\S+)", (self.folder / "run.log").read_text())[-1]
        fields = ["JobID", "State", "Timelimit", "ReqMem", "AllocTRES", "Comment"]
        lines = slurm(
            "sacct", "--allocations", "--noheader", "--parsable2", f"--format={','.join(f'{f}%200' for f in fields)}", f"--name={name}"
        )
        jobs = [dict(zip(fields, line.split("|"), strict=True)) for line in lines.splitlines()]
        for job in jobs:
            job["State"] = job["State"].split(" ")[0]
            job["rule"] = re.sub(r"^rule_|_wildcards_.*$", "", job["Comment"])
        return jobs

    def status(self) -> str:
        """What `equipoise status` says of the run."""
        command = [sys.executable, "-m", "equipoise", "status", "results"]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True).stdout

    def records(self, first: int = 0, stop: int = 10**9) -> dict[Path, int]:
        """Records of finished chunks of pool gradients in a range of chunks, with the time they were written at (ns)."""
        found = {}
        for record in self.folder.glob("results/*/*/gradients/pool/*/store/chunks/*"):
            digits = "".join(c for c in record.stem if c.isdigit())
            try:
                if not record.name.startswith(".") and first <= int(digits) < stop:
                    found[record] = record.stat().st_mtime_ns
            except FileNotFoundError:
                continue
        return found

    def writer(self, shard: str) -> Claim | None:
        """Who writes a shard's gradients, by its lease."""
        for file in sorted(self.folder.glob(f"results/*/*/gradients/pool/*/.leases/shard-{shard}.json.*")):
            try:
                return Claim(**json.loads(file.read_text()))
            except (OSError, ValueError):
                continue
        return None

    def halted(self, *shards: str) -> dict[str, Claim]:
        """Waits until the jobs of all these shards, which the run was started with as `halting`, have stopped; says who they are."""

        def claims() -> dict[str, Claim] | None:
            stopped = {shard: self.writer(shard) for shard in shards if not self._halt(shard).exists()}
            return stopped if set(stopped) == set(shards) and all(claim and stands(claim.process) for claim in stopped.values()) else None

        return self.until(f"jobs of shards {', '.join(shards)} halted", claims)

    def until(self, what: str, condition: Callable[[], object]) -> object:
        """The first true value of `condition`; fails with the run's log when it ends or takes too long before."""

        def judged() -> object:
            assert self.snakemake.poll() is None, f"the run ended before: {what}"
            return condition()

        try:
            return wait_until(what, judged)
        except AssertionError as error:
            log = (self.folder / "run.log").read_text()[-6000:]
            raise AssertionError(f"{error}\n{slurm('squeue', '--long')}\n{log}") from error

    def _halt(self, shard: str) -> Path:
        return self.halts / f"{CHUNKS * int(shard) + 1:06d}.json"


def stands(process: int) -> bool:
    """Whether a process is stopped (SIGSTOP)."""
    return "\nState:\tT" in Path(f"/proc/{process}/status").read_text()


def results_of(folder: Path) -> dict[str, bytes]:
    """All that the stages from the gradients to the selections leave below `folder`, as bytes by relative path; leases and the seconds that
    a ranking took left out."""
    root = folder / "results"
    files = [path for stage in COMPARED for path in sorted(root.glob(f"*/*/{stage}/**/*"))]
    kept = [p for p in files if p.is_file() and LEASES not in p.parts and not p.name.endswith(".seconds.json")]
    return {str(p.relative_to(root)): p.read_bytes() for p in kept}
