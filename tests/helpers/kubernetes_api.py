"""A stand-in for a Kubernetes API server, on loopback: takes the jobs that the plugin makes and runs each pod's command on this machine.

Only what the plugin asks for is there. Every body of a job is kept, so that tests can read what the pods were to be.
"""

import json
import os
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml


class KubernetesApi:
    """`with KubernetesApi(folder) as api`: serves until the block ends; `api.kubeconfig` is the client's configuration file."""

    def __init__(self, folder):
        self.jobs: dict[str, dict] = {}
        self.pods: dict[str, subprocess.Popen] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"api": self}))
        self.kubeconfig = folder / "kubeconfig"
        where = {"server": f"http://127.0.0.1:{self.server.server_address[1]}"}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": where}],
            "users": [{"name": "user", "user": {}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "user"}}],
            "current-context": "here",
        }
        self.kubeconfig.write_text(yaml.safe_dump(content))

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        for pod in self.pods.values():
            pod.kill()

    def start(self, job: dict) -> None:
        """Runs a job's one container in an empty folder, as a pod's working directory is, with nothing of the controller's environment."""
        name = job["metadata"]["name"]
        (container,) = job["spec"]["template"]["spec"]["containers"]
        environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ} | {"HOME": "/nonexistent"}
        environment["EQUIPOISE_STAND_IN_GPUS"] = "1"  # as an image of such a cluster would: its GPUs are names
        self.jobs[name] = job
        self.pods[name] = subprocess.Popen(
            [*container["command"], *container["args"]], cwd=tempfile.mkdtemp(), env=environment, stdin=subprocess.DEVNULL
        )

    def state(self, name: str) -> dict:
        """A job with its status."""
        ended = self.pods[name].poll()
        status = {"active": 1} if ended is None else {"succeeded": 1} if ended == 0 else {"failed": 1}
        return self.jobs[name] | {"status": status}


class Handler(BaseHTTPRequestHandler):
    """The requests of the plugin: secrets, jobs, their pods."""

    api: KubernetesApi

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/jobs"):
            self.api.start(body)
        self._answer(body)

    def do_GET(self):
        parts = self.path.partition("?")[0].split("/")
        self._answer(self.api.state(parts[-2]) if parts[-1] == "status" else {"apiVersion": "v1", "kind": "PodList", "items": []})

    def do_DELETE(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer({"apiVersion": "v1", "kind": "Status", "status": "Success"})

    def _answer(self, content: dict):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Silent."""
