"""Landlock (Linux 5.13 and later): from now on this process reads Python and system libraries, and no other file.

What the kernel shows of processes outside (environment, memory, descriptors) it closes too, for whoever runs this one.
Source: https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import os

from equipoise.evaluation.confined.system import PR_SET_NO_NEW_PRIVS, VISIBLE, prctl, syscall

SYS_CREATE_RULESET, SYS_ADD_RULE, SYS_RESTRICT_SELF = 444, 445, 446  # the same on all machines
VERSION, PATH_BENEATH = 1, 1
ALL_OF_THE_FIRST_VERSION = (1 << 13) - 1
"""Every way to a file that the first version knows; what came later changes files, which the filter of system calls forbids."""
READ_FILE, READ_FOLDER = 1 << 2, 1 << 3


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """The version of Landlock that this kernel has. Raises `OSError` where it has none."""
    return syscall(SYS_CREATE_RULESET, None, 0, VERSION)


def enter() -> None:
    """Restricts this process for good. Raises `OSError` where the kernel cannot."""
    handled = ctypes.c_uint64(ALL_OF_THE_FIRST_VERSION)
    rules = syscall(SYS_CREATE_RULESET, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    for path in VISIBLE:
        try:
            place = os.open(path, os.O_PATH)
        except FileNotFoundError:
            continue
        syscall(SYS_ADD_RULE, rules, PATH_BENEATH, ctypes.byref(_Beneath(READ_FILE | READ_FOLDER, place)), 0)
        os.close(place)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    syscall(SYS_RESTRICT_SELF, rules, 0)
    os.close(rules)
