"""Turns of any chat form as messages (record.py says what one holds), and what a conversation must fulfil."""

import sys
from collections.abc import Mapping
from typing import Any

from equipoise.conversation.record import Message
from equipoise.conversation.strict_json import loads

# ShareGPT's names as LLaMA-Factory reads them (its data/README.md), with `chatgpt` and the chat form's own, which such files hold too.
SHAREGPT_ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "function_call": "assistant", "observation": "tool"}
ROLES = {role: role for role in ("system", "developer", "user", "assistant", "tool")} | SHAREGPT_ROLES
TEXT_PARTS = ("text", "input_text", "output_text")


class BadRow(Exception):
    """Why a row cannot be taken: `reason` is the same for all rows of its kind, which are counted by it; `detail` is this row's own."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason} ({detail[:200]})" if detail else reason)
        self.reason = reason


def turns(value: Any, field: str) -> list[Message]:
    """Messages from a list of turns, or JSON text of it or of each. A turn has role and content, or ShareGPT's from and value."""
    turns = parsed(value, field)
    if not isinstance(turns, list) or not turns:
        raise BadRow(f"{field} is no list of turns")
    return [_message(turn, field) for turn in objects(turns, field)]


def said(value: Any, role: str, field: str) -> list[Message]:
    """Messages of a field that holds one turn's text or, as TRL's conversational form, a list of turns."""
    return turns(value, field) if isinstance(value, list) else [{"role": role, "content": text_of(value, field)}]


def text_of(value: Any, field: str) -> str:
    """The text of a field."""
    if not isinstance(value, str):
        raise BadRow(f"{field} is not text", type(value).__name__)
    return value


def parsed(value: Any, field: str) -> Any:
    """A field's value, read from JSON where it is a text."""
    if not isinstance(value, str):
        return value
    try:
        return loads(value)
    except ValueError as error:
        raise BadRow(f"{field} is a text but not JSON", str(error)) from None


def objects(values: list[Any], field: str) -> list[Any]:
    """A list's values, those read from JSON that are text of an object (`datasets.Json` stores every one apart)."""
    return [parsed(value, field) if isinstance(value, str) and value.startswith("{") else value for value in values]


def check(messages: list[Message]) -> None:
    """Raises `BadRow` unless a user's turn comes first (after system and developer) and an assistant's last, and no turn is empty."""
    roles = [message["role"] for message in messages]
    spoken = [role for role in roles if role not in ("system", "developer")]
    if spoken[:1] != ["user"] or roles[-1] != "assistant":
        raise BadRow("the conversation does not begin with a user's turn and end with an assistant's", ", ".join(roles[:8]))
    for message in messages:
        _check_message(message)
    answers = [message for message in messages if message["role"] == "assistant"]
    if all(message.get("train") is False or message.get("weight") == 0 for message in answers):
        raise BadRow("no assistant turn is trained on (train, weight)")


def _check_message(message: Message) -> None:
    role, calls = message["role"], message.get("tool_calls")
    if calls and role != "assistant":
        raise BadRow("tool_calls on a turn that is not an assistant's", role)
    if not calls and not isinstance(message.get("content"), str):
        raise BadRow("a turn has neither text nor tool_calls", role)
    if role in ("user", "assistant") and not calls and not message["content"].strip():
        raise BadRow("the response is empty" if role == "assistant" else "the prompt is empty")
    if not isinstance(message.get("train", True), bool):
        raise BadRow("train is neither true nor false", repr(message["train"]))
    weight = message.get("weight", 1)
    if not isinstance(weight, int | float) or not 0 <= weight <= sys.float_info.max:
        raise BadRow("weight is not a number of 0 or more", repr(weight))


def _message(turn: Any, field: str) -> Message:
    if not isinstance(turn, Mapping):
        raise BadRow(f"a turn of {field} is not an object", type(turn).__name__)
    role_key = "from" if turn.get("role") is None else "role"
    content_key = "value" if turn.get("content") is None and turn.get("value") is not None else "content"
    given = turn.get(role_key)
    if not isinstance(given, str) or given not in ROLES:
        raise BadRow(f"unknown role in {field}; write one of {', '.join(ROLES)}", repr(given))
    content = _content(turn.get(content_key))
    rest = {key: value for key, value in turn.items() if key not in (role_key, content_key) and value is not None}
    if "loss_weight" in rest and "weight" not in rest:
        rest["weight"] = rest.pop("loss_weight")
    if "tool_calls" in rest:
        rest["tool_calls"] = _tool_calls(parsed(rest["tool_calls"], "tool_calls"))
        if not rest["tool_calls"]:
            del rest["tool_calls"]
    if given == "function_call":
        return {"role": "assistant", "content": None, "tool_calls": _function_calls(content), **rest}
    return {"role": ROLES[given], **({"content": content} if content_key in turn else {}), **rest}


def _content(content: Any) -> str | None:
    """Text of a turn; parts are put together as they are, as chat templates do."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRow("a turn's content is neither text nor a list of text parts", type(content).__name__)
    return "".join(_part(part) for part in content)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind not in TEXT_PARTS:
        raise BadRow("a turn's content has a part that is not text", str(kind))
    return text_of(part.get("text", part.get("value")), "a part of a turn's content")


def _tool_calls(calls: Any) -> list[Any]:
    def names_function(call: Any) -> bool:
        function = call.get("function", call) if isinstance(call, Mapping) else None
        return isinstance(function, Mapping) and isinstance(function.get("name"), str)

    if not isinstance(calls, list) or not all(map(names_function, calls)):
        raise BadRow("tool_calls is no list of calls, each with the name of its function")
    return calls


def _function_calls(content: str | None) -> list[dict[str, Any]]:
    """ShareGPT's function_call: the JSON text of a call, or of several."""
    calls = parsed(content, "function_call")
    calls = _tool_calls(calls if isinstance(calls, list) else [calls])
    if not calls:
        raise BadRow("function_call holds no call")
    return [{"type": "function", "function": call.get("function", call)} for call in calls]
