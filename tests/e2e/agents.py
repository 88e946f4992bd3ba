"""Real agent processes for tests that stand where a user stands."""

from __future__ import annotations

import base64
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import yaml

from skerry.agent.identity import Identity, decoded, encoded
from skerry.agent.keeping import FILE
from skerry.pki import policy
from skerry.pki.authority import Authority, KeyPair, make_csr, make_root
from skerry.pki.files import write_secret
from skerry.pki.identity import alternative_names
from tests.e2e.server import SKERRY, Server


def token(server: Server, name: str) -> str:
    """A one-time token for a management cluster that is there."""
    command = [*server.skerry, "token", name, "--kubeconfig", str(server.kubeconfig)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def front_root(server: Server) -> bytes:
    """The root that signs the front door, PEM."""
    config = yaml.safe_load(server.kubeconfig.read_text())
    return base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])


def begun_long_ago(server: Server) -> None:
    """Give a server that has never run an internal root of a year ago: what it signed can have ended."""
    write_secret(
        server.data / "pki" / "internal.pem", make_root("skerry internal root of before", datetime.now(UTC) - timedelta(days=365)).pem
    )


def registration_of(identity: Identity) -> int:
    """The number of the registration that an identity goes back to."""
    return policy.registration_of(alternative_names(KeyPair(identity.certificate, identity.key).load()[0].extensions))


class Agent:
    """One `skerry agent` in a folder; it can be killed and started again."""

    def __init__(
        self,
        server: Server,
        name: str,
        target: Path,
        folder: Path,
        skerry: Sequence[str] = (str(SKERRY),),
        more: Sequence[str] = (),
        port: int = 0,
    ) -> None:
        """``target`` is the kubeconfig of the cluster that it serves, ``skerry`` the program, ``more`` further options.

        ``port`` is that of the front door that it asks, where something stands before the server's own.
        """
        self.log = folder / "agent.log"
        self._kept = folder / "agent" / FILE
        self.process: subprocess.Popen[bytes] | None = None
        root = folder / "front.crt"
        root.write_bytes(front_root(server))
        self._command = [*skerry, "agent", "--kubeconfig", str(target), "--data", str(folder / "agent")]
        self._command += [
            "--server",
            f"https://127.0.0.1:{port or server.port}",
            "--server-ca",
            str(root),
            "--token",
            token(server, name),
            *more,
        ]

    def copied(self, target: Path, folder: Path) -> Agent:
        """Another process with the same identity, out of a copy of its folder; ``target`` is the kubeconfig of its cluster."""
        shutil.copytree(self._kept.parent, folder / "agent")
        made = copy(self)
        made.log, made._kept, made.process = folder / "agent.log", folder / "agent" / FILE, None
        places = {"--kubeconfig": str(target), "--data": str(folder / "agent")}
        before = ["", *self._command[: self._command.index("--token")]]
        made._command = [places.get(option, word) for option, word in pairwise(before)]
        return made

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start it, and see at the end that it does not run any more."""
        self.start()
        try:
            yield
        finally:
            if self.process is not None and self.process.poll() is None:
                self.stop()

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    @property
    def identity(self) -> Identity:
        """Who it is, as it is kept."""
        return decoded(self._kept.read_bytes())

    def age(self, server: Server, days: float) -> None:
        """Let its certificate have ended so many days ago: the same registration and key, signed long ago by the server's root."""
        who, root = self.identity, Authority(KeyPair.split((server.data / "pki" / "internal.pem").read_bytes()))
        request = make_csr(KeyPair(who.certificate, who.key).load()[1])
        then = datetime.now(UTC) - policy.AGENT.lifetime - timedelta(days=days)
        write_secret(self._kept, encoded(replace(who, certificate=root.answer_agent(request, who.name, then, registration_of(who)))))
