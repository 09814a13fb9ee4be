"""`benchmark: lm_eval`: validation examples from any lm-eval task's own splits, prompts and targets; the tasks here read local files."""

import json

import pytest
import yaml

from equipoise.config_file import parse_config
from equipoise.data.targets import examined_targets, prepare_targets, task_targets
from equipoise.errors import UserError
from equipoise.evaluation.items import suite_items
from helpers.rows import write_jsonl

LABELS = ["no", "yes", "maybe"]
GENERATE = {"output_type": "generate_until", "doc_to_text": "Say {{word}}.\nAnswer:", "doc_to_target": "{{said}}"}
GENERATE["generation_kwargs"] = {"until": ["\n"], "max_gen_toks": 8}
GENERATE["metric_list"] = [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}]
CHOICE = {"output_type": "multiple_choice", "doc_to_text": "Is it {{word}}?", "doc_to_choice": LABELS, "doc_to_target": "label"}
CHOICE["metric_list"] = [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]


def rows(split: str, count: int = 6) -> list[dict]:
    return [{"word": f"w{i} {split}", "said": f"w{i}", "label": i % 3, "several": [f"w{i}", "w99"], "odd": {"a": i}} for i in range(count)]


@pytest.fixture
def drawn(tiny_values, tmp_path):
    """Configuration of one task `own` over definitions written from dictionaries, by name, and splits written from rows."""

    def made(definition, splits=("train", "validation", "test"), suite=None, size=4, validation="paper", names=("tiny",), **task):
        folder = tmp_path / "definitions"
        folder.mkdir(exist_ok=True)
        given = splits if isinstance(splits, dict) else {split: rows(split) for split in splits}
        files = {split: write_jsonl(tmp_path / f"{split}.jsonl", listed) for split, listed in given.items()}
        place = {"dataset_path": "json", "dataset_kwargs": {"data_files": files}}
        keys = {"train": "training_split", "validation": "validation_split", "test": "test_split"}
        place |= {keys[split]: split for split in given if split in keys}
        listed = definition if isinstance(definition, list) else [definition]
        for number, each in enumerate(listed):
            name = each.get("task", "tiny") if len(listed) > 1 else "tiny"
            (folder / f"{number}.yaml").write_text(yaml.safe_dump({"task": name, **place, "num_fewshot": 0, **each}))
        metric = "acc,none" if listed[0].get("output_type") == "multiple_choice" else "exact_match,none"
        described = {"capability": "any", "benchmark": "lm_eval", "lm_eval_tasks": list(names), "suite": "mine", "metric": metric, **task}
        suites = {"mine": {"include_path": str(folder), **(suite or {})}}
        values = tiny_values | {"tasks": {"own": described}, "suites": suites, "targets": {"size": size, "validation": validation}}
        values["model"] = values["model"] | {"max_length": 256}
        return parse_config(values)

    return made


def test_the_validation_split_gives_the_tasks_own_prompts_and_targets(drawn):
    found, manifest = task_targets(drawn(GENERATE), "own")
    assert [json.loads(row["origin"])["split"] for row in found] == ["validation"] * 4
    for row in found:
        number = json.loads(row["origin"])["doc_id"]
        assert (row["prompt"], row["response"]) == (f"Say w{number} validation.\nAnswer:", f"w{number}")
        assert row["id"] == f"tiny/validation/{number}"
    assert manifest["holdout"] == {"tiny": []}
    assert task_targets(drawn(GENERATE), "own")[0] == found


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("label", ["label", "{{label}}", "{{['no', 'yes', 'maybe'][label]}}", "{{[label]}}"])
def test_the_target_of_a_choice_is_the_right_choice_as_it_is_scored(drawn, chat, label):
    config = drawn(CHOICE | {"doc_to_target": label}, suite={"chat": chat})
    found, _ = task_targets(config, "own")
    prepare_targets(config, ["own"])
    task = suite_items(config, "mine").tasks["tiny"]
    for row in found:
        doc = task.validation_docs()[json.loads(row["origin"])["doc_id"]]
        scored = task.construct_requests(doc, row["prompt"], apply_chat_template=chat, metadata=("tiny", 0, 1))
        assert (row["prompt"], row["response"]) == scored[doc["label"]].arguments


@pytest.mark.parametrize(
    ("definition", "chat", "response"),
    [
        (GENERATE | {"doc_to_target": "several"}, True, "w{}"),
        (GENERATE, False, " w{}"),
        (GENERATE | {"target_delimiter": "\n"}, False, "\nw{}"),
        (GENERATE | {"doc_to_target": "label"}, True, "{}"),
        ({**GENERATE, "output_type": "loglikelihood", "doc_to_target": " {{said}}"}, False, " w{}"),
    ],
)
def test_targets_of_other_forms(drawn, definition, chat, response):
    definition = {key: value for key, value in definition.items() if definition["output_type"] != "loglikelihood" or "gener" not in key}
    if definition["output_type"] == "loglikelihood":
        definition["metric_list"] = [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]
    found, _ = task_targets(drawn(definition, suite={"chat": chat}), "own")
    numbers = [json.loads(row["origin"])["doc_id"] for row in found]
    assert [row["response"] for row in found] == [response.format(n % 3 if response == "{}" else n) for n in numbers]


