"""A Python that has already imported what its commands need: each command is a fork of it, where a new interpreter would add nothing.

Starting an interpreter and importing torch, transformers and peft takes longer than most jobs of a small experiment. `WarmPython` is an
executable to be called as python is (`-m NAME ...` or `-c CODE ...`). Its commands have processes, working directories, environments and
standard streams of their own, and die with whoever called them. What libraries read from the environment when they are imported must not
differ from what the server had: where it does, or no server was started, the command is run by a new interpreter after all.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

READ_AT_IMPORT = ("HF_", "NLTK_", "PYTHON")
SINGLE = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # as the rules call every stage but `fetch`
PLAIN_MODULES = ("torch", "torch.distributed", "pandas", "pyarrow.parquet", "pyarrow.dataset", "scipy.stats", "sympy", "jinja2", "nltk")
STAGE_MODULES = (
    *PLAIN_MODULES,
    *("transformers.trainer", "transformers.models.llama.modeling_llama", "peft", "lm_eval.tasks", "lm_eval.models.huggingface"),
    *("datasets", "zarr", "numba", "matplotlib.pyplot"),
)
STOCK_TASKS = "from equipoise.harness import tasks; tasks._stock_manager((str(tasks.OWN_TASKS),))"
"""Indexes lm-eval's own 14,000 definitions, which takes longer than most jobs that need it."""
SNAKEMAKE_MODULES = ("snakemake.cli", "snakemake.api", "snakemake.workflow", "pydantic", "yaml", "pulp")
CLIENT = """
import json, os, socket, sys
own = {name: value for name, value in os.environ.items() if name.startswith(%(prefixes)r)}
server = socket.socket(socket.AF_UNIX)
if own != %(environment)r or sys.argv[1] not in ("-m", "-c") or server.connect_ex(%(place)r):
    os.execv(%(python)r, [%(python)r, *sys.argv[1:]])
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
server.sendall(request)
status = server.recv(8)
sys.exit(int(status) if status else 70)
"""


class WarmPython:
    """A server with `modules` imported under this environment and `environment`, once started; `path` runs a command in a fork of it.

    read: prefixes of the variables that these modules read. prepared: code that the server runs before the first fork.
    """

    def __init__(self, modules: tuple[str, ...], read: tuple[str, ...] = READ_AT_IMPORT, prepared: str = "", **environment: str):
        self._arguments, self._server = (prepared, *modules), None
        self._environment = {**os.environ, **SINGLE, **environment}
        self._folder = tempfile.TemporaryDirectory(prefix="warm-")
        folder = Path(self._folder.name)
        self._place = str(folder / "socket")
        known = {name: value for name, value in self._environment.items() if name.startswith(read)}
        words = {"prefixes": read, "environment": known, "python": sys.executable, "place": self._place}
        (folder / "client.py").write_text(CLIENT % words)
        self.path = str(folder / "python")
        Path(self.path).write_text(f"#!/bin/sh\nexec '{sys.executable}' -ISE '{folder}/client.py' \"$@\"\n")
        Path(self.path).chmod(0o755)

    def start(self) -> str:
        """Starts the server, where it is not yet; `path`."""
        if self._server is None:
            command = [sys.executable, "-P", __file__, self._place, *self._arguments]
            self._server = subprocess.Popen(command, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._server.stdout.readline()
            atexit.register(self.close)
        return self.path

    def __enter__(self) -> "WarmPython":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the server; commands that still run go on."""
        if self._server is not None:
            self._server.communicate()
            atexit.unregister(self.close)
            self._server = None


def offline_stages(prepared: str = "") -> WarmPython:
    """For `equipoise STAGE` as the rules call it, with the hub's cache where the environment says now."""
    return WarmPython(STAGE_MODULES, prepared=prepared, **OFFLINE)


STAGES = offline_stages()
ANY_HUB = WarmPython(PLAIN_MODULES, ("PYTHON",))
"""For stages with a hub and a cache of their own: what does not look at them is imported."""
SNAKEMAKE = WarmPython(SNAKEMAKE_MODULES)
"""For `snakemake` and `equipoise run`."""


def serve(place: str, prepared: str, modules: list[str]) -> None:
    """Forks for every caller until standard input ends."""
    for name in modules:
        importlib.import_module(name)
    exec(prepared, {})
    gc.freeze()  # so that the forks do not copy what they never look at
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen(64)
    print("ready", flush=True)
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        caller, _ = listener.accept()
        if not os.fork():
            listener.close()
            _keep(caller)
        caller.close()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _keep(caller: socket.socket) -> None:
    """Runs a caller's command, tells it the status, and ends this process; a caller that goes away takes the command with it."""
    size, streams, _, _ = socket.recv_fds(caller, 8, 3)
    request = b""
    while len(request) < int.from_bytes(size, "big"):
        request += caller.recv(1 << 20)
    command = os.fork()
    if not command:
        caller.close()
        _end(_status_of(*json.loads(request), streams))
    ended = os.pidfd_open(command)
    if ended not in select.select([ended, caller], [], [])[0]:
        os.kill(command, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
    with contextlib.suppress(OSError):
        caller.sendall(str(status if status >= 0 else 128 - status).encode())
    os._exit(0)


def _status_of(words: list[str], folder: str, environment: dict[str, str], streams: list[int]) -> int:
    """Lets this process be the command; the status it ends with."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    kind, what, *arguments = words
    sys.path.insert(0, folder if kind == "-m" else "")
    sys.argv = [kind, *arguments]
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end(status: int) -> None:
    """Ends this process as the interpreter would, but leaves its memory as it is: tidying all that was imported takes seconds."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], sys.argv[3:])
