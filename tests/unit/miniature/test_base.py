"""The shipped base: size, tokenizer, what it knows; and that pretraining resumes to the same weights."""

from dataclasses import replace
from random import Random

import pytest

from equipoise.config import Model
from equipoise.errors import UserError
from equipoise.miniature.generate import ITEMS, LONGEST_ANSWER, items
from equipoise.miniature.generated_pool import pool_rows
from equipoise.miniature.pretrain import Pretraining, batch, pretrain, rate
from equipoise.miniature.skills import SKILLS
from equipoise.miniature.stream import PAD, chat_words, documents, vocabulary
from equipoise.modelling.template import template_of
from helpers.places import REPOSITORY
from helpers.tokens import encode

BASE = REPOSITORY / "workflow/equipoise/miniature/base"
MODEL = Model(name="base", base=str(BASE), precision="fp32", max_length=96, device="cpu")
SHORT = Pretraining(steps=3, batch_size=4, warmup_steps=2, threads=1)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Two threads on a busy machine wait for each other at every small operation."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tokenizer():
    from equipoise.modelling.base import load_tokenizer

    return load_tokenizer(MODEL)


def test_the_base_is_a_small_llama_in_safetensors():
    from safetensors import safe_open

    with safe_open(str(BASE / "model.safetensors"), framework="np") as weights:
        parameters = sum(int(_product(weights.get_slice(name).get_shape())) for name in weights.keys())  # noqa: SIM118 (no mapping)
    assert parameters <= 2_000_000
    assert sum(path.stat().st_size for path in BASE.iterdir()) <= 4_000_000
    assert '"LlamaForCausalLM"' in (BASE / "config.json").read_text()


def _product(shape):
    result = 1
    for size in shape:
        result *= size
    return result


def test_the_shipped_tokenizer_is_that_of_the_vocabulary(tokenizer):
    words = vocabulary()
    assert len(tokenizer) == len(words)
    assert tokenizer.convert_ids_to_tokens(list(range(len(words)))) == list(words)


def test_a_chat_example_becomes_the_words_of_the_stream_and_back(tokenizer):
    ids = {word: number for number, word in enumerate(vocabulary())}
    for row in pool_rows("noisy", 0)[:300]:
        encoded = encode(tokenizer, row["prompt"], row["response"], 96)
        words = chat_words(row["prompt"], row["response"])[:-1]  # an example ends with eos, the newline after it carries nothing
        assert encoded.input_ids == [ids[word] for word in words]
        assert (
            tokenizer.decode(encoded.input_ids[: encoded.prompt_length]).split()
            == template_of(tokenizer).prompt(row["prompt"]).text.split()
        )
        answer = tokenizer.decode(encoded.input_ids[encoded.prompt_length :], skip_special_tokens=True)
        assert answer == row["response"]


def test_digits_are_words_of_their_own_and_newlines_survive(tokenizer):
    assert tokenizer("23 apples\n+ 4").input_ids == tokenizer("2 3 apples \n + 4").input_ids
    assert tokenizer.unk_token_id not in tokenizer("23 apples\n+ 4").input_ids
    assert tokenizer.decode(tokenizer("the answer is 5 .").input_ids) == "the answer is 5 ."


def test_every_answer_fits_the_generation_limit_and_every_item_the_base(tokenizer):
    for skill in SKILLS.values():
        for part in ITEMS:
            for item in items(skill, part):
                encoded = encode(tokenizer, item["prompt"], item["response"], 96)
                assert encoded.completion_tokens <= LONGEST_ANSWER
                assert len(encoded.input_ids) < 96
                assert tokenizer.unk_token_id not in encoded.input_ids


@pytest.mark.parametrize("task", SKILLS)
def test_the_base_can_do_every_skill_when_asked_plainly(task, tokenizer):
    """A third of the easy test items at least; without this, tuning could only memorise."""
    from equipoise.modelling.base import load_base

    skill, rng = SKILLS[task], Random(0)
    model = load_base(MODEL, "fp32", "cpu")
    right = 0
    for _ in range(40):
        core = skill.draw_from("test", rng, 0)
        question, answer = _plainly(skill, core, rng)
        prompt = tokenizer(question, return_tensors="pt")
        out = model.generate(**prompt, max_new_tokens=len(answer.split()), do_sample=False, use_cache=True)
        right += tokenizer.decode(out[0, prompt.input_ids.shape[1] :]) == answer
    assert right >= 13


def _plainly(skill, core, rng):
    text = skill.plain(core, rng)
    if skill.name == "know":
        words = text.removesuffix(" .").split()
        return " ".join(words[:-1]), words[-1]
    question, answer = text.split(" = ")
    return f"{question} =", answer


def test_a_batch_holds_whole_documents_and_weighs_answers_fully():
    ids = {word: number for number, word in enumerate(vocabulary())}
    settings = Pretraining(batch_size=5)
    rows, weights = batch(settings, 7, ids)
    assert [len(row) for row in rows] == [len(row) for row in weights] == [settings.row_length] * 5
    written = [token for row in rows for token in row if token != ids[PAD]]
    stream = documents(settings.seed, 7 * 320, 8 * 320)
    expected = []
    while len(expected) < len(written):
        expected += [ids[word] for word in next(stream).words]
    assert written == expected
    assert all(
        (weight == 0) == (token == ids[PAD]) for row, w in zip(rows, weights, strict=True) for token, weight in zip(row, w, strict=True)
    )
    assert {weight for row in weights for weight in row} == {0.0, settings.question_weight, 1.0}


def test_the_learning_rate_rises_to_its_peak_and_falls():
    settings = Pretraining(steps=100, warmup_steps=10)
    rates = [rate(settings, step) for step in range(100)]
    assert max(rates) == rates[9] == rates[10] == settings.learning_rate
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_snapshot_of_other_settings_is_refused(tmp_path):
    pretrain(tmp_path / "out", SHORT, tmp_path / "work")
    with pytest.raises(UserError, match="other settings"):
        pretrain(tmp_path / "out", replace(SHORT, seed=1), tmp_path / "work")
