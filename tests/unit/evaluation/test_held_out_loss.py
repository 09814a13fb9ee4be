"""Held-out loss against a plain loop over examples, and which items it is measured on."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from equipoise.config_file import parse_config
from equipoise.data.targets import prepare_targets
from equipoise.errors import UserError
from equipoise.evaluation.evaluate import evaluate
from equipoise.evaluation.loss import losses
from equipoise.evaluation.session import Session
from equipoise.harness.documents import content_hash
from equipoise.layout import Run
from equipoise.modelling.base import load_base
from equipoise.modelling.chat import Encoded
from equipoise.store.manifest import read_manifest
from helpers.evaluation_experiment import evaluation_values, make_adapter
from helpers.rows import texts, write_jsonl

ZERO, TUNED = Run("zero_shot", 0, "1.0", 0, 0), Run("bids", 0, "0.1", 1, 0)


def measured(config, run, suite) -> list[dict]:
    evaluate(config, run, suite, "loss")
    return [json.loads(line) for line in Path(config.layout.samples(run, suite, "loss")).read_text().splitlines()]


def plain_loss(model, example: Encoded) -> float:
    """One example, one forward pass, the library's own cross-entropy of each token."""
    ids = torch.tensor([example.input_ids])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0].float()
    each = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="none")
    wanted = [place for place in range(1, len(example.input_ids)) if place >= example.prompt_length]
    wanted = [place for place in wanted if not any(start <= place < stop for start, stop in example.gaps)]
    return float(np.mean([float(each[place - 1]) for place in wanted]))


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_losses_are_those_of_a_plain_loop(tiny_config, batch_size):
    base = load_base(tiny_config.model, "fp32", "cpu")
    draw = np.random.default_rng(0)
    examples = []
    for length in (5, 30, 30, 8, 2, 17, 31, 12, 3):
        ids = draw.integers(5, 60, length).tolist()
        prompt = int(draw.integers(0, length - 1))
        examples.append(Encoded(ids, prompt, ((prompt + 2, prompt + 3),) if length - prompt > 6 else ()))
    found = losses(base, examples, batch_size, 0)
    assert found == pytest.approx([plain_loss(base, example) for example in examples], rel=1e-5)


def test_in_bf16_losses_are_those_of_fp32_logits_from_the_bf16_states(tiny_config):
    base = load_base(tiny_config.model, "bf16", "cpu")
    draw = np.random.default_rng(0)
    examples = [Encoded(draw.integers(5, 60, length).tolist(), 2) for length in (9, 17, 30)]
    expected, rounded = [], []
    for example in examples:
        ids = torch.tensor([example.input_ids])
        with torch.no_grad():
            hidden, low = base.model(input_ids=ids).last_hidden_state[0, 1:-1], base(input_ids=ids).logits[0, 1:-1].float()
        logits = hidden.float() @ base.lm_head.weight.float().T
        for found, each in ((expected, logits), (rounded, low)):
            found.append(float(torch.nn.functional.cross_entropy(each, ids[0, 2:])))
    assert losses(base, examples, 1, 0) == pytest.approx(expected, rel=1e-6)
    assert rounded != pytest.approx(expected, rel=1e-6), "the logits' own rounding would not show"


@pytest.fixture
def values(tiny_values, tmp_path):
    values = evaluation_values(tiny_values, tmp_path)
    values["suites"]["chat"]["measure"] = "both"
    values["suites"]["plain"]["measure"] = "loss"
    return values


def test_every_item_that_accuracy_is_measured_on_has_its_loss_and_scores_are_their_mean(values):
    config = parse_config(values)
    prepare_targets(config, list(config.tasks))
    make_adapter(config, TUNED, 1)
    session = Session(config)
    for run in (ZERO, TUNED):
        evaluate(config, run, "chat", 0, session)
        rows = measured(config, run, "chat")
        accuracy = [json.loads(line) for line in Path(config.layout.samples(run, "chat", 0)).read_text().splitlines()]
        keys = ("task", "lm_eval_task", "doc_id", "content_hash")
        assert [[row[key] for key in keys] for row in rows] == [[row[key] for key in keys] for row in accuracy]
        assert [row["target"] for row in rows] == [row["target"] for row in accuracy]
        scores = read_manifest(config.layout.scores(run, "chat", "loss"), "scores")["tasks"]["first"]
        losses_ = np.array([row["score"] for row in rows])
        assert scores["score"] == pytest.approx(losses_.mean())
        assert scores["stderr"] == pytest.approx(losses_.std(ddof=1) / len(losses_) ** 0.5)
        with session.adapted("chat", config.layout.adapter(run) if run.trained else None) as model:
            plain = [plain_loss(model, example) for example in session.loss_items("chat").examples]
        assert losses_.tolist() == pytest.approx(plain, rel=1e-5)


