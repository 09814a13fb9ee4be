"""`rank` and `select_budget` on a sealed matrix on disk."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

import helpers.naive_selectors as naive
from equipoise.attribution.assemble import assemble_attribution
from equipoise.attribution.seal import seal_attribution
from equipoise.errors import UserError
from equipoise.selection.rank import rank
from equipoise.selection.select_budget import select_budget
from equipoise.selectors import selector_names
from helpers.attribution_experiment import pool_columns, prepare, write_scores
from helpers.experiment import write_pool


@pytest.fixture
def sealed(tmp_path):
    prepared = prepare(tmp_path, rows=1500, shards=2, flagged=(7, 1030))
    for matrix in ("influence", "last_token", "position_weighted"):
        for shard in range(2):
            assemble_attribution(prepared.config, matrix, shard)
        seal_attribution(prepared.config, matrix)
    write_scores(prepared, 2)
    return prepared


def lines_of(sealed, selector_name, budget, seed=0):
    select_budget(sealed.config, selector_name, seed, budget)
    with open(sealed.layout.selection(selector_name, seed, budget), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.mark.parametrize("name", selector_names())
def test_every_selector_ranks_valid_rows_once_and_its_selection_can_be_trained_on(sealed, name):
    rank(sealed.config, name, 0)
    table = pq.read_table(sealed.layout.ranking(name, 0)).to_pydict()
    assert list(table) == ["rank", "row", "score", "column", "margin"]
    flagged = {7, 1030}  # the attribution matrix's, whatever the selector looks at
    assert sorted(table["row"]) == sorted(set(range(1500)) - flagged)
    lines = lines_of(sealed, name, "0.1")
    expected = table["row"] if name == "full" else table["row"][: (1500 - len(flagged)) // 10]
    assert [line["row"] for line in lines] == expected
    first = lines[0]
    row = first["row"]
    assert first["messages"] == [{"role": "user", "content": f"prompt {row}"}, {"role": "assistant", "content": f"response {row}"}]
    assert (first["id"], first["rank"], first["source"]) == (f"id{row}", 0, "s")
    assert set(first) == {"messages", "id", "row", "rank", "score", "margin", "column", "validation_id", "task", "top_tasks", "source"}


def test_a_pick_names_the_example_that_asked_for_it_and_its_top_tasks(sealed):
    rank(sealed.config, "bids", 0)
    lines = lines_of(sealed, "bids", "20")
    A = np.asarray(zarr.open_array(sealed.layout.matrix("influence"), mode="r")[:])
    picks, scores, columns, margins = naive.bids(A, sealed.valid, 20)
    assert [line["row"] for line in lines] == picks
    assert [line["score"] for line in lines] == scores
    assert [line["margin"] for line in lines] == margins
    names = [f"{task}/{k}" for task in ("gsm", "code") for k in range(3)]
    assert [line["validation_id"] for line in lines] == [names[j] for j in columns]
    assert [line["task"] for line in lines] == [names[j].split("/")[0] for j in columns]
    means = naive.task_means(A, ["gsm"] * 3 + ["code"] * 3)
    for line in lines:
        best, other = means[line["row"]]
        assert line["top_tasks"] == (["gsm", "code"] if best >= other else ["code", "gsm"])


def test_selection_seeds_give_other_permutations_and_the_same_seed_the_same(sealed):
    for seed in (0, 1):
        rank(sealed.config, "random", seed)
    first = Path(sealed.layout.ranking("random", 0)).read_bytes()
    assert first != Path(sealed.layout.ranking("random", 1)).read_bytes()
    rank(sealed.config, "random", 0)
    assert first == Path(sealed.layout.ranking("random", 0)).read_bytes()


def test_oracle_follows_the_planted_ranks_and_is_refused_without_them(sealed, tmp_path):
    rank(sealed.config, "oracle", 0)
    rows = pq.read_table(sealed.layout.ranking("oracle", 0))["row"].to_pylist()
    planted = [row for row in range(1499, -1, -1) if row % 2 and row != 7]
    assert rows == planted + [row for row in range(0, 1500, 2) if row != 1030]
    write_pool(sealed.config, pool_columns(1500) | {"metadata": ["{}"] * 1500})
    with pytest.raises(UserError, match="no oracle_rank"):
        rank(sealed.config, "oracle", 0)


def test_a_budget_beyond_the_ranking_is_refused_with_the_key_to_raise(sealed):
    sealed.config.selection.rank_to = 0.1
    rank(sealed.config, "sum", 0)
    with pytest.raises(UserError, match=r"write a larger selection.rank_to than 0\.1"):
        select_budget(sealed.config, "sum", 0, "0.2")
    with pytest.raises(UserError, match=r"ranking/bids/selection-0\.json: missing; run the stage that writes it \(rank\)"):
        select_budget(sealed.config, "bids", 0, "0.1")
