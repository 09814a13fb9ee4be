"""The forms that instruction data come in, one entry of `FORMS` each. A row's form is recognised by its fields, or named.

A field that is null counts as absent. A row that two forms fit, or that fills two names of one field, is a bad row: what it means is for
its owner to say (`format`, `columns`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from typing import Any

from equipoise.conversation.messages import BadRow, check, objects, parsed, said, text_of, turns
from equipoise.conversation.record import Message
from equipoise.errors import UserError

Fields = dict[str, Any]
ABOUT = ("id", "source", "dataset")
MEDIA = ("image", "images", "video", "videos", "audio", "audios")
SYSTEM = ("system", "system_prompt")
TOOLS = ("tools",)


@dataclass(frozen=True)
class Form:
    """A form by its fields: each a tuple of the names it goes by, the first of which `read` knows it by."""

    name: str
    needs: tuple[tuple[str, ...], ...]
    """Fields a row of this form has."""
    may: tuple[tuple[str, ...], ...] = ()
    """Fields it reads where a row has them, besides `SYSTEM` and `TOOLS`."""
    read: Callable[[Fields], list[Message]] | None = None
    """The fields' values, by first name -> messages, without the row's system text; none: `_plainly`."""
    joins: tuple[str, ...] = ()
    """Fields that become one message: kept in the metadata too where a row fills them all, so that they can be separated again."""
    rewrite: Callable[[Fields], Fields | None] | None = None
    """For data with answers not to learn from, which are taken only where the form is named: row -> row of an ordinary form, or none."""
    only: Callable[[Fields], bool] | None = None
    """What a row must fulfil besides, for its form to be recognised."""

    @cached_property
    def names(self) -> set[str]:
        """All fields the form reads."""
        return {name for field in (*self.needs, *self.may, SYSTEM, TOOLS) for name in field}


@dataclass(frozen=True)
class Conversation:
    """What a row says and under which form; `about` has its id, source and dataset, `unread` the fields with text among its metadata."""

    form: str
    about: Fields
    messages: list[Message]
    tools: list[dict[str, Any]] | None
    metadata: Fields
    unread: tuple[str, ...]


def to_conversation(row: Any, form: str | None, columns: Mapping[str, str]) -> Conversation | None:
    """The conversation of a row; none for one that is not to be learned from (a label that is false).

    form: a name in `FORMS`; none: recognised. columns: a form's field -> the row's own name for it. Raises `BadRow`.
    """
    if not isinstance(row, Mapping):
        raise BadRow("not an object of fields", type(row).__name__)
    for name in MEDIA:
        if row.get(name):
            raise BadRow(f"{name}: only text can be learned from")
    fields = _renamed(row, columns)
    chosen = FORMS[form] if form else _recognised(fields)
    if chosen.rewrite is None:
        if _verdict(fields) is False:
            raise BadRow("label is false: an answer not to learn from; write format: kto to leave such rows out")
        return _read(chosen, fields)
    if not form:
        raise BadRow(f"some answers of such data are not to be learned from; write format: {chosen.name} to take the others only")
    _values(chosen, fields)
    rewritten = chosen.rewrite(fields)
    return _read(_recognised(rewritten, ordinary=True), rewritten) if rewritten is not None else None


def refuse_unknown(form: str | None, columns: Mapping[str, str]) -> None:
    """Raises `UserError` for a form that does not exist, and a field in `columns` that it, or any form without one, does not read."""
    entries = [FORMS[form]] if form in FORMS and not FORMS[form].rewrite else FORMS.values()
    known = set(ABOUT).union(*(entry.names for entry in entries))
    for key, name, names in [("format", form, FORMS), *(("columns", column, known) for column in columns)]:
        if name is not None and name not in names:
            near = get_close_matches(name, names, 1, cutoff=0.8)
            raise UserError(f"{key}: no {name!r}; write {near[0] if near else 'one of ' + ', '.join(sorted(names))}")


def _renamed(row: Mapping[str, Any], columns: Mapping[str, str]) -> Fields:
    """The row under the form's names. A field that bears a name given to another goes on as metadata, under `NAME (unread)`."""
    own = set(columns.values())
    fields = {f"{name} (unread)" if name in columns else name: value for name, value in row.items() if name not in own}
    return fields | {name: row.get(column) for name, column in columns.items()}


def _recognised(fields: Fields, ordinary: bool = False) -> Form:
    """The form that a row fits; ordinary: of those without answers not to learn from."""
    given = frozenset([name for name, value in fields.items() if value is not None])
    fitting = [form for form in _with_fields(given) if not (ordinary and form.rewrite) and _fits(form, fields)]
    on_request = [form for form in fitting if form.rewrite]
    if on_request:
        return on_request[0]
    if not fitting:
        named = ", ".join(name for name, value in fields.items() if value is not None)
        raise BadRow("no form fits its fields; name them with format and columns", named or "no field")
    if len(fitting) > 1:
        raise BadRow("more than one form fits; name one with format", " and ".join(form.name for form in fitting))
    return fitting[0]


@lru_cache(maxsize=1024)
def _with_fields(given: frozenset[str]) -> tuple[Form, ...]:
    """The forms whose fields a row has: asked once for all rows that have the same."""
    return tuple(form for form in FORMS.values() if not any(given.isdisjoint(field) for field in form.needs))


def _fits(form: Form, fields: Fields) -> bool:
    """Whether one of the needed fields, which are there, holds something, and the row fulfils what the form asks besides."""
    filled = any(_filled(fields.get(name)) for field in form.needs for name in field)
    return filled and (form.only is None or form.only(fields))


def _filled(value: Any) -> bool:
    return value is not None and value != [] and not (isinstance(value, str) and not value.strip())


