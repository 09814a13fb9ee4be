"""Reads the score store that bergson writes (pypi.org/project/bergson): a folder with `info.json` and `scores.bin`.

Known is the form of its versions 1.0 to 2.5 (`MemmapSequenceScoreWriter`): an array of structures, for every example and query a score
and a byte that says whether it was written. The store names no version; it is known by its keys. `config.yaml`, which bergson's own runs
leave beside it, says whether a larger score is a better one (`score_cfg.higher_is_better`; true where it is not said).
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.errors import UserError, first_line
from equipoise.inputs import read_json, read_text, regular_file
from equipoise.layout import CHUNK_ROWS

INFO, SCORES, RUN = "info.json", "scores.bin", "config.yaml"
KEYS = {"attribute_tokens", "num_items", "num_rows", "num_scores", "dtype"}
KNOWN = "that of bergson 1.0 to 2.5"
FORMATS = {"float16": "<f2", "float32": "<f4", "float64": "<f8", "bfloat16": "<u2"}


class BergsonScores:
    """The scores of a store, [N, V], read by row slices; larger is better."""

    def __init__(self, path: Path):
        """Raises `UserError` for a store of an unknown form, of tokens, of some rows only, or with a score that was never written."""
        info = _info(path)
        self.shape = (info["num_rows"], info["num_scores"])
        if info["attribute_tokens"]:
            raise UserError(f"{path}: holds a score of every token; score whole examples (bergson's attribute_tokens: false)")
        if (path / "candidates.npy").exists():
            raise UserError(f"{path}: holds the scores of some examples only (candidates.npy); score the whole pool")
        kind, stored = _fields(path, info)
        self._half = kind == "bfloat16"
        self.dtype = np.dtype("float32" if self._half else FORMATS[kind])
        size = (path / SCORES).stat().st_size
        if size != self.shape[0] * stored.itemsize:
            raise UserError(f"{path / SCORES}: has {size:,} bytes, not {self.shape[0] * stored.itemsize:,} as {INFO} says; copy it again")
        self._rows = np.memmap(path / SCORES, stored, mode="r")
        self._sign = 1 if _higher_is_better(path) else -1
        self._refuse_unwritten(path)

    def __getitem__(self, rows: slice) -> np.ndarray:
        stored = self._rows[rows]
        values = np.empty((len(stored), self.shape[1]), self.dtype)
        for column in range(self.shape[1]):
            score = stored[f"score_{column}"]
            values[:, column] = (
                (score.astype(np.uint32) << 16).view(np.float32) if self._half else score
            )  # bfloat16: a float32's first half
        return values if self._sign > 0 else -values

    def _refuse_unwritten(self, path: Path) -> None:
        for start in range(0, self.shape[0], CHUNK_ROWS):
            stored = self._rows[start : start + CHUNK_ROWS]
            written = np.stack([stored[f"written_{column}"] for column in range(self.shape[1])], axis=1)
            if not written.all():
                row, column = np.argwhere(~written)[0]
                raise UserError(f"{path}: the score of row {start + row}, column {column} was never written; let bergson finish the run")


def _info(path: Path) -> dict[str, Any]:
    info = read_json(path / INFO, "a folder that bergson's scoring left")
    regular_file(path / SCORES, "a folder that bergson's scoring left")
    if not isinstance(info, dict) or set(info) != KEYS or not isinstance(info["dtype"], dict):
        held = ", ".join(sorted(info)) if isinstance(info, dict) else type(info).__name__
        raise UserError(_unknown(path, f"{INFO} holds {held}"))
    if set(info["dtype"]) != {"names", "formats", "offsets", "itemsize"}:
        raise UserError(_unknown(path, f"its dtype holds {', '.join(sorted(info['dtype']))}"))
    if not all(type(info[key]) is int and info[key] > 0 for key in ("num_rows", "num_scores")):
        raise UserError(_unknown(path, f"{info['num_rows']!r} rows of {info['num_scores']!r} scores"))
    return info


def _fields(path: Path, info: dict[str, Any]) -> tuple[str, np.dtype]:
    """The kind of the scores, and a row as it lies in the file. Raises `UserError` for other fields than bergson writes."""
    told = info["dtype"]
    names, formats, offsets, size = (told[key] for key in ("names", "formats", "offsets", "itemsize"))
    seen = f"fields {str(names)[:40]} of {str(formats)[:40]}"
    lists = all(isinstance(each, list) and len(each) == 2 * info["num_scores"] for each in (names, formats, offsets))
    if not lists or not all(isinstance(each, str) for each in formats) or not all(type(each) is int for each in (*offsets, size)):
        raise UserError(_unknown(path, seen))
    expected = [f"{kind}_{column}" for column in range(info["num_scores"]) for kind in ("score", "written")]
    kinds = set(formats[::2])
    if names != expected or len(kinds) != 1 or not kinds <= set(FORMATS) or set(formats[1::2]) != {"bool"}:
        raise UserError(_unknown(path, seen))
    try:
        stored = np.dtype({"names": names, "formats": [FORMATS.get(each, each) for each in formats], "offsets": offsets, "itemsize": size})
    except (ValueError, OverflowError, TypeError):
        raise UserError(_unknown(path, f"{size} bytes a row, offsets {str(offsets)[:40]}")) from None
    return kinds.pop(), stored


def _unknown(path: Path, seen: str) -> str:
    said = _run(path).get("metadata")
    version = said.get("bergson_version") if isinstance(said, dict) else None
    told = f"bergson {version}" if version else "an unnamed version of bergson"
    return f"{path}: a score store of {told}, in a form that is not known ({seen}); known is {KNOWN}; write the scores with numpy.save"


def _run(path: Path) -> dict[str, Any]:
    """What bergson says of the run that left the store; empty where it says nothing."""
    import yaml

    if not os.path.lexists(path / RUN):
        return {}
    try:
        run = yaml.safe_load(read_text(path / RUN, "bergson's own, or take it away"))
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path / RUN}: cannot be read ({first_line(error)}); restore it, or take it away") from None
    return run if isinstance(run, dict) else {}


def _higher_is_better(path: Path) -> bool:
    steps = _run(path).get("steps")
    for step in steps if isinstance(steps, list) else []:
        for command in step.values() if isinstance(step, dict) else []:
            if isinstance(command, dict) and isinstance(command.get("score_cfg"), dict):
                return bool(command["score_cfg"].get("higher_is_better", True))
    return True
