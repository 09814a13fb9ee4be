"""Audit of selections: what a generated pool knows of its own rows."""

import json

import pytest

from equipoise.errors import UserError
from equipoise.miniature.composition import audit_selection, read_metadata
from equipoise.miniature.generated_pool import pool_rows


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
