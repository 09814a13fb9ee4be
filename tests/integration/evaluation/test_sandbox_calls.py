"""The filter of system calls: what a program cannot ask the kernel for, and that its numbers are the kernel's."""

from equipoise.evaluation.confined import seccomp
from equipoise.evaluation.sandbox import run_program
from helpers.system_calls import REACHING_OUT


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
