"""Real agent processes for tests that stand where a user stands."""

from __future__ import annotations

import base64
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.e2e.server import SKERRY, Server


def token(server: Server, name: str) -> str:
    """A one-time token for a management cluster that is there."""
    command = [*server.skerry, "token", name, "--kubeconfig", str(server.kubeconfig)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def front_root(server: Server) -> bytes:
    """The root that signs the front door, PEM."""
    config = yaml.safe_load(server.kubeconfig.read_text())
    return base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])


class Agent:
    """One `skerry agent` in a folder; it can be killed and started again."""

    def __init__(
        self, server: Server, name: str, target: Path, folder: Path, skerry: Sequence[str] = (str(SKERRY),), more: Sequence[str] = ()
    ) -> None:
        """``target`` is the kubeconfig of the cluster that it serves, ``skerry`` the program, ``more`` further options."""
        self.log = folder / "agent.log"
        self.process: subprocess.Popen[bytes] | None = None
        root = folder / "front.crt"
        root.write_bytes(front_root(server))
        self._command = [*skerry, "agent", "--kubeconfig", str(target), "--data", str(folder / "agent")]
        self._command += ["--server", f"https://127.0.0.1:{server.port}", "--server-ca", str(root), "--token", token(server, name), *more]

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)
