"""The estimator `mates`: predictions from states, cross-fitted on the sampled rows, whose exact influence lies beside them."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from scipy.stats import hypergeom, spearmanr

from equipoise.attribution.influence_model import FOLDS, folds_of
from equipoise.attribution.seal import attribute
from equipoise.collecting import row_shards, sampled_rows
from equipoise.config_file import parse_config
from equipoise.data.shards import collected_plan
from equipoise.errors import UserError
from equipoise.gradients.audit_gradients import audit
from equipoise.gradients.collect import collect_pool_gradients, collect_pool_states, collect_target_gradients
from equipoise.jobs import stages
from equipoise.planning.plan import plan
from equipoise.store.artefact import open_artefact
from equipoise.store.gradients import GradientReader, GradientRows
from helpers.attribution_experiment import DIMENSION, HIDDEN, RATES, make_rows, prepare, write_store_of
from helpers.gradient_experiment import make_experiment

ROWS = 3000


def mates(config, share=0.2, **more):
    gradients = config.gradients.model_dump() | {"estimator": "mates", "mates": {"share": share, "penalty": 1e-3}}
    return parse_config(config.model_dump(mode="json") | {"gradients": gradients} | more)


def learned(folder, share=0.2, signal=True, shards=1):
    """An experiment with states of all rows and gradients of the sampled ones, which follow from the states or from nothing."""
    prepared = prepare(folder, rows=ROWS, shards=shards, flagged=())
    config = mates(prepared.config, share)
    pool = open_artefact(config, "pool")
    states = prepared.pool[len(RATES)]
    nothing = np.full(ROWS, np.nan, np.float32)
    alone = GradientRows(np.empty((ROWS, 0), np.float16), nothing, states.loss, states.tokens, states.status, states.states)
    write_store_of(config, "pool_states", len(RATES), alone, pool["shards"], estimator=None)
    rows, ranges = collected_plan(config, pool)
    chosen = sampled_rows(config, ROWS)
    for epoch in range(1, len(RATES) + 1):
        sampled = make_rows(np.random.default_rng([9, epoch]), rows)
        if signal:
            turn = np.random.default_rng([7, epoch]).standard_normal((HIDDEN, DIMENSION))
            directions = states.states["last_token"][chosen].astype(np.float64) @ turn
            directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float16)
            sampled = GradientRows(directions, sampled.norm, sampled.loss, sampled.tokens, sampled.status)
        write_store_of(config, "pool_gradients", epoch, sampled, ranges)
    return config, alone


def read(config, matrix):
    return np.asarray(zarr.open_array(config.layout.matrix(matrix), mode="r")[:]).astype(np.float64)


def ridge(features, exact, penalty):
    """The closed form, with an intercept."""
    X, y = features - features.mean(axis=0), exact - exact.mean(axis=0)
    slope = np.linalg.solve(X.T @ X + penalty * len(X) * np.eye(X.shape[1]), X.T @ y)
    return lambda new: (new - features.mean(axis=0)) @ slope + exact.mean(axis=0)


def test_rows_are_predicted_and_sampled_ones_by_models_without_them(tmp_path):
    config, states = learned(tmp_path)
    attribute(config)
    exact, found, chosen = read(config, "sampled"), read(config, "influence"), sampled_rows(config, ROWS)
    assert exact.shape == (600, 6)
    parts = [states.states["last_token"], states.states["position_weighted"], states.loss[:, None]]
    features = np.concatenate([part.astype(np.float64) for part in parts], axis=1)
    features = (features - features[chosen].mean(axis=0)) / features[chosen].std(axis=0)
    fold = folds_of(config, ROWS)
    assert np.bincount(fold).min() > 0.9 * ROWS / FOLDS
    for number in range(FOLDS):
        inside = fold[chosen] != number
        model = ridge(features[chosen][inside], exact[inside], 1e-3)
        np.testing.assert_allclose(found[fold == number], model(features[fold == number]), atol=1e-6)
    held_out = found[chosen]
    sealed = open_artefact(config, "matrix", matrix="influence")
    expected = [spearmanr(held_out[:, column], exact[:, column]).statistic for column in range(6)]
    np.testing.assert_allclose(sealed["spearman"], expected, atol=1e-4)
    assert min(sealed["spearman"]) > 0.9
    assert open_artefact(config, "matrix", matrix="sampled").get("spearman") is None


def test_without_signal_sampled_rows_are_picked_at_their_own_share(tmp_path):
    config, _ = learned(tmp_path, signal=False)
    attribute(config)
    exact, found, chosen = read(config, "sampled"), read(config, "influence"), sampled_rows(config, ROWS)
    sampled = np.zeros(ROWS, bool)
    sampled[chosen] = True
    chance = hypergeom(ROWS, len(chosen), 300)
    told = open_artefact(config, "matrix", matrix="influence")["spearman"]
    assert max(map(abs, told)) < 0.2
    mixed = found.copy()
    mixed[chosen] = exact  # what is avoided: the exact values spread far more than predictions do
    for column in range(6):
        low, high = chance.ppf(0.0005), chance.ppf(0.9995)
        assert low <= sampled[np.argsort(-found[:, column])[:300]].sum() <= high
        assert sampled[np.argsort(-mixed[:, column])[:300]].sum() > high


def test_the_number_of_shards_changes_no_bit(tmp_path):
    one, three = (learned(tmp_path / str(shards), share=0.7, shards=shards)[0] for shards in (1, 3))
    assert (row_shards(one), row_shards(three)) == (1, 2)
    for config in (one, three):
        attribute(config)
    for matrix in ("sampled", "influence"):
        np.testing.assert_array_equal(read(one, matrix), read(three, matrix))
    assert Path(one.layout.influence_model).read_bytes() == Path(three.layout.influence_model).read_bytes()


def test_the_whole_share_is_the_other_estimators_matrix(tmp_path):
    prepared = prepare(tmp_path)
    config = mates(prepared.config, 1.0)
    assert stages(config) == stages(prepared.config)
    attribute(prepared.config)
    matrix = Path(config.layout.matrix("influence"))
    before = {file: file.read_bytes() for file in sorted(matrix.rglob("c/*/*"))}
    whole = mates(prepare(tmp_path / "whole").config, 1.0)
    attribute(whole)
    assert list(before.values()) == [file.read_bytes() for file in sorted(Path(whole.layout.matrix("influence")).rglob("c/*/*"))]
    sealed = open_artefact(whole, "matrix", matrix="influence")
    assert "spearman" in sealed.content
    assert sealed["spearman"] is None


def test_too_few_sampled_rows_are_refused(tmp_path):
    config, _ = learned(tmp_path, share=0.003)
    with pytest.raises(UserError, match=r"mates.share: 9 usable rows are sampled, too few for 5 folds"):
        attribute(config)


def test_a_larger_share_holds_a_smaller_ones_rows_and_no_shard_is_empty(tiny_config):
    small, large = (set(sampled_rows(mates(tiny_config, share), 5000).tolist()) for share in (0.05, 0.3))
    assert small < large
    assert (len(small), len(large)) == (250, 1500)
    for rows, shards, share in ((1024, 1, 0.01), (10_300, 11, 0.3), (10_241, 11, 0.99), (5000, 5, 0.5), (4097, 5, 0.79)):
        config = mates(tiny_config, share, pool=tiny_config.pool.model_dump() | {"shards": shards})
        planned, ranges = collected_plan(config, {"rows": rows, "shards": []})
        assert len(ranges) == row_shards(config)
        assert ranges[-1][1] == planned


def test_only_the_share_is_collected(tmp_path):
    config = mates(make_experiment(tmp_path, rows=60), 0.5)
    assert {stage.name for stage in stages(config)} >= {"collect_pool_states", "fit_influence_model"}
    layout, chosen = config.layout, sampled_rows(config, 60)
    collect_pool_gradients(config, [1], 0)
    collect_pool_states(config, 0)
    collect_target_gradients(config, [1], ["alpha"])
    assert GradientReader(layout.pool_states(2)).rows == 60
    sampled = GradientReader(layout.pool_gradients(1)).read(0, 30)
    assert sampled.status.tolist() == [1 if row == 4 else 0 for row in chosen]
    assert all(abs(row.cosine - 1) < 1e-3 for row in audit(config, 1, None, 5, 0))
    costs = {name: {s.name: s.cost for s in plan(each).stages} for name, each in (("mates", config), ("less", mates(config, 1.0)))}
    of_both = [costs[name]["collect_pool_gradients"].tokens for name in ("mates", "less")]
    assert of_both[0] == pytest.approx(of_both[1] / 2)
    assert costs["mates"]["fit_influence_model"].flops > 0
