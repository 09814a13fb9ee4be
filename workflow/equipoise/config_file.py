"""Reads configuration into `Experiment`; every mistake becomes one line with the key's path and what to write instead."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from equipoise.config import Experiment
from equipoise.errors import UserError, first_line
from equipoise.files import write_text
from equipoise.inputs import read_text
from equipoise.shipped import shipped

SHOWN, NAMED = 200, 8
"""Characters of a value, and mistakes, in a refusal."""


class _StrictLoader(yaml.SafeLoader):
    """YAML without a key that stands twice in one mapping, of which the last would win unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} stands twice; write it once", key.start_mark)
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def parse_config(values: Mapping[str, Any], source: str = "config") -> Experiment:
    """Validates raw values (a YAML mapping, or snakemake's merged `config`).

    Raises `UserError` with one clause per mistake: path of the key, what is wrong, what to write.
    """
    try:
        return Experiment.model_validate(dict(values))
    except ValidationError as error:
        clauses = [_explain(detail) for detail in error.errors()]
        more = [f"and {len(clauses) - NAMED} more"] if len(clauses) > NAMED else []
        raise UserError(f"{source}: " + "; ".join([*clauses[:NAMED], *more])) from None


def read_config(path: str | Path) -> Experiment:
    """Reads and validates a YAML file. Raises `UserError` when it is missing, not YAML or not a valid experiment."""
    return parse_config(read_mapping(shipped(str(path)), "config.yaml"), str(path))


def read_mapping(path: str | Path, example: str, empty: dict[str, Any] | None = None) -> dict[str, Any]:
    """The mapping in a YAML file; `empty` for a file without a value. Raises `UserError` when it holds none, naming an example."""
    try:
        values = yaml.load(read_text(path, f"the path of a YAML file such as {example}"), _StrictLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {_yaml_mistake(error)}") from None
    except (ValueError, RecursionError) as error:  # a date or number that is none, too many levels
        raise UserError(f"{path}: not YAML ({first_line(error)}); start from {example}") from None
    values = empty if values is None else values
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no keys; start from {example}")
    return values


def _yaml_mistake(error: yaml.YAMLError) -> str:
    """What is wrong, and where, without the excerpt that the library draws over several lines."""
    mark = getattr(error, "problem_mark", None)
    said = [error.context, error.problem] if mark else [str(error)]
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return " ".join(" ".join(filter(None, said)).split())[:SHOWN] + where


def write_config(config: Experiment, path: str | Path) -> None:
    """Writes the effective configuration (all defaults filled in) atomically; leaves an equal file untouched."""
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    path = Path(path)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    write_text(path, text)


def json_schema() -> str:
    """The JSON schema of a configuration file, as committed in workflow/schemas/config.schema.json."""
    return json.dumps(Experiment.model_json_schema(), indent=2) + "\n"


def _explain(detail: ErrorDetails) -> str:
    location, kind = detail["loc"], detail["type"]
    where = ".".join(str(part) for part in location if part not in ("int", "float", "[key]")) or "the file"
    if kind == "extra_forbidden":
        return f"{where}: unknown key{_nearest(location)}"
    if kind == "missing":
        return f"{where}: missing; write a value{_described(location)}"
    message = detail["msg"].removeprefix("Value error, ")
    if not location and kind == "value_error":
        return message  # of keys that do not go together; it names them
    message = message[0].lower() + message[1:]
    shown = detail["input"]
    given = f" (given: {_short(shown)})" if isinstance(shown, str | int | float | bool) or shown is None else ""
    return f"{where}: {message}{given}{_described(location) if kind != 'value_error' else ''}"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # a number of more digits than Python writes
        return "a number too long to write"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _nearest(location: tuple[int | str, ...]) -> str:
    model = _model_at(location[:-1])
    known = list(model.model_fields) if model else []
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known here: {', '.join(known)}" if known else ""


def _described(location: tuple[int | str, ...]) -> str:
    model = _model_at(location[:-1])
    field = model.model_fields.get(str(location[-1])) if model else None
    return f": {field.description}" if field and field.description else ""


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The section at a path such as ("tasks", "gsm"), or none when the path leaves the models."""
    model: type[BaseModel] | None = Experiment
    for part in location:
        if model is None:
            return None
        field = model.model_fields.get(str(part))
        if field is not None:
            model = _section_in(field.annotation)
        # else: the part is a name or a number inside the dict or list of sections reached before
    return model


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        section = _section_in(inner)
        if section is not None:
            return section
    return None
