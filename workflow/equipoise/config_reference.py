"""The reference of all configuration keys as Markdown, from the models alone: docs/configuration.md is made by it."""

import html
from collections.abc import Iterator, Mapping
from typing import Any

from equipoise.config import Experiment
from equipoise.config_comments import flow

HEAD = """# Configuration

Every key, made from the models by `equipoise config reference > docs/configuration.md`. A key that is left out takes its default; one
that does not exist is an error that names the nearest. `equipoise config show FILE` prints the effective configuration of a file.
"""


def reference() -> str:
    """A table a section: key, values, default, description."""
    schema = Experiment.model_json_schema()
    return "\n".join([HEAD, *_section("", schema, schema.get("$defs", {}))]) + "\n"


def _section(path: str, section: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    """The section's own keys, then the sections below it. path: of the section, with a dot at its end; empty for the top."""
    below, required = [], section.get("required", [])
    yield from ["| key | values | default | |", "|---|---|---|---|"]
    for name, field in section["properties"].items():
        inner, many = _inner(field, definitions)
        text = html.escape(field.get("description", ""), quote=False).replace("|", "&#124;")
        if inner:
            below.append((f"{path}{name}.{'<name>.' if many else ''}", inner, text))
        else:
            default = "required" if name in required else f"`{flow(field.get('default'))}`"
            yield f"| `{path}{name}` | {_values(field)} | {default} | {text} |"
    yield ""
    for deeper, inner, text in below:
        yield from [f"## `{deeper.rstrip('.')}`", "", text, ""]
        yield from _section(deeper, inner, definitions)


def _inner(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, bool]:
    """The section that a key holds, if it holds one, and whether it holds many by name."""
    named = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
    many = [entry for entry in named if isinstance(entry, Mapping)]
    for option in many or [field, *field.get("anyOf", []), *field.get("allOf", [])]:
        if (name := option.get("$ref", "").rpartition("/")[2]) and "properties" in definitions[name]:
            return definitions[name], bool(many)
    return None, False


def _values(field: Mapping[str, Any]) -> str:
    """What may be written, in words."""
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(map(_values, field["anyOf"])))
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    kind = {"string": "text", "boolean": "true or false", "null": "nothing", "object": "a mapping"}.get(
        field.get("type", ""), field.get("type", "text")
    )
    if kind == "array":
        return f"list of {_values(field.get('items', {}))}"
    bounds = [("at least", "minimum"), ("above", "exclusiveMinimum"), ("at most", "maximum"), ("below", "exclusiveMaximum")]
    return " ".join([kind, *(f"{word} {field[key]}" for word, key in bounds if key in field)])
