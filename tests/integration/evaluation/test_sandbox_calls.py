"""The filter of system calls: what a program cannot ask the kernel for, and that its numbers are the kernel's."""

import re
from pathlib import Path

import pytest

from equipoise.evaluation.confined import seccomp
from equipoise.evaluation.sandbox import run_program

HEADERS = (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm-generic/unistd.h"))
# numbers on x86_64 and aarch64, None where it has none
REACHING_OUT = {
    "clone": (56, 220), "clone3": (435, 435), "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "kill": (62, 129), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "kcmp": (312, 272), "timer_create": (222, 107),
    "setpriority": (141, 140), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119), "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274), "ioprio_set": (251, 30), "prlimit64": (302, 261), "prctl": (157, 167), "setsid": (112, 157),
    "shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "add_key": (248, 217), "keyctl": (250, 219),
    "request_key": (249, 218), "bpf": (321, 280), "perf_event_open": (298, 241), "inotify_init1": (294, 26), "fanotify_init": (300, 262),
    "epoll_create1": (291, 20), "eventfd2": (290, 19), "splice": (275, 76), "vmsplice": (278, 75), "socket": (41, 198),
    "socketpair": (53, 199), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "fsopen": (430, 430), "open_tree": (428, 428),
    "pivot_root": (155, 41), "chroot": (161, 51), "open_by_handle_at": (304, 265), "openat2": (437, 437), "mknodat": (259, 33),
    "setxattr": (188, 5), "flock": (73, 32), "personality": (135, 92), "seccomp": (317, 277), "syslog": (103, 116), "sync": (162, 81),
    "reboot": (169, 142), "init_module": (175, 105), "kexec_load": (246, 104), "swapon": (167, 224), "settimeofday": (164, 170),
    "setuid": (105, 146), "capset": (126, 91), "an x32 call": (0x40000000 + 39, None),
}  # fmt: skip


def test_calls_that_reach_other_processes_or_outlive_the_program_are_unknown(confined):
    program = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
machine = {seccomp.MACHINES!r}.index(os.uname().machine)
def known(calls):
    found = []
    for name, numbers in calls.items():
        if numbers[machine] is not None:
            result = libc.syscall(ctypes.c_long(numbers[machine]), *[ctypes.c_long(-1)] * 6)
            if (result, ctypes.get_errno()) != (-1, 38):
                found.append(name)
    return found
"""
    verdict = run_program(program, f"assert known({REACHING_OUT!r}) == [], known({REACHING_OUT!r})", ["known"], confined)
    assert verdict.passed, verdict.reason


@pytest.mark.parametrize("machine", range(2), ids=seccomp.MACHINES)
def test_numbers_are_those_of_the_kernels_headers(machine):
    if not HEADERS[machine].exists():
        pytest.skip(f"no {HEADERS[machine]}")
    kernel = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)[ \t]+(\d+)\b", HEADERS[machine].read_text())}
    kernel.setdefault("newfstatat", kernel.get("fstatat"))
    listed = {
        **seccomp.COMPUTING,
        **seccomp.CHANGING_FILES,
        **{name: first for name, (first, _) in (seccomp.CHOSEN | seccomp.OPENING).items()},
    }
    calls = {**listed, **REACHING_OUT, "seccomp": seccomp.SECCOMP}
    del calls["an x32 call"]
    assert {name: kernel.get(name) for name in calls} == {name: numbers[machine] for name, numbers in calls.items()}