def test_the_loss_of_a_choice_is_minus_lm_evals_likelihood_of_it_a_token(values):
    values["suites"]["plain"]["measure"] = "both"
    config = parse_config(values)
    prepare_targets(config, list(config.tasks))
    session = Session(config)
    rows = measured(config, ZERO, "plain")
    task = session.items("plain").tasks["tiny_second"]
    with session.language_model("plain", None) as model:
        for row in rows[:6]:
            ((likelihood, _),) = model._loglikelihood_tokens([(("", ""), *model._encode_pair(row["prompt"], row["target"]))])
            assert row["score"] * row["tokens"] == pytest.approx(-likelihood, rel=1e-5)
            doc = task.eval_docs[row["doc_id"]]
            assert row["target"] == task.config.target_delimiter + task.doc_to_choice(doc)[doc["answer"]]


def test_a_file_of_prompts_and_responses_is_a_whole_task(tiny_values, tmp_path):
    turns = [{"role": role, "content": text} for role, text in (("user", "w1"), ("assistant", "w2"), ("user", "w3"), ("assistant", "w4"))]
    drawn_from = [{**row, "id": f"again-{row['id']}"} for row in texts(6, 3)]  # these stand in first.jsonl
    held_out = write_jsonl(tmp_path / "held.jsonl", [*texts(5, 30), {"messages": turns}, *drawn_from])
    tiny_values["tasks"]["first"] |= {"suite": "mine", "test_files": [held_out]}
    tiny_values["tasks"]["second"] |= {"suite": "mine"}
    config = parse_config(tiny_values | {"suites": {"mine": {"measure": "loss", "batch_size": 4}}})
    prepare_targets(config, list(config.tasks))
    rows = measured(config, ZERO, "mine")
    known = {task: set(read_manifest(config.layout.target_manifest(task), "targets")["hashes"]) for task in config.tasks}
    by_task = {task: [row for row in rows if row["task"] == task] for task in config.tasks}
    assert len(by_task["first"]) == 5 + 1 + 2
    assert len(by_task["second"]) == 2, "what was not drawn of six"
    assert all(content_hash(row["prompt"]) not in known[row["task"]] for row in rows)
    assert [row["tokens"] for row in by_task["first"]][5] == 4, "both answers of the conversation, each with its end"
    facts = read_manifest(config.layout.scores(ZERO, "mine", "loss"), "scores")["tasks"]
    assert (facts["first"]["held_out"], facts["second"]["held_out"]) == (4, 4)
    assert facts["first"]["metric"] == "held_out_loss"
    first = Path(config.layout.samples(ZERO, "mine", "loss"))
    before = first.stat().st_mtime_ns
    evaluate(config, ZERO, "mine", "loss")
    assert first.stat().st_mtime_ns == before, "already there"


def test_items_without_room_for_their_response_are_counted_and_none_at_all_are_refused(tiny_values, tmp_path):
    long = {"prompt": "w1 " * 40, "response": "w2"}
    cut = {"prompt": "w3 " * 20, "response": "w4 " * 20}
    tiny_values["tasks"]["first"] |= {"suite": "mine", "test_files": [write_jsonl(tmp_path / "held.jsonl", [long, cut, *texts(3, 30)])]}
    tiny_values["suites"] = {"mine": {"measure": "loss"}}
    config = parse_config(tiny_values)
    prepare_targets(config, ["first"])
    assert len(measured(config, ZERO, "mine")) == 4
    facts = read_manifest(config.layout.scores(ZERO, "mine", "loss"), "scores")["tasks"]["first"]
    assert (facts["too_long"], facts["cut"]) == (1, 1)
    write_jsonl(tmp_path / "held.jsonl", [long])
    with pytest.raises(UserError, match=r"tasks.first: none of its 1 items has a reference response within 32 tokens"):
        evaluate(config, ZERO, "mine", "loss")


def test_files_whose_examples_are_all_drawn_leave_no_item(tiny_values):
    tiny_values["tasks"]["first"] |= {"suite": "mine"}
    tiny_values |= {"suites": {"mine": {"measure": "loss"}}, "targets": {"size": 6}}
    with pytest.raises(UserError, match=r"tasks.first.files: all of their 6 examples are validation examples.*; write test_files, or a sm"):
        prepare_targets(parse_config(tiny_values), ["first"])
