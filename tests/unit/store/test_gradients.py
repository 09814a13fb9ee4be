"""Gradient stores on disk: written whole, read only where vouched for, verified, resumed after SIGKILL."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from equipoise.commands.stores import app
from equipoise.errors import UserError
from equipoise.store.gradient_writer import ChunkWriter, GradientStore
from equipoise.store.gradients import COLUMNS, GradientReader
from equipoise.store.verify import heal, verify
from helpers.stores import ATTRIBUTES, DIMENSION, HIDDEN, some_rows, write_store


def test_rows_come_back_as_they_were_written_across_chunks(tmp_path):
    written = write_store(tmp_path / "store")
    reader = GradientReader(tmp_path / "store")
    assert (reader.rows, reader.dimension, reader.chunks, reader.scaled) == (2050, DIMENSION, 3, False)
    found = reader.read(1000, 2050)
    for name in ("directions", *COLUMNS):
        whole = np.concatenate([getattr(written[chunk], name) for chunk in range(3)])
        np.testing.assert_array_equal(getattr(found, name), whole[1000:2050])
        assert getattr(found, name).dtype == whole.dtype
    states = np.concatenate([written[chunk].states["last_token"] for chunk in range(3)])
    np.testing.assert_array_equal(reader.read_states(5, 1500, "last_token"), states[5:1500])


def test_what_was_never_written_or_is_gone_is_refused_by_name(tmp_path):
    path = tmp_path / "store"
    write_store(path, chunks=[0, 2])
    reader = GradientReader(path)
    reader.read(0, 1024)
    with pytest.raises(UserError, match="chunk 1 was never finished"):
        reader.read(0, 1025)
    (path / "directions/c/0/0").unlink()
    with pytest.raises(UserError, match="directions/c/0/0: missing chunk"):
        reader.read(0, 10)
    with pytest.raises(UserError, match="has no rows"):
        reader.read(0, 3000)
    with pytest.raises(UserError, match="no gradient store"):
        GradientReader(tmp_path / "nothing")


def test_a_damaged_chunk_is_refused_by_name(tmp_path):
    path = tmp_path / "store"
    write_store(path)
    damage(path / "norm/c/2")
    GradientReader(path).read(0, 2048)
    with pytest.raises(UserError, match="norm/c/2: damaged chunk"):
        GradientReader(path).read(0, 2050)


def damage(file):
    content = bytearray(file.read_bytes())
    content[3] ^= 0x10
    file.write_bytes(content)


def test_states_are_refused_where_there_are_none(tmp_path):
    store = GradientStore(tmp_path / "store", 10, DIMENSION, ATTRIBUTES, {})
    store.write(0, "f", some_rows(10, states=False))
    with pytest.raises(UserError, match="holds no last_token states"):
        GradientReader(tmp_path / "store").read_states(0, 10, "last_token")


def test_all_zero_chunks_and_empty_rows_are_kept_as_files(tmp_path):
    rows = some_rows(3, states=False)
    rows.directions[:] = np.nan
    rows.norm[:] = np.nan
    GradientStore(tmp_path / "store", 3, DIMENSION, ATTRIBUTES, {}).write(0, "f", rows)
    assert np.isnan(GradientReader(tmp_path / "store").read(0, 3).directions).all()


def test_two_jobs_write_their_own_chunks_of_one_store(tmp_path):
    path = tmp_path / "store"
    write_store(path, chunks=[0, 1])
    write_store(path, chunks=[2])
    assert GradientReader(path).read(0, 2050).tokens.shape == (2050,)


def test_a_store_that_grows_keeps_its_full_chunks(tmp_path):
    path = tmp_path / "store"
    written = write_store(path, chunks=[0])
    store = GradientStore(path, 5000, DIMENSION, ATTRIBUTES, {"last_token": HIDDEN, "position_weighted": HIDDEN})
    assert store.finished(0, "f0")["digest"] == written[0].digest()
    assert store.finished(0, "other") is None
    assert GradientReader(path).rows == 5000


def test_other_settings_start_the_store_anew_and_say_so(tmp_path, capsys):
    path = tmp_path / "store"
    write_store(path)
    GradientStore(path, 10, DIMENSION + 1, ATTRIBUTES | {"settings": "t"}, {})
    assert "starting again" in capsys.readouterr().err
    assert GradientReader(path).dimension == DIMENSION + 1
    with pytest.raises(UserError, match="chunk 0 was never finished"):
        GradientReader(path).read(0, 1)


def test_an_error_while_writing_reaches_the_computing_thread(tmp_path):
    store = GradientStore(tmp_path / "store", 2050, DIMENSION, ATTRIBUTES, {"last_token": HIDDEN, "position_weighted": HIDDEN})
    with pytest.raises(ValueError, match="5 rows for chunk 0"), ChunkWriter(store) as writer:
        writer.put(0, "f", some_rows(5))


def defects_of(path):
    return [defect for checked in verify(path) for defect in checked.defects]


def test_verify_names_each_kind_of_damage(tmp_path):
    path = tmp_path / "store"
    write_store(path)
    assert defects_of(tmp_path) == []
    damage(path / "loss/c/1")
    assert "loss/c/1: damaged chunk" in defects_of(path)[0]
    write_store(path)
    (path / "status/c/0").unlink()
    (path / "chunks/000002.json").unlink()
    missing, unfinished = defects_of(path)
    assert "status/c/0: missing chunk" in missing
    assert "chunk 2 was never finished" in unfinished
    write_store(path)
    shutil.copy(path / "norm/c/0", path / "norm/c/1")
    assert "norm/c/1: not the chunk its manifest vouches for" in defects_of(path)[0]
    rows = some_rows(1024)
    rows.directions[7] *= 2
    rows.status[8] = -1
    GradientStore(path, 2050, DIMENSION, ATTRIBUTES, dict.fromkeys(rows.states, HIDDEN)).write(0, "f0", rows)
    assert [defect.split(": ")[1] for defect in defects_of(path)[:2]] == [
        "row 8 was never written",
        "row 7 is valid but not of unit length",
    ]
    with pytest.raises(UserError, match="nothing to verify"):
        list(verify(tmp_path / "store" / "chunks"))
    with pytest.raises(UserError, match="no such file"):
        list(verify(tmp_path / "other"))


def test_verify_command_counts_what_is_sound_names_what_is_damaged_and_ends_with_status_1(tmp_path):
    for name in ("first", "second"):
        write_store(tmp_path / "gradients" / name)
    sound = CliRunner().invoke(app, ["verify", str(tmp_path)])
    assert sound.exit_code == 0
    all_sound = "All is sound: 2 artefacts and stores were read, and each is what its manifest says."
    assert sound.output.splitlines() == ["read: gradient store 2", all_sound]
    whole = CliRunner().invoke(app, ["verify", str(tmp_path), "--verbose"]).output.splitlines()
    stores = [f"ok      {tmp_path}/gradients/{name}: gradient store, 2050 rows in 3 chunks" for name in ("first", "second")]
    assert whole == [*stores, "read: gradient store 2", all_sound]
    damage(tmp_path / "gradients" / "second" / "norm/c/0")
    damaged = CliRunner().invoke(app, ["verify", str(tmp_path)])
    assert damaged.exit_code == 1
    named, defect, *_ = damaged.stdout.splitlines()
    assert named.startswith(f"DAMAGED {tmp_path}/gradients/second: gradient store")
    assert "norm/c/0" in defect
    assert "first" not in damaged.output
    assert "read: gradient store 2 (1 damaged)" in damaged.output
    assert f"in 2 artefacts and stores; `equipoise verify --heal {tmp_path}` removes what is damaged" in damaged.output
    told = json.loads(CliRunner().invoke(app, ["verify", str(tmp_path), "--json"]).stdout)
    assert [bool(one["defects"]) for one in told["checked"]] == [False, True]
    assert not told["sound"]


def test_verify_reads_other_arrays_chunk_by_chunk(tmp_path):
    import zarr

    array = zarr.create_array(str(tmp_path / "matrix.zarr"), shape=(10, 2), chunks=(4, 2), dtype="float32")
    array[:] = 1.0
    assert defects_of(tmp_path) == []
    (tmp_path / "matrix.zarr/c/1/0").unlink()
    assert "c/1/0: missing chunk" in defects_of(tmp_path)[0]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"zarr_format": 3, "node_type": "group", "attributes": {}}', "a group without arrays"),
        ("", "its metadata cannot be read"),
        ('{"zarr_format": 3, "node_type": "array"}', "its metadata cannot be read"),
        ("[]", "its metadata cannot be read"),
    ],
)
def test_verify_names_a_store_that_a_killed_writer_has_only_begun(tmp_path, content, told):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "zarr.json").write_text(content)
    (checked,) = verify(tmp_path)
    assert told in checked.defects[0]
    heal([checked])
    assert not (tmp_path / "store").exists()
