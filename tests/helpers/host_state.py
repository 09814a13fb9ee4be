"""What of the machine can be compared before and after a program: modes, owners, kinds and bytes below /dev, /proc, /sys and /tmp."""

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

VOLATILE = ("/proc/sys/kernel/ns_last_pid", "/proc/sys/kernel/random", "/proc/sys/kernel/pty", "/sys/devices/virtual/bdi")
"""What the kernel changes by itself; the last are bytes of write-back that follow from the memory that is free."""
ELSEWHERE = ("/sys/fs/cgroup", "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security", "/dev/pts", "/dev/shm")
"""Where other processes of this machine come and go; of the two in /dev what we put there is compared."""


def host_state(baits: list[Path]) -> dict[str, tuple]:
    """Mode, owner and device number by path; of settings (files of /proc/sys and /sys that can be written) and baits the bytes too.

    A file's times are compared as whether they are those that hostile programs set: reading, which others do, moves them.
    """
    found = small_state(baits)
    for top in ("/proc/sys", "/sys"):
        for path, at in walked(Path(top)):
            readable = stat.S_ISREG(at.st_mode) and at.st_mode & 0o222 and at.st_mode & 0o444
            found[str(path)] = (*facts(at), _content(path) if readable else "")
    return found


def small_state(baits: list[Path]) -> dict[str, tuple]:
    """The part of `host_state` that costs little: devices, baits, the folders themselves, and files that programs have left."""
    found = {str(path): facts(os.lstat(path)) for path in map(Path, ("/", "/dev", "/dev/shm", "/dev/pts", "/proc", "/sys", "/tmp"))}
    found |= {str(path): facts(at) for path, at in walked(Path("/dev"))}
    for bait in baits:
        found[str(bait)] = facts(os.lstat(bait))
        found |= {str(path): (*facts(at), _content(path) if stat.S_ISREG(at.st_mode) else "") for path, at in walked(bait)}
    for folder in ("/", "/tmp", "/dev", "/dev/shm", "/var/tmp", "/proc", "/sys", "/usr"):
        found |= {f"{folder}/{name}": ("left",) for name in os.listdir(folder) if "equipoise-escaped" in name}
    for name in ("shm", "msg", "sem"):
        found[f"/proc/sysvipc/{name}"] = tuple(line.split()[1] for line in Path(f"/proc/sysvipc/{name}").read_text().splitlines()[1:])
    found["/proc/self/mounts"] = (_content(Path("/proc/self/mounts")),)
    return found


def walked(top: Path):
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if f"{folder}/{name}" not in ELSEWHERE]
        for name in (*folders, *names):
            path = Path(folder, name)
            if not str(path).startswith(VOLATILE):
                with suppress(OSError):  # it may be gone by now
                    yield path, os.lstat(path)


def facts(at: os.stat_result) -> tuple:
    return (at.st_mode, at.st_uid, at.st_gid, at.st_rdev, 1.0 in (at.st_atime, at.st_mtime))


def _content(path: Path) -> str:
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return f"not opened: {error.strerror}"
    try:
        return hashlib.sha256(os.read(number, 65536)).hexdigest()
    except OSError as error:
        return f"not read: {error.strerror}"
    finally:
        os.close(number)
