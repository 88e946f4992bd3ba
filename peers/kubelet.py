"""A node that runs nothing and whose kubelet answers all the same: exec, attach, logs and port-forward of a real API server.

    with Kubernetes(controllers=NAMESPACED) as peer, Kubelet(peer, forward_to=port) as node:
        node.run_pod("default", "web")        # which counts as running at once
        node.say("a line for its log")

The kubelet speaks with the library of the real one (``kubelet/main.go``), but what is executed "in
a container" is a process of this machine, in a folder of its own; whoever attaches is greeted, and
gets back what he says; a forwarded port, whichever, leads to ``forward_to`` on this machine. The
node and its pods are objects that are written here: there is no scheduler and no status but this.
"""

from __future__ import annotations

import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from peers.door import Json
from peers.kubernetes import Kubernetes
from peers.processes import Processes, free_port
from peers.programs import program

NODE = "node"


class Kubelet:
    """The node; a context manager on a running Kubernetes that makes service accounts. Raises PeerMissing or PeerFailed."""

    def __init__(self, kubernetes: Kubernetes, *, forward_to: int) -> None:
        self.kubernetes = kubernetes
        self._program = program("kubelet", "kubelet")
        self._forward_to = forward_to

    def __enter__(self) -> Self:
        self.folder = self.kubernetes.folder / "kubelet"
        self.work = self.folder / "work"
        self.work.mkdir(parents=True)
        self._log = self.folder / "container.log"
        self._log.touch()
        self.processes = Processes(self.folder)
        try:
            self._start()
        except BaseException:
            self.processes.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.processes.stop()

    def say(self, line: str) -> None:
        """Add a line to the log of every container."""
        with self._log.open("a") as log:
            log.write(f"{line}\n")

    def run_pod(self, namespace: str, name: str) -> None:
        """Make a pod on the node, with one container, that counts as running."""
        admin, space = self.kubernetes.admin, f"/api/v1/namespaces/{namespace}"
        self.processes.wait_until("a service account", lambda: admin.call("GET", f"{space}/serviceaccounts/default").status == 200)
        containers = [{"name": "main", "image": "none", "stdin": True}]
        spec = {"nodeName": NODE, "containers": containers, "automountServiceAccountToken": False}
        pod = admin.ask("POST", f"{space}/pods", {"metadata": {"name": name}, "spec": spec})
        running = {"name": "main", "image": "none", "imageID": "none", "ready": True, "restartCount": 0, "state": {"running": {}}}
        pod["status"] |= {"phase": "Running", "containerStatuses": [running], "conditions": [{"type": "Ready", "status": "True"}]}
        admin.ask("PUT", f"{space}/pods/{name}/status", pod)

    def _start(self) -> None:
        port, shown = free_port(), self.kubernetes.authority.server("kubelet")
        command: list[str | Path] = [self._program, "-listen", f"127.0.0.1:{port}", "-certificate", shown.certificate, "-key", shown.key]
        command += ["-work", self.work, "-log", self._log, "-forward-to", f"127.0.0.1:{self._forward_to}"]
        self.processes.start("kubelet", command)
        status: Json = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        admin = self.kubernetes.admin
        node = admin.ask("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
        admin.ask("PUT", f"/api/v1/nodes/{NODE}/status", {**node, "status": {**node["status"], **status}})
        self.processes.wait_until("the kubelet", lambda: _listens(port))


def _listens(port: int) -> bool:
    """Tell whether somebody does; raises OSError if not."""
    socket.create_connection(("127.0.0.1", port), timeout=1).close()
    return True
