"""The plan's gradient stores are as large as those that collection writes, whatever the estimator."""

from pathlib import Path

import pytest

from equipoise.estimators import ESTIMATORS
from equipoise.estimators import estimator as estimator_named
from equipoise.planning.plan import plan
from helpers.gradient_experiment import collect_all, make_experiment

OVERHEAD = 0.02  # metadata, records and checksums


def planned(config, stage: str, key: tuple) -> float:
    """Bytes that the plan gives one store."""
    (found,) = [s for s in plan(config).stages if s.name == stage]
    return sum(cost.disk for job in found.jobs for item, cost in job if item.key == key)


def measured(store: str) -> int:
    return sum(file.stat().st_size for file in Path(store).rglob("*") if file.is_file())


@pytest.mark.parametrize("projection", [{"kind": "sketch", "dimension": 512}, {"kind": "identity"}], ids=lambda p: p["kind"])
@pytest.mark.parametrize("estimator", [each.name for each in ESTIMATORS])
def test_stores_are_as_large_as_planned(tmp_path, estimator, projection):
    config = make_experiment(tmp_path, gradients={"estimator": estimator, "projection": projection})
    collect_all(config, [1, 2], ["alpha"])
    for epoch in (1, 2):  # the last epoch's store holds states too
        pool = planned(config, "collect_pool_gradients", (epoch, "00000"))
        assert measured(config.layout.pool_gradients(epoch)) == pytest.approx(pool, rel=OVERHEAD)
        if estimator_named(estimator).fitted:
            fitted = planned(config, "fit_curvature", (epoch,))
            assert measured(config.layout.curvature(epoch)) == pytest.approx(fitted, rel=0.2)  # small files: their names count
        target = planned(config, "collect_target_gradients", (epoch, "alpha"))
        assert measured(config.layout.target_gradients(epoch, "alpha")) == pytest.approx(target, rel=OVERHEAD)


def test_an_estimator_that_fits_a_fisher_matrix_first_costs_the_targets_more(tmp_path):
    costs = {}
    for examples in (2, 20):
        config = make_experiment(tmp_path, gradients={"estimator": "logra", "logra": {"fisher_examples": examples}})
        (stage,) = [s for s in plan(config).stages if s.name == "collect_target_gradients"]
        costs[examples] = stage.cost.tokens
    assert costs[20] > costs[2]
