"""What stages run by hand have left, and a configuration that was changed since: the workflow plans to make it again, by every key."""

import json
from pathlib import Path

import pytest

from equipoise.cluster.unmade import stands_now, unmade
from equipoise.determinants import READS, determinants, leaves
from equipoise.store.kinds import KINDS
from helpers.every_kind import NAMES, make_every_kind
from helpers.flips import flipped

WITHOUT_A_MANIFEST = {"generate_miniature", "report"}
"""The miniature's data lie in a folder of their own for every pool; the report is made of scores, and of nothing that costs."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An experiment with an artefact of every kind, of which snakemake knows nothing."""
    return make_every_kind(tmp_path_factory.mktemp("by-hand"))


def manifests(config) -> list[tuple[str, dict, str]]:
    return [(kind, of, KINDS[kind].manifest(config.layout, of)) for kind, listed in NAMES.items() for of in listed]


def test_every_stage_that_reads_the_configuration_leaves_a_manifest():
    assert {KINDS[kind].stage for kind in NAMES} >= READS.keys() - WITHOUT_A_MANIFEST


def test_every_key_that_determines_a_stage_makes_what_was_made_by_hand_again(made):
    kept = {"tasks": list(made.tasks), "suites": list(made.suites)}
    keys = [path for name in type(made).model_fields for path, effect, _ in leaves(made, [name], kept) if effect is None]
    told = set()
    for path in keys:
        other, known = flipped(made, path), {}
        for kind, of, manifest in manifests(made):
            stage, scope = KINDS[kind].stage, KINDS[kind].scope(made, of)
            counts = stage in READS and determinants(made, stage, **scope) != determinants(other, stage, **KINDS[kind].scope(other, of))
            assert stands_now(other, known, manifest) is not counts, (path, kind, of)
            told |= {stage} if counts else set()
    assert told == {KINDS[kind].stage for kind in NAMES if determinants_of(made, kind)}


def determinants_of(config, kind: str) -> bool:
    stage = KINDS[kind].stage
    return stage in READS and any(determinants(config, stage, **KINDS[kind].scope(config, of)) for of in NAMES[kind])


def test_a_limit_of_the_pool_that_was_changed_plans_the_pool_again(made):
    assert unmade(made) == set()
    changed = made.model_copy(update={"pool": made.pool.model_copy(update={"limit": 30})})
    assert {made.layout.pool_manifest, made.layout.pool, made.layout.contamination} == unmade(changed)


@pytest.mark.parametrize(("file", "kinds"), [("pool", {"pool", "contamination"}), ("second", {"targets"})])
def test_other_content_of_the_users_files_makes_what_came_of_them_again(made, file, kinds):
    path = next(Path(each) for each in [*made.pool.files, *made.tasks["second"].files] if Path(each).stem == file)
    before = path.read_bytes()
    path.write_text(json.dumps({"prompt": "another", "response": "one"}) + "\n")
    try:
        again = {kind for kind, _, manifest in manifests(made) if not stands_now(made, {}, manifest)}
    finally:
        path.write_bytes(before)
    assert again == kinds
