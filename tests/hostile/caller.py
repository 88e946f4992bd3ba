"""A caller with bad manners: bytes of his own over TLS to a real server process, and what the server says of itself."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

Json = dict[str, Any]

PATIENCE = 120.0
"""Seconds for any answer: nothing here measures time by it."""

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
CLUSTERS = "/apis/fleet.skerry.dev/v1alpha1/namespaces/default/clusters"
MANIFESTSETS = "/apis/fleet.skerry.dev/v1alpha1/namespaces/default/manifestsets"
STATISTICS = "/skerry/v1/statistics"


@dataclass
class Answer:
    code: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Json:
        found: Json = json.loads(self.body)
        return found

    @property
    def reason(self) -> str:
        return str(self.json.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.json.get("message", ""))

    @property
    def warnings(self) -> list[str]:
        return [value for name, value in self.headers if name == "warning"]

    def header(self, name: str) -> str:
        return next((value for each, value in self.headers if each == name), "")


class Line:
    """One connection, byte by byte. What the server closes reads as no answer: None."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self._left = bytearray()

    def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # refused in the middle of it: the answer tells
            self.socket.sendall(data)

    def more(self) -> bytes:
        """What comes next; empty at the end."""
        try:
            return self.socket.recv(65536)
        except (ConnectionError, ssl.SSLError):
            return b""

    def rest(self) -> bytes:
        """Everything until the server closes."""
        found, self._left = self._left, bytearray()
        while data := self.more():
            found += data
        return bytes(found)

    def hear(self, method: str = "GET") -> Answer | None:
        """The next answer."""
        while b"\r\n\r\n" not in self._left:
            data = self.more()
            if not data:
                return None
            self._left += data
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        code = int(status.split()[1])
        if code == 100:
            return self.hear(method)
        found = dict(headers)
        if method == "HEAD" or code in {204, 304}:
            return Answer(code, headers, b"")
        if "content-length" in found:
            size = int(found["content-length"])
            while len(self._left) < size:
                data = self.more()
                if not data:
                    return None
                self._left += data
            body, self._left = bytes(self._left[:size]), self._left[size:]
            return Answer(code, headers, body)
        return Answer(code, headers, b"")  # a stream: `more` reads it

    def ask(self, method: str, target: str, body: bytes = b"", headers: Sequence[tuple[str, str]] = ()) -> Answer | None:
        """One request and its answer."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return self.hear(method)

    def close(self) -> None:
        self.socket.close()


@dataclass
class Hostile:
    """Makes connections and requests as the administrator, or as nobody."""

    kubeconfig: Path
    pid: int
    log: Path
    host: str = field(init=False)
    port: int = field(init=False)
    _kept: Line | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        config = yaml.safe_load(self.kubeconfig.read_text())
        server = config["clusters"][0]["cluster"]
        self.host, _, port = server["server"].removeprefix("https://").partition(":")
        self.port = int(port)
        user = config["users"][0]["user"]
        self._known = ssl.create_default_context(cadata=base64.b64decode(server["certificate-authority-data"]).decode())
        self._nobody = ssl.create_default_context(cadata=base64.b64decode(server["certificate-authority-data"]).decode())
        self._component = ssl.create_default_context(cadata=base64.b64decode(server["certificate-authority-data"]).decode())
        folder = self.kubeconfig.parent
        for name in ("client-certificate", "client-key"):
            path = folder / f"{name}.pem"
            path.touch(mode=0o600)
            path.write_bytes(base64.b64decode(user[f"{name}-data"]))
        self._component.load_cert_chain(folder / "pki" / "controllers.pem")
        self._known.load_cert_chain(folder / "client-certificate.pem", folder / "client-key.pem")

    def plain(self) -> socket.socket:
        """A connection before its handshake."""
        return socket.create_connection((self.host, self.port), PATIENCE)

    @contextlib.contextmanager
    def line(self, *, nobody: bool = False, component: bool = False) -> Iterator[Line]:
        opened = self.open(nobody=nobody, component=component)
        try:
            yield opened
        finally:
            opened.close()

    def open(self, *, nobody: bool = False, component: bool = False) -> Line:
        context = self._nobody if nobody else self._component if component else self._known
        return Line(context.wrap_socket(self.plain(), server_hostname=self.host))

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        media: str = "application/json",
        headers: Sequence[tuple[str, str]] = (),
        nobody: bool = False,
        **query: Any,
    ) -> Answer:
        """One request; fails if there is no answer. A connection that may be used again is."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        target = path + ("?" + urlencode(query) if query else "")
        for kept in (self._kept, None):
            if kept is None or not nobody:
                line, self._kept = kept or self.open(nobody=nobody), None
                answer = line.ask(method, target, data, [("Content-Type", media), *headers])
                if answer is not None:
                    self._keep(line, answer, nobody=nobody)
                    return answer
        raise AssertionError(f"{method} {path[:200]} got no answer; {self.log.read_text()[-2000:]}")

    def _keep(self, line: Line, answer: Answer, *, nobody: bool) -> None:
        if nobody or answer.header("connection") == "close" or not answer.header("content-length"):
            line.close()
        else:
            self._kept = line

    def patch(self, path: str, body: object, kind: str = "merge", **query: Any) -> Answer:
        media = {"apply": "application/apply-patch+yaml"}.get(kind, f"application/{kind}-patch+json")
        if kind == "apply":
            query.setdefault("fieldManager", "tester")
        return self.ask("PATCH", path, body, media=media, **query)

    def statistics(self) -> Json:
        return self.ask("GET", STATISTICS).json

    def is_well(self) -> bool:
        """Whether the server serves a write and a read."""
        made = self.ask("POST", CONFIGMAPS, config_map("", generateName="well-"))
        assert made.code == 201, made.body
        path = f"{CONFIGMAPS}/{made.json['metadata']['name']}"
        return (self.ask("GET", path).code, self.ask("DELETE", path).code) == (200, 200)

    def memory(self) -> int:
        """The bytes that the server holds in memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def complaints(self) -> list[str]:
        """Lines of the server's log that tell of an error of its own."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if "unexpected" in line or "Traceback" in line]


def config_map(name: str, data: Json | None = None, **metadata: object) -> Json:
    named = {"name": name} if name else {}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**named, **metadata}, "data": data or {}}
