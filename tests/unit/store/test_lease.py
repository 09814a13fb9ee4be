"""Leases of one process: named, released, and none of another name's business."""

import os

from equipoise.store import lease as lease_module
from equipoise.store.lease import LEASES, generations, is_gone, lease, one_writer, read_claim


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


def test_a_writer_leaves_no_folder_behind_that_holds_nothing(tmp_path):
    made, refused = (tmp_path / name / "manifest.json" for name in ("made", "refused"))
    with one_writer(str(made), str(refused)):
        assert (made.parent / LEASES).exists()
        made.write_text("{}")
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["made", "manifest.json"]


def test_a_folder_of_leases_that_another_still_holds_stays(tmp_path):
    with one_writer(str(tmp_path / "one.json")):
        with one_writer(str(tmp_path / "other.json")):
            pass
        assert generations(tmp_path / LEASES / "one.json") == [1]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_goes_between_its_making_and_the_claim_is_made_again(tmp_path, monkeypatch):
    """As when another holder, which was the last one, ends just then."""
    listed, folder = lease_module.generations, tmp_path / LEASES

    def gone_meanwhile(path):
        monkeypatch.setattr(lease_module, "generations", gone_after)
        folder.rmdir()
        return listed(path)

    def gone_after(path):
        monkeypatch.setattr(lease_module, "generations", listed)
        found = listed(path)
        folder.rmdir()
        return found

    monkeypatch.setattr(lease_module, "generations", gone_meanwhile)
    monkeypatch.setattr(lease_module.time, "sleep", lambda seconds: None)
    with one_writer(str(tmp_path / "one.json")):
        assert listed(folder / "one.json") == [1]
    assert not folder.exists()
