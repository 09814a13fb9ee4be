"""The estimator `matrix`: the user's own scores, in every form, become the influence matrix or are refused before a job."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from safetensors.numpy import save_file

from equipoise.attribution.matrix_file import open_matrix
from equipoise.attribution.seal import attribute
from equipoise.config_file import parse_config
from equipoise.errors import UserError
from equipoise.jobs import stages
from equipoise.store.artefact import open_artefact
from helpers.attribution_experiment import prepare
from helpers.places import REPOSITORY

STORES = REPOSITORY / "tests" / "helpers" / "bergson_scores"
"""Written by bergson 2.5.1's own writers: 40 examples, 8 queries."""
BERGSON = np.random.default_rng(15).standard_normal((40, 8)).astype(np.float32)
ROWS, COLUMNS = 40, 8
NAMES = [f"{task}/{i}" for task in ("gsm", "code") for i in range(4)]
SCORES = np.random.default_rng(1).standard_normal((ROWS, COLUMNS)).astype(np.float32)


def own(prepared, path, **gradients):
    gradients = {"estimator": "matrix", "matrix": {"file": str(path)}} | gradients
    values = prepared.config.model_dump(mode="json") | {"gradients": gradients, "selectors": ["bids"]}
    return parse_config(values)


@pytest.fixture
def prepared(tmp_path):
    return prepare(tmp_path, rows=ROWS, examples=4, flagged=())


def write(path: Path, scores=SCORES, ids=None, columns=None):
    """The scores in the form of the path's ending; as bergson wrote them for one without."""
    match path.suffix:
        case ".npy":
            np.save(path, scores)
        case ".zarr":
            attributes = {key: names for key, names in (("ids", ids), ("columns", columns)) if names}
            zarr.create_array(str(path), data=scores, chunks=(16, scores.shape[1]), attributes=attributes)
        case ".safetensors":
            save_file({"scores": scores}, path, {key: json.dumps(names) for key, names in (("ids", ids), ("columns", columns)) if names})
        case ".parquet":
            columns = columns or [f"v{j}" for j in range(COLUMNS)]
            pq.write_table(pa.table(({"id": ids} if ids else {}) | {columns[j]: scores[:, j] for j in range(COLUMNS)}), path)
    return path


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("suffix", [".npy", ".zarr", ".safetensors", ".parquet"])
def test_every_form_becomes_the_matrix(prepared, tmp_path, suffix, named):
    names = {"ids": [f"id{i}" for i in range(ROWS)], "columns": NAMES} if named else {}
    config = own(prepared, write(tmp_path / f"mine{suffix}", **names))
    attribute(config)
    sealed = open_artefact(config, "matrix", matrix="influence")
    found = np.asarray(zarr.open_array(config.layout.matrix("influence"), mode="r")[:])
    expected = SCORES.copy()
    expected[7] = np.nan  # has no completion token
    np.testing.assert_array_equal(found, expected)
    assert sealed["valid_rows"] == ROWS - 1
    assert sealed["reliability"] is None


@pytest.mark.parametrize(("name", "tolerance"), [("float32", 0), ("bfloat16", 2**-8), ("loss_difference", 0)])
def test_a_store_that_bergson_wrote_is_read_with_larger_as_better(name, tolerance):
    found = open_matrix(STORES / name).values
    assert found.shape == BERGSON.shape
    np.testing.assert_allclose(found[0:ROWS], BERGSON, rtol=tolerance, atol=0)
    np.testing.assert_allclose(found[5:9], BERGSON[5:9], rtol=tolerance, atol=0)


def changed_info(folder, **changes):
    info = json.loads((folder / "info.json").read_text()) | changes
    (folder / "info.json").write_text(json.dumps({key: value for key, value in info.items() if value is not None}))


