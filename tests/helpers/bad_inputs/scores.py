"""Score stores of bergson given to `equipoise select`."""

import json
import shutil
from pathlib import Path

import numpy as np

from helpers.bad_inputs.case import Case, Make, both, cut, edited, folder_as, pipe_as, raw, text
from helpers.bad_inputs.matrices import select, without
from helpers.places import REPOSITORY

STORES = REPOSITORY / "tests" / "helpers" / "bergson_scores"
COMMAND = select("scores")
INFO = "scores/info.json"


def of(*changes: Make, name: str = "float32") -> Make:
    """A store that bergson wrote, and then what is done to it."""
    return both(lambda folder: shutil.copytree(STORES / name, folder / "scores"), *changes)


def dtype(**values: object) -> Make:
    """The store's numbers told in another way."""

    def make(folder: Path) -> None:
        info = json.loads((folder / INFO).read_text())
        info["dtype"] |= values
        (folder / INFO).write_text(json.dumps(info))

    return make


UNKNOWN = ("scores", "in a form that is not known")
CASES = [
    Case("bergson: an empty folder", folder_as("scores"), COMMAND, ("scores/info.json",)),
    Case("bergson: of an older version", of(edited(INFO, num_rows=None)), COMMAND, ("bergson 2.5.1", "in a form that is not known")),
    Case("bergson: no fields", of(dtype(names=[], formats=[], offsets=[])), COMMAND, UNKNOWN),
    Case("bergson: fields that are no list", of(dtype(formats="<f4")), COMMAND, UNKNOWN),
    Case("bergson: fields of lists", of(dtype(formats=[["<f4"]] * 16)), COMMAND, UNKNOWN),
    Case("bergson: offsets of words", of(dtype(offsets=["a"] * 16)), COMMAND, UNKNOWN),
    Case("bergson: offsets beyond a row", of(dtype(offsets=[10**9] * 16)), COMMAND, UNKNOWN),
    Case("bergson: rows of no size", of(dtype(itemsize=0)), COMMAND, UNKNOWN),
    Case("bergson: rows of 10^12 bytes", of(dtype(itemsize=10**12)), COMMAND, ("scores",)),
    Case("bergson: a dtype that is none", of(edited(INFO, dtype=3)), COMMAND, UNKNOWN),
    Case("bergson: 10^12 rows", of(edited(INFO, num_rows=10**12)), COMMAND, ("scores/scores.bin: has", "copy it again")),
    Case("bergson: 10^9 scores a row", of(edited(INFO, num_scores=10**9)), COMMAND, UNKNOWN),
    Case("bergson: -1 rows", of(edited(INFO, num_rows=-1)), COMMAND, UNKNOWN),
    Case("bergson: rows in words", of(edited(INFO, num_rows="forty")), COMMAND, UNKNOWN),
    Case("bergson: a part of a row", of(edited(INFO, num_rows=39.5)), COMMAND, UNKNOWN),
    Case("bergson: a list", of(raw(INFO, b"[]")), COMMAND, UNKNOWN),
    Case("bergson: a broken info", of(text(INFO, "{")), COMMAND, ("scores/info.json",)),
    Case("bergson: an info in UTF-16", of(raw(INFO, "{}".encode("utf-16"))), COMMAND, ("scores/info.json", "UTF-8")),
    Case("bergson: an info nested deeply", of(raw(INFO, b"[" * 100_000)), COMMAND, ("scores/info.json",)),
    Case("bergson: an info that is a pipe", of(pipe_as(INFO)), COMMAND, ("scores/info.json", "not a regular file")),
    Case("bergson: scores cut off", of(cut("scores/scores.bin", 9)), COMMAND, ("scores/scores.bin: has 9 bytes, not 2,560",)),
    Case("bergson: no scores", of(without("scores/scores.bin")), COMMAND, ("scores/scores.bin",)),
    Case("bergson: scores that are a pipe", of(pipe_as("scores/scores.bin")), COMMAND, ("scores/scores.bin", "not a regular file")),
    Case("bergson: of candidates", of(lambda f: np.save(f / "scores/candidates.npy", [3])), COMMAND, ("scores of some examples only",)),
    Case("bergson: a broken run", of(text("scores/config.yaml", "{")), COMMAND, ("scores/config.yaml",)),
    Case("bergson: a run in Latin-1", of(raw("scores/config.yaml", b"a: \xe9")), COMMAND, ("scores/config.yaml",)),
    Case("bergson: a run nested deeply", of(raw("scores/config.yaml", b"[" * 20_000)), COMMAND, ("scores/config.yaml",)),
    Case("bergson: a run that is a pipe", of(pipe_as("scores/config.yaml")), COMMAND, ("scores/config.yaml", "not a regular file")),
    Case("bergson: a run of other words", of(text("scores/config.yaml", "steps: 3\nmetadata: [1]\n"), edited(INFO, num_rows=None)), COMMAND,
         UNKNOWN),
    Case("bergson: unfinished", of(name="unfinished"), COMMAND, ("row 39, column 0 was never written",)),
    Case("bergson: of tokens", of(name="tokens"), COMMAND, ("a score of every token",)),
]  # fmt: skip
