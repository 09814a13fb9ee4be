"""Assembling and sealing the matrix from gradient stores on disk."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from equipoise.attribution import seal
from equipoise.attribution.assemble import assemble_attribution
from equipoise.attribution.matrix_store import read_valid
from equipoise.attribution.seal import attribute, seal_attribution
from equipoise.errors import UserError
from equipoise.store.artefact import open_artefact
from equipoise.store.manifest import read_manifest
from helpers.attribution_experiment import RATES, prepare


def assemble(prepared, matrix="influence"):
    for shard in range(prepared.config.pool.shards):
        assemble_attribution(prepared.config, matrix, shard)
    seal_attribution(prepared.config, matrix)
    return np.asarray(zarr.open_array(prepared.layout.matrix(matrix), mode="r")[:])


def expected(prepared, scaled=False):
    """The float64 product of the stored rows."""
    total = 0.0
    for epoch, rate in enumerate(RATES, start=1):
        rows = prepared.pool[epoch]
        left = rows.directions.astype(np.float64) * (rows.norm[:, None] if scaled else 1)
        parts = [t.directions.astype(np.float64) * (t.norm[:, None] if scaled else 1) for t in prepared.targets[epoch].values()]
        total = total + rate / sum(RATES) * (left @ np.concatenate(parts).T)
    return total


@pytest.mark.parametrize("scaled", [False, True])
def test_the_matrix_is_the_weighted_sum_of_products_of_the_stored_rows(tmp_path, scaled):
    prepared = prepare(tmp_path, scaled=scaled)
    A = assemble(prepared)
    assert A.dtype == np.float32
    assert np.isnan(A[~prepared.valid]).all()
    np.testing.assert_allclose(A[prepared.valid], expected(prepared, scaled)[prepared.valid], atol=1e-6)
    np.testing.assert_array_equal(read_valid(open_artefact(prepared.config, "matrix", matrix="influence")), prepared.valid)


@pytest.mark.parametrize("kind", ["last_token", "position_weighted"])
def test_state_matrices_are_cosines_of_the_last_epochs_states(tmp_path, kind):
    prepared = prepare(tmp_path)
    A = assemble(prepared, kind)
    pool = prepared.pool[len(RATES)].states[kind].astype(np.float64)
    targets = np.concatenate([t.states[kind] for t in prepared.targets[len(RATES)].values()]).astype(np.float64)
    np.testing.assert_allclose(A, pool @ targets.T, atol=1e-6)


def test_the_seal_names_the_columns_and_their_moments(tmp_path):
    prepared = prepare(tmp_path)
    A = assemble(prepared)
    manifest = read_manifest(prepared.layout.matrix_manifest("influence"), "matrix")
    assert manifest["columns"] == [{"task": t, "id": f"{t}/{k}"} for t in ("gsm", "code") for k in range(3)]
    assert manifest["valid_rows"] == prepared.valid.sum()
    wide = A[prepared.valid].astype(np.float64)
    np.testing.assert_allclose(manifest["mean"], wide.mean(axis=0), rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(manifest["std"], wide.std(axis=0, ddof=1), rtol=1e-12)


def test_the_number_of_shards_changes_no_bit(tmp_path):
    one, three = prepare(tmp_path / "one", shards=1), prepare(tmp_path / "three", shards=3)
    np.testing.assert_array_equal(assemble(one), assemble(three))
    manifests = [Path(p.layout.matrix_manifest("influence")).read_bytes() for p in (one, three)]
    assert manifests[0] == manifests[1]


def test_one_job_may_assemble_several_shards_with_the_same_bits(tmp_path):
    single, pairs = prepare(tmp_path / "single", shards=3), prepare(tmp_path / "pairs", shards=3)
    pairs.config.jobs.assembly = 2
    for shard in (0, 2):
        assemble_attribution(pairs.config, "influence", shard)
    seal_attribution(pairs.config, "influence")
    np.testing.assert_array_equal(zarr.open_array(pairs.layout.matrix("influence"), mode="r")[:], assemble(single))
    manifests = [Path(p.layout.matrix_manifest("influence")).read_bytes() for p in (single, pairs)]
    assert manifests[0] == manifests[1]
    Path(pairs.layout.matrix_shard_manifest("influence", "00002")).unlink()
    with pytest.raises(UserError, match=r"shard-00002.json: missing"):
        seal_attribution(pairs.config, "influence")


def test_a_finished_shard_is_left_alone_and_a_damaged_one_made_again(tmp_path, capsys):
    prepared = prepare(tmp_path)
    A = assemble(prepared)
    assemble_attribution(prepared.config, "influence", 0)
    assert "nothing to do" in capsys.readouterr().err
    chunk = Path(prepared.layout.matrix("influence")) / "c/1/0"
    chunk.write_bytes(bytes(100) + chunk.read_bytes()[100:])
    np.testing.assert_array_equal(assemble(prepared), A)


def test_an_added_shard_is_assembled_alone_and_an_added_task_reaches_all_shards(tmp_path, capsys):
    def jobs(prepared):
        capsys.readouterr()
        attribute(prepared.config, ["influence"])
        log = capsys.readouterr().err
        A = np.asarray(zarr.open_array(prepared.layout.matrix("influence"), mode="r")[:])
        np.testing.assert_allclose(A[prepared.valid], expected(prepared)[prepared.valid], atol=1e-6)
        return [shard for shard in range(prepared.config.pool.shards) if f"shard-{shard:05d}.json: inputs unchanged" not in log]

    assert jobs(prepare(tmp_path, rows=2048, shards=2)) == [0, 1]
    assert jobs(prepare(tmp_path, rows=2048, shards=2)) == []
    assert jobs(prepare(tmp_path, rows=3000, shards=3)) == [2]
    assert jobs(prepare(tmp_path, rows=3000, shards=3, tasks=("gsm", "code", "math"))) == [0, 1, 2]
    assert jobs(prepare(tmp_path, rows=3000, shards=3, tasks=("gsm", "code", "math"))) == []


def test_attribute_makes_the_matrices_that_the_selectors_need_in_the_experiments_jobs(tmp_path, monkeypatch):
    """`rds` ranks on states, but the valid rows are the attribution matrix's; a job assembles `jobs.assembly` shards."""
    prepared = prepare(tmp_path, rows=3000, shards=3)
    config = prepared.config.model_copy(update={"selectors": ["rds"], "jobs": prepared.config.jobs.model_copy(update={"assembly": 2})})
    calls = []
    monkeypatch.setattr(seal, "assemble_attribution", lambda *job: (calls.append(job[1:]), assemble_attribution(*job)))
    attribute(config)
    assert calls == [("influence", 0), ("influence", 2), ("last_token", 0), ("last_token", 2)]
    assert all(Path(prepared.layout.matrix_manifest(matrix)).exists() for matrix in ("influence", "last_token"))


