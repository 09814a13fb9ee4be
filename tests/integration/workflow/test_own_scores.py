"""The estimator `matrix` through the workflow, with a score store that bergson wrote: no gradients, no warm-up."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from helpers.places import REPOSITORY
from helpers.workflow_runs import Workflow, reported, scored_by_loss

SCORES = np.random.default_rng(15).standard_normal((40, 8)).astype(np.float32)


@pytest.fixture
def workflow(tiny_values, tmp_path):
    shutil.copytree(REPOSITORY / "tests" / "helpers" / "bergson_scores" / "float32", tmp_path / "scores")
    tiny_values |= {"selectors": ["sum"], "jobs": {"epochs": "together", "tasks": "together"}}
    tiny_values["gradients"] = {"estimator": "matrix", "matrix": {"file": str(tmp_path / "scores")}}
    return Workflow(tmp_path, tiny_values)


@pytest.mark.nightly
def test_own_scores_lead_to_a_report_without_a_gradient(workflow):
    planned = workflow.planned("selections")
    assert planned == {
        **{"check_base": 1, "prepare_pool": 1, "prepare_targets": 1, "assemble_attribution": 1, "seal_attribution": 1},
        **{"rank": 1, "select_budget": 2},
    }
    workflow.values = scored_by_loss(workflow.values)
    workflow.run()
    assert workflow.planned() == {}
    assert reported(workflow) == {"zero_shot", "sum"}
    (ranking,) = workflow.results.rglob("ranking/sum/selection-0.parquet")
    found = pq.read_table(ranking)["row"].to_pylist()
    assert found == np.argsort(-SCORES.astype(np.float64).sum(axis=1), kind="stable")[: len(found)].tolist()
    workflow.values["selectors"] = ["sum", "rds"]
    planned = workflow.planned("selections")
    assert (planned["warm_up"], planned["collect_pool_states"], planned["collect_target_states"]) == (1, 1, 2)
    assert "collect_pool_gradients" not in planned


def test_a_missing_file_is_one_line_before_any_job(workflow):
    workflow.values["gradients"]["matrix"]["file"] = "gone.npy"
    done = workflow.snakemake("selections")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert line == "error: gradients.matrix.file: gone.npy: no such file; write the path of your scores"
