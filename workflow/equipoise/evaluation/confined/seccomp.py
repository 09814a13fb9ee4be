"""A filter of system calls that lets through what Python needs to compute and read files, and nothing else.

No new process or thread, no network, no signal or setting that reaches another process, no memory that RLIMIT_AS does not count (System V
and POSIX objects, memfd), nothing that outlives the process, no file changed. A call that is not listed fails with ENOSYS: libraries have
fallbacks for it.
"""

import ctypes
import os
import struct

from equipoise.evaluation.confined.system import PR_SET_NO_NEW_PRIVS, prctl, syscall

EPERM, ENOSYS = 1, 38
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, JUMP_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x45, 0x06
SECOND, THIRD = 24, 32
"""Where the lower half of an argument lies in seccomp_data; the kernel reads no more of the ones that are looked at here."""

MACHINES = ("x86_64", "aarch64")
AUDIT = (0xC000003E, 0xC00000B7)
SECCOMP = (317, 277)
# numbers on the two machines; None where one has only the newer form of a call
COMPUTING = {
    "read": (0, 63), "readv": (19, 65), "pread64": (17, 67), "write": (1, 64), "writev": (20, 66), "pwrite64": (18, 68),
    "close": (3, 57), "lseek": (8, 62), "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24), "pipe": (22, None), "pipe2": (293, 59),
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    "stat": (4, None), "lstat": (6, None), "fstat": (5, 80), "newfstatat": (262, 79), "statx": (332, 291), "access": (21, None),
    "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None), "readlinkat": (267, 78), "getdents": (78, None),
    "getdents64": (217, 61), "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50), "umask": (95, 166),
    "brk": (12, 214), "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "mremap": (25, 216), "madvise": (28, 233),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigpending": (127, 136), "rt_sigtimedwait": (128, 137),
    "rt_sigsuspend": (130, 133), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132), "pause": (34, None), "alarm": (37, None),
    "getitimer": (36, 102), "setitimer": (38, 103), "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "restart_syscall": (219, 128),
    "time": (201, None), "gettimeofday": (96, 169), "clock_gettime": (228, 113), "clock_getres": (229, 114), "times": (100, 153),
    "getrusage": (98, 165), "getrandom": (318, 278), "uname": (63, 160), "sysinfo": (99, 179), "sched_getaffinity": (204, 123),
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "getgroups": (115, 158), "getpgrp": (111, None), "getpgid": (121, 155), "getsid": (124, 156),
    "futex": (202, 98), "sched_yield": (24, 124), "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
# let through for some values of their second argument: duplicates, close-on-exec and status flags (no owner that signals go to, no
# lock, no larger pipe); questions about a terminal and a file (no input typed into a terminal)
CHOSEN = {
    "fcntl": ((72, 25), (0, 1, 2, 3, 4, 1030)),
    "ioctl": ((16, 29), (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)),
}
OPENING = {"open": ((2, None), SECOND), "openat": ((257, 56), THIRD)}
WRITING = 0o1 | 0o2 | 0o100 | 0o1000 | 0o20000000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_TMPFILE

Instruction = tuple[int, int, int, int]


def supported() -> bool:
    """Whether the filter knows this machine's system calls."""
    return os.uname().machine in MACHINES


def confine() -> None:
    """Installs the filter for good. Raises `OSError` where the kernel refuses."""
    machine = MACHINES.index(os.uname().machine)
    program = filter_program(machine)
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Filter(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    prctl(PR_SET_NO_NEW_PRIVS, 1)
    syscall(SECCOMP[machine], 1, 1, ctypes.byref(Filter(len(program), ctypes.addressof(buffer))))


def filter_program(machine: int) -> list[Instruction]:
    """BPF instructions (code, jump if true, jump if false, value) over seccomp_data: number at 0, architecture at 4, arguments from 16.

    Other tables of calls are not let through either: 32-bit ones come with another architecture, x32 ones have a bit of their own.
    """
    allow, deny = (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ERRNO | EPERM)
    program = [(LOAD, 0, 0, 4), (JUMP_EQUAL, 1, 0, AUDIT[machine]), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    for numbers in COMPUTING.values():
        program += _for(numbers[machine], [allow])
    for numbers, values in CHOSEN.values():
        chosen = [step for value in values for step in ((JUMP_EQUAL, 0, 1, value), allow)]
        program += _for(numbers[machine], [(LOAD, 0, 0, SECOND), *chosen, deny])
    for numbers, flags in OPENING.values():
        program += _for(numbers[machine], [(LOAD, 0, 0, flags), (JUMP_SET, 0, 1, WRITING), deny, allow])
    return [*program, (RETURN, 0, 0, ERRNO | ENOSYS)]


def _for(number: int | None, steps: list[Instruction]) -> list[Instruction]:
    """Instructions that take these steps for the call of this number."""
    return [] if number is None else [(JUMP_EQUAL, 0, len(steps), number), *steps]
