"""The chat template that a configuration names: the paper's, the base's own, a file's; what cannot be cut into turns is refused."""

import shutil
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from equipoise.config import Model
from equipoise.errors import UserError
from equipoise.modelling.base import base_identity, load_tokenizer, own_template
from equipoise.modelling.chat import encode_conversations
from equipoise.modelling.template import CHAT_TEMPLATE, template_of
from equipoise.modelling.tokens import UnfitText
from helpers.conversations import assistant, system, user
from helpers.made_tokenizers import CHATML, MADE

CALLS = (
    "{% if tools %}{{ '<|im_start|>tools\n' + tools | tojson + '<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}"
    "{% for call in m.tool_calls or [] %}{{ '<tool_call>' + call.function | tojson }}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
CALL = {"type": "function", "function": {"name": "add", "arguments": '{"y": 1}'}}
REFUSED = {
    "{{ raise_exception('never') }}": "refuses it: never",
    "{{ messages[0]['content' }}": "refuses it",
    "{% for m in messages %}{{ m.role + m.content }}{% endfor %}": "writes no end token after an answer",
    "{% for m in messages %}{{ m.role + m.content }}{% if loop.last %}{{ eos_token }}{% endif %}{% endfor %}": "changes earlier turns",
    "{% for m in messages %}{{ m.content }}{% endfor %}{% if not add_generation_prompt %}{{ eos_token }}{% endif %}": "writes no end token",
    "{% for m in messages %}{{ loop.length ~ m.content + eos_token }}{% endfor %}": "changes earlier turns",
    "{% for m in messages %}{{ m.role + eos_token }}{% endfor %}": "does not show the turns' texts",
}


@pytest.fixture
def base(tmp_path):
    def saved(name: str = "chatml", template: str | None = CHATML) -> str:
        folder = tmp_path / name
        tokenizer = MADE[name]()
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder)
        (folder / "config.json").write_text("{}")
        return str(folder)

    return saved


def test_paper_is_the_default_and_says_that_the_base_has_another(base):
    tokenizer = load_tokenizer(Model(name="m", base=base()))
    assert tokenizer.chat_template == CHAT_TEMPLATE
    assert own_template(tokenizer) == CHATML
    assert own_template(load_tokenizer(Model(name="m", base=base(template=CHAT_TEMPLATE)))) is None
    assert own_template(load_tokenizer(Model(name="m", base=base("gpt_2", None)))) is None


def test_own_and_file_have_its_tokens_and_their_own_identity(base, tmp_path):
    file = tmp_path / "template.jinja"
    file.write_text(CHATML.replace("<|im_start|>", "<|im_start|>>"))
    models = [Model(name="m", base=base(), chat_template=choice) for choice in ("paper", "own", str(file))]
    rows = [encode_conversations(load_tokenizer(model), [[user("a"), assistant("b")]], 100)[0].input_ids for model in models]
    identities = [base_identity(model) for model in models]
    assert len({tuple(row) for row in rows}) == 3
    assert len({str(identity) for identity in identities}) == 3
    assert "chat_template" not in identities[0]
    file.write_text(CHATML)
    assert base_identity(models[2]) != identities[2]
    assert encode_conversations(load_tokenizer(models[2]), [[user("a"), assistant("b")]], 100)[0].input_ids == rows[1]


@pytest.mark.parametrize("template", REFUSED)
def test_a_template_that_cannot_be_cut_into_turns_is_refused(base, template):
    with pytest.raises(UserError, match=f"^model.chat_template: .*{REFUSED[template]}"):
        load_tokenizer(Model(name="m", base=base(template=template), chat_template="own"))


@pytest.mark.parametrize(("choice", "said"), [("own", "has no chat template"), ("owm", "owm: no such file; write paper, own, or the path")])
def test_a_template_that_is_not_there_is_refused(base, choice, said):
    with pytest.raises(UserError, match=said):
        load_tokenizer(Model(name="m", base=base("gpt_2", None), chat_template=choice))


def test_tools_and_calls_are_shown_where_the_template_knows_them_and_are_text_elsewhere(base):
    talk = [user("a"), assistant(None, tool_calls=[CALL]), {"role": "tool", "content": "2"}, assistant("b")]
    for template, shown in ((CALLS, True), (CHATML, False)):
        tokenizer = load_tokenizer(Model(name="m", base=base(template=template), chat_template="own"))
        (found,) = encode_conversations(tokenizer, [talk], 1000, tools=[TOOLS])
        text = tokenizer.decode(found.input_ids)
        assert ('"parameters": {}' in text) == shown
        assert ('<tool_call>{"name": "add", "arguments": {"y": 1}}<|im_end|>' in text) == shown
        assert "None" not in text
        assert '"add"' in tokenizer.decode([found.input_ids[place] for place in found.labelled])


def test_a_row_that_the_template_refuses_is_unfit(base):
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
    tokenizer = load_tokenizer(Model(name="m", base=base(template=strict), chat_template="own"))
    encode_conversations(tokenizer, [[user("a"), assistant("b")]], 100)
    with pytest.raises(UnfitText, match="System role not supported"):
        encode_conversations(tokenizer, [[system("s"), user("a"), assistant("b")]], 100)


def test_a_template_that_writes_the_date_writes_the_same_every_day(base):
    dated = "{{ strftime_now('%d %b %Y') + ' ' + strftime_now('%Y-%m-%d') }}" + CHATML
    tokenizer = load_tokenizer(Model(name="m", base=base(template=dated), chat_template="own"))
    (found,) = encode_conversations(tokenizer, [[user("a"), assistant("b")]], 100)
    assert tokenizer.decode(found.input_ids).startswith("26 Jul 2024 2024-07-26<|im_start|>user")
    shutil.rmtree(tokenizer.name_or_path)


@settings(deadline=None, max_examples=50)
@given(
    turns=st.lists(st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), st.text(max_size=8)), min_size=1),
    asked=st.booleans(),
)
@pytest.mark.parametrize("name", ["no bos", "bos"])
def test_the_papers_template_is_what_jinja_makes_of_it(name, turns, asked):
    tokenizer = paper_tokenizer("<bos>" if name == "bos" else None)
    messages = [{"role": role, "content": text} for role, text in turns]
    wanted = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=asked)
    assert template_of(tokenizer)._render(messages, None, asked) == wanted


@cache
def paper_tokenizer(bos: str | None) -> PreTrainedTokenizerFast:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token=bos, eos_token="<eos>")
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
