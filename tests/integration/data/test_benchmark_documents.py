"""What each benchmark says of itself, held against two documents of its form and the evaluation of its lm-eval task."""

import json

import nltk
import pytest

from equipoise.benchmarks import BENCHMARKS
from equipoise.config_file import parse_config
from equipoise.data.targets import task_targets
from equipoise.evaluation.grading import sandboxed
from equipoise.harness.documents import target_text
from equipoise.harness.tasks import load_tasks
from helpers.benchmark_checks import score
from helpers.benchmark_documents import DOCUMENTS
from helpers.punkt_tab import punkt_tab
from helpers.rows import write_jsonl

NAMES = [name for name, entry in BENCHMARKS.items() if entry.tasks]
SPLITS = ("train", "validation", "dev", "test", "verified")


class Recording(dict):
    """A document that remembers which of its fields were read."""

    def __init__(self, fields):
        super().__init__(fields)
        self.read = set()

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)


@pytest.fixture
def of_benchmark(tiny_values, tmp_path, monkeypatch):
    """name -> a configuration with the benchmark's documents as its data, and the lm-eval task that evaluates them."""
    from datasets import Dataset, DatasetDict
    from lm_eval.api.task import ConfigurableTask

    monkeypatch.setattr(nltk.data, "path", [punkt_tab(tmp_path / "nltk")])

    def made(name):
        known, entry = DOCUMENTS[name], BENCHMARKS[name]
        splits = DatasetDict({split: Dataset.from_list(known.rows) for split in SPLITS})
        monkeypatch.setattr(ConfigurableTask, "download", lambda self, *_, **__: setattr(self, "dataset", splits))
        task = {"capability": "any", "benchmark": name, "suite": "own", "lm_eval_tasks": [known.leaf]}
        if entry.files:
            rows = [{"prompt": row["prompt"], "response": text} for row, text in zip(known.rows, known.responses, strict=True)]
            task["files"] = [write_jsonl(tmp_path / "responses.jsonl", rows)]
        changes = {"tasks": {name: task}, "suites": {"own": {"chat": entry.chat, "num_fewshot": 0}}, "targets": {"size": 1}}
        config = parse_config(tiny_values | changes | {"sandbox": {"mode": "process"}})
        return config, load_tasks([known.leaf]).tasks[known.leaf]

    return made


def test_every_benchmark_has_documents():
    assert set(DOCUMENTS) == set(NAMES), "write two documents of its form into tests/helpers/benchmark_documents.py"


@pytest.mark.parametrize("name", NAMES)
def test_the_response_of_a_validation_example_is_what_the_evaluation_counts_as_right(name, of_benchmark, sandbox_modes):
    if BENCHMARKS[name].runs_programs and "process" not in sandbox_modes:
        pytest.skip("this machine does not allow sandbox.mode process")
    config, task = of_benchmark(name)
    drawn = {}
    for seed in range(20):  # one at a time: an item must be left to evaluate
        ((row,), _) = task_targets(config.model_copy(update={"seed": seed}), name)
        drawn[row["id"]] = row
    assert len(drawn) == len(DOCUMENTS[name].rows)
    for row in drawn.values():
        doc = task.eval_docs[json.loads(row["origin"])["doc_id"]]
        if task.OUTPUT_TYPE == "multiple_choice":
            choices = [task.config.target_delimiter + choice for choice in task.doc_to_choice(doc)]
            assert choices.index(row["response"]) == task.doc_to_target(doc)
        else:
            with sandboxed(config.sandbox):
                assert score(task, doc, row["response"], config.tasks[name].metric) == 1.0
                assert score(task, doc, "no answer", config.tasks[name].metric) == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_the_columns_that_a_benchmark_reads_are_those_it_names(name, of_benchmark):
    _, task = of_benchmark(name)
    entry = BENCHMARKS[name]
    doc = Recording(task.eval_docs[0])
    if entry.response:
        entry.response(task, doc, target_text(task, doc))
    if entry.accept:
        entry.accept(task, doc, DOCUMENTS[name].responses[0])
    if entry.family:
        entry.family(doc)
    own = set(DOCUMENTS[name].rows[0])
    assert doc.read & own <= set(entry.columns), f"name them in columns of benchmarks/{name}.py"
    assert set(entry.columns) | set(entry.searched) <= own, "columns, searched: there is no such field"
    assert entry.searched, "searched: name the fields whose words `decontaminate` looks for"
