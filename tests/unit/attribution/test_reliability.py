"""Split-half reliability: from the halves of stored rows, told by the seal, forecast by the plan."""

import numpy as np
import pytest

from equipoise.attribution.assemble import assemble_attribution
from equipoise.attribution.reliability import co_moments, forecast, merged, reliability
from equipoise.attribution.seal import seal_attribution
from equipoise.planning.plan import plan
from equipoise.store.artefact import publish
from equipoise.store.manifest import read_manifest
from helpers.artefacts import publish_anew
from helpers.attribution_experiment import RATES, prepare
from helpers.gradient_experiment import make_experiment


def sealed(prepared, matrix="influence"):
    for shard in range(prepared.config.pool.shards):
        assemble_attribution(prepared.config, matrix, shard)
    seal_attribution(prepared.config, matrix)
    return read_manifest(prepared.layout.matrix_manifest(matrix), "matrix")


def halves_of(prepared):
    """The matrix from every second coordinate and from the others, float64, of the valid rows."""
    total = []
    for start in (0, 1):
        parts = 0
        for epoch, rate in enumerate(RATES, start=1):
            targets = np.concatenate([rows.directions for rows in prepared.targets[epoch].values()]).astype(np.float64)
            pool = prepared.pool[epoch].directions.astype(np.float64)[prepared.valid]
            parts = parts + rate / sum(RATES) * pool[:, start::2] @ targets[:, start::2].T
        total.append(parts)
    return total


@pytest.mark.parametrize("shards", [1, 3])
def test_it_is_the_corrected_correlation_of_the_halves_by_column(tmp_path, shards, capsys):
    prepared = prepare(tmp_path, shards=shards)
    told = sealed(prepared)["reliability"]
    first, second = halves_of(prepared)
    r = np.array([np.corrcoef(first[:, j], second[:, j])[0, 1] for j in range(6)])
    expected = np.where(r > 0, 2 * r / (1 + r), r)
    np.testing.assert_allclose(told["columns"], expected, atol=2e-4)
    assert told["median"] == pytest.approx(np.median(expected), abs=2e-4)
    said = capsys.readouterr().err
    assert f"median {told['median']:.3f} over columns" in said
    assert "warning: a reliability below 0.9" in said, "random rows have none"


def test_it_is_near_the_squared_correlation_with_the_exact_matrix_and_grows_as_forecast():
    """Rows of common directions, projected by random signs: the reliability of a width is what Spearman and Brown forecast from another."""
    rng = np.random.default_rng(0)
    rows, targets = (
        rng.standard_normal((3000, 40)) @ rng.standard_normal((40, 500)),
        rng.standard_normal((5, 40)) @ rng.standard_normal((40, 500)),
    )
    exact, told = rows @ targets.T, {}
    for width in (128, 512):
        signs = rng.choice([-1.0, 1.0], (500, width))
        pool, columns = rows @ signs, targets @ signs
        first = pool[:, ::2] @ columns[:, ::2].T
        whole = pool @ columns.T
        told[width] = np.median(reliability(co_moments(first, whole - first)))
        true = np.median([np.corrcoef(whole[:, j], exact[:, j])[0, 1] ** 2 for j in range(5)])
        assert abs(told[width] - true) < 0.12
    assert abs(forecast(told[128], 4) - told[512]) < 0.12


def test_chunks_are_merged_to_the_moments_of_all_rows():
    rng = np.random.default_rng(1)
    first, second = rng.standard_normal((2, 90, 4)) + 1e3
    cuts = [slice(0, 40), slice(40, 40), slice(40, 90)]
    found = merged([40, 0, 50], [co_moments(first[cut], second[cut]) for cut in cuts])
    np.testing.assert_allclose(reliability(found), reliability(co_moments(first, second)), rtol=1e-6)


def test_a_matrix_without_projection_noise_or_of_states_tells_none(tmp_path):
    prepared = prepare(tmp_path)
    assert sealed(prepared, "last_token")["reliability"] is None
    prepared.config.gradients.projection.kind = "identity"
    for epoch in (1, 2):
        publish_anew(prepared.config, "pool_gradients", {"epoch": epoch, "shard": "00000"})
        for task in prepared.config.tasks:
            publish_anew(prepared.config, "target_gradients", {"epoch": epoch, "task": task})
    assert sealed(prepared)["reliability"] is None


def test_the_plan_forecasts_from_the_sealed_matrix(tmp_path):
    config = make_experiment(tmp_path, gradients={"projection": {"dimension": 4096}})
    (said,) = [line for line in plan(config).assumptions if line.startswith("projection: ")]
    assert (
        said == "projection: 4,096 numbers leave a noise of about 0.016 in a cosine; its reliability is told when a first matrix is sealed"
    )
    path = config.layout.matrix_manifest("influence")
    publish(config, "matrix", {"matrix": "influence"}, reliability={"dimension": 1024, "median": 0.8, "columns": []})
    (said,) = [line for line in plan(config).assumptions if line.startswith("projection: ")]
    assert said.endswith(f"; reliability {4 * 0.8 / (1 + 3 * 0.8):.3f}, by the 0.800 that 1,024 numbers had in {path}")
    config.gradients.projection.kind = "identity"
    assert not [line for line in plan(config).assumptions if line.startswith("projection: ")]
