"""Entry of a confined process: `python -I -S -B start.py < settings.json`. Shuts itself in, then plays its role.

Settings: role (candidate or checker), namespaces (bool), package (folder to import from), read and write (file descriptors of the
other role), ready (a byte goes there once confined), memory, seconds and scratch (bytes, seconds of processor time, bytes);
candidate: program (text); checker: verdict (file descriptor), prelude and tests (text), functions (names of the program's that the tests
call).
"""

import json
import os
import resource
import signal
import sys


def main() -> None:
    """Reads the settings, confines this process and plays the role. Trouble before that goes to standard error, with status 70."""
    settings = json.loads(sys.stdin.buffer.read())
    sys.path.insert(0, settings["package"])
    try:
        from equipoise.evaluation.confined import candidate, checker, namespaces, plain, seccomp, system  # noqa: F401

        sys.path.pop(0)
        if not seccomp.supported():
            raise OSError(f"no filter of system calls for {os.uname().machine}")
        system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
        if settings["namespaces"]:
            namespaces.enter(settings["scratch"])
        null = os.open("/dev/null", os.O_RDWR)  # the confined one: through a descriptor of the host's, its mode could be changed
        system.drop_capabilities()
        if settings["role"] == "checker":
            system.prctl(system.PR_SET_DUMPABLE, 0)  # the program, of the same user, cannot read the tests in its memory
        _limit(settings)
        seccomp.confine(read_only=not settings["namespaces"])
    except OSError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(70)
    os.write(settings["ready"], b".")
    os.close(settings["ready"])
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    read, write = os.fdopen(settings["read"], "rb"), os.fdopen(settings["write"], "wb")
    if settings["role"] == "candidate":
        candidate.serve(settings["program"], calls=read, answers=write)
    else:
        verdict = os.fdopen(settings["verdict"], "wb")
        checker.judge(settings["prelude"], settings["tests"], settings["functions"], calls=write, answers=read, verdict=verdict)


def _limit(settings: dict) -> None:
    for limit, value in (
        (resource.RLIMIT_AS, settings["memory"]),
        (resource.RLIMIT_CPU, settings["seconds"] + 1),
        (resource.RLIMIT_FSIZE, settings["scratch"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    if settings["namespaces"]:
        resource.setrlimit(resource.RLIMIT_NPROC, (32, 32))


if __name__ == "__main__":
    main()
