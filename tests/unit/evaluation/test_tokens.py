"""Evaluation sees the tokens of training, and its decoding gives what transformers' own does."""

import pytest
import torch

from equipoise.config_file import parse_config
from equipoise.data.targets import prepare_targets, task_targets
from equipoise.evaluation.decoding import decode
from equipoise.evaluation.session import Session
from equipoise.layout import Run
from equipoise.modelling.adapter import load_adapter
from equipoise.modelling.base import load_base, load_tokenizer
from equipoise.modelling.chat import encode
from helpers.evaluation_experiment import evaluation_values, make_adapter

A = Run("bids", 0, "0.1", 1, 0)


@pytest.fixture
def experiment(tiny_values, tmp_path):
    config = parse_config(evaluation_values(tiny_values, tmp_path))
    prepare_targets(config, list(config.tasks))
    return config


@pytest.mark.parametrize("bos", [True, False])
def test_chat_prompts_ids_are_the_prefix_of_training(experiment, bos):
    session = Session(experiment)
    if not bos:
        session.tokenizer.bos_token = None
    with session.language_model("chat", None) as language_model:
        for prompt in ("w1 + w2 ?", " w3 ", "w4\nw5"):
            text = language_model.apply_chat_template([{"role": "user", "content": prompt}])
            ids, mask = language_model.tok_batch_encode([text])
            trained = encode(session.tokenizer, prompt, "w1", 100)
            assert ids[0].tolist() == trained.input_ids[: trained.prompt_length] == language_model.tok_encode(text)
            assert mask.all()
            assert ids[0].tolist().count(1) == int(bos)


def test_description_and_shots_become_one_user_turn(experiment):
    session = Session(experiment)
    with session.language_model("chat", None) as language_model:
        text = language_model.apply_chat_template([{"role": "system", "content": "w1\n\n"}, {"role": "user", "content": "w2"}])
        assert language_model.tok_encode(text) == encode(session.tokenizer, "w1\n\nw2", "", 100).input_ids[:-1]


def test_plain_prompts_and_continuations_ids_are_those_of_training(experiment):
    session = Session(experiment)
    with session.language_model("plain", None) as language_model:
        trained = encode(session.tokenizer, "w1 w2 :", " w3", 100, chat=False)
        context, continuation = language_model._encode_pair("w1 w2 :", " w3")
        assert context + continuation == trained.input_ids
        assert len(context) == trained.prompt_length


def test_a_validation_example_has_the_prompt_that_is_evaluated(experiment):
    session = Session(experiment)
    task = session.items("chat").tasks["tiny_first"]
    with session.language_model("chat", None) as language_model:
        for row in task_targets(experiment, "first")[0]:
            document = {**task.eval_docs[0], "prompt": row["prompt"]}
            text = task.fewshot_context(document, 0, apply_chat_template=True, chat_template=language_model.apply_chat_template)
            trained = encode(session.tokenizer, row["prompt"], row["response"], 100, row["chat"])
            assert language_model.tok_encode(text) == trained.input_ids[: trained.prompt_length]


@pytest.mark.parametrize("adapted", [False, True])
def test_greedy_decoding_gives_what_transformers_generates(experiment, adapted):
    tokenizer = load_tokenizer(experiment.model)
    model = load_base(experiment.model, "fp32", "cpu")
    model.lm_head.weight.data[tokenizer.eos_token_id] += 0.05  # some rows end early, so that rows are dropped on the way
    if adapted:
        model = load_adapter(model, make_adapter(experiment, A, 3))
    torch.manual_seed(0)
    lengths = torch.randint(3, 12, (24,))
    context = torch.randint(6, 50, (24, 12))
    mask = (torch.arange(12)[None] >= 12 - lengths[:, None]).long()
    context = torch.where(mask.bool(), context, tokenizer.pad_token_id)
    mine = decode(model, context, mask, 40, tokenizer.eos_token_id, tokenizer.pad_token_id, lambda rows: [False] * len(rows))
    theirs = model.generate(
        input_ids=context, attention_mask=mask, max_length=40, do_sample=False, use_cache=True, pad_token_id=tokenizer.pad_token_id
    )
    assert mine.tolist() == theirs.tolist()
    ends = (mine == tokenizer.eos_token_id).int().argmax(1)
    assert ends.unique().numel() > 2


def test_rows_with_a_stop_string_end_and_leave_the_others_alone(experiment):
    model = load_base(experiment.model, "fp32", "cpu")
    torch.manual_seed(1)
    context = torch.randint(6, 50, (10, 6))
    mask = torch.ones_like(context)
    free = decode(model, context, mask, 46, -1, 0, lambda rows: [False] * len(rows))[:, 6:]
    stop = int(free[0, 2])
    held = decode(model, context, mask, 46, -1, 0, lambda rows: [stop in row for row in rows])[:, 6:]
    for row in range(10):
        hits = (free[row] == stop).nonzero()
        upto = int(hits[0]) + 1 if len(hits) else held.shape[1]
        assert held[row, :upto].tolist() == free[row, :upto].tolist()
    assert (held[0] == 0).any()
