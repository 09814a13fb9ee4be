"""Leases of one process: named, released, and none of another name's business."""

import os

from equipoise.store.lease import generations, is_gone, lease, read_claim


def test_a_lease_names_its_job_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    with lease(tmp_path / "leases" / "shard-00001"):
        claim = read_claim(tmp_path / "leases" / "shard-00001", 1)
        assert claim.described.startswith("job 4711 on ")
        assert claim.process == os.getpid()
        assert not is_gone(claim)
    assert os.listdir(tmp_path / "leases") == []


def test_leases_of_other_names_do_not_wait_for_each_other(tmp_path):
    with lease(tmp_path / "shard-00001", patience=1000), lease(tmp_path / "shard-00011", patience=1000):
        assert generations(tmp_path / "shard-0001") == []