@pytest.mark.parametrize(
    ("splits", "split", "held_out"),
    [
        (("train", "test"), "train", 0),
        (("train", "validation"), "train", 0),
        (("validation",), "validation", 4),
        (("test", "valid", "dev"), "valid", 0),  # which the definition does not name
    ],
)
def test_the_split_is_not_the_evaluated_one_where_there_is_another(drawn, splits, split, held_out):
    found, manifest = task_targets(drawn(GENERATE, splits), "own")
    assert {json.loads(row["origin"])["split"] for row in found} == {split}
    assert len(manifest["holdout"]["tiny"]) == held_out


def test_examples_that_stand_among_the_evaluated_items_do_not_serve(drawn):
    long = "a b c d e f g h i j k l m n o p q r s"
    evaluated = [{**row, "word": f"{row['word']} {long}"} if i < 2 else row for i, row in enumerate(rows("test", 7))]
    train = rows("train")
    train[1]["word"] = evaluated[4]["word"]
    train[2]["word"] = f"other {long}"
    train[3]["said"] = ""
    config = drawn(GENERATE, {"train": train, "test": evaluated}, size=3)
    assert [row["id"] for row in task_targets(config, "own")[0]] == ["tiny/train/0", "tiny/train/4", "tiny/train/5"]
    config = drawn(GENERATE, {"train": train, "test": evaluated}, size=4)
    message = r"there are 3 examples, fewer than targets.size 4, as 1 have no target, as 2 share their question or 13 words .* at most 3"
    with pytest.raises(UserError, match=message):
        task_targets(config, "own")


def test_words_of_the_prompt_around_all_items_are_no_sign(drawn):
    around = "Read the following question with great care and then answer it in one single short word: {{word}}"
    assert len(task_targets(drawn(GENERATE | {"doc_to_text": around}), "own")[0]) == 4


def test_no_validation_example_is_a_shot_of_itself_or_another(drawn):
    config = drawn(GENERATE | {"num_fewshot": 2}, ("train", "test"))
    found, _ = task_targets(config, "own")
    asked = {f"Say w{json.loads(row['origin'])['doc_id']} train." for row in found}
    for row in found:
        assert row["prompt"].count("Say ") == 3
        assert sum(row["prompt"].count(each) for each in asked) == 1


@pytest.mark.parametrize("name", ["both", "tagged"])
def test_groups_and_tags_are_drawn_evenly_over_their_tasks(drawn, tmp_path, name):
    tasks = [GENERATE | {"task": "one", "tag": "tagged"}, GENERATE | {"task": "two", "tag": "tagged", "doc_to_text": "Tell {{word}}."}]
    drawn(tasks)
    (tmp_path / "definitions" / "group.yaml").write_text(yaml.safe_dump({"group": "both", "task": ["one", "two"]}))
    found, _ = task_targets(drawn(tasks, names=(name,)), "own")
    assert [row["id"].split("/")[0] for row in found] == ["one", "one", "two", "two"]


TRAIN = ("train", "test")
FIVES = {"test": rows("test"), "train": [{**row, "label": 5} for row in rows("train")]}
MISTAKES = {
    "only a test split": (GENERATE, ("test",), {}, r"lm-eval task tiny: it has no validation or training split .* has test_split test\)"),
    "leak-free": (GENERATE, ("validation",), {"validation": "leak_free"}, r"tiny: it has no validation or training split"),
    "a split that is not there": (GENERATE | {"validation_split": "dev"}, TRAIN, {}, r"tiny: its data have no split 'dev'"),
    "too few": (GENERATE, TRAIN, {"size": 7}, r"tasks.own: there are 6 examples, fewer than targets.size 7; write at most 6"),
    "a constant": (GENERATE | {"doc_to_target": 0}, TRAIN, {}, r"tiny: its target is the number 0 for every document"),
    "no text": (GENERATE | {"doc_to_target": "odd"}, TRAIN, {}, r"lm-eval task tiny: its target is a dict, no text"),
    "running text": (GENERATE | {"output_type": "loglikelihood_rolling"}, TRAIN, {}, r"tiny: it scores whole texts"),
    "images": (GENERATE | {"doc_to_image": ["word"]}, TRAIN, {}, r"tiny: its documents have images or sounds"),
    "an undefined name": (GENERATE | {"doc_to_text": "{{nowhere}}"}, TRAIN, {}, r"'nowhere' is undefined"),
    "an error in a later row": (GENERATE | {"doc_to_text": "{{7 // (5 - label)}}"}, FIVES, {}, r"put into words: ZeroDivisionError"),
    "bad syntax": (GENERATE | {"doc_to_text": "{{word"}, TRAIN, {}, r"tiny"),
    "an answer begun": (GENERATE | {"gen_prefix": "So"}, TRAIN, {}, r"tiny: a task with gen_prefix or several contexts"),
    "a metric": (GENERATE, TRAIN, {"metric": "acc,none"}, r"tasks.own.metric: tiny does not report 'acc,none'"),
    "a long prompt": (GENERATE | {"description": "w1 " * 300}, TRAIN, {}, r"tasks.own: the prompt of validation example tiny/train/\d"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_does_not_serve_is_one_line(drawn, mistake):
    definition, splits, more, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message) as refusal:
        list(examined_targets(drawn(definition, splits, **more), ["own"]))
    assert "\n" not in str(refusal.value)


def test_lm_eval_tasks_have_to_be_named(tiny_values):
    values = tiny_values | {"tasks": {"own": {"capability": "any", "benchmark": "lm_eval"}}}
    with pytest.raises(UserError, match=r"tasks.own.lm_eval_tasks: lm_eval draws from the tasks that are named there"):
        parse_config(values)
