"""What a confined process runs in: bubblewrap, podman, runsc, or a plain process that shuts itself in (namespaces, Landlock)."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from equipoise.evaluation.confined import landlock
from equipoise.evaluation.confined.namespaces import INSIDE
from equipoise.evaluation.confined.system import VISIBLE

CONFINED = Path(__file__).parent / "confined"


@dataclass(frozen=True)
class Container:
    """A mode of the sandbox.

    confinement: what start.py still has to do. run: a context that gives the command that runs a command inside, for at most so many
    seconds, and clears away after it. version: of what confines, as text; raises `OSError` where there is none. environment: variables
    that the container's own program needs; what runs inside sees none of them.
    """

    mode: str
    confinement: str
    run: Callable[[list[str], int], AbstractContextManager[list[str]]]
    version: Callable[[], str]
    environment: tuple[str, ...] = ()


def interpreter() -> str:
    """Python itself, not a virtual environment's link to it: the one that is there in a container that shows `VISIBLE`."""
    named = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    return str(named) if named.exists() else os.path.realpath(sys.executable)


def start_command(role: str, confinement: str, memory: int, seconds: int) -> list[str]:
    """What starts a confined process, seen from inside; see start.py."""
    return [interpreter(), "-I", "-S", "-B", str(CONFINED / "start.py"), role, confinement, str(memory), str(seconds)]


@contextmanager
def _plainly(command: list[str], seconds: int) -> Iterator[list[str]]:
    yield command


@contextmanager
def _in_bubblewrap(command: list[str], seconds: int) -> Iterator[list[str]]:
    words = [found("bwrap"), "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--uid", str(INSIDE), "--gid", str(INSIDE), "--cap-drop", "ALL", "--die-with-parent", "--as-pid-1"]
    for path, link in _visible():
        words += ["--symlink", link, path] if link else ["--ro-bind", path, path]
    yield [*words, "--remount-ro", "/", "--chdir", "/", "--", *command]


@contextmanager
def _in_podman(command: list[str], seconds: int) -> Iterator[list[str]]:
    name = f"equipoise-{uuid.uuid4().hex}"
    words = [found("podman"), "run", "--name", name, "--rm", "--interactive", "--network", "none", "--read-only", "--read-only-tmpfs=false"]
    words += ["--cap-drop", "all", "--security-opt", "no-new-privileges", "--user", f"{INSIDE}:{INSIDE}", "--unsetenv-all"]
    words += ["--timeout", str(seconds), "--log-driver", "none", "--workdir", "/"]
    words += ["--cgroups", "disabled", "--ulimit", "nofile=64:64", "--ulimit", "nproc=4096:4096"]  # its own: more than a user may have
    with _skeleton() as root:
        for path, link in _visible():
            words += [] if link else ["--volume", f"{path}:{path}:ro"]
        try:
            yield [*words, "--rootfs", str(root), *command]
        finally:
            subprocess.run(["podman", "rm", "--force", "--ignore", "--time", "0", name], capture_output=True, check=False)


@contextmanager
def _in_runsc(command: list[str], seconds: int) -> Iterator[list[str]]:
    name = f"equipoise-{uuid.uuid4().hex}"
    with _skeleton() as root:
        binds = [{"destination": path, "source": path, "type": "bind", "options": ["ro", "rbind"]} for path, link in _visible() if not link]
        config = {
            "ociVersion": "1.0.0",
            "process": {"args": command, "cwd": "/", "user": {"uid": INSIDE, "gid": INSIDE}, "noNewPrivileges": True, "capabilities": {}},
            "root": {"path": str(root), "readonly": True},
            "mounts": binds,
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
        }
        bundle = root.parent
        (bundle / "config.json").write_text(json.dumps(config))
        general = [found("runsc"), "--root", str(bundle / "state"), "--network", "none", "--ignore-cgroups"]
        general += [] if os.getuid() == 0 else ["--rootless"]
        try:
            yield [*general, "run", "--bundle", str(bundle), name]
        finally:
            subprocess.run([*general, "delete", "--force", name], capture_output=True, check=False)


@contextmanager
def _skeleton() -> Iterator[Path]:
    """An empty root in a folder of its own, with the links of `VISIBLE`."""
    with tempfile.TemporaryDirectory(prefix="equipoise-root-") as folder:
        root = Path(folder, "root")
        for path, link in _visible():
            place = root / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if link:
                place.symlink_to(link)
            else:
                place.mkdir(parents=True, exist_ok=True)
        for path in (root, Path(folder)):
            path.chmod(0o755)
        yield root


def _visible() -> Iterator[tuple[str, str | None]]:
    """Paths that a container shows read-only, each with what it links to or none; a folder below another is there with it."""
    shown: list[str] = []
    for path in (*VISIBLE, str(CONFINED)):
        if os.path.islink(path):
            yield path, os.readlink(path)
        elif os.path.isdir(path) and not any(Path(path).is_relative_to(folder) for folder in shown):
            shown.append(path)
            yield path, None


@lru_cache
def _said_by(program: str) -> str:
    done = subprocess.run([found(program), "--version"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{program} --version: {done.stderr.strip()}")
    return done.stdout.splitlines()[0]


def found(program: str) -> str:
    """The path of an installed program. Raises `FileNotFoundError` where there is none."""
    path = shutil.which(program)
    if path is None:
        raise FileNotFoundError(f"{program} is not installed")
    return path


STARTING = ("HOME", "PATH", "XDG_RUNTIME_DIR")
CONTAINERS = {
    container.mode: container
    for container in (
        Container("bubblewrap", "none", _in_bubblewrap, lambda: _said_by("bwrap")),
        Container("namespaces", "namespaces", _plainly, lambda: f"Linux {os.uname().release}"),
        Container("process", "landlock", _plainly, lambda: f"Landlock {landlock.version()}, Linux {os.uname().release}"),
        Container("podman", "none", _in_podman, lambda: _said_by("podman"), STARTING),
        Container("runsc", "none", _in_runsc, lambda: _said_by("runsc"), STARTING),
    )
}
AUTOMATIC = ("bubblewrap", "namespaces")
"""What `auto` tries, in this order; whatever protects less or starts slower is taken by its name only."""
