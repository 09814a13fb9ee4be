"""What the report says of influence: the same however the matrix is cut into blocks, and in memory that does not grow with it."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from equipoise.reporting import influence as influence_module
from equipoise.reporting.influence import Influence, Ranking
from equipoise.reporting.material import Material
from equipoise.reporting.sealed_matrix import Matrix
from equipoise.selection import source
from equipoise.selection.source import Source
from helpers.reporting_experiment import make_experiment
from helpers.virtual_matrix import VirtualMatrix

SELECTORS = ["random", "task_max", "instance_max", "instance_max_normalized", "bids"]
TASKS, PER_TASK = 4, 16


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """An experiment whose matrix has five chunks."""
    folder = tmp_path_factory.mktemp("results")
    few = {"items": 4, "budgets": (0.1,), "seeds": (0,), "suite_seeds": (0,), "extra": []}
    return make_experiment(folder, rows=4_500, per_task=3, selectors=SELECTORS, **few)


def frames(influence: Influence, rows: int, sources: tuple[np.ndarray, np.ndarray]) -> dict[str, pd.DataFrame]:
    """Everything that is read off the matrix."""
    curves, moments = influence.normality(0)
    columns, strongest = influence.largest_normalised
    return {
        "aid_pool": influence.aid_pool(),
        "thi_less": influence.thi_less(rows),
        "thi_ablation": influence.thi_ablation(rows),
        "curves": curves,
        "moments": moments,
        "pool_map": influence.pool_map(sources, rows, 0),
        "largest": pd.DataFrame({"largest": columns}),
        "strongest": pd.DataFrame({"strongest": strongest}),
        "aid_normalised": influence.aid_normalised(rows),
        "along_ranking": influence.along_ranking(rows),
    }


def test_blocks_change_no_bit_but_those_of_means_over_picks(config, monkeypatch):
    material = Material(config)
    whole = frames(Influence(config), material.rows, material.sources)
    monkeypatch.setattr(source, "BLOCK_BYTES", 1)
    cut = frames(Influence(config), material.rows, material.sources)
    for name in ("aid_normalised", "along_ranking"):  # picks are added block by block
        pd.testing.assert_frame_equal(whole.pop(name), cut.pop(name), rtol=1e-12, atol=1e-14)
    for name, frame in whole.items():
        pd.testing.assert_frame_equal(frame, cut[name], check_exact=True, obj=name)


def test_frames_agree_with_the_matrix_in_memory(config, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", 1)
    influence = Influence(config)
    matrix = influence.matrix
    values = matrix.source.read(0, matrix.source.rows)
    normal = (values.astype(np.float64) - matrix.mean) / matrix.std
    picks = influence.selected("bids", 449)
    np.testing.assert_array_equal(influence.aid_pool()["aid"], values[matrix.valid].mean(axis=0, dtype=np.float64))
    np.testing.assert_allclose(influence.aid_normalised(449)["bids"], normal[picks].mean(axis=0), rtol=1e-12)
    counts = np.bincount(influence.task_of[normal[picks].argmax(axis=1)], minlength=len(influence.tasks))
    assert influence.thi_ablation(449)["bids"].tolist() == counts.tolist()
    assert influence.largest_normalised[0].tolist() == np.nanmax(normal, axis=0).tolist()
    ranked = influence.along_ranking(449).query("selector == 'bids' and task == 'gsm' and picks == 449")["mean"].item()
    assert ranked == pytest.approx(normal[picks][:, influence.task_of == influence.tasks.index("gsm")].mean())
    held, again = matrix.taken(picks, picks[::-1])
    np.testing.assert_array_equal(held, values[picks])
    np.testing.assert_array_equal(again, values[picks[::-1]])


class _Config:
    selectors = ("task_max", "instance_max", "bids")


def virtual(rows: int) -> tuple[Influence, VirtualMatrix]:
    """Influence over a matrix that exists while it is read; every selector picks each twentieth row."""
    made = VirtualMatrix(rows, TASKS * PER_TASK)
    columns = [{"task": f"task{number // PER_TASK}", "id": str(number)} for number in range(TASKS * PER_TASK)]
    influence = Influence.__new__(Influence)
    ones = np.ones(len(columns))
    influence.matrix = Matrix(Source(made), np.ones(rows, bool), columns, 0 * ones, ones)
    influence.config, influence.tasks = _Config(), [f"task{number}" for number in range(TASKS)]
    influence.task_of = np.repeat(np.arange(TASKS), PER_TASK)
    influence.ranking = lambda name: Ranking(np.arange(0, rows, 20)[::-1].copy(), np.zeros(-(-rows // 20), np.int64))
    return influence, made


def peak_of(rows: int) -> tuple[int, int]:
    """Peak bytes while everything is read off a matrix, and the most rows read at once."""
    influence, made = virtual(rows)
    codes, names = np.zeros(rows, np.int32), np.array(["source"], dtype=object)
    tracemalloc.start()
    try:
        frames(influence, rows // 20, (codes, names))
        return tracemalloc.get_traced_memory()[1], made.largest
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_matrix(monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", 2**20)
    monkeypatch.setattr(influence_module, "NORMAL_ROWS", 2_000)
    few, many = 16_384, 65_536
    (least, _), (most, at_once) = peak_of(few), peak_of(many)
    assert at_once == 4096
    row = TASKS * PER_TASK * 4
    assert (most - least) / (many - few) < row / 4  # some numbers a row, and not its columns
