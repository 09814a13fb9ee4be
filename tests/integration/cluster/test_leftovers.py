"""Slurm jobs of a dead controller: found by folder and name, cancelled, waited for (squeue and scancel are stand-ins; see the drills)."""

import pytest

from equipoise.cluster.leftovers import cancel_leftovers, leftovers
from equipoise.errors import UserError

RUN = "equipoise_bf1eeadd-86ff-46b5-afbc-0bdbbab58097"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A queue in a file: squeue prints it, scancel empties it at the second look."""
    tools, queue = tmp_path / "bin", tmp_path / "queue"
    tools.mkdir()
    scripts = {
        "squeue": f'[ -e {tmp_path}/down ] && {{ echo "Unable to contact slurm controller" >&2; exit 1; }}\ncat {queue}\n'
        f"if [ -e {tmp_path}/cancelled ]; then : > {queue}; fi",
        "scancel": f'echo "$@" >> {tmp_path}/cancelled',
    }
    for name, body in scripts.items():
        (tools / name).write_text(f"#!/bin/bash\n{body}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    queue.write_text("")
    return queue


def test_only_this_folders_snakemake_jobs_are_cancelled(slurm, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    lines = [f"11|{RUN}|{tmp_path}/run", f"12|{RUN[10:]}|{tmp_path}/link", f"13|{RUN}|{tmp_path}", f"14|notebook|{tmp_path}/run"]
    slurm.write_text("\n".join(lines) + "\n")
    assert cancel_leftovers(tmp_path / "run", seconds_between_looks=0.01) == ["11", "12"]
    assert (tmp_path / "cancelled").read_text() == "11 12\n"


def test_nothing_is_cancelled_when_nothing_is_left(slurm, tmp_path):
    assert cancel_leftovers(tmp_path) == []
    assert not (tmp_path / "cancelled").exists()


def test_a_silent_slurm_stops_a_run_that_has_used_it_and_no_other(slurm, tmp_path):
    (tmp_path / "down").touch()
    assert leftovers(tmp_path) == []
    (tmp_path / ".snakemake" / "slurm_logs").mkdir(parents=True)
    with pytest.raises(UserError, match="Unable to contact slurm controller"):
        leftovers(tmp_path)
