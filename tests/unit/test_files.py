"""What is written and read at the edges: links, devices, pipes, broken configurations, names in logs."""

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from equipoise import files
from equipoise.config_file import read_mapping
from equipoise.errors import UserError
from equipoise.files import write_text
from equipoise.progress import log
from equipoise.store.manifest import read_manifest, write_manifest


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_a_device_stays_a_device():
    before = os.stat(os.devnull)
    write_text(os.devnull, "text")
    after = os.stat(os.devnull)
    assert stat.S_ISCHR(after.st_mode)
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)


def test_a_pipe_is_given_the_bytes(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_text(tmp_path / "pipe", "text")
    reader.join(10)
    assert read == ["text"]
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"seed: 1\nseed: 2\n", "seed stands twice"),
        (b"pool: {path: a, path: b}\n", "path stands twice"),
        ("seed: 1".encode("utf-16"), "UTF-8"),
        ("name: é".encode("latin-1"), "UTF-8"),
        (b"\x00\x01\x02", "not YAML"),
        (b"[" * 20_000, "not YAML"),
        (b"day: 2026-99-99\n", "not YAML"),
    ],
)
def test_a_broken_configuration_is_one_line(tmp_path, content, said):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as refused:
        read_mapping(path, "config.yaml")
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_is_no_configuration(tmp_path):
    with pytest.raises(UserError, match="a folder; write"):
        read_mapping(tmp_path, "config.yaml")


def test_names_do_not_steer_a_terminal(capsys):
    log("a \x1b]0;title\x07 \u202eb\u202c \ud800 é 漢\n")
    written = capsys.readouterr().err
    assert "a [U+001B]]0;title[U+0007] [U+202E]b[U+202C] [U+D800] é 漢" in written


@pytest.mark.parametrize("code", files.TRANSIENT)
def test_a_read_error_that_passes_is_tried_again_once(tmp_path, monkeypatch, code):
    import builtins

    monkeypatch.setattr(files, "RETRY_AFTER", 0.0)
    path, real, failures = tmp_path / "manifest.json", builtins.open, []
    write_manifest(path, "pool", rows=3)
    expected = files.file_digest(path)

    def failing(times):
        def opened(file, *arguments, **options):
            if str(file) == str(path) and len(failures) < times:
                failures.append(code)
                raise OSError(code, "passing", str(file))
            return real(file, *arguments, **options)

        return opened

    monkeypatch.setattr(builtins, "open", failing(1))
    assert files.file_digest(path) == expected
    assert failures == [code]
    failures.clear()
    monkeypatch.setattr(builtins, "open", failing(2))
    with pytest.raises(OSError, match="passing"):
        files.file_digest(path)


def test_a_manifest_is_read_again_after_an_error_that_passes_and_no_other_error_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "RETRY_AFTER", 0.0)
    write_manifest(tmp_path / "manifest.json", "pool", rows=3)
    real, tried = Path.read_bytes, []

    def once(path):
        tried.append(path)
        if len(tried) == 1:
            raise OSError(errno.ESTALE, "stale")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", once)
    assert read_manifest(tmp_path / "manifest.json", "pool")["rows"] == 3

    def refused():
        tried.append(None)
        raise OSError(errno.EACCES, "no")

    tried.clear()
    with pytest.raises(OSError, match="no"):
        files.retried(refused)
    assert tried == [None]
