"""The filter's numbers of system calls are the kernel's."""

import re
from pathlib import Path

import pytest

from equipoise.evaluation.confined import seccomp
from helpers.system_calls import REACHING_OUT

HEADERS = (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm-generic/unistd.h"))


@pytest.mark.parametrize("machine", range(2), ids=seccomp.MACHINES)
def test_numbers_are_those_of_the_kernels_headers(machine):
    if not HEADERS[machine].exists():
        pytest.skip(f"no {HEADERS[machine]}")
    kernel = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)[ \t]+(\d+)\b", HEADERS[machine].read_text())}
    kernel.setdefault("newfstatat", kernel.get("fstatat"))
    listed = {
        **seccomp.COMPUTING,
        **{name: first for name, (first, _) in (seccomp.CHOSEN | seccomp.OPENING).items()},
    }
    calls = {**listed, **REACHING_OUT, "seccomp": seccomp.SECCOMP}
    del calls["an x32 call"]
    assert {name: kernel.get(name) for name in calls} == {name: numbers[machine] for name, numbers in calls.items()}
