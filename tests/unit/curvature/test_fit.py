"""The stage fit_curvature: it goes on where it was cut off, and nothing uses what is stale or damaged."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from equipoise.commands.options import epochs_of
from equipoise.curvature import ekfac, kernel
from equipoise.curvature.fit import fit_curvature
from equipoise.errors import UserError
from equipoise.gradients.collect import collect_pool_gradients, collect_target_gradients
from equipoise.gradients.fitted import open_fitted
from equipoise.store.gradients import GradientReader
from equipoise.store.manifest import read_manifest
from equipoise.store.verify import verify
from helpers.artefacts import publish_anew
from helpers.gradient_experiment import collect_all, make_experiment


def made(folder, name="ekfac", **gradients):
    return make_experiment(folder, gradients={"estimator": name, "projection": {"dimension": 32}, "token_budget": 400, **gradients})


def files(config, epoch=1):
    return {path.name: path.read_bytes() for path in sorted(Path(config.layout.curvature(epoch)).iterdir())}


def test_a_fit_that_was_cut_off_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    config = made(tmp_path)
    fit_curvature(config, [1])
    whole, manifest = files(config), Path(config.layout.curvature_manifest(1)).read_bytes()
    (Path(config.layout.curvature(1)) / "eigenvalues.json").unlink()
    Path(config.layout.curvature_manifest(1)).unlink()

    def never(*_):
        raise AssertionError("the first pass was finished")

    monkeypatch.setattr(ekfac.Covariances, "add", never)
    fit_curvature(config, [1])
    assert (files(config), Path(config.layout.curvature_manifest(1)).read_bytes()) == (whole, manifest)
    assert not [defect for checked in verify(config.layout.root + "/curvature") for defect in checked.defects]


def test_a_damaged_file_is_fitted_again(tmp_path):
    config = made(tmp_path)
    fit_curvature(config, [1])
    whole = files(config)
    path = Path(config.layout.curvature(1)) / "bases.safetensors"
    path.write_bytes(path.read_bytes()[:-8] + bytes(8))
    assert [defect for checked in verify(config.layout.root + "/curvature") for defect in checked.defects]
    with pytest.raises(UserError, match=r"bases\.safetensors: damaged or another one: .*; run `equipoise verify --heal"):
        collect_target_gradients(config, [1], ["alpha"])
    fit_curvature(config, [1])
    assert files(config) == whole


def test_a_stale_curvature_is_refused_and_another_one_makes_other_rows(tmp_path):
    config = made(tmp_path)
    with pytest.raises(UserError, match=r"curvature/epoch-1\.json: missing; run the stage"):
        collect_target_gradients(config, [1], ["alpha"])
    collect_pool_gradients(config, [1], 0)  # whole rows need none
    fit_curvature(config, [1])
    collect_target_gradients(config, [1], ["alpha"])
    rows = GradientReader(config.layout.target_gradients(1, "alpha")).read(0, 3).directions
    config.gradients.ekfac.labels = "empirical"
    with pytest.raises(UserError, match=r"was made with gradients.ekfac.labels: .*; run fit_curvature again"):
        collect_target_gradients(config, [1], ["alpha"])
    fit_curvature(config, [1])
    collect_target_gradients(config, [1], ["alpha"])
    assert not np.array_equal(GradientReader(config.layout.target_gradients(1, "alpha")).read(0, 3).directions, rows)


def test_unit_rows_need_the_curvature_and_differ_from_whole_ones_by_their_length(tmp_path):
    config = made(tmp_path, "ekfac_unit", projection={"kind": "identity"})
    with pytest.raises(UserError, match="missing; run the stage"):
        collect_pool_gradients(config, [1], 0)
    collect_all(config, [1], ["alpha"])
    unit = GradientReader(config.layout.pool_gradients(1)).read(0, 20)
    config.gradients.estimator = "ekfac"
    collect_all(config, [1], ["alpha"])
    plain = GradientReader(config.layout.pool_gradients(1)).read(0, 20)
    valid = unit.status == 0
    assert np.array_equal(unit.directions[valid], plain.directions[valid])
    assert not np.allclose(unit.norm[valid], plain.norm[valid])


@pytest.mark.parametrize("numbers", [8, 64])  # fewer than rows, and more
def test_the_kernel_is_that_of_the_stored_rows_and_follows_them(tmp_path, numbers):
    config = made(tmp_path, "trak", trak={"damping": 0.3}, projection={"dimension": numbers})
    collect_all(config, [1], ["alpha"])
    assert len(load_file(Path(config.layout.curvature(1)) / "cholesky.safetensors")["lower"]) == min(numbers, 19)
    rows = GradientReader(config.layout.pool_gradients(1)).read(0, 20)
    phi = (rows.directions.astype(np.float64) * rows.norm[:, None])[rows.status == 0]
    damped = phi.T @ phi + 0.3 * (phi**2).sum() / phi.shape[1] * np.eye(phi.shape[1])
    targets = np.random.default_rng(0).standard_normal((4, phi.shape[1]))
    np.testing.assert_allclose(kernel.KernelFit(config).solved(1, targets), targets @ np.linalg.inv(damped), rtol=1e-9)
    manifest = read_manifest(config.layout.curvature_manifest(1), "curvature")
    assert (manifest["rows"], manifest["floored"]) == (19, 0)
    publish_anew(config, "pool_gradients", {"epoch": 1, "shard": "00000"}, fingerprint="other rows")
    with pytest.raises(
        UserError, match=r"was made from another tiny/gradients/pool/epoch-1/shard-00000\.json than is there now; run fit_curv"
    ):
        open_fitted(config, 1)


def test_rows_that_are_known_by_heart_are_floored_and_counted(tmp_path, monkeypatch, capsys):
    config = made(tmp_path, "trak")
    monkeypatch.setattr("equipoise.store.gradients.LEAST_DOUBT", 0.999)
    monkeypatch.setattr(kernel, "LEAST_DOUBT", 0.999)
    collect_all(config, [1], ["alpha"])
    floored = read_manifest(config.layout.curvature_manifest(1), "curvature")["floored"]
    loss = GradientReader(config.layout.pool_gradients(1)).read(0, 20).loss
    assert floored == np.count_nonzero(-np.expm1(-loss.astype(np.float64)) <= 0.999) > 0
    assert f"{floored} of 19 rows have a loss so small" in capsys.readouterr().err


def test_the_last_epoch_alone_is_what_is_collected_by_default(tmp_path):
    config = made(tmp_path, epochs="last")
    assert epochs_of(config, "") == [2]
    assert epochs_of(config, "1,2") == [1, 2]
    with pytest.raises(UserError, match=r"--epochs 3: unknown; write one of 1, 2$"):
        epochs_of(config, "1,3")


def test_every_class_that_fits_is_there():
    from equipoise.estimators import ESTIMATORS

    for entry in ESTIMATORS:
        if entry.fitted:
            assert callable(entry.fitted.load().fit)
            assert ("matrix" in entry.fitted.sides) == hasattr(entry.fitted.load(), "solved")
