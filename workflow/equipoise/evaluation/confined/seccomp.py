"""A filter of system calls: no new processes, no network, no signals to others, no tricks with the kernel."""

import ctypes
import os
import struct

from equipoise.evaluation.confined.system import PR_SET_NO_NEW_PRIVS, prctl, syscall

EPERM, ENOSYS = 1, 38
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, JUMP_EQUAL, JUMP_GREATER_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
CLONE_THREAD = 0x10000
WRITING = 0o1 | 0o2 | 0o100 | 0o1000 | 0o20000000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_TMPFILE

AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}
CLONE = {"x86_64": 56, "aarch64": 220}
OPENAT = {"x86_64": 257, "aarch64": 56}
OPEN = {"x86_64": 2}
CLONE3 = 435

# fork vfork execve execveat; socket socketpair connect; kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_*; ptrace process_vm_*
# prlimit64 setrlimit setsid setpgid; mounts, namespaces, modules, keys, bpf, perf, io_uring, userfaultfd, personality, open_by_handle_at
FORBIDDEN = {
    "x86_64": (
        57, 58, 59, 322, 41, 53, 42, 62, 200, 234, 129, 297, 101, 310, 311, 302, 160, 112, 109, 165, 166, 155, 161, 272, 308,
        175, 313, 176, 246, 169, 135, 167, 163, 248, 249, 250, 298, 304, 317, 321, 323,
    ),
    "aarch64": (
        221, 281, 198, 199, 203, 129, 130, 131, 138, 240, 117, 270, 271, 261, 164, 157, 154, 40, 39, 41, 51, 97, 268,
        105, 273, 106, 104, 142, 92, 224, 89, 217, 218, 219, 241, 265, 277, 280, 282,
    ),
}  # fmt: skip
FORBIDDEN_EVERYWHERE = (424, 425, 428, 429, 430, 431, 432, 433, 434, 438, 442)
# creat mkdir mknod rmdir unlink rename link symlink truncate chmod chown utime setxattr and their kin
CHANGING_FILES = {
    "x86_64": (
        85, 83, 258, 133, 259, 84, 87, 263, 82, 264, 316, 86, 265, 88, 266, 76, 90, 91, 268, 92, 93, 94, 260, 132, 235, 261, 280,
        188, 189, 190, 319,
    ),
    "aarch64": (34, 33, 35, 38, 276, 37, 36, 45, 52, 53, 54, 55, 88, 5, 6, 7, 279),
}  # fmt: skip
CHANGING_FILES_EVERYWHERE = (437, 452)  # openat2, fchmodat2


def supported() -> bool:
    """Whether the filter knows this machine's system calls."""
    return os.uname().machine in AUDIT


def forbid(changing_files: bool) -> None:
    """Installs the filter for good; with `changing_files` also files can only be read. Raises `OSError` where the kernel refuses."""
    machine = os.uname().machine
    program = _program(machine, changing_files)
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Filter(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    prctl(PR_SET_NO_NEW_PRIVS, 1)
    syscall(SYS_SECCOMP[machine], 1, 1, ctypes.byref(Filter(len(program), ctypes.addressof(buffer))))


def _program(machine: str, changing_files: bool) -> list[tuple[int, int, int, int]]:
    """BPF instructions (code, jump if true, jump if false, value) over seccomp_data: number at 0, architecture at 4, arguments from 16."""
    deny = (RETURN, 0, 0, ERRNO | EPERM)
    program = [(LOAD, 0, 0, 4), (JUMP_EQUAL, 1, 0, AUDIT[machine]), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    program += [(JUMP_GREATER_EQUAL, 0, 1, 0x40000000), (RETURN, 0, 0, KILL)]  # the x32 table
    program += [(JUMP_EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, ERRNO | ENOSYS)]  # its flags lie in memory; libc falls back to clone
    program += [(JUMP_EQUAL, 0, 4, CLONE[machine]), (LOAD, 0, 0, 16), (JUMP_SET, 1, 0, CLONE_THREAD), deny, (RETURN, 0, 0, ALLOW)]
    numbers = [*FORBIDDEN[machine], *FORBIDDEN_EVERYWHERE]
    if changing_files:
        numbers += [*CHANGING_FILES[machine], *CHANGING_FILES_EVERYWHERE]
        for opening, argument in ((OPENAT, 32), (OPEN, 24)):
            if machine in opening:
                program += [
                    (JUMP_EQUAL, 0, 4, opening[machine]),
                    (LOAD, 0, 0, argument),
                    (JUMP_SET, 0, 1, WRITING),
                    deny,
                    (RETURN, 0, 0, ALLOW),
                ]
    for number in numbers:
        program += [(JUMP_EQUAL, 0, 1, number), deny]
    return [*program, (RETURN, 0, 0, ALLOW)]
