"""Runs the workflow on a Slurm as a user would, and disturbs it at a known point: a gradient job halted between two chunks."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from equipoise.cluster.run import leftovers
from equipoise.store.lease import LEASES, Claim
from helpers.places import REPOSITORY

PATIENCE = 600.0
SAVED_AFTER = 6.0  # seconds; slurmctld saves its state 5 s after a change at the latest
COMPARED = ("gradients", "attribution", "ranking", "selection")
OWN_NODE = "# written by equipoise's tests/integration/slurm/single_node.sh"
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

    def start(self, *arguments: str) -> None:
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
                env=os.environ | {"EQUIPOISE_SITE": str(self.site), "EQUIPOISE_STAND_IN_GPUS": "1"},
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

    def halt_midway(self, shards: dict[str, tuple[int, int]]) -> dict[str, Claim]:
        """Stops (SIGSTOP) the job of each shard once it has written its first chunk; says who they are."""
        halted: dict[str, Claim] = {}

        def halt() -> bool:
            for shard, chunks in shards.items():
                if shard not in halted and self.records(*chunks) and (claim := self.writer(shard)):
                    os.kill(claim.process, signal.SIGSTOP)
                    halted[shard] = claim
            return len(halted) == len(shards)

        wait_until(f"jobs of shards {', '.join(shards)} under way", halt)
        return halted


def results_of(folder: Path) -> dict[str, bytes]:
    """All that the stages from the gradients to the selections leave below `folder`, as bytes by relative path; leases and the seconds that
    a ranking took left out."""
    root = folder / "results"
    files = [path for stage in COMPARED for path in sorted(root.glob(f"*/*/{stage}/**/*"))]
    kept = [p for p in files if p.is_file() and LEASES not in p.parts and not p.name.endswith(".seconds.json")]
    return {str(p.relative_to(root)): p.read_bytes() for p in kept}