def test_a_pool_of_other_shards_than_configured_is_not_sealed_in_part(tmp_path):
    prepared = prepare(tmp_path, rows=3000, shards=3)
    attribute(prepared.config, ["influence"])
    fewer = prepared.config.model_copy(update={"pool": prepared.config.pool.model_copy(update={"shards": 2})})
    with pytest.raises(UserError, match=r"plans other shards than pool.shards: 2; run prepare_pool again"):
        seal_attribution(fewer, "influence")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (Path(p.layout.pool_gradients(2)) / "directions/c/1/0").unlink(), r"epoch-2/store/directions/c/1/0: missing"),
        (lambda p: _flip(Path(p.layout.pool_gradients(1)) / "directions/c/0/0"), r"epoch-1/store/directions/c/0/0: damaged"),
        (lambda p: shutil.rmtree(p.layout.target_gradients(1, "code")), r"epoch-1/code/store/directions/c/0/0: missing"),
        (lambda p: Path(p.layout.checkpoint_manifest(2)).unlink(), r"epoch-2\.json: missing; run the stage"),
        (lambda p: Path(p.layout.target("gsm")).unlink(), r"gsm/validation.parquet: missing; run `equipoise verify --heal"),
    ],
)
def test_missing_or_damaged_inputs_are_refused_by_name(tmp_path, damage, message):
    prepared = prepare(tmp_path)
    damage(prepared)
    with pytest.raises(UserError, match=message):
        assemble_attribution(prepared.config, "influence", 0)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (Path(p.layout.matrix("influence")) / "c/1/0").unlink(), r"matrix.zarr/c/1/0: missing chunk"),
        (lambda p: _flip(Path(p.layout.matrix("influence")) / "c/2/0"), r"matrix.zarr/c/2/0: damaged chunk"),
        (lambda p: Path(p.layout.matrix_shard_manifest("influence", "00001")).unlink(), r"shard-00001.json: missing"),
        (
            lambda p: _flip(Path(p.layout.matrix_shard_manifest("influence", "00000").replace(".json", ".moments.npy"))),
            "moments.npy: damaged or another one",
        ),
    ],
)
def test_the_seal_refuses_missing_or_damaged_parts_by_name(tmp_path, damage, message):
    prepared = prepare(tmp_path, shards=2)
    assemble(prepared)
    damage(prepared)
    with pytest.raises(UserError, match=message):
        seal_attribution(prepared.config, "influence")


def test_a_shard_that_was_never_assembled_is_refused(tmp_path):
    prepared = prepare(tmp_path, shards=2)
    assemble_attribution(prepared.config, "influence", 0)
    with pytest.raises(UserError, match=r"shard-00001.json: missing"):
        seal_attribution(prepared.config, "influence")
    with pytest.raises(UserError, match="write 0 to 1"):
        assemble_attribution(prepared.config, "influence", 2)
    with pytest.raises(UserError, match="write one of influence"):
        assemble_attribution(prepared.config, "influenza", 0)


def test_a_validation_example_without_gradient_is_refused_by_id(tmp_path, monkeypatch):
    import helpers.attribution_experiment as made

    original = made.make_rows
    monkeypatch.setattr(
        made, "make_rows", lambda rng, count, flagged=(), states=False: original(rng, count, (1,) if count == 3 else flagged, states)
    )
    prepared = prepare(tmp_path)
    with pytest.raises(UserError, match="validation example gsm/1 of task gsm has no usable gradient"):
        assemble_attribution(prepared.config, "influence", 0)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
