"""Which measure tells how well one selects by an estimator, on values that are made up."""

import json

import pytest
from scipy.stats import spearmanr
from typer.testing import CliRunner

from equipoise.cli import app
from equipoise.config_file import read_config, write_config
from equipoise.errors import UserError
from equipoise.store.manifest import write_manifest
from equipoise.study.agreement import RIGHT_TITLE, agreement_markdown, agreements, least_told, measures_of
from equipoise.study.final_comparison import CANDIDATE_STUDY
from equipoise.study.one_pool import Arm, identity
from equipoise.study.study import pool_experiment
from helpers.places import REPOSITORY

ESTIMATORS = ("less", "tracin", "ekfac", "trak")
MACROS = dict(zip(ESTIMATORS, (50.0, 40.0, 60.0, 45.0), strict=True))
RIGHT = dict(zip(ESTIMATORS, (80.0, 90.0, 70.0, 85.0), strict=True))
LDS = dict(zip(ESTIMATORS, (0.2, 0.1, 0.3, 0.25), strict=True))


def arms(selector="bids"):
    return [
        Arm(name, selector, 0, budget, seed, {"a": MACROS[name] - apart, "b": MACROS[name] + apart}, {"right": RIGHT[name]})
        for name in ESTIMATORS
        for budget, seed, apart in (("0.05", 0, 10.0), ("0.1", 1, 20.0))
    ]


def results(**values):
    named = {"subsets": LDS} | values
    return [
        {"measure": measure, "candidate": name, "share": 0.1, "value": value}
        for measure, own in named.items()
        for name, value in own.items()
    ]


def test_each_measure_is_correlated_with_what_the_picks_are_worth():
    made = agreements(results(without=dict.fromkeys(ESTIMATORS, 1.0)), arms())
    found = {each.measure: each for each in made}
    expected = spearmanr([LDS[n] for n in ESTIMATORS], [MACROS[n] for n in ESTIMATORS])[0]
    assert found["LDS (rank correlation)"].correlation == pytest.approx(expected) == pytest.approx(0.8)
    assert found[RIGHT_TITLE].correlation == pytest.approx(-1.0)
    assert found["loss without the top 10%, minus without random rows (nats)"].correlation is None, "the same for all"
    assert {each.estimators for each in made} == {4}


def test_baselines_unknown_values_and_arms_without_influence_take_no_part():
    others = [Arm("", "random", 0, "0.05", 0, {"a": 1.0}, {"right": 50.0})]
    given = results(one_step=LDS | {"trak": None, "rds": 0.9, "length": 0.8})
    made = agreements(given, [*arms(), *others])
    assert {each.selector for each in made} == {"bids"}
    assert next(each for each in made if each.measure.startswith("one step")).estimators == 3
    assert all(each.correlation is None for each in agreements(results(), arms()[:4])), "two estimators have no order to speak of"


@pytest.mark.parametrize(("number", "least"), [(3, None), (4, None), (5, 1.0), (6, 0.886), (7, 0.786)])
def test_what_chance_gives_is_counted_out(number, least):
    assert least_told(number) == (None if least is None else pytest.approx(least, abs=1e-3))  # the tables' critical values


def test_the_table_says_how_many_estimators_and_what_they_can_tell():
    text = agreement_markdown(agreements(results(), [*arms(), *arms("round_robin")]))
    assert "| measure | bids | round_robin |" in text
    assert "| LDS (rank correlation) | +0.80 (4) | +0.80 (4) |" in text
    assert "With 4 estimators no correlation is told from chance" in text
    assert 0.6 < least_told(9) < 0.7


def test_the_command_reads_what_is_there_and_runs_nothing(tmp_path, monkeypatch):
    base = read_config(REPOSITORY / "config.yaml").model_copy(update={"results": str(tmp_path / "results")})
    write_config(base, tmp_path / "config.yaml")
    with pytest.raises(UserError, match="no finished pool"):
        measures_of(base, CANDIDATE_STUDY)
    pool = pool_experiment(base, CANDIDATE_STUDY, "noisy", 0)
    file = CANDIDATE_STUDY.folder(base) / f"{pool.experiment}.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"made_for": identity(pool), "arms": [vars(arm) for arm in arms()], "scales": [], "seconds": {}}))
    with pytest.raises(UserError, match="make validate"):
        measures_of(base, CANDIDATE_STUDY)
    write_manifest(pool.layout.validation, "validation", results=results(), of={})
    said = CliRunner().invoke(app, ["miniature", "study", "--measures", "--config", str(tmp_path / "config.yaml")])
    assert said.exit_code == 0, said.output
    assert said.output.startswith("miniature:\n")
    assert "| LDS (rank correlation) | +0.80 (4) |" in said.output
    told = CliRunner().invoke(app, ["miniature", "study", "--measures", "--config", str(tmp_path / "config.yaml"), "--json"])
    made = [vars(each) for each in agreements(results(), arms())]
    assert json.loads(told.stdout)["pools"] == [{"experiment": "miniature", "agreements": made}]
