"""The shipped full-scale experiments: valid, the paper's settings, within one GPU's memory."""

import pytest

from equipoise.config_file import read_config
from equipoise.experiment import experiment_runs
from equipoise.planning.plan import plan
from helpers.places import REPOSITORY

NAMES = ("llama3-8b", "mistral-7b-v0.3", "smollm2-135m", "less")
PAPER = ("llama3-8b", "mistral-7b-v0.3")
TABLES = {"random", "task_max", "sum", "instance_max", "instance_max_normalized", "rds", "bids", "full"}


def path_of(name):
    return REPOSITORY / "workflow" / "experiments" / f"{name}.yaml"


@pytest.mark.parametrize("name", PAPER)
def test_settings_are_the_papers(name):
    config = read_config(path_of(name))
    assert (config.warmup.epochs, config.warmup.fraction) == (4, 1.0)
    assert (config.training.batch_size, config.training.learning_rate, config.training.schedule) == (128, 2e-5, "cosine")
    assert (config.lora.rank, config.lora.alpha, config.lora.dropout) == (128, 512, 0.1)
    assert config.lora.target_modules == "attention"  # q, k, v and o of these bases
    assert (config.gradients.projection.kind, config.gradients.projection.dimension) == ("sketch", 8192)
    assert config.targets.size * len(config.tasks) == 350
    assert config.budgets == [0.05, 0.1, 0.15]
    assert set(config.selectors) == TABLES
    runs = {(run.selector, run.budget, run.epochs) for run in experiment_runs(config)}
    assert {("full", "1.0", 1), ("full", "1.0", 4), ("bids", "0.15", 2), ("bids", "0.15", 4)} <= runs
    assert len({run.selection_seed for run in experiment_runs(config) if run.selector == "random"}) == 2
    assert config.suites[config.tasks["ifeval"].suite].temperature == 0.7
    assert len(config.suites[config.tasks["ifeval"].suite].seeds) == 3
    assert not config.suites[config.tasks["mmlu"].suite].chat
    assert config.training.accumulation == 32


def test_less_differs_where_less_does():
    config = read_config(path_of("less"))
    assert (config.warmup.fraction, config.warmup.epochs, config.training.schedule) == (0.05, 4, "linear")
    assert config.finetune.epochs == 4


@pytest.mark.parametrize("name", NAMES)
def test_an_80_gb_gpu_is_enough(name):
    made = plan(read_config(path_of(name)))
    assert made.warnings == []
    assert made.left == made.cost


def with_curvature(budget):
    config = read_config(path_of("llama3-8b"))
    return config.model_copy(update={"gradients": config.gradients.model_copy(update={"estimator": "ekfac_unit", "token_budget": budget})})


def test_what_the_curvature_of_an_8_b_model_holds_is_planned_and_told():
    """Covariances of 128 pairs of maps, 4,096 -> 128 -> 4,096 or 1,024, in float64 on the GPU while they are summed."""
    squares = 32 * sum(inputs**2 + 2 * 128**2 + outputs**2 for inputs, outputs in [(4096, 4096)] * 2 + [(4096, 1024)] * 2)
    held = {}
    for budget in (4096, 8192):
        made = plan(with_curvature(budget))
        (stage,) = [each for each in made.stages if each.name == "fit_curvature"]
        held[budget] = stage.memory
        assert stage.cost.disk == pytest.approx(4 * 4 * (squares + 109_051_904), rel=0.01)  # four epochs' eigenvectors and eigenvalues
        assert bool(made.warnings) == (budget == 8192)
    assert 8 * squares < held[4096] < 80e9 < held[8192]
    warned = " ".join(plan(with_curvature(8192)).warnings)
    assert "fit_curvature" in warned
    assert "token_budget" in warned
