"""A pool of a study, from nothing to its arms, in one process: a small miniature with two estimators; then stopped, gone on, and shared."""

import json
from pathlib import Path

import pytest
import yaml

from equipoise.config_file import parse_config
from equipoise.layout import Run
from equipoise.miniature import generated_pool
from equipoise.store.artefact import open_artefact
from equipoise.store.kind import run_names
from equipoise.study.one_pool import read_result, run_pool
from equipoise.study.study import Study, pool_experiment
from helpers.places import REPOSITORY


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """240 rows of a conflicting pool, two warm-up epochs, one epoch a run, five test items a task."""
    values = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    values["targets"]["size"], values["pool"]["shards"], values["warmup"]["epochs"], values["finetune"]["epochs"] = 4, 1, 2, 1
    values["suites"]["miniature"]["limit"] = 5
    values["gradients"]["ekfac"]["fisher_examples"] = 32
    study = Study(
        estimators=["less", "ekfac", "ekfac_unit"], selectors=["random", "bids", "task_quota", "s2l"], budgets=[0.1, 0.2], seeds=[0]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("study"))
        patch.setattr(generated_pool, "ROWS", 240)
        config = pool_experiment(parse_config(values), study, "conflicting", 1)
        path = Path("results/pool.json")
        assert read_result(path, config) is None
        run_pool(config, path)
        yield config, read_result(path, config)


@pytest.mark.nightly
def test_every_arm_has_scores_of_every_task_and_an_audit(made):
    config, arms = made[0], made[1].arms
    found = {(arm.estimator, arm.selector, arm.budget) for arm in arms}
    influence = {(e, s, b) for e in ("less", "ekfac", "ekfac_unit") for s in ("bids", "task_quota") for b in ("0.1", "0.2")}
    assert found == influence | {("", s, b) for s in ("random", "s2l") for b in ("0.1", "0.2")} | {("", "zero_shot", "1.0")}
    assert len(arms) == len(found) + 2  # random has two selections
    for arm in arms:
        assert set(arm.tasks) == set(config.tasks)
        assert all(0 <= score <= 100 for score in arm.tasks.values())
        assert (arm.audit is None) == (arm.selector == "zero_shot")
    shares = [arm.audit["right"] + arm.audit["wrong"] + arm.audit["verbose"] + arm.audit["off_task"] for arm in arms if arm.audit]
    assert shares == pytest.approx([100.0] * len(shares), abs=0.05)
    assert {row["estimator"] for row in made[1].scales} == {"less", "ekfac", "ekfac_unit"}


@pytest.mark.nightly
def test_a_score_is_that_of_the_run_in_its_estimators_folder(made):
    config, arms = made[0], made[1].arms
    run = Run("bids", 0, "0.1", 1, 0)
    for estimator in ("less", "ekfac"):
        view = config if estimator == "less" else config.model_copy(update={"gradients": config.gradients.of(estimator)})
        scores = open_artefact(view, "scores", **run_names(run), suite="miniature", part="seed-0")
        (arm,) = [arm for arm in arms if (arm.estimator, arm.selector, arm.budget) == (estimator, "bids", "0.1")]
        assert {task: said["score"] for task, said in scores["tasks"].items()} == arm.tasks


@pytest.mark.nightly
def test_what_is_fitted_alike_is_fitted_once(made):
    config, _ = made
    roots = [
        Path(config.model_copy(update={"gradients": config.gradients.of(name)}).layout.curvature(1)) for name in ("ekfac", "ekfac_unit")
    ]
    digests = [{path.name: path.read_bytes() for path in root.iterdir()} for root in roots]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 4  # bases and eigenvalues, each with its record


@pytest.mark.nightly
def test_a_pool_goes_on_from_what_is_finished_and_gives_the_same_arms(made, monkeypatch):
    config, result = made
    path = Path("results/pool.json")
    content = path.read_text(encoding="utf-8")
    path.unlink()

    def train(*_):
        raise AssertionError("nothing is trained again")

    monkeypatch.setattr("equipoise.training.trainer.train", train)
    run_pool(config, path)
    again = json.loads(path.read_text(encoding="utf-8"))
    assert again["arms"] == json.loads(content)["arms"]
    assert read_result(path, config) == result
    assert read_result(path, config.model_copy(update={"budgets": [0.1]})) is None
