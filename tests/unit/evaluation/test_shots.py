"""No few-shot text is a validation example, wherever a task takes its shots from."""

import pytest

from equipoise.config_file import parse_config
from equipoise.data.targets import prepare_targets, task_targets
from equipoise.errors import UserError
from equipoise.evaluation.items import suite_items
from helpers.evaluation_experiment import ANSWERS, evaluation_values
from helpers.rows import texts, write_jsonl

TRAIN = """
    train: {file}
training_split: train
fewshot_split: train
"""
LISTED = """
fewshot_config:
  sampler: first_n
  samples:
    - {input: "w3 + w0 ?", target: "w9 ."}
    - {input: "w4 + w1 ?", target: "w12 ."}
"""
LOGIC = (
    "task: tiny_logic\n"
    + ANSWERS
    + """\
doc_to_text: "Q {{{{input}}}}"
doc_to_target: "{{{{target}}}}"
num_fewshot: {shots}
"""
)


def shot_texts(task) -> list[str]:
    return [doc["prompt"] for doc in task.sampler.fewshot_docs()]


def test_validation_examples_leave_a_draw_from_another_split(tiny_values, tmp_path):
    values = evaluation_values(tiny_values, tmp_path, shots=2)
    shown = write_jsonl(tmp_path / "shots.jsonl", [{**row, "answer": 0} for row in texts(6, 11)[:4] + texts(6, 30)])
    definition = tmp_path / "definitions" / "second.yaml"
    definition.write_text(definition.read_text().replace("\ntest_split", TRAIN.format(file=shown) + "test_split"))
    config = parse_config(values)
    prepare_targets(config, ["second"])
    validation = {row["prompt"] for row in task_targets(config, "second")[0]}
    assert validation & {row["prompt"] for row in texts(6, 11)[:4]}
    task = suite_items(config, "plain").tasks["tiny_second"]
    assert set(shot_texts(task)) == {row["prompt"] for row in texts(6, 11)[:4] + texts(6, 30)} - validation


def test_shots_that_are_validation_examples_and_cannot_be_spared_are_refused(tiny_values, tmp_path):
    values = evaluation_values(tiny_values, tmp_path, shots=2)
    listed = "\nfewshot_config:\n  sampler: first_n\n  samples:\n"
    listed += "".join(f"    - {{prompt: '{row['prompt']}', answer: 1}}\n" for row in texts(6, 11)[:2])
    definition = tmp_path / "definitions" / "second.yaml"
    definition.write_text(definition.read_text() + listed)
    values["targets"]["size"] = 6
    config = parse_config(values)
    prepare_targets(config, ["second"])
    with pytest.raises(UserError, match="tiny_second: 2 of its 2 few-shot examples are validation examples"):
        suite_items(config, "plain")


@pytest.mark.parametrize("shots", [0, 2])
def test_a_document_that_every_prompt_shows_does_not_serve_for_validation(tiny_values, tmp_path, shots):
    rows = [{"input": row["prompt"], "target": row["response"]} for row in texts(6, 3)]
    (tmp_path / "definitions").mkdir()
    file = write_jsonl(tmp_path / "logic.jsonl", rows)
    (tmp_path / "definitions" / "logic.yaml").write_text(LOGIC.format(file=file, shots=shots) + LISTED)
    task = {"capability": "logic", "benchmark": "bbh", "suite": "chat", "lm_eval_tasks": ["tiny_logic"]}
    tiny_values |= {"tasks": {"logic": task}, "suites": {"chat": {"include_path": str(tmp_path / "definitions")}}}
    drawn = {row["id"].rpartition("/")[2] for row in task_targets(parse_config(tiny_values | {"targets": {"size": 4}}), "logic")[0]}
    if shots:
        assert drawn == {"2", "3", "4", "5"}
        with pytest.raises(UserError, match=r"there are 4 examples, fewer than targets\.size 5"):
            task_targets(parse_config(tiny_values | {"targets": {"size": 5}}), "logic")
    else:
        assert len(task_targets(parse_config(tiny_values | {"targets": {"size": 5}}), "logic")[0]) == 5, "without shots all serve"
        with pytest.raises(UserError, match=r"all of its 6 items are validation examples; write a smaller targets\.size"):
            task_targets(parse_config(tiny_values | {"targets": {"size": 6}}), "logic")
