"""What goes wrong on clusters, done on purpose: every run ends with the same bytes and no finished chunk computed twice."""

import os
import signal
from pathlib import Path

import pytest
from slurm_fixtures import cluster, drill, own_node, undisturbed  # noqa: F401
from slurm_runs import SlurmRun, gradients, job_state, node, restart, slurm, wait_until

from equipoise.cluster.leftovers import leftovers

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
GRADIENTS = [f"results/drill/tiny/gradients/pool/epoch-1/shard-0000{shard}.json" for shard in range(3)]
CHUNKS = {"00000": (0, 3), "00001": (3, 6), "00002": (6, 9)}


def assert_same(run: SlurmRun, reference: Path, finished: dict[Path, int]) -> None:
    """The undisturbed run's bytes, and the chunks that were finished at the time of the trouble not written again."""
    assert gradients(run.folder) == gradients(reference)
    assert finished
    assert {record: time for record, time in run.records().items() if record in finished} == finished


def test_jobs_ended_by_scancel_time_limit_and_memory_run_again_with_more(drill, undisturbed):  # noqa: F811
    run = drill(mem_mb="250 if wildcards.shard == '00002' and attempt == 1 else 2500", runtime="10 * attempt")
    run.start(*GRADIENTS)
    halted = run.halt_midway({shard: CHUNKS[shard] for shard in ("00000", "00001")})
    cancelled, late = halted["00000"].job, halted["00001"].job
    finished = run.records(0, 6)
    assert 0 < len(finished) < 12, "both shards were to be halted before their end"
    slurm("scancel", cancelled)
    slurm("scontrol", "update", f"jobid={late}", "timelimit=1")  # minutes, the least there is: the halted job will overrun it
    run.finish()
    assert job_state(cancelled).startswith("CANCELLED")
    assert job_state(late) == "TIMEOUT"
    jobs = slurm(
        "sacct", "--allocations", "--noheader", "--parsable2", "--format=State,Timelimit,ReqMem", f"--name={name_of(late)}"
    ).splitlines()
    assert len(jobs) == 6, "each of the three was submitted twice: once to be ended, once to succeed"
    completed = [line for line in jobs if line.startswith("COMPLETED")]
    assert [line.split("|")[1] for line in completed] == ["00:20:00"] * 3, "the second try asks for more time"
    assert sum("|250M" in line for line in jobs) == 1
    assert_same(run, undisturbed, finished)


def test_a_run_outlives_its_slurmd_its_slurmctld_and_a_drained_node(drill, undisturbed):  # noqa: F811
    run = drill()
    run.start("--jobs", "1", *GRADIENTS[:2])
    shard = wait_until("a writer", lambda: next((s for s in CHUNKS if run.writer(s)), None))
    claim = run.halt_midway({shard: CHUNKS[shard]})[shard]
    finished = run.records()
    restart("slurmd")
    restart("slurmctld")
    slurm("scontrol", "update", f"nodename={node()}", "state=drain", "reason=drill")
    try:
        os.kill(claim.process, signal.SIGCONT)
        wait_until("the halted job to complete", lambda: job_state(claim.job) == "COMPLETED")
        waiting = wait_until("the next job to be submitted", lambda: leftovers(run.folder))
        assert slurm("squeue", "--noheader", "--format=%T", f"--jobs={waiting[0]}").strip() == "PENDING"
        finished |= run.records(*CHUNKS[shard])
        assert run.records() == finished
    finally:
        slurm("scontrol", "update", f"nodename={node()}", "state=resume")
    run.finish()
    run.start(GRADIENTS[2])
    run.finish()
    assert_same(run, undisturbed, finished)


def test_a_killed_controller_is_replaced_by_typing_the_command_again(drill, undisturbed):  # noqa: F811
    run = drill()
    run.start("--jobs", "2", *GRADIENTS)
    claim = run.halt_midway({"00000": CHUNKS["00000"]})["00000"]
    run.snakemake.kill()
    run.snakemake.wait()
    finished = run.records(0, 3)
    orphans = leftovers(run.folder)
    assert claim.job in orphans
    run.start(*GRADIENTS)
    run.finish()
    assert "cancelling" in (run.folder / "run.log").read_text()
    assert job_state(claim.job).startswith("CANCELLED")
    assert leftovers(run.folder) == []
    assert_same(run, undisturbed, finished)


def name_of(job: str) -> str:
    """The name that all jobs of its run share."""
    return slurm("sacct", "--allocations", "--noheader", "--parsable2", "--format=JobName%100", "--jobs", job).strip()
