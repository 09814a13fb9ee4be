"""Validation prompts are those of the evaluation: what changes these schedules them again, and nothing else of a suite does."""

import pytest

from equipoise.modelling.template import CHAT_TEMPLATE
from helpers.evaluation_experiment import GENERATE
from helpers.workflow_runs import Workflow


@pytest.mark.slow
def test_an_edit_of_how_a_suite_puts_its_prompts_schedules_the_validation_examples(tiny_values, tmp_path):
    for folder in ("definitions", "others"):
        (tmp_path / folder).mkdir()
        for task in ("first", "second"):
            definition = GENERATE.format(name=task, file=tiny_values["tasks"][task]["files"][0], stop="w7")
            (tmp_path / folder / f"{task}.yaml").write_text(definition)
    suite = {"include_path": str(tmp_path / "definitions"), "batch_size": 8}
    apart = {"include_path": str(tmp_path / "definitions")}
    tiny_values["suites"] = {"mine": suite, "apart": apart}
    for task, name in (("first", "mine"), ("second", "apart")):
        tiny_values["tasks"][task] |= {"suite": name, "lm_eval_tasks": [f"tiny_{task}"]}
    workflow = Workflow(tmp_path, tiny_values)
    goals = [str(workflow.results / "tiny" / "tiny" / "targets" / task / "manifest.json") for task in tiny_values["tasks"]]
    workflow.run(*goals)
    for edit in ({"chat": False}, {"num_fewshot": 3}, {"include_path": str(tmp_path / "others")}):
        workflow.values["suites"] = {"mine": suite | edit, "apart": apart}
        assert workflow.planned(*goals) == {"prepare_targets": 1}, edit
    workflow.values["suites"] = {"mine": suite | {"batch_size": 4, "limit": 2, "seeds": [1]}, "apart": apart | {"batch_size": 2}}
    assert workflow.planned(*goals) == {}


@pytest.mark.slow
def test_an_edit_of_a_chat_template_schedules_all_that_reads_it(tiny_values, tmp_path):
    template = tmp_path / "template.jinja"
    template.write_text(CHAT_TEMPLATE)
    tiny_values["model"]["chat_template"] = str(template)
    workflow = Workflow(tmp_path, tiny_values)
    goals = [str(workflow.results / "tiny" / "tiny" / name) for name in ("pool/manifest.json", "targets/first/manifest.json")]
    workflow.run(*goals)
    assert workflow.planned(*goals) == {}
    template.write_text(CHAT_TEMPLATE.replace("<|assistant|>", "<|answer|>"))
    assert workflow.planned(*goals).keys() >= {"prepare_pool", "prepare_targets"}
