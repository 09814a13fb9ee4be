"""Every kind of artefact against every kind of harm: found before it is used, named in one line, healed by the command that is named."""

import errno
import re
import shlex
import shutil
from pathlib import Path

import pytest

from equipoise import files
from equipoise.cluster.unmade import unmade
from equipoise.errors import UserError
from equipoise.jobs import stages
from equipoise.store import digests
from equipoise.store.kinds import KINDS
from equipoise.store.manifest import read_manifest
from equipoise.store.verify import verify, whole_content
from helpers.commands import equipoise
from helpers.every_kind import NAMES, make_every_kind, read_whole

ROOTS = ("fetch", "base", "fold", "retrainings")
"""Kinds that are made from no artefact and no file: a sound one of an older run of the same configuration is what a run would make."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    config = make_every_kind(tmp_path_factory.mktemp("here and now"))
    return config, {path: path.read_bytes() for path in Path(config.results).rglob("*") if path.is_file()}


@pytest.fixture
def now(made):
    """The experiment, all its files as they were made."""
    config, written = made
    yield config
    for path, content in written.items():
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """An older run of the same configuration, on another pool, and a run of another configuration."""
    return {
        "an older run's": make_every_kind(tmp_path_factory.mktemp("older"), seed=5),
        "another configuration's": make_every_kind(tmp_path_factory.mktemp("other"), 7, lm_eval_task="theirs", model={"max_length": 24}),
    }


def parts(config, kind, of) -> dict[str, Path]:
    """The manifest, every file, and a chunk of every array."""
    manifest = Path(KINDS[kind].manifest(config.layout, of))
    content = read_manifest(manifest, kind)
    listed = {"manifest": manifest} | {name: manifest.parent / name for name in content.get("files", {})}
    for name, entry in content.get("arrays", {}).items():
        listed[name] = manifest.parent / name / ("c/0" if entry["width"] is None else "c/0/0")
    return listed


def flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 4
    return bytes(changed)


HARMS = {
    "a bit at the start": lambda content: flipped(content, 0),
    "a bit in the middle": lambda content: flipped(content, len(content) // 2),
    "a bit at the end": lambda content: flipped(content, len(content) - 2),
    "cut off": lambda content: content[:-7],
    "empty": lambda content: b"",
    "longer": lambda content: content + b"more",
    "gone": lambda content: None,
}


def put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def refusal(config, kind, of) -> str:
    with pytest.raises(UserError) as raised:
        read_whole(config, kind, of)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def assert_healed(config, kind, of, before: dict[Path, bytes], told: str) -> None:
    """The command that the line names leaves no manifest of it, so that its job is missing an output; made again, it is read."""
    manifest = Path(KINDS[kind].manifest(config.layout, of))
    named = shlex.split(re.search("`equipoise (verify --heal .*?)`", told)[1])
    damaged = {path for checked in verify(named[-1]) for path in checked.damaged}
    kept = {path: path.read_bytes() for path in damaged if path.is_file()}
    done = equipoise(*named)
    assert (done.returncode, done.stderr) == (0, "")
    assert not manifest.exists()
    for path, content in {**kept, **before}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    read_whole(config, kind, of)


CASES = [(kind, harm) for kind in NAMES for harm in HARMS]


@pytest.mark.parametrize(("kind", "harm"), CASES, ids=[f"{kind}-{harm}" for kind, harm in CASES])
def test_damage_is_found_before_use_named_and_healed(now, kind, harm):
    of = NAMES[kind][0]
    for name, path in parts(now, kind, of).items():
        before = path.read_bytes()
        put(path, HARMS[harm](before))
        told = refusal(now, kind, of)
        assert str(path) in told, name
        if name == "manifest" and harm == "gone":
            assert f"run the stage that writes it ({KINDS[kind].stage})" in told
            put(path, before)
            continue
        assert "equipoise verify --heal" in told
        assert_healed(now, kind, of, {path: before}, told)


@pytest.mark.parametrize("kind", [kind for kind, listed in NAMES.items() if len(listed) > 1])
def test_another_artefact_of_the_same_kind_is_not_taken_for_it(now, kind):
    mine, other = (parts(now, kind, of) for of in NAMES[kind])
    before = {path: path.read_bytes() for path in mine.values()}
    for path, another in zip(mine.values(), other.values(), strict=True):
        if another.read_bytes() == before[path]:
            continue  # of two stores, the numbers of tokens
        path.write_bytes(another.read_bytes())
        told = refusal(now, kind, NAMES[kind][0])
        assert str(path) in told
        assert_healed(now, kind, NAMES[kind][0], before, told)
    for path, another in zip(mine.values(), other.values(), strict=True):  # all of it, its manifest too
        path.write_bytes(another.read_bytes())
    told = refusal(now, kind, NAMES[kind][0])
    assert str(mine["manifest"]) in told
    assert_healed(now, kind, NAMES[kind][0], before, told)


@pytest.mark.parametrize("kind", NAMES)
def test_an_artefact_of_another_kind_is_not_taken_for_it(now, kind):
    order = list(NAMES)
    other = order[order.index(kind) - 1]
    theirs = list(parts(now, other, NAMES[other][0]).values())
    for place, path in enumerate(parts(now, kind, NAMES[kind][0]).values()):
        before, another = path.read_bytes(), theirs[min(place, len(theirs) - 1)].read_bytes()
        if another == before:
            continue  # of two stores, the numbers of tokens
        path.write_bytes(another)
        told = refusal(now, kind, NAMES[kind][0])
        assert str(path) in told
        assert_healed(now, kind, NAMES[kind][0], {path: before}, told)


@pytest.mark.parametrize("whose", ["an older run's", "another configuration's"])
@pytest.mark.parametrize("kind", NAMES)
def test_an_artefact_made_by_other_means_is_not_taken_for_it(now, others, kind, whose):
    of = NAMES[kind][0]
    mine, other = parts(now, kind, of), parts(others[whose], kind, of)
    before = {path: path.read_bytes() for path in mine.values()}
    for name, path in mine.items():
        if name != "manifest" and other[name].read_bytes() != before[path]:
            path.write_bytes(other[name].read_bytes())
            assert str(path) in refusal(now, kind, of)
            path.write_bytes(before[path])
    if kind in ROOTS and (whose == "an older run's" or kind in ("fold", "retrainings")):
        return
    for name, path in mine.items():  # all of it, its manifest too
        path.write_bytes(other[name].read_bytes())
    told = refusal(now, kind, of)
    assert str(mine["manifest"]) in told
    assert f"run {KINDS[kind].stage} again, or `equipoise verify --heal " in told
    assert_healed(now, kind, of, before, told)


def test_every_kind_is_walked():
    assert NAMES.keys() == KINDS.keys()


def test_what_is_gone_or_cut_off_is_planned_again_and_a_copy_is_not(now, tmp_path):
    assert unmade(now) == set()
    outputs = {output for stage in stages(now) for output in stage.outputs}
    for kind in set(NAMES) - {"matrix", "fold", "retrainings"}:
        of = NAMES[kind][0]
        manifest = KINDS[kind].manifest(now.layout, of)
        for name, path in parts(now, kind, of).items():
            if name == "manifest" or manifest not in outputs:
                continue
            before = path.read_bytes()
            for content in (None, before[:-1]):
                put(path, content)
                assert manifest in unmade(now), (kind, name)
                path.write_bytes(before)
    copy = now.model_copy(update={"results": str(tmp_path / "copy")})
    shutil.copytree(now.results, copy.results, copy_function=shutil.copyfile)
    assert unmade(copy) == set()
    read_whole(copy, "matrix", NAMES["matrix"][0])
    assert whole_content(copy.layout.pool_manifest)


@pytest.mark.parametrize("code", files.TRANSIENT)
@pytest.mark.parametrize("kind", ["pool", "pool_gradients", "matrix"])
def test_a_read_error_that_passes_is_no_damage_and_one_that_stays_is_told(now, monkeypatch, kind, code):
    import builtins

    monkeypatch.setattr(files, "RETRY_AFTER", 0.0)
    monkeypatch.setattr(digests, "SETTLED", float("inf"))  # a file that this process has read is read again
    monkeypatch.setattr(digests, "_once", {})
    real, failed = builtins.open, set()

    def once(path, *arguments, **options):
        if str(path).startswith(now.results) and path not in failed:
            failed.add(path)
            raise OSError(code, "passing", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(builtins, "open", once)
    read_whole(now, kind, NAMES[kind][0])
    assert failed

    def always(path, *arguments, **options):
        if str(path).startswith(now.results) and not str(path).endswith(".json"):
            raise OSError(code, "staying", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(builtins, "open", always)
    assert "cannot be read (staying)" in refusal(now, kind, NAMES[kind][0])


def test_an_error_of_another_kind_is_not_tried_again():
    tried = []

    def fails():
        tried.append(1)
        raise OSError(errno.EACCES, "no")

    with pytest.raises(OSError, match="no"):
        files.retried(fails)
    assert len(tried) == 1
