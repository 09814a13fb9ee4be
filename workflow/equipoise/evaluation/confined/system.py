"""Linux system calls that Python 3.11 does not offer, through the C library."""

import ctypes
import os
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 1, 4, 38, 24
SIGKILL = 9  # the module that has it by name takes as long to import as the interpreter to start
SYS_CAPSET = {"x86_64": 126, "aarch64": 91}

VISIBLE = ("/usr", "/lib", "/lib64", "/lib32", sys.base_prefix)
"""Folders that a confined process can read, where they are there: Python and the libraries that it loads."""


def call(name: str, *arguments: object) -> int:
    """Calls a function of the C library; raises `OSError` named after it when it fails."""
    result = getattr(LIBC, name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument."""
    call("prctl", option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def drop_capabilities() -> None:
    """Leaves this process no privilege, whoever runs it, so that as root it cannot look into or change others either."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break  # beyond the kernel's last one, or this process has none
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    syscall(SYS_CAPSET[os.uname().machine], ctypes.byref(header), ctypes.byref(nothing))


def syscall(number: int, *arguments: object) -> int:
    """A raw system call; integers are passed as longs."""
    return call("syscall", ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
