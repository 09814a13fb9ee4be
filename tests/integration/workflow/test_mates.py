"""The estimator `mates` through the workflow: only the sampled share's gradients are collected."""

import pytest

from equipoise.store.manifest import read_manifest
from helpers.rows import texts, write_jsonl
from helpers.workflow_runs import Workflow, reported, scored_by_loss


@pytest.fixture
def workflow(tiny_values, tmp_path):
    tiny_values |= {"selectors": ["sum", "rds"], "jobs": {"epochs": "separate", "tasks": "together"}}
    tiny_values["gradients"] |= {"estimator": "mates", "mates": {"share": 0.5}}
    return Workflow(tmp_path, tiny_values)


def test_the_dry_run_shows_that_the_share_is_collected(workflow):
    workflow.values["pool"] |= {"shards": 10}
    planned = workflow.planned("selections")
    assert planned["collect_pool_gradients"] == 2 * 5  # epochs x shards of the sampled half
    assert planned["collect_pool_states"] == 10
    assert planned["assemble_attribution"] == 5 + 10 + 10  # sampled, influence, last_token
    assert (planned["fit_influence_model"], planned["seal_attribution"]) == (1, 3)
    workflow.values["gradients"]["mates"]["share"] = 1.0
    planned = workflow.planned("selections")
    assert (planned["collect_pool_gradients"], planned["assemble_attribution"]) == (20, 20)
    assert not planned.keys() & {"collect_pool_states", "fit_influence_model"}


def test_compared_with_the_experiments_own_estimator_it_collects_its_share_alone(workflow):
    workflow.values["pool"] |= {"shards": 10}
    workflow.values["gradients"]["estimator"] = "less"
    alone = workflow.planned("selections")
    workflow.values["validation"] = {"estimators": ["mates"]}
    planned = workflow.planned("validation")
    assert alone["collect_pool_gradients"] == 2 * 10  # epochs x shards
    assert planned["collect_pool_gradients"] == 2 * 10 + 2 * 5, "beside those of less the sampled half's"
    assert (planned["fit_influence_model"], planned["collect_pool_states"], planned["validate_influence"]) == (1, 10, 1)


@pytest.mark.nightly
def test_predicted_influence_leads_to_a_report(workflow, tmp_path):
    workflow.values["pool"] = {"files": [write_jsonl(tmp_path / "wide.jsonl", texts(1100))], "shards": 2}
    workflow.values = scored_by_loss(workflow.values | {"selectors": ["random", "bids", "rds"]})
    workflow.run()
    assert workflow.planned() == {}
    assert reported(workflow) == {"zero_shot", "random", "bids", "rds"}
    (sealed,) = workflow.results.rglob("attribution/influence/manifest.json")
    assert len(read_manifest(sealed, "matrix")["spearman"]) == 8
    workflow.values["gradients"]["mates"]["penalty"] = 0.2
    assert "collect_pool_gradients" not in workflow.planned("selections")
    assert workflow.planned("selections")["fit_influence_model"] == 1
