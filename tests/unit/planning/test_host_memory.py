"""The plan's host memory and hours: what clusters are asked for suffices; what determinism costs."""

import re

import pytest

from equipoise.config_file import read_config
from equipoise.planning.plan import as_text, as_values, plan
from helpers.places import REPOSITORY

EXPERIMENTS = REPOSITORY / "workflow" / "experiments"


def asked(profile: str, resource: str = "mem_mb") -> dict[str, int]:
    """What a first attempt of every rule asks for: MB of host memory, or minutes (`runtime`)."""
    text = (REPOSITORY / "profiles" / profile / "profile.yaml").read_text()
    default = int(re.search(rf"^ +{resource}: (\d+)", text, re.M)[1])
    return {"default": default} | {name: int(said) for name, said in re.findall(rf"^ +(\w+): +\{{.*?{resource}: (\d+)", text, re.M)}


@pytest.mark.parametrize("profile", ["slurm", "kubernetes"])
@pytest.mark.parametrize("experiment", ["llama3-8b", "mistral-7b-v0.3", "less", "smollm2-135m"])
def test_what_a_cluster_is_asked_for_suffices(profile, experiment):
    wanted = asked(profile)
    assert len(wanted) > 10
    stages = [stage for stage in plan(read_config(EXPERIMENTS / f"{experiment}.yaml")).stages if stage.host]
    assert {"prepare_pool", "warm_up", "collect_pool_gradients"} <= {stage.name for stage in stages}
    assert {s.name: s.host / 1e6 for s in stages if s.host / 1e6 > wanted.get(s.name, wanted["default"])} == {}


@pytest.mark.parametrize("experiment", ["llama3-8b", "mistral-7b-v0.3", "less", "smollm2-135m"])
def test_no_job_takes_longer_than_its_first_try_may(experiment):
    """On an H100 at 40 % of its peak rate; the full pool's four epochs are the longest."""
    minutes = asked("slurm", "runtime")
    made = plan(read_config(EXPERIMENTS / f"{experiment}.yaml"))
    taken = {s.name: max(sum(cost.gpu_seconds for _, cost in job) for job in s.jobs) / 60 for s in made.stages if s.jobs}
    assert {"warm_up", "collect_pool_gradients"} <= taken.keys()
    assert {name: spent for name, spent in taken.items() if spent > minutes.get(name, minutes["default"])} == {}


def test_the_processes_of_a_sharded_training_are_counted_with_one_whole_base():
    config = read_config(EXPERIMENTS / "llama3-8b.yaml")

    def host(**training):
        changed = config.model_copy(update={"training": config.training.model_copy(update=training)})
        return next(stage.host for stage in plan(changed).stages if stage.name == "warm_up")

    assert host(processes=1) < 16e9, "a base on its way to a GPU is not held whole"
    assert host(processes=1) < host(processes=2) < 1.9 * host(processes=1), "the tokens are held once"
    for processes in (2, 4):
        assert host(processes=processes, sharding="fsdp") - host(processes=processes) == pytest.approx(16.06e9, rel=0.01), "2 bytes each"


def test_determinism_is_told_in_seconds_and_per_cent_and_counted():
    config = read_config(EXPERIMENTS / "llama3-8b.yaml")
    slow = config.model_copy(update={"model": config.model.model_copy(update={"deterministic": True})})
    fast_plan, slow_plan = plan(config), plan(slow)
    more = slow_plan.cost.gpu_seconds - fast_plan.cost.gpu_seconds
    assert more == pytest.approx(slow_plan.cost.deterministic_seconds)
    assert more > 0
    assert fast_plan.cost.deterministic_seconds == 0
    (said,) = [line for line in slow_plan.assumptions if "deterministic" in line]
    assert f"takes {more:,.0f} GPU-seconds more ({more / fast_plan.cost.gpu_seconds:.1%})" in said
    trained = [next(s.cost.gpu_seconds for s in each.stages if s.name == "fine_tune") for each in (slow_plan, fast_plan)]
    assert 1 < trained[0] / trained[1] < 1.1, "attention is a small part of an 8 B model's training at 2,048 tokens"
    decoded = [next(s.cost.gpu_seconds for s in each.stages if s.name == "evaluate") for each in (slow_plan, fast_plan)]
    assert decoded[0] == decoded[1]


def test_the_plan_shows_it():
    made = plan(read_config(EXPERIMENTS / "smollm2-135m.yaml"))
    assert "host memory" in as_text(made)
    assert as_values(made)["stages"]["warm_up"]["host_memory"] > 1e9
