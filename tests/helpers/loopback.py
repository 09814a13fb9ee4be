"""The loopback hub as a process of its own, or within the test with gated ids, other revisions and a list of what was asked."""

import importlib.util
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

PLACE = re.compile(r"^(?:/api)?(?:/(datasets|models))?/([^/]+/[^/]+)/(?:revision|tree|paths-info|resolve)/([^/?]+)")


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """Address and process of the hub in `folder`; the process may be killed before the end."""
    server = subprocess.Popen([sys.executable, str(folder / "serve.py"), "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        yield server.stdout.readline().strip(), server
    finally:
        server.kill()
        server.wait()


class Hub:
    """A hub whose answers a test decides.

    gated: ids it refuses as gated. absent: revisions it does not know. revisions: folder (with datasets/ and models/) by revision name;
    the hub's own is `main`. asked: (kind, id, revision) of every request so far.
    """

    def __init__(self, folder: Path):
        specification = importlib.util.spec_from_file_location("serve", folder / "serve.py")
        self._serve = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(self._serve)
        self.gated: set[str] = set()
        self.absent: set[str] = set()
        self.revisions: dict[str, Path] = {}
        self.asked: list[tuple[str, str, str]] = []
        self._here = threading.local()
        find = self._serve.find
        self._serve.find = lambda kind, repo: self._found(kind, repo, find)
        hub = self

        class Handler(self._serve.Hub):
            def route(self, body: bytes = b"") -> None:
                hub._here.place = place = PLACE.match(self.path)
                if place:
                    hub.asked.append((place[1] or "models", place[2], place[3]))
                if place and place[2] in hub.gated:
                    headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this repository is restricted."}
                    return self.send(403, b'{"error": "restricted"}', headers)
                if place and place[3] in hub.absent:
                    return self.missing("RevisionNotFound", "Invalid rev id")
                return super().route(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _found(self, kind: str, repo: str, find) -> Path | None:
        """The folder of an id at the revision, a name or a commit, of the request that is being answered."""
        place = getattr(self._here, "place", None)
        wanted = place[3] if place else "main"
        for name, root in self.revisions.items():
            folder = root / kind / repo
            if folder.is_dir() and wanted in (name, self._serve.revision(folder)):
                return folder
        return find(kind, repo)

    def commit(self, kind: str, repo: str, root: Path | None = None) -> str:
        """The commit that an id stands for in `root`, or on the main branch."""
        return self._serve.revision(root / kind / repo if root else self._serve.find(kind, repo))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
