"""`dimension: auto`: the pilot's reliability is the sealed matrix's, the width reaches 0.95, and everything after it goes by that width."""

import math

import pytest

from equipoise.attribution import choose_dimension as module
from equipoise.attribution.choose_dimension import choose_dimension
from equipoise.attribution.reliability import forecast, needed
from equipoise.attribution.seal import attribute
from equipoise.errors import UserError
from equipoise.gradients.width import projected_by, projection_of
from equipoise.planning.plan import plan
from equipoise.reporting.material import Material
from equipoise.reporting.reliability import table_reliability
from equipoise.store.artefact import open_artefact
from helpers.gradient_experiment import collect_all, make_experiment


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    config = make_experiment(tmp_path_factory.mktemp("auto"), rows=40, drawn=6, gradients={"projection": {"dimension": "auto"}})
    before = plan(config)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "REACHED", 0.7)  # 0.95 takes as many numbers as the tiny adapter has
        choose_dimension(config)
    return config, before


def sealed(config) -> dict:
    collect_all(config, [1, 2], list(config.tasks))
    attribute(config)
    return open_artefact(config, "matrix", matrix="influence")["reliability"]


def test_the_width_reaches_what_is_asked_and_the_sealed_matrix_has_it(chosen):
    config, _ = chosen
    held = open_artefact(config, "projection")
    width = held["dimension"]
    assert math.log2(width).is_integer()
    assert held["reliability"] >= 0.7
    assert (held["rows"], held["measured"][str(width)]) == (39, held["reliability"])  # the pool is smaller than a pilot
    told = sealed(config)
    assert told["dimension"] == width
    assert told["median"] == pytest.approx(held["reliability"], abs=2e-3)  # stored rows are float16
    assert open_artefact(config, "pool_gradients", epoch=1, shard="00000")["dimension"] == width
    table = table_reliability(Material(config))
    assert (table.frame["dimension"].tolist(), table.frame["all"].tolist()) == ([width], [told["median"]])
    assert ("Below 0.9: less" in table.caption) == (told["median"] < 0.9)


def test_a_width_that_is_too_small_is_doubled(chosen, monkeypatch):
    config, _ = chosen
    asked = []

    def reliability(self, width):
        asked.append(width)
        return {64: 0.9, 128: 0.94}.get(width, 0.96)

    monkeypatch.setattr(module, "FIRST", 64)
    monkeypatch.setattr(module._Pilot, "reliability", reliability)
    published = {}
    monkeypatch.setattr(module, "publish", lambda config, kind, of, **said: published.update(said))
    monkeypatch.setattr(module, "needed", lambda known, wanted: 2.0)
    choose_dimension(config)
    assert asked == [64, 128, 256]
    assert (published["dimension"], published["reliability"]) == (256, 0.96)


def test_another_width_is_another_store(chosen):
    config, _ = chosen
    with pytest.raises(UserError, match=r"was made with gradients.projection.dimension"):
        open_artefact(projected_by(config, projection_of(config)), "projection")


def test_the_width_needed_is_spearman_browns():
    for known in (0.3, 0.9, 0.97):
        assert forecast(known, needed(known)) == pytest.approx(0.95)
    assert needed(0.0) == math.inf


def test_plan_tells_storage_at_the_width_that_was_chosen(chosen):
    config, before = chosen
    after, width = plan(config), projection_of(config).dimension
    stores = [next(stage for stage in made.stages if stage.name == "collect_pool_gradients").cost.disk for made in (before, after)]
    alone = next(
        stage for stage in plan(projected_by(config, projection_of(config))).stages if stage.name == "collect_pool_gradients"
    ).cost.disk
    assert stores[1] == pytest.approx(alone)
    assert stores[0] > stores[1]
    assert any("auto; planned so until choose_dimension has chosen" in line for line in before.assumptions)
    assert any(f"{width:,} numbers (auto, by the pilot)" in line for line in after.assumptions)


def test_where_all_numbers_are_needed_nothing_is_projected(tmp_path):
    config = make_experiment(tmp_path, rows=12, drawn=2, gradients={"projection": {"dimension": "auto"}})
    choose_dimension(config)
    held = open_artefact(config, "projection")
    assert (held["projection"], held["reliability"]) == ("identity", None)
    assert max(map(int, held["measured"])) < held["dimension"]
    assert all(value < 0.95 for value in held["measured"].values())
    assert sealed(config) is None
    assert open_artefact(config, "pool_gradients", epoch=1, shard="00000")["dimension"] == held["dimension"]
    assert any("projection: none (auto" in line for line in plan(config).assumptions)
    assert table_reliability(Material(config)).frame["all"].isna().all()
