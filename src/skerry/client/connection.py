"""Where an API is and how to prove oneself to it: plain data, and the TLS context made of it.

``kubeconfig.py`` reads such settings from a file, ``compose`` makes them for our own processes,
:func:`in_cluster` for a program that runs inside the cluster it talks to. ``http.py`` uses them.

Nothing is read from the environment. What cannot be honoured is refused here, with a message
for people, rather than ignored: a proxy that is left out, or a certificate that is not shown,
ends in an error that says nothing of its cause.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from skerry.pki.authority import PkiError
from skerry.pki.tls import client_context

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class BadConnection(ValueError):
    """The settings cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Connection:
    """How to reach one API.

    ``server`` is ``https://host:port`` with an optional path. ``ca`` is a PEM bundle (None: the system's roots);
    ``certificate`` (a chain) and ``key`` are PEM; ``token`` is a bearer token, ``token_file`` a file that holds one,
    read anew for each request because others replace it. ``server_name`` is what the certificate must say where that is not the host.
    """

    server: str
    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    insecure: bool = False
    server_name: str = ""
    proxy: str = field(default="", repr=False)  # may carry a password
    namespace: str = "default"

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        parts = urlsplit(self.server)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadConnection(f"{self.server!r} is not the address of a server: https://HOST:PORT is needed")
        if bool(self.certificate) != bool(self.key):
            raise BadConnection("a client certificate and its key come together, or not at all")
        if self.insecure and self.ca:
            raise BadConnection("a root to trust and insecure-skip-tls-verify contradict each other")
        if self.proxy and urlsplit(self.proxy).scheme not in {"http", "https"}:
            raise BadConnection(f"proxies of the kind {urlsplit(self.proxy).scheme!r} are not supported: http or https is needed")

    def bearer(self) -> str:
        """The bearer token of this moment, empty if there is none; raises OSError for a token file that cannot be read."""
        return self.token_file.read_text().strip() if self.token_file is not None else self.token

    def tls(self) -> ssl.SSLContext | None:
        """The context for connections, None for plain HTTP; raises BadConnection."""
        if urlsplit(self.server).scheme == "http":
            return None
        try:
            identity = self.key.rstrip(b"\n") + b"\n" + self.certificate if self.key and self.certificate else b""
            return client_context(self.ca or b"", identity, insecure=self.insecure)
        except PkiError as error:
            raise BadConnection(f"the TLS settings for {self.server} cannot be used: {error}") from error


def in_cluster(host: str, port: str, folder: Path = SERVICE_ACCOUNT) -> Connection:
    """Reach the API of the cluster around us, as its service account; raises BadConnection where there is none."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        ca = (folder / "ca.crt").read_bytes()
        namespace = (folder / "namespace").read_text().strip()
    except OSError as error:
        raise BadConnection(f"no service account is mounted here: {error}") from error
    return Connection(f"https://{authority}", ca=ca, token_file=folder / "token", namespace=namespace)
