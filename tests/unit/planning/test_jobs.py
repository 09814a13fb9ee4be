"""The plan's jobs: as the workflow cuts them, and what is left of them given the results that are there."""

from pathlib import Path

import pytest

from equipoise.config_file import parse_config
from equipoise.planning.plan import as_text, as_values, plan
from helpers.rows import write_jsonl


def test_how_work_is_cut_into_jobs_changes_no_cost(tiny_values):
    tasks = {name: {**task, "suite": "small", "lm_eval_tasks": [name]} for name, task in tiny_values["tasks"].items()}
    made = {}
    for cut in ("separate", "together"):
        jobs = dict.fromkeys(("epochs", "tasks", "runs"), cut)
        made[cut] = plan(parse_config({**tiny_values, "suites": {"small": {}}, "tasks": tasks, "jobs": jobs}))
    assert made["separate"].cost.flops == pytest.approx(made["together"].cost.flops)
    assert made["separate"].cost.disk == pytest.approx(made["together"].cost.disk)
    assert sum(len(s.jobs) for s in made["separate"].stages) > sum(len(s.jobs) for s in made["together"].stages)


def test_finished_work_is_taken_off_and_totals_add_up(tiny_config):
    before = plan(tiny_config)
    assert before.left.flops == before.cost.flops
    layout = tiny_config.layout
    done = layout.pool_gradients_manifest(1, "00000")
    write_jsonl(Path(done), [])
    after = plan(tiny_config)
    stage = {stage.name: stage for stage in after.stages}["collect_pool_gradients"]
    assert (len(stage.jobs), stage.jobs_left) == (2, 1)
    assert stage.left.flops == pytest.approx(stage.cost.flops / 2)
    assert after.left.flops == pytest.approx(before.cost.flops - stage.cost.flops / 2)
    values = as_values(after)
    assert values["total"]["flops"] == pytest.approx(sum(s["cost"]["flops"] for s in values["stages"].values()))
    assert "collect_pool_gradients" in as_text(after)


def test_fetch_and_the_search_for_test_items_are_jobs_where_the_experiment_has_them(tiny_values):
    def names(values):
        return [stage.name for stage in plan(parse_config(values)).stages]

    assert not {"fetch", "decontaminate"} & set(names(tiny_values))
    tiny_values["tasks"]["first"] |= {"suite": "small", "lm_eval_tasks": ["first"]}
    searched = tiny_values | {"suites": {"small": {}}, "pool": tiny_values["pool"] | {"decontaminate": "report"}}
    assert "decontaminate" in names(searched)
    assert "fetch" in names(tiny_values | {"suites": {"small": {}}, "pool": {"dataset": "openbmb/UltraInteract_sft"}})


def test_one_job_assembles_several_shards(tiny_values):
    found = []
    for assembly in (1, 2):
        values = tiny_values | {"pool": {**tiny_values["pool"], "shards": 5}, "jobs": {"assembly": assembly}}
        made = plan(parse_config(values), rows=10_000)
        found.append(next(stage for stage in made.stages if stage.name == "assemble_attribution"))
    assert [len(stage.jobs) for stage in found] == [5, 3]
    assert found[0].cost.disk == pytest.approx(found[1].cost.disk)


def test_work_whose_manifest_is_missing_is_left(tiny_values):
    """All results are there but one: exactly its job is left, whichever it is."""
    tiny_values["tasks"]["first"] |= {"suite": "small", "lm_eval_tasks": ["first"]}
    values = tiny_values | {"suites": {"small": {}}, "pool": tiny_values["pool"] | {"decontaminate": "report"}}
    config = parse_config(values)
    stages = plan(config, rows=40, mean_tokens=10).stages
    outputs = [(stage.name, output) for stage in stages for job in stage.jobs for item, _ in job for output in item.outputs]
    for _, output in outputs:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        Path(output).touch()
    assert plan(config, rows=40, mean_tokens=10).left.flops == 0
    for name, output in outputs:
        Path(output).unlink()
        left = {stage.name: stage.jobs_left for stage in plan(config, rows=40, mean_tokens=10).stages}
        assert {stage: count for stage, count in left.items() if count} == {name: 1}, output
        Path(output).touch()


def test_every_estimator_that_is_compared_has_its_own_costs(tiny_values):
    """What experiments with one estimator each would collect by themselves, and the trials that all share."""
    sizes = {"one_step": {"rows": 7}, "subsets": {"count": 3, "seeds": [0, 1]}, "removal": {"tasks": ["first"], "draws": 2}}

    def stages(estimator: str, compared: list[str]) -> dict:
        gradients = tiny_values["gradients"] | {"estimator": estimator}
        made = plan(parse_config(tiny_values | {"gradients": gradients, "validation": {"estimators": compared, **sizes}}))
        assert any("are made beside the experiment's own" in line for line in made.assumptions) == bool(compared)
        return {stage.name: stage for stage in made.stages}

    both = stages("less", ["logra", "ekfac"])
    for name in ("collect_pool_gradients", "collect_target_gradients"):
        alone = [stages(each, [])[name] for each in ("less", "logra", "ekfac")]
        assert both[name].cost.disk == pytest.approx(sum(stage.cost.disk for stage in alone))
        assert both[name].cost.flops == pytest.approx(sum(stage.cost.flops for stage in alone))
        assert both[name].memory == pytest.approx(max(stage.memory for stage in alone))
    assert both["fit_curvature"].cost.flops == pytest.approx(stages("ekfac", [])["fit_curvature"].cost.flops)
    # 3 subsets by 2 seeds; without and only: of 2 random choices, of 3 estimators, of RDS and RDS+, and of 3 columns
    assert sum(len(job) for job in both["retrain"].jobs) == 6 + 2 * (2 + 3 + 2 + 3)
    assert "retrain" not in stages("less", [])
    assert both["retrain"].jobs[0][0][1].tokens == pytest.approx(0.5 * both["warm_up"].cost.tokens / 2 + 8 * 400)
