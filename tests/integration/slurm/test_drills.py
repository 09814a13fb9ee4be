"""What goes wrong on clusters, done on purpose: every run ends with the same bytes and no finished chunk computed twice."""

import os
import re
import signal
from pathlib import Path

import pytest

from equipoise.cluster.run import leftovers
from helpers.slurm_runs import SlurmRun, gpus, job_field, job_state, node, restart, results_of, slurm

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
HALTED = ("00000", "00001", "00003")
TARGET = "selections"


def assert_same(run: SlurmRun, reference: Path, finished: dict[Path, int]) -> None:
    """The undisturbed run's bytes, and the chunks that were finished at the time of the trouble not written again."""
    assert results_of(run.folder) == results_of(reference)
    assert finished
    assert {record: time for record, time in run.records().items() if record in finished} == finished


def test_jobs_ended_by_slurm_and_daemons_that_die_change_nothing(drill, undisturbed):
    """Of one run's four shards: 0 ended by `scancel` while the node is drained, 1 over its time, 2 over its memory, and 3 lives through
    slurmd and slurmctld killed and started again, and the drain."""
    run = drill({"mem_mb": "250 if wildcards.shard == '00002' and attempt == 1 else 2500", "runtime": "10 * attempt"})
    run.start(TARGET, halting=HALTED)
    halted = run.halted(*HALTED)
    cancelled, late, survivor = (halted[shard].job for shard in HALTED)
    finished = run.records(0, 6) | run.records(9, 12)
    assert 3 <= len(finished) < 18, "the three shards were to be halted before their end"
    assert re.search(r"collect_pool_gradients[ │]+0[ │]+8[ │]+[678] running", run.status())

    def second_try_done() -> bool:
        return [job["State"] for job in run.submitted()[4:]] == ["COMPLETED"]

    # Nothing may end just before slurmctld does: it would forget the end and put the job into the queue again.
    run.until("the shard over its memory to end well at the second try", second_try_done)
    restart("slurmd")
    restart("slurmctld")
    slurm("scontrol", "update", f"nodename={node()}", "state=drain", "reason=drill")
    try:
        os.kill(halted["00003"].process, signal.SIGCONT)
        slurm("scancel", cancelled)
        slurm("scontrol", "update", f"jobid={late}", "timelimit=1")  # minutes, the least there is: the halted job has overrun it
        run.until("the job that lived through it to complete", lambda: job_state(survivor) == "COMPLETED")
        waiting = run.until("a job that waits for the drained node", lambda: [j for j in run.submitted() if j["State"] == "PENDING"])
        assert job_state(waiting[0]["JobID"]) == "PENDING"
    finally:
        slurm("scontrol", "update", f"nodename={node()}", "state=resume")
    run.finish()

    shards = [job for job in run.submitted() if "collect_pool_gradients" in job["rule"]]
    states = {job["JobID"]: job["State"] for job in shards}
    assert (states[cancelled], states[late], states[survivor]) == ("CANCELLED", "TIMEOUT", "COMPLETED")
    assert len(shards) == 7, "all but the survivor were submitted twice: once to be ended, once to succeed"
    completed = [job for job in shards if job["State"] == "COMPLETED"]
    assert sorted(job["Timelimit"] for job in completed) == ["00:10:00", "00:20:00", "00:20:00", "00:20:00"], "a second try asks for more"
    assert sum(job["ReqMem"].startswith("250M") for job in shards) == 1
    assert "failed jobs in the last run: 0" in run.status()
    assert_same(run, undisturbed, finished)


def test_a_killed_controller_is_replaced_by_typing_the_command_again(drill, undisturbed):
    run = drill(**{"group-components": {"shards": 2}})
    run.start(TARGET, halting=["00000"])
    claim = run.halted("00000")["00000"]
    assert gpus(job_field(claim.job, "AllocTRES")) == 1, "shards that share a submission share its GPU"
    run.snakemake.kill()
    run.snakemake.wait()
    assert re.search(r"collect_pool_gradients[ │]+\d[ │]+8[ │]+\d+ running", run.status()), "the dead controller's jobs go on"
    assert claim.job in leftovers(run.folder)
    finished = run.records(0, 3)
    run.start(TARGET)
    run.finish()
    assert "cancelling" in (run.folder / "run.log").read_text()
    assert job_state(claim.job) == "CANCELLED"
    assert leftovers(run.folder) == []
    assert_same(run, undisturbed, finished)
