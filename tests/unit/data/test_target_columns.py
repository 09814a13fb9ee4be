"""Benchmark data that lack a column, or whose checker lacks its data, are one line before anything is drawn or generated."""

import json

import nltk
import pytest

from equipoise.benchmarks import BENCHMARKS
from equipoise.config_file import parse_config
from equipoise.data.fetch import fetch
from equipoise.data.targets import prepare_targets, task_targets
from equipoise.errors import UserError
from equipoise.evaluation.items import suite_items
from equipoise.store.manifest import read_manifest
from helpers.evaluation_experiment import ANSWERS
from helpers.punkt_tab import punkt_tab
from helpers.rows import write_jsonl

DEFINITION = (
    "task: tiny\n"
    + ANSWERS
    + """\
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "w1"
num_fewshot: 0
"""
)
SENTENCES = "length_constraints:number_sentences"


def values_of(tiny_values, tmp_path, name: str, rows: list[dict], more: str = "", **task) -> dict:
    """`tiny_values` with one task of benchmark `name`, whose lm-eval task reads `rows`."""
    folder = tmp_path / "definitions"
    folder.mkdir(exist_ok=True)
    (folder / "tiny.yaml").write_text(DEFINITION.format(file=write_jsonl(tmp_path / "test.jsonl", rows)) + more)
    described = {"capability": "any", "benchmark": name, "suite": "chat", "lm_eval_tasks": ["tiny"], **task}
    suites = {"chat": {"include_path": str(folder)}}
    return tiny_values | {"tasks": {name: described}, "suites": suites, "sandbox": {"mode": "process"}}


@pytest.mark.parametrize("name", [name for name, entry in BENCHMARKS.items() if entry.tasks])
def test_every_column_that_is_read_is_asked_for_when_fetched_and_when_drawn(tiny_values, tmp_path, name, monkeypatch):
    monkeypatch.setattr(nltk.data, "path", [punkt_tab(tmp_path / "nltk")])
    columns = BENCHMARKS[name].columns
    files = [write_jsonl(tmp_path / "responses.jsonl", [{"prompt": "w1", "response": "w2"}])] if BENCHMARKS[name].files else []
    for missing in columns:
        kept = [column for column in columns if column != missing]
        folder = tmp_path / missing
        folder.mkdir()
        values = values_of(tiny_values, folder, name, [dict.fromkeys([*kept, "other"], f"w{i}") for i in range(9)], files=files)
        definition = folder / "definitions" / "tiny.yaml"
        definition.write_text(definition.read_text().replace("{{prompt}}", "{{other}}"))
        config = parse_config(values)
        for stage in (fetch, lambda config: prepare_targets(config, [name])):
            with pytest.raises(UserError, match=f"tasks.{name}: json, split test, has no column '{missing}', it has ") as refusal:
                stage(config)
            assert "\n" not in str(refusal.value)


def test_a_column_that_a_users_definition_alone_reads_is_named_too(tiny_values, tmp_path):
    values = values_of(tiny_values, tmp_path, "bbh", [{"prompt": f"w{i}", "input": "w1", "target": "w2"} for i in range(9)])
    definition = tmp_path / "definitions" / "tiny.yaml"
    definition.write_text(definition.read_text().replace('"w1"', "\"{{'w1' if prompt == 'w0' else nowhere}}\""))
    with pytest.raises(UserError, match=r"tasks.bbh: its data lack a column that is read \('nowhere' is undefined\)"):
        task_targets(parse_config(values), "bbh")


@pytest.fixture
def instructions(tiny_values, tmp_path) -> dict:
    """IFEval's checker on eight prompts of which the last four ask for sentences; four responses, to the first."""
    rows = [
        {
            "key": i,
            "prompt": f"w{i}",
            "instruction_id_list": [SENTENCES if i > 3 else "punctuation:no_comma"],
            "kwargs": [{"num_sentences": 1 if i > 3 else None, "relation": "at least" if i > 3 else None}],
        }
        for i in range(8)
    ]
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "checks.py").write_text("from lm_eval.tasks.ifeval.utils import process_results\n")
    metrics = "process_results: !function checks.process_results\nmetric_list:\n  - metric: prompt_level_strict_acc\n"
    metrics += "    aggregation: mean\n    higher_is_better: true\n"
    responses = write_jsonl(tmp_path / "responses.jsonl", [{"prompt": f"w{i}", "response": "w1 w2 ."} for i in range(4)])
    values = values_of(tiny_values, tmp_path, "ifeval", rows, metrics, files=[responses], metric="prompt_level_strict_acc,none")
    return values | {"targets": {"size": 2}}


def test_items_that_need_punkt_tab_are_refused_with_the_validation_examples_where_it_is_not(instructions, tmp_path, monkeypatch):
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nowhere")])
    message = r"suites.chat: ifeval: 4 of IFEval's items cannot be checked .* run `python -m nltk.downloader punkt_tab`"
    with pytest.raises(UserError, match=message):
        task_targets(parse_config(instructions), "ifeval")
    limited = parse_config(instructions | {"suites": {"chat": instructions["suites"]["chat"] | {"limit": 1}}})
    prepare_targets(limited, ["ifeval"])  # no item that is evaluated needs it, and no response to a prompt that does
    assert suite_items(limited, "chat").samples["tiny"][0] < 4
    config = parse_config(instructions)
    with pytest.raises(UserError, match=message):
        suite_items(config, "chat")
    assert len(suite_items(config, "chat", whole=True).samples["tiny"]) == 6, "to be looked at, they need no checker"
    monkeypatch.setattr(nltk.data, "path", [punkt_tab(tmp_path / "nltk")])
    assert len(suite_items(config, "chat").samples["tiny"]) == 6


def test_fetch_refuses_the_whole_of_ifeval_without_punkt_tab_before_it_fetches_anything(instructions, tmp_path, monkeypatch):
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nowhere")])
    monkeypatch.setattr(nltk, "download", lambda *_, **__: False)
    instructions["model"]["base"] = "/no/such/base"
    with pytest.raises(UserError, match=r"^tasks.ifeval: NLTK's punkt_tab could not be fetched, and without suites.chat.limit"):
        fetch(parse_config(instructions))
    instructions["suites"]["chat"]["limit"] = 1
    with pytest.raises(UserError, match=r"^model.base: no folder"):
        fetch(parse_config(instructions))


def test_a_response_whose_check_needs_punkt_tab_is_refused_where_it_is_not(instructions, tmp_path, monkeypatch):
    rows = [json.loads(line) for line in (tmp_path / "responses.jsonl").read_text().splitlines()]
    write_jsonl(
        tmp_path / "responses.jsonl", [{**row, "prompt": row["prompt"].replace("w", "w1") if i else "w7"} for i, row in enumerate(rows)]
    )
    instructions["targets"]["size"] = 1
    config = parse_config(instructions)
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nowhere")])
    with pytest.raises(UserError, match=r"1 of IFEval's items cannot be checked without NLTK's punkt_tab, which is not here"):
        prepare_targets(config, ["ifeval"])
    monkeypatch.setattr(nltk.data, "path", [punkt_tab(tmp_path / "nltk")])
    prepare_targets(config, ["ifeval"])
    manifest = read_manifest(config.layout.target_manifest("ifeval"), "targets")
    assert manifest["ids"] == ["tiny/test/7"]
