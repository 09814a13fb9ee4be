"""Files that a user names: what is no regular file, no UTF-8 or no JSON is refused in one line before it is read, and never waited for."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from equipoise.errors import UserError, first_line
from equipoise.files import retried

SURROGATES = "holds half of a surrogate pair, which UTF-8 does not have"


def regular_file(path: str | Path, wanted: str) -> Path:
    """`path`, a regular file that may be read. wanted: what to write instead, for messages.

    Raises `UserError` for anything else: a folder, a loop of links, what may not be read, a pipe or device, which may never end.
    """
    try:
        mode = retried(lambda: os.stat(path)).st_mode
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise UserError(f"{path}: not a regular file; write its content to one first")
        if stat.S_ISREG(mode):
            os.close(retried(lambda: os.open(path, os.O_RDONLY)))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file; write {wanted}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); write {wanted}") from None
    if stat.S_ISDIR(mode):
        raise UserError(f"{path}: a folder; write {wanted}")
    return Path(path)


def regular_tree(folder: str | Path, wanted: str) -> set[str]:
    """Every file below a folder, by its path there. Raises `UserError` where one is not regular, or a folder may not be read."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror}); write {wanted}")

    found = set()
    for place, _, names in os.walk(folder, onerror=refuse, followlinks=True):
        for name in names:
            path = os.path.join(place, name)
            if not os.path.isfile(path):
                regular_file(path, wanted)
            found.add(os.path.relpath(path, folder))
    return found


def read_text(path: str | Path, wanted: str) -> str:
    """The text of a file in UTF-8, with or without a byte order mark. Raises `UserError` as `regular_file`, and for other encodings."""
    try:
        return retried(regular_file(path, wanted).read_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start + 1}); write {wanted}, saved as UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); write {wanted}") from None


def read_json(path: str | Path, wanted: str, strict: bool = True) -> Any:
    """The value in a JSON file. strict: as `json_value`. Raises `UserError` as `read_text`, and for what is no JSON."""
    text = read_text(path, wanted)
    try:
        return json_value(text) if strict else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({first_line(error)}); write {wanted}") from None


def json_value(text: str) -> Any:
    """The value of a JSON text. Raises `ValueError` for broken JSON, NaN and infinities, texts that UTF-8 cannot hold, endless nesting."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError(SURROGATES) from None
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number, from 1, and object of every line that is not blank.

    Lines end at \\n alone: texts may hold U+2028, at which str.splitlines would cut. Raises `UserError` naming file and line for what is
    no file of JSON objects, as `regular_file` and `json_value`.
    """
    with regular_file(path, "the path of a JSONL file").open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, _object(line, f"{path}:{number}")


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json_value(line.decode())
    except UnicodeDecodeError:
        raise UserError(f"{where}: not UTF-8 text; write one JSON object per line, saved as UTF-8") from None
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({first_line(error)}); write one object per line") from None
    if not isinstance(value, dict):
        raise UserError(f"{where}: not an object; write one object per line")
    return value
