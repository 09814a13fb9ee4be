"""Audit of selections, and the study's pools and tables."""

import json
from pathlib import Path

import pytest

from equipoise.config_file import read_config
from equipoise.errors import UserError
from equipoise.miniature.composition import audit_selection, read_metadata
from equipoise.miniature.generated_pool import pool_rows
from equipoise.miniature.study import Cell, gather, markdown, pool_experiment, read_macros
from helpers.places import REPOSITORY

CONFIG = REPOSITORY / "config.yaml"


def _pool(profile="noisy"):
    rows = pool_rows(profile, 0)
    metadata = [json.dumps({key: row[key] for key in ("kind", "duplicate_of", "difficulty", "core", "oracle_rank")}) for row in rows]
    return rows, ([row["id"] for row in rows], [row["source"] for row in rows], read_metadata(metadata))


def test_the_whole_noisy_pool_audits_to_its_profile():
    rows, pool = _pool()
    audit = audit_selection(range(len(rows)), *pool)
    assert audit.rows == 3000
    assert audit.right + audit.wrong + audit.verbose + audit.off_task == pytest.approx(100)
    assert audit.off_task == pytest.approx(10)
    assert audit.wrong == pytest.approx(100 * sum(row["kind"] == "wrong" for row in rows) / 3000)
    assert audit.duplicate == pytest.approx(100 * sum(row["duplicate_of"] is not None for row in rows) / 3000)
    assert sum(audit.tasks.values()) == pytest.approx(100)
    assert audit.tasks["gsm"] == pytest.approx(28)


def test_the_oracles_first_rows_are_clean_and_balanced():
    rows, pool = _pool()
    order = sorted((number for number, row in enumerate(rows) if row["oracle_rank"] is not None), key=lambda n: rows[n]["oracle_rank"])
    audit = audit_selection(order[:140], *pool)
    assert (audit.right, audit.duplicate) == (pytest.approx(100), 0)
    assert all(share == pytest.approx(100 / 7) for share in audit.tasks.values())


def test_a_repeat_counts_once_its_item_is_already_selected_whichever_came_first():
    rows, pool = _pool()
    repeat = next(number for number, row in enumerate(rows) if row["duplicate_of"])
    original = next(number for number, row in enumerate(rows) if row["id"] == rows[repeat]["duplicate_of"])
    assert audit_selection([repeat], *pool).duplicate == 0
    assert audit_selection([repeat, original], *pool).duplicate == audit_selection([original, repeat], *pool).duplicate == 50


def test_a_pool_without_audit_fields_or_an_empty_selection_is_refused():
    _, pool = _pool("clean")
    with pytest.raises(UserError, match="no rows"):
        audit_selection([], *pool)
    with pytest.raises(UserError, match="only the miniature"):
        audit_selection([0], ["a"], ["web"], [{"license": "mit"}])


def test_a_pools_experiment_differs_in_name_and_data_alone():
    base = read_config(CONFIG)
    other = pool_experiment(base, "clean", 2)
    assert other.experiment == f"{base.experiment}-clean-2"
    assert (other.miniature.profile, other.miniature.seed) == ("clean", 2)
    assert other.pool.files == ["resources/miniature/clean-2/pool.jsonl"]
    text = json.dumps(other.model_dump(mode="json"))
    assert "noisy-0" not in text
    assert text.count("clean-2/") == json.dumps(base.model_dump(mode="json")).count("noisy-0/") >= 9
    assert other.training == base.training
    assert pool_experiment(base, "noisy", 0) == base


def test_an_experiment_without_generated_data_cannot_be_studied():
    base = read_config(CONFIG).model_copy(update={"miniature": None})
    with pytest.raises(UserError, match="miniature: not set"):
        pool_experiment(base, "clean", 0)


def test_macros_average_tasks_and_runs_of_the_sweeps_epochs(tmp_path):
    experiment = read_config(CONFIG).model_copy(update={"results": str(tmp_path)})
    layout = experiment.layout
    epochs = experiment.finetune.epochs
    lines = ["selector,selection_seed,budget,epochs,seed,task,score"]
    lines += [
        f"bids,0,0.05,{epochs},{seed},{task},{score}" for seed, task, score in ((0, "a", 10), (0, "b", 30), (1, "a", 20), (1, "b", 60))
    ]
    lines += [f"bids,0,0.05,{epochs + 1},0,a,99", "zero_shot,0,1.0,0,0,a,4", "zero_shot,0,1.0,0,0,b,6"]
    path = Path(layout.report) / "scores.csv"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n")
    assert read_macros(experiment) == {("bids", "0.05"): 30.0, ("zero_shot", "1.0"): 5.0}


def test_the_table_gives_mean_and_deviation_over_pools():
    pools = [("noisy", {("zero_shot", "1.0"): 4.0, ("bids", "0.05"): value, ("bids", "0.1"): 50.0}) for value in (40.0, 42.0, 44.0)]
    cells = gather(pools)
    assert cells[1] == Cell("noisy", "bids", "0.05", 3, 42.0, 2.0)
    assert markdown(cells).splitlines()[2:] == [
        "| selector | 5 % | 10 % |",
        "|---|---|---|",
        "| zero_shot | 4.0 ± 0.0 |  |",
        "| bids | 42.0 ± 2.0 | 50.0 ± 0.0 |",
    ]
    assert "| bids | 40.0 | 50.0 |" in markdown(gather(pools[:1]))
