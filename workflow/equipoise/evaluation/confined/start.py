"""Entry of a confined process: `python -I -S -B start.py ROLE CONFINEMENT MEMORY SECONDS`. Shuts itself in, then plays its role.

Role: candidate or checker; confinement: namespaces, landlock, or none where a container is around us already; memory in bytes, seconds of
processor time. It has three descriptors, all pipes: 0 comes from the other role, 1 goes to it, 2 goes to the evaluator, to whom it sends a
byte once it is confined and, as a checker, the verdict. The first frame on 0 is the evaluator's, who sends it after that byte, so that
nothing runs whose evaluator died meanwhile: candidate: program (text); checker: prelude, tests (text), functions (names of the program's
that the tests call).
"""

import io
import os
import resource
import sys


class Nowhere(io.RawIOBase):
    """Holds nothing and takes everything: what /dev/null is where there are devices."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        return 0

    def writable(self) -> bool:
        return True

    def write(self, content: bytes) -> int:
        return len(content)


def main() -> None:
    """Confines this process and plays the role. Trouble before that goes to descriptor 2, with status 70."""
    role, confinement, memory, seconds = sys.argv[1:]
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))
    try:
        # no more than is needed: importing is most of what a start costs
        from equipoise.evaluation.confined import plain, seccomp, system

        if role == "candidate":
            from equipoise.evaluation.confined import candidate
        else:
            from equipoise.evaluation.confined import checker
        if confinement == "namespaces":
            from equipoise.evaluation.confined import namespaces
        elif confinement == "landlock":
            from equipoise.evaluation.confined import landlock
        sys.path.pop(0)
        read, write, evaluator = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(2), "wb")
        if not seccomp.supported():
            raise OSError(f"no filter of system calls for {os.uname().machine}")
        if confinement != "none":  # a container sees to it itself
            system.prctl(system.PR_SET_PDEATHSIG, system.SIGKILL)
        if confinement == "namespaces":
            namespaces.enter()
        elif confinement == "landlock":
            landlock.enter()
        system.drop_capabilities()
        if role == "checker":
            system.prctl(system.PR_SET_DUMPABLE, 0)  # the program, of the same user, cannot read the tests in its memory
        _limit(int(memory), int(seconds))
        seccomp.confine()
    except OSError as error:
        os.write(2, str(error).encode())
        os._exit(70)
    os.closerange(0, 3)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(Nowhere()), "utf-8")
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.BufferedWriter(Nowhere()), "utf-8", "backslashreplace") for _ in range(2))
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    evaluator.write(b".")
    evaluator.flush()
    settings = plain.next_frame(read)
    if settings is None:
        os._exit(0)
    if role == "candidate":
        evaluator.close()
        candidate.serve(*plain.decode(settings), calls=read, answers=write)
    else:
        checker.judge(*plain.decode(settings), calls=write, answers=read, verdict=evaluator)


def _limit(memory: int, seconds: int) -> None:
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds + 1),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    main()
