"""Renders a configuration as YAML in which every key carries its description: how config.yaml is made and kept in step."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from equipoise.config import Experiment

WIDTH = 56


def commented_yaml(config: Experiment) -> str:
    """All keys of `config` in the models' order. In a mapping of sections (tasks, suites) the first entry shows every key, the
    others only what differs from the defaults."""
    lines = [
        "# An equipoise experiment. Every key is shown with its description; keys left out take the defaults shown by",
        "# `equipoise config show FILE`. `equipoise config comment FILE --write` renders this file again.",
    ]
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            lines += ["", f"# {field.description}", f"{name}:", *_section(value, 1)]
        elif isinstance(value, dict):
            lines += ["", f"# {field.description}", f"{name}:" if value else f"{name}: {{}}", *_entries(value)]
        elif value is not None or field.is_required():
            lines.append(_line(name, value, field.description, 0))
    return "\n".join(lines) + "\n"


def _section(section: BaseModel, level: int) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield _line(name, ..., field.description, level)
            yield from _section(value, level + 1)
        else:
            yield _line(name, value, field.description, level)


def _entries(entries: dict[str, BaseModel]) -> Iterator[str]:
    for position, (name, section) in enumerate(entries.items()):
        if position == 0:
            yield f"  {name}:"
            yield from _section(section, 2)
        else:
            yield f"  {name}: {flow(section.model_dump(mode='json', exclude_defaults=True))}"


def _line(name: str, value: Any, description: str | None, level: int) -> str:
    text = f"{'  ' * level}{name}:" + ("" if value is ... else f" {flow(_plain(value))}")
    return f"{text:<{WIDTH - 2}}  # {description}" if description else text


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def flow(value: Any) -> str:
    """One line of YAML: words bare where YAML reads them back as themselves, the rest as JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str) and _reads_back(value):
        return value
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _reads_back(word: str) -> bool:
    import yaml

    try:
        return yaml.safe_load(f"[{word}]") == [word] and "#" not in word
    except yaml.YAMLError:
        return False
