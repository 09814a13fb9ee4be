"""Conversations as a chat template renders them, cut into what stands before each answer, and the answer.

A template is the paper's (`CHAT_TEMPLATE`), the base's own, or a file's (`model.chat_template`); it lies in the tokenizer, and is saved
with it beside each adapter. An answer is all that follows the generation prompt, up to and with the token that ends the turn.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from equipoise.conversation.record import Message, message_text
from equipoise.errors import UserError, first_line
from equipoise.modelling.tokens import Piece, UnfitText, encoder_of, holds, mark, pattern

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHAT_TEMPLATE = (
    "{% if bos_token %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '<|assistant|>\\n' + message['content'] + eos_token + '\\n' }}"
    "{% else %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
TODAY = (
    "{%- macro strftime_now(format) -%}"
    "{{ {'%d %b %Y': '26 Jul 2024', '%Y-%m-%d': '2024-07-26'}.get(format, '26 July 2024') }}"
    "{%- endmacro -%}"
)
"""For templates that write the day's date, so that a prompt is the same every day; it is the day that Llama's own says."""
OF_LOSS = ("train", "weight")
PROBE = [
    {"role": role, "content": text} for role, text in zip(("user", "assistant") * 2, ("first", "second", "third", "fourth"), strict=True)
]
CALL = {"type": "function", "function": {"name": "probe_tool", "arguments": {"probe_key": "probe_value"}}, "id": "probe1234"}
TOOL = {"type": "function", "function": {"name": "probe_tool", "description": "probes", "parameters": {"type": "object", "properties": {}}}}
CUT = "the chat template changes earlier turns when others follow, so that their tokens cannot be located"


@dataclass(frozen=True)
class Answer:
    """One assistant turn: what stands before it, its text, the control token that ends it. learned: with a loss."""

    before: Piece
    text: Piece
    end: str
    learned: bool


class ChatTemplate:
    """The chat template that a tokenizer holds."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase"):
        self._tokenizer = tokenizer
        self._paper = tokenizer.chat_template == CHAT_TEMPLATE

    def prompt(self, text: str) -> Piece:
        """A user's only turn, and the generation prompt."""
        turns, _, marked = self._marked([{"role": "user", "content": text}], None)
        return Piece(self._render(turns, None, True), marked)

    def answers(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None = None, last_turn: bool = False
    ) -> tuple[list[Answer], Piece]:
        """The assistant turns of a conversation in their order, and what the template writes behind the last one's end.

        last_turn: the last one alone has a loss; otherwise all, but for those whose `train` is false or `weight` 0. Raises `UnfitText` for
        a conversation that the template refuses or renders so that its turns cannot be told apart.
        """
        turns, tools, marked = self._marked(self._as_read(messages), list(tools) if tools and self.shows_tools else None)
        whole = self._render(turns, tools)
        answers: list[Answer] = []
        done, after = 0, ""
        places = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
        prompts = [self._render(turns[:place], tools, True) for place in places]
        for number, (place, prompt) in enumerate(zip(places, prompts, strict=True)):
            if not whole.startswith(prompt) or len(prompt) < done:
                raise UnfitText(CUT)
            start = len(prompt)
            stop = len(prompts[number + 1]) if number + 1 < len(prompts) else len(whole)
            end = self._ends.search(whole, start, stop) or encoder_of(self._tokenizer).control.search(whole, start, stop)
            if end is None:
                raise UnfitText("the chat template writes no end token after an answer")
            wanted = messages[place].get("train") is not False and messages[place].get("weight") != 0
            learned = wanted and (not last_turn or place == len(messages) - 1)
            text = Piece(whole[start : end.start()], marked)
            answers.append(Answer(Piece(whole[done:start], marked, after), text, end[0], learned))
            done, after = end.end(), end[0]
        return answers, Piece("") if self._paper else Piece(whole[done:], marked, after)

    def refuse_unusable(self, where: str) -> None:
        """Raises `UserError` for a template with which nothing can be trained. where: what it comes from, for the message."""
        try:
            answers, _ = self.answers(PROBE)
            if PROBE[2]["content"] in answers[0].text.text:
                raise UnfitText("the chat template writes no end token after an answer that others follow")
            shown = "".join(answer.before.text + answer.text.text for answer in answers)
            missing = next((turn["content"] for turn in PROBE if turn["content"] not in shown), None)
        except UnfitText as error:
            raise UserError(f"model.chat_template: {where}: {error}; write paper, or the path of another template") from None
        if missing or any(turn["content"] not in answer.text.text for turn, answer in zip(PROBE[1::2], answers, strict=True)):
            raise UserError(f"model.chat_template: {where} does not show the turns' texts; write paper, or the path of another template")

    @cached_property
    def end(self) -> str:
        """The control token that ends an answer."""
        return self._tokenizer.eos_token if self._paper else self.answers(PROBE[:2])[0][-1].end

    @cached_property
    def shows_tools(self) -> bool:
        """Whether the template shows the model which tools it may call."""
        return not self._paper and CALL["function"]["name"] in self._tried(PROBE[:1], [TOOL])

    @cached_property
    def _shows_calls(self) -> bool:
        called = [
            PROBE[0],
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "name": "probe_tool", "content": "shown"},
        ]
        text = self._tried([*called, PROBE[1]], [TOOL])
        return not self._paper and all(part in text for part in ("probe_tool", "probe_key", "probe_value", "shown"))

    def _tried(self, turns: list[Message], tools: list[dict[str, Any]]) -> str:
        try:
            return self._render([{**turn, "tool_call_id": CALL["id"]} if turn["role"] == "tool" else turn for turn in turns], tools)
        except UnfitText:
            return ""

    # control tokens
    @cached_property
    def _ends(self) -> re.Pattern[str]:
        """Tokens that end an answer: eos, and what the template itself writes first behind one."""
        whole, said = self._render(PROBE[:2]), PROBE[1]["content"]
        written = encoder_of(self._tokenizer).control.search(whole, whole.find(said) + len(said)) if said in whole else None
        return pattern({self._tokenizer.eos_token} if self._paper or written is None else {self._tokenizer.eos_token, written[0]})

    @cached_property
    def _written(self) -> re.Pattern[str]:
        """Control tokens, and whatever other added token the template writes."""
        template = self._tokenizer.chat_template
        added = [token.content for token in self._tokenizer.added_tokens_decoder.values()]
        framed = [content for content in added if content in template and not content.isspace()]
        return pattern({*encoder_of(self._tokenizer).special, *framed})

    def _marked(self, turns: list[Message], tools: list[dict[str, Any]] | None) -> tuple[list[Message], list[dict[str, Any]] | None, bool]:
        """Turns and tools with marks around the control tokens in their texts, and whether there were any.

        An answer may hold tokens that are no control tokens though the template writes them too, such as those around thinking.
        """
        kinds = [encoder_of(self._tokenizer).control if turn["role"] == "assistant" else self._written for turn in turns]
        if not (any(map(holds, turns, kinds)) or holds(tools, self._written)):
            return turns, tools, False
        return list(map(mark, turns, kinds)), mark(tools, self._written), True

    # rendering
    def _as_read(self, messages: Sequence[Message]) -> list[Message]:
        """Messages as the template reads them; tool calls as text in a content, where it knows nothing of them."""
        if not self._shows_calls:
            return [{"role": message["role"], "content": message_text(message)} for message in messages]
        turns = []
        for message in messages:
            turn = {key: value for key, value in message.items() if key not in OF_LOSS} | {"content": message.get("content") or ""}
            if turn.get("tool_calls"):
                turn["tool_calls"] = [_call(call) for call in turn["tool_calls"]]
            turns.append(turn)
        return turns

    def _render(self, turns: list[Message], tools: list[dict[str, Any]] | None = None, prompt: bool = False) -> str:
        if self._paper:
            return self._as_paper(turns, prompt)
        try:
            return self._tokenizer.apply_chat_template(turns, tools=tools, tokenize=False, add_generation_prompt=prompt)
        except Exception as error:
            raise UnfitText(f"the chat template refuses it: {first_line(error)}") from None

    def _as_paper(self, turns: list[Message], prompt: bool) -> str:
        """What `CHAT_TEMPLATE` gives, without Jinja: a third of the time that a pool of short rows takes to be tokenised."""
        end = self._tokenizer.eos_token + "\n"
        parts = [self._tokenizer.bos_token or ""]
        for turn in turns:
            parts += ["<|", turn["role"], "|>\n", turn["content"], end if turn["role"] == "assistant" else "\n"]
        return "".join([*parts, "<|assistant|>\n" if prompt else ""])


def _call(call: dict[str, Any]) -> dict[str, Any]:
    """A tool call as templates read it: the function under its own key, its arguments no JSON text."""
    from equipoise.conversation.strict_json import loads

    function = dict(call.get("function", call))
    if isinstance(function.get("arguments"), str):
        with suppress(ValueError):
            function["arguments"] = loads(function["arguments"])
    rest = {key: value for key, value in call.items() if key != "function"} if "function" in call else {}
    return {"type": "function", **rest, "function": function}


def template_of(tokenizer: "PreTrainedTokenizerBase") -> ChatTemplate:
    """The template that a tokenizer holds now."""
    state, known = (tokenizer.chat_template, tokenizer.bos_token, tokenizer.eos_token), vars(tokenizer)
    if known.get("equipoise_template", (None,))[0] != state:
        known["equipoise_template"] = (state, ChatTemplate(tokenizer))
    return known["equipoise_template"][1]
