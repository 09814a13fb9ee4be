"""Where answers end and what is cut: end tokens of the base and the template, thinking, prompts beyond the context, own shots."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from equipoise.config_file import parse_config
from equipoise.data.targets import prepare_targets
from equipoise.evaluation.decoding import decode
from equipoise.evaluation.evaluate import evaluate
from equipoise.evaluation.items import suite_items
from equipoise.evaluation.language_model import LanguageModel
from equipoise.evaluation.prompts import Prompts
from equipoise.layout import Run
from equipoise.modelling.base import generation_config, load_base, load_tokenizer
from equipoise.modelling.template import CHAT_TEMPLATE
from helpers.evaluation_experiment import evaluation_values
from helpers.rows import texts, write_jsonl
from helpers.tokenizers import CHATML, MADE

ZERO_SHOT = Run("zero_shot", None, None, None, None)


def asked(language_model, context: str, **settings) -> str:
    kwargs = {"until": ["never"], "do_sample": False, "max_gen_toks": 24, **settings}
    return language_model.generate_until([Instance("generate_until", {}, (context, kwargs), 0, ("t", 0, 1))])[0]


@pytest.fixture
def model(tiny_config):
    return load_base(tiny_config.model, "fp32", "cpu")


def test_every_end_token_of_the_base_ends_an_answer(tiny_config, model):
    tokenizer = load_tokenizer(tiny_config.model)
    free = asked(LanguageModel(model, tokenizer, 2), "w1 w2").split()
    place = next(place for place, word in enumerate(free) if place and word not in free[:place])
    end = tokenizer.convert_tokens_to_ids(free[place])
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, end]
    assert asked(LanguageModel(model, tokenizer, 2), "w1 w2").split() == free[:place]


def test_decoding_with_several_ends_gives_what_transformers_generates(model):
    torch.manual_seed(0)
    context = torch.randint(6, 50, (12, 5))
    mask = torch.ones_like(context)
    settings = {"max_length": 40, "do_sample": False, "pad_token_id": 0}
    free = model.generate(input_ids=context, attention_mask=mask, eos_token_id=None, **settings)
    ends = [int(free[0, 9]), int(free[1, 17])]
    theirs = model.generate(input_ids=context, attention_mask=mask, eos_token_id=ends, **settings)
    mine = decode(model, context, mask, 40, set(ends), 0, lambda rows: [False] * len(rows))
    assert mine.tolist() == theirs.tolist()
    assert (theirs == 0).any()


def test_ends_are_those_of_base_tokenizer_and_template(tiny_config, tmp_path):
    tokenizer = MADE["llama_3"]()
    header = "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content + '<|eot_id|>' }}"
    tokenizer.chat_template = "{% for m in messages %}" + header + "{% endfor %}"
    names = ["<|end_of_text|>", "<|eot_id|>"]
    assert Prompts(tokenizer).ends == set(tokenizer.convert_tokens_to_ids(names))
    assert Prompts(tokenizer, SimpleNamespace(eos_token_id=[3, 5])).ends == {3, 5, *tokenizer.convert_tokens_to_ids(names)}
    tokenizer.chat_template = CHAT_TEMPLATE
    assert Prompts(tokenizer, SimpleNamespace(eos_token_id=7)).ends == {7, tokenizer.eos_token_id}
    assert generation_config(tiny_config.model).eos_token_id == 2


@pytest.mark.parametrize("think_end", ["</think>", "so:"])  # a token, and a text
def test_thinking_is_no_part_of_the_answer(think_end):
    tokenizer = MADE["chatml"]()
    tokenizer.chat_template = CHATML
    prompts = Prompts(tokenizer, think_end=think_end)

    def ids(text: str) -> list[int]:
        return tokenizer(text).input_ids

    assert prompts.answer(ids(f"yes no{think_end}\n\n yes</think> or so:{think_end} it is<|im_end|>no")) == "it is"
    assert prompts.answer(ids("yes, no<|im_end|>")) is None
    assert prompts.whole_answer(ids("yes, no<|im_end|>more")) == "yes, no"
    assert Prompts(tokenizer).answer(ids("a so: b<|im_end|>c")) == "a so: b"


def test_stops_within_thinking_do_not_end_it(tiny_config, model):
    tokenizer = load_tokenizer(tiny_config.model)
    free = asked(LanguageModel(model, tokenizer, 2), "w1 w2").split()
    place = next(place for place in range(3, len(free) - 2) if free[place] not in free[:place])
    stop, think_end = f"{free[0]} {free[1]} ", f" {free[place]} "
    rest = " ".join(free).rpartition(think_end)[2]
    assert rest
    assert stop not in rest
    assert asked(LanguageModel(model, tokenizer, 2), "w1 w2", until=[stop]) == ""
    assert asked(LanguageModel(model, tokenizer, 2, think_end), "w1 w2", until=[stop]) == rest
    assert asked(LanguageModel(model, tokenizer, 2, think_end), "w1 w2", until=[rest[:5]]) == ""


def test_prompts_beyond_the_context_are_counted_and_told(tiny_values, tmp_path, capsys, monkeypatch):
    config = parse_config(evaluation_values(tiny_values, tmp_path, test_rows=12))
    prepare_targets(config, list(config.tasks))
    for suite, task in (("chat", "first"), ("plain", "second")):
        monkeypatch.setattr(HFLM, "max_length", {"chat": 18, "plain": 5}[suite])
        evaluate(config, ZERO_SHOT, suite, 0)
        scores = json.loads(Path(config.layout.scores(ZERO_SHOT, suite, 0)).read_text())["tasks"][task]
        assert 0 < scores["cut"] <= scores["items"]
        told = capsys.readouterr()
        said = f"WARNING: tasks.{task}: {scores['cut']} of {scores['items']} prompts are longer than the base's context"
        assert said in told.err + told.out


def test_no_item_is_its_own_shot_by_content(tiny_values, tmp_path):
    values = evaluation_values(tiny_values, tmp_path, shots=3)
    rows = [{**row, "answer": i % 3} for i, row in enumerate(texts(6, 5))]
    write_jsonl(tmp_path / "second-test.jsonl", [*rows, *({**row, "answer": (row["answer"] + 1) % 3} for row in rows[:4])])
    config = parse_config(values)
    prepare_targets(config, ["second"])
    task = suite_items(config, "plain").tasks["tiny_second"]
    for _ in range(3):
        for doc in task.eval_docs:
            context = task.fewshot_context(doc, 3)
            assert context.count(doc["prompt"]) == 1
            assert context.count("\n\n") == 3
    listed = task.sampler.fewshot_docs()
    assert len(listed) >= 8