BROKEN = {
    "of an older version": (lambda folder: changed_info(folder, num_rows=None), r"bergson 2\.5\.1, in a form that is not known"),
    "of other fields": (lambda folder: changed_info(folder, dtype={"names": [], "formats": [], "offsets": [], "itemsize": 8}), "not known"),
    "cut off": (lambda folder: (folder / "scores.bin").write_bytes(bytes(9)), r"scores.bin: has 9 bytes, not 2,560"),
    "without scores": (lambda folder: (folder / "scores.bin").unlink(), r"scores.bin: no such file"),
    "of candidates": (lambda folder: np.save(folder / "candidates.npy", np.arange(3)), "scores of some examples only"),
    "with a broken info": (lambda folder: (folder / "info.json").write_text("{"), "info.json: not JSON"),
    "with a broken run": (lambda folder: (folder / "config.yaml").write_text("{"), "config.yaml: cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_another_store_is_refused_in_one_line(tmp_path, kind):
    change, message = BROKEN[kind]
    shutil.copytree(STORES / "float32", tmp_path / "store")
    change(tmp_path / "store")
    with pytest.raises(UserError, match=message) as raised:
        open_matrix(tmp_path / "store")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("name", "message"), [("unfinished", "row 39, column 0 was never written"), ("tokens", "a score of every token")])
def test_stores_of_bergson_that_are_no_matrix_are_refused(name, message):
    with pytest.raises(UserError, match=message):
        open_matrix(STORES / name)


def with_nan(row, column):
    scores = SCORES.copy()
    scores[row, column] = np.nan
    return scores


UNFIT = {
    "rows": ({"scores": SCORES[:39]}, "mine.npy has 39 rows, the pool 40"),
    "columns": ({"scores": SCORES[:, :7]}, "mine.npy has 7 columns, and there are 8 validation examples"),
    "numbers": ({"scores": np.ones((ROWS, COLUMNS), np.int32)}, r"holds int32 of shape \(40, 8\)"),
    "vector": ({"scores": SCORES[:, 0]}, r"holds float32 of shape \(40,\)"),
    "nan": ({"scores": with_nan(3, 2)}, "row 3, column 2 is nan; write finite numbers"),
    "too large": ({"scores": SCORES.astype(np.float64) * 1e300}, "is -?inf; write finite numbers"),
    "ids": ({"ids": [f"id{i}" for i in (1, 0, *range(2, ROWS))]}, "row 0 is called 'id1', the pool's 'id0'"),
    "names": ({"columns": NAMES[::-1]}, "column 0 is called 'code/3', that of the validation example there 'gsm/0'"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", UNFIT)
def test_scores_of_another_pool_or_other_targets_are_refused(prepared, tmp_path, mistake):
    given, message = UNFIT[mistake]
    suffix = ".parquet" if set(given) & {"ids", "columns"} else ".npy"
    config = own(prepared, write(tmp_path / f"mine{suffix}", **given))
    with pytest.raises(UserError, match=message):
        attribute(config)


def test_rows_that_are_all_nan_are_flagged(prepared, tmp_path):
    scores = SCORES.copy()
    scores[11] = np.nan
    config = own(prepared, write(tmp_path / "mine.npy", scores))
    attribute(config)
    assert open_artefact(config, "matrix", matrix="influence")["valid_rows"] == ROWS - 2


def test_a_changed_file_is_taken_over_again_and_an_unchanged_one_left_alone(prepared, tmp_path, capsys):
    path = write(tmp_path / "mine.npy")
    config = own(prepared, path)
    attribute(config)
    attribute(config)
    assert "nothing to do" in capsys.readouterr().err
    write(path, SCORES * 2)
    attribute(config)
    found = zarr.open_array(config.layout.matrix("influence"), mode="r")[:]
    np.testing.assert_array_equal(found[:7], 2 * SCORES[:7])


def test_jobs_are_those_that_the_scores_need(prepared, tmp_path):
    config = own(prepared, write(tmp_path / "mine.npy"))
    names = {stage.name for stage in stages(config)}
    assert not names & {"warm_up", "fit_curvature", "collect_pool_gradients", "collect_target_gradients", "collect_pool_states"}
    with_states = config.model_copy(update={"selectors": ["bids", "rds"]})
    found = {stage.name: len(stage.jobs) for stage in stages(with_states)}
    assert (found["warm_up"], found["collect_pool_states"], found["collect_target_states"]) == (1, 1, 2)
    assert "collect_pool_gradients" not in found