def _read(form: Form, fields: Fields) -> Conversation:
    values = _values(form, fields)
    messages = _with_system(values.get("system"), form.read(values) if form.read else _plainly(form, values))
    check(messages)
    metadata = {name: value for name, value in fields.items() if name not in form.names and name not in ABOUT[:2]}
    unread = tuple(name for name, value in metadata.items() if name not in ABOUT and _holds_text(value))
    if all(_filled(values.get(name)) for name in form.joins):
        metadata |= {name: values[name] for name in form.joins}
    about = {name: fields.get(name) for name in ABOUT}
    return Conversation(form.name, about, messages, _tools(values.get("tools")), metadata, unread)


def _values(form: Form, fields: Fields) -> Fields:
    """The values of a form's fields, by first name."""
    values = {}
    for field in (*form.needs, *form.may, SYSTEM, TOOLS):
        given = [name for name in field if fields.get(name) is not None]
        filled = [name for name in given if _filled(fields[name])] if len(given) > 1 else given
        if len(filled) > 1:
            raise BadRow("two names of one field are filled; leave one, or name it with columns", " and ".join(filled))
        if field in form.needs and not given:
            raise BadRow(f"no {' or '.join(field)}, which the form {form.name} needs", ", ".join(fields))
        if given:
            values[field[0]] = fields[(filled or given)[0]]
    return values


def _with_system(system: Any, messages: list[Message]) -> list[Message]:
    if not _filled(system):
        return messages
    opening = {"role": "system", "content": text_of(system, "system")}
    if messages[0]["role"] != "system":
        return [opening, *messages]
    if messages[0]["content"] != system:
        raise BadRow("system beside another system turn")
    return messages


def _tools(value: Any) -> list[dict[str, Any]] | None:
    if not _filled(value):
        return None
    tools = parsed(value, "tools")
    tools = objects(tools, "tools") if isinstance(tools, list) else None
    if tools is None or not all(isinstance(tool, Mapping) for tool in tools):
        raise BadRow("tools is no list of objects")
    return tools or None


def _holds_text(value: Any) -> bool:
    if isinstance(value, list | dict):
        return any(map(_holds_text, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and _filled(value)


# how each form is read
def _plainly(form: Form, values: Fields) -> list[Message]:
    """A field of turns; or fields of prompt and response, as texts or as lists of turns (TRL's conversational form)."""
    first, *second = (field[0] for field in form.needs)
    if not second:
        return turns(values[first], first)
    return [*said(values[first], "user", first), *said(values[second[0]], "assistant", second[0])]


def _alpaca(fields: Fields) -> list[Message]:
    """The instruction, a blank line and the input, as open-instruct's `encode_instruction_example` without random templates (its
    commonest random one, of which LESS's Dolly is made, too), but for white space around them, which stays as it is. LLaMA-Factory puts
    a single line feed. `history` holds the earlier turns as pairs of prompt and response."""
    user = [text_of(fields[name], name) for name in ("instruction", "input") if fields.get(name) is not None]
    earlier = []
    pairs = parsed(fields.get("history") or [], "history")
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise BadRow("history is no list of pairs of prompt and response")
    for asked, answered in pairs:
        earlier += [*said(asked, "user", "history"), *said(answered, "assistant", "history")]
    prompt = {"role": "user", "content": "\n\n".join(filter(_filled, user))}
    return [*earlier, prompt, *said(fields["output"], "assistant", "output")]


def _chosen(fields: Fields) -> Fields:
    """The chosen answer in the place where an ordinary row has its own: TRL's forms of preference data, LLaMA-Factory's for both of its."""
    chosen = fields["chosen"]
    rest = {name: value for name, value in fields.items() if name != "chosen"}
    answer = chosen if isinstance(chosen, list) else [chosen]
    if isinstance(rest.get("conversations"), list):
        said_by = [{"from": "gpt", "value": turn} if isinstance(turn, str) else turn for turn in answer]
        return rest | {"conversations": [*rest["conversations"], *said_by]}
    first = answer[0] if answer else None
    whole = isinstance(first, Mapping) and (first.get("role") or first.get("from")) not in ("assistant", "gpt")
    place, value = ("messages", answer) if whole else ("response", chosen if isinstance(chosen, str) else answer)
    if _filled(rest.get(place)) and rest[place] != value:
        raise BadRow(f"chosen beside other {place}")
    return rest | {place: value}


def _verdict(fields: Fields) -> bool | None:
    """The label of KTO data, as TRL and LLaMA-Factory name it; none where `label` is something else, as a class."""
    label = fields.get("kto_tag") if fields.get("label") is None else fields["label"]
    return {"true": True, "1": True, "false": False, "0": False}.get(str(label).strip().lower())


def _has_verdict(fields: Fields) -> bool:
    return _verdict(fields) is not None


def _labelled_true(fields: Fields) -> Fields | None:
    if not _has_verdict(fields):
        raise BadRow("label is neither true nor false")
    return fields if _verdict(fields) else None


FORMS = {
    form.name: form
    for form in (
        Form("messages", (("messages",),)),
        Form("sharegpt", (("conversations",),)),
        Form("prompt", (("prompt",), ("response", "completion", "output"))),
        Form(
            "alpaca",
            needs=(("instruction",), ("output", "response", "completion")),
            may=(("input", "context"), ("history",)),
            read=_alpaca,
            joins=("instruction", "input"),
        ),
        Form("question", (("question",), ("answer",))),
        Form("openorca", (("question",), ("response",))),
        Form("inputs_targets", (("inputs",), ("targets",))),
        Form("preference", (("chosen",), ("rejected",)), rewrite=_chosen),
        Form("kto", (("label", "kto_tag"),), rewrite=_labelled_true, only=_has_verdict),
    )
}
