"""A run that is killed again and again ends with the bytes of an undisturbed one."""

import os
import sys

import pytest
import yaml

from helpers import warm
from helpers.kill_drill import kill_and_repeat, result_digests
from helpers.places import REPOSITORY
from helpers.rows import texts, write_jsonl


@pytest.mark.slow
def test_killing_the_process_group_at_random_moments_changes_no_byte(tiny_values, tmp_path):
    tiny_values |= {"selectors": ["bids", "rds"], "jobs": {"epochs": "together", "tasks": "together"}}
    tiny_values["pool"] = {"files": [write_jsonl(tmp_path / "wide.jsonl", texts(1100))], "shards": 2}
    tiny_values["training"] |= {"batch_size": 128, "micro_batch_size": 128}
    tiny_values["python"] = warm.STAGES.start()  # the stages' own imports are nothing that a kill could spoil
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")}
    digests = []
    for name, kills in (("undisturbed", 0), ("killed", 4)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "experiment.yaml").write_text(yaml.safe_dump(tiny_values | {"results": "results"}), encoding="utf-8")
        command = [sys.executable, "-m", "equipoise", "run", "selections", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "2"]
        command += ["--configfile", "experiment.yaml"]  # no profile, nothing said of incomplete files
        met_jobs = kill_and_repeat(command, kills, longest=15, seed=7, folder=folder, environment=environment).values()
        digests.append(result_digests(folder / "results"))
    assert any("matrix.zarr" in path for path in digests[0])
    assert any(met_jobs), "no kill came while a job was at work: nothing was tested"
    assert digests[0] == digests[1]
