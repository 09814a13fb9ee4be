"""Every reader of a user's or an artefact's files, given any bytes: it reads them, or refuses them in one line; nothing else is raised.

Half of the inputs are sound ones with bytes flipped, cut or put in, or with a JSON value in another's place; the rest is anything.
"""

import copy
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from equipoise.attribution.matrix_file import open_matrix, read_mask, read_tasks
from equipoise.config_file import read_config
from equipoise.conversation.reading import AS_IT_IS, Summary, read_files
from equipoise.errors import UserError
from equipoise.inputs import read_jsonl
from equipoise.selection.explain import explain
from equipoise.selection.export import export
from equipoise.selection.source import Source
from equipoise.store.manifest import read_manifest, write_manifest
from helpers.bad_inputs.picks import told
from helpers.bad_inputs.scores import STORES
from helpers.experiment import tiny_values

A = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
BOUNDED = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
ODD = st.sampled_from(
    [None, True, -1, 0, 1.5, 10**30, 1e308, float("nan"), "", "x", "\ud83d", "\0", "../x", [], {}, [[]], [None], {"a": 1}, [{}]]
) | st.integers() | st.text(max_size=3)  # fmt: skip
LOOKED_AT = 64


def rows(path: Path) -> None:
    """Reads a matrix as selectors do, its first rows."""
    source = Source(open_matrix(path).values, str(path))
    source.read(0, min(source.rows, LOOKED_AT))


def records(path: Path) -> None:
    """Reads a pool, or a task's file."""
    list(read_files([path], AS_IT_IS, Summary()))


def exported(path: Path) -> None:
    """Exports picks in both kinds of form."""
    export(path, "jsonl", path.with_name("o.jsonl"))
    export(path, "parquet", path.with_name("o.parquet"))


def written(path: Path) -> None:
    """A sound file or folder under its name."""
    match path.name:
        case "m.npy":
            np.save(path, A)
        case "m.csv":
            np.savetxt(path, A, delimiter=",")
        case "m.parquet" | "pool.parquet":
            columns = {"prompt": ["a", "b"], "response": ["c", "d"]} if path.stem == "pool" else {f"v{j}": A[:, j] for j in range(3)}
            pq.write_table(pa.table(columns), path)
        case "m.safetensors":
            save_file({"m": A}, path, {"ids": json.dumps([str(i) for i in range(9)])})
        case "m.zarr":
            zarr.create_array(str(path), data=A, chunks=(4, 3))
        case "store":
            shutil.copytree(STORES / "float32", path)
        case "valid.npy":
            np.save(path, np.ones(9, bool))
        case "pool.jsonl":
            path.write_text('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n')
        case "first.csv":
            path.write_text('prompt,response\n"a\nb",c\n')
        case "my.yaml":
            path.write_text(yaml.safe_dump(tiny_values(path.parent, "base")))
        case "manifest.json":
            write_manifest(path, "pool", rows=3, files={"pool.parquet": [3, "a" * 64]})
        case "picks.jsonl":
            path.write_text(json.dumps(told()) + "\n")
        case "tasks.json":
            path.write_text('["a", "b", "c"]')
        case "valid.json":
            path.write_text("[true, false, true]")


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "m.npy": ("", rows),
    "m.csv": ("", rows),
    "m.parquet": ("", rows),
    "m.safetensors": ("", rows),
    "m.zarr": ("zarr.json", rows),
    "a chunk of m.zarr": ("c/0/0", rows),
    "store": ("info.json", rows),
    "the scores of store": ("scores.bin", rows),
    "the run of store": ("config.yaml", rows),
    "valid.npy": ("", read_mask),
    "valid.json": ("", read_mask),
    "tasks.json": ("", read_tasks),
    "pool.jsonl": ("", records),
    "pool.parquet": ("", records),
    "first.csv": ("", records),
    "my.yaml": ("", read_config),
    "manifest.json": ("", lambda path: read_manifest(path, "pool")),
    "picks.jsonl": ("", exported),
    "lines of picks.jsonl": ("", lambda path: list(read_jsonl(path))),
    "what explain reads of picks.jsonl": ("", lambda path: explain(path, "3", 80)),
}
"""Reader by the name of what it reads (its last word): the file in it that is changed, and the call."""


def places(value: object, at: tuple = ()) -> list[tuple]:
    """The way to every value within a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, each in inner for place in places(each, (*at, key)))]


def replaced(value: object, place: tuple, by: object) -> object:
    """The value with another one at a place."""
    if not place:
        return by
    value = copy.deepcopy(value)
    inner = value
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = by
    return value


def changed(content: bytes, draw: Callable) -> bytes:
    """Content with a JSON value replaced, or with bytes flipped, cut and put in; or anything."""
    how = draw(st.sampled_from(["value", "value", "bytes", "bytes", "anything"]))
    if how == "value":
        try:
            value = yaml.safe_load(content.decode())  # JSON is YAML
        except (ValueError, yaml.YAMLError):
            value = None
        if isinstance(value, dict | list):
            return json.dumps(replaced(value, draw(st.sampled_from(places(value))), draw(ODD))).encode()
    if how == "anything":
        return draw(st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=3)) + content[at + draw(st.integers(0, 4)) :]
    return content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content


@pytest.mark.parametrize("name", READERS)
@BOUNDED
@given(data=st.data())
def test_any_content_is_read_or_refused_in_one_line(name, tmp_path, data):
    inner, read = READERS[name]
    path = tmp_path / name.split()[-1]
    shutil.rmtree(path, ignore_errors=True)
    written(path)
    file = path / inner if inner else path
    file.write_bytes(changed(file.read_bytes(), data.draw))
    try:
        read(path)
    except UserError as refused:
        said = str(refused)
        assert "\n" not in said
        assert said.strip()


def test_an_archive_under_a_matrixs_name_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.npy", "w") as archive:
        archive.writestr("a.npy", b"")
    with pytest.raises(UserError, match="archive of arrays"):
        rows(tmp_path / "m.npy")
