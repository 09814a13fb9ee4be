"""Who controls a run: seen from every host while it lives, replaced when it is dead, and nothing touched before that is known."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from equipoise.cluster.controllers import hold_controller, leases_of, living_controller
from equipoise.cluster.run import RUNS_NOTHING, live_snakemakes, own_run, runs_nothing
from equipoise.errors import UserError
from equipoise.store.lease import LOST, read_claim
from helpers.places import REPOSITORY

HOLD = """
import sys
from equipoise.cluster import controllers
from equipoise.store import lease
controllers.HEARTBEAT = 0.1
lease._place = lambda: sys.argv[2]
controllers.hold_controller(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""
SLOW = "rule all:\n    output: 'done'\n    shell: 'touch started; sleep 60; touch done'\n"
QUICK = "rule all:\n    output: 'done'\n    shell: 'touch done'\n"
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--cores", "1"]
RUN = [sys.executable, "-m", "equipoise", "run", "--cores", "1"]
JOB = "equipoise_bf1eeadd-86ff-46b5-afbc-0bdbbab58097"


@pytest.fixture
def start(tmp_path):
    """Starts a controller of a run in `tmp_path`, by default one of another host."""
    started = []

    def start(place: str = "another kernel") -> subprocess.Popen:
        command = [sys.executable, "-c", HOLD, str(tmp_path), place]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def here(tmp_path):
    """What claims of this host say of where they are."""
    hold = "import sys; from equipoise.store.lease import _place; print(_place())"
    return subprocess.run([sys.executable, "-c", hold], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A queue with one job of a snakemake in `tmp_path`/run; scancel empties it and leaves a trace."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "queue").write_text(f"11|{JOB}|{tmp_path}/run\n")
    for name, body in {"squeue": f"cat {tmp_path}/queue", "scancel": f': > {tmp_path}/queue; echo "$@" > {tmp_path}/cancelled'}.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return tmp_path / "queue"


def cut_off(folder: Path) -> Path:
    """A folder as a killed snakemake leaves it, with the lock it held."""
    (folder / ".snakemake" / "locks").mkdir(parents=True)
    (folder / ".snakemake" / "locks" / "0.output.lock").write_text("done\n")
    return folder / ".snakemake" / "locks" / "0.output.lock"


def leases(folder: Path) -> list[Path]:
    return sorted(leases_of(folder).glob("controller-*"))


def test_a_living_run_of_another_host_is_spared(tmp_path, start):
    holder = start()
    before = time.monotonic()
    assert living_controller(tmp_path, heartbeat=0.1, patience=1000).process == holder.pid
    assert time.monotonic() - before < 20
    with pytest.raises(UserError, match=f"a run is going on here .process {holder.pid} on "):
        own_run(tmp_path)


def test_a_run_of_another_host_that_stands_still_is_dead_after_patience(tmp_path, start):
    holder = start()
    holder.kill()
    holder.wait()
    before = time.monotonic()
    assert living_controller(tmp_path, heartbeat=0.1, patience=0.7) is None
    assert time.monotonic() - before >= 0.7
    assert leases(tmp_path) == []


def test_a_dead_run_of_this_host_is_replaced_at_once(tmp_path, start, here):
    holder = start(here)
    assert living_controller(tmp_path, patience=1000).process == holder.pid
    holder.kill()
    holder.wait()
    assert living_controller(tmp_path, patience=1000) is None
    assert leases(tmp_path) == []


def test_a_stopped_run_of_this_host_is_alive(tmp_path, start, here):
    holder = start(here)
    os.kill(holder.pid, signal.SIGSTOP)
    assert living_controller(tmp_path, heartbeat=0.1, patience=0).process == holder.pid


def test_a_run_that_was_taken_for_dead_ends(tmp_path, start):
    holder = start()
    leases(tmp_path)[0].unlink()
    assert holder.wait(20) == LOST
    assert "another one took over" in holder.stderr.read()


def test_the_lease_goes_when_its_process_ends(tmp_path, start):
    holder = start()
    holder.communicate("\n")
    assert leases(tmp_path) == []


def test_of_several_that_start_together_one_runs(tmp_path):
    start = "import sys; from equipoise.cluster.run import own_run; own_run(sys.argv[1]); print('runs', flush=True); sys.stdin.readline()"
    command = [sys.executable, "-c", start, str(tmp_path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    try:
        while sum(process.poll() is None for process in processes) > 1:
            time.sleep(0.1)
        (alive,) = (process for process in processes if process.poll() is None)
        assert alive.stdout.readline() == "runs\n"
        refused = [process.communicate() for process in processes if process is not alive]
        assert all(not said and f"a run is going on here (process {alive.pid} on " in errors for said, errors in refused)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / ".snakemake").write_text("")
    with pytest.raises(UserError, match=r"\.snakemake.*needs to write to its folder"):
        own_run(tmp_path)
    with pytest.raises(UserError, match="needs to write to its folder"):
        hold_controller(tmp_path)


def test_a_plain_snakemake_holds_a_lease_while_it_runs_and_its_jobs_hold_none(tiny_values, tmp_path):
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(tiny_values))
    target = str(Path(tiny_values["results"]) / "tiny" / "tiny" / "pool" / "manifest.json")
    command = [*SNAKEMAKE, target, "--snakefile", str(REPOSITORY / "Snakefile"), "--configfile", "experiment.yaml"]
    run = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    seen = set()
    while run.poll() is None:
        seen |= {(claim.process, lease.name) for lease in leases(tmp_path) if (claim := read_claim(lease.with_suffix(""), 1))}
        time.sleep(0.02)
    assert run.returncode == 0, run.stderr.read()
    assert [process for process, _ in seen] == [run.pid]
    assert leases(tmp_path) == []


def test_a_snakemake_without_a_lease_is_seen_on_this_host_and_its_jobs_are_not_counted(tmp_path):
    (tmp_path / "Snakefile").write_text(SLOW)
    run = subprocess.Popen(SNAKEMAKE, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while not (tmp_path / "started").exists():
            assert run.poll() is None
            time.sleep(0.1)
        assert live_snakemakes(tmp_path) == [run.pid]
        assert live_snakemakes(tmp_path.parent) == []
        with pytest.raises(UserError, match=f"snakemake runs here .process {run.pid}"):
            own_run(tmp_path)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert live_snakemakes(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "nothing"),
    [
        *((words, True) for words in ("-n", "--dry-r", "-np", "-l", "--summary", "--report x.html", "--rulegraph", "--lint")),
        *((words, False) for words in ("", "-Rrank", "--touch", "--report x.html --report-after-run", "-- -n")),
    ],
)
def test_options_that_run_nothing_are_told_from_runs(words, nothing):
    from snakemake.cli import parse_args

    _, options = parse_args(["--cores", "1", *words.split()])
    assert runs_nothing(options) == nothing
    assert all(hasattr(options, name) for name in RUNS_NOTHING)


def test_looking_touches_neither_jobs_nor_lock(slurm, tmp_path):
    lock = cut_off(tmp_path / "run")
    (tmp_path / "run" / "Snakefile").write_text(QUICK)
    done = subprocess.run([*RUN, "--summary"], cwd=tmp_path / "run", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert lock.exists()
    assert not (tmp_path / "cancelled").exists()


def test_after_a_crash_a_mistake_in_the_configuration_touches_nothing_and_is_one_line(slurm, tmp_path):
    lock = cut_off(tmp_path / "run")
    (tmp_path / "run" / "experiment.yaml").write_text("experimint: typo\n")
    command = [*RUN, "--snakefile", str(REPOSITORY / "Snakefile"), "--configfile", "experiment.yaml"]
    done = subprocess.run(command, cwd=tmp_path / "run", capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "experimint" in [line for line in done.stderr.splitlines() if line.startswith("error: ")][-1]
    assert lock.exists()
    assert not (tmp_path / "cancelled").exists()
    assert leases(tmp_path / "run") == []


def test_the_folder_given_as_directory_is_the_one_taken_over(slurm, tmp_path):
    lock, other = cut_off(tmp_path / "run"), cut_off(tmp_path / "other")
    (tmp_path / "other" / "Snakefile").write_text(QUICK)
    done = subprocess.run([*RUN, "-d", "../run"], cwd=tmp_path / "other", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cancelled").read_text() == "11\n"
    assert (tmp_path / "run" / "done").exists()
    assert not lock.exists()
    assert other.exists()
