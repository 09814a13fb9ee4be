"""Scores say what the programs that they grade ran in."""

from conftest import usable_mode
from equipoise.config_file import parse_config
from equipoise.data.targets import prepare_targets
from equipoise.evaluation.containers import CONTAINERS
from equipoise.evaluation.evaluate import evaluate
from equipoise.layout import Run
from equipoise.store.manifest import read_manifest
from helpers.evaluation_experiment import evaluation_values

ZERO = Run("zero_shot", 0, "1.0", 0, 0)


def test_the_manifest_of_scores_says_what_programs_ran_in(tiny_values, tmp_path):
    usable_mode("process")
    values = evaluation_values(tiny_values, tmp_path, test_rows=8) | {"sandbox": {"mode": "process"}}
    definition = tmp_path / "definitions" / "first.yaml"
    definition.write_text(definition.read_text() + "unsafe_code: true\n")
    config = parse_config(values)
    prepare_targets(config, list(config.tasks))
    within = []
    for suite in ("chat", "plain"):
        evaluate(config, ZERO, suite, 0)
        within.append(read_manifest(config.layout.scores(ZERO, suite, 0), "scores").get("sandbox"))
    assert within == [{"mode": "process", "version": CONTAINERS["process"].version()}, None]
