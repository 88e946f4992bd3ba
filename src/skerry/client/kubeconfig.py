"""Kubeconfig files: read into a connection, written for an administrator with mode 0600."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

from skerry.client.http import Connection
from skerry.kit import yamls


class KubeconfigError(ValueError):
    """A kubeconfig that cannot be used; the message says why and what to do."""


def read(path: Path, context: str = "") -> Connection:
    """Read a file (and what it points at); raises KubeconfigError."""
    try:
        config = yamls.load(path.read_bytes())
    except (OSError, yamls.YamlError) as error:
        raise KubeconfigError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise KubeconfigError(f"{path} is not a kubeconfig")
    name = context or config.get("current-context") or ""
    chosen = _named(config, "contexts", name, path).get("context") or {}
    cluster = _named(config, "clusters", chosen.get("cluster", ""), path).get("cluster") or {}
    user = _named(config, "users", chosen["user"], path).get("user") or {} if chosen.get("user") else {}
    if "exec" in user or "auth-provider" in user:
        raise KubeconfigError(f"{path}: user {chosen['user']!r} logs in with a helper program; use a certificate or a token instead")
    base = path.parent
    token = user.get("token") or (_file(base, user["tokenFile"]).decode().strip() if user.get("tokenFile") else "")
    return Connection(
        server=str(cluster.get("server") or ""),
        ca=_data(cluster, "certificate-authority", base),
        certificate=_data(user, "client-certificate", base),
        key=_data(user, "client-key", base),
        token=token,
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        server_name=str(cluster.get("tls-server-name") or ""),
        proxy=str(cluster.get("proxy-url") or ""),
    )


def _named(config: dict[str, Any], section: str, name: str, path: Path) -> dict[str, Any]:
    for entry in config.get(section) or ():
        if isinstance(entry, dict) and entry.get("name") == name:
            return entry
    raise KubeconfigError(f"{path} has no {section.removesuffix('s')} called {name!r}")


def _data(section: dict[str, Any], field: str, base: Path) -> bytes | None:
    inline = section.get(f"{field}-data")
    if inline:
        try:
            return base64.b64decode(inline, validate=True)
        except (binascii.Error, ValueError) as error:
            raise KubeconfigError(f"{field}-data is not base64") from error
    return _file(base, section[field]) if section.get(field) else None


def _file(base: Path, name: str) -> bytes:
    try:
        return (base / name).read_bytes()
    except OSError as error:
        raise KubeconfigError(f"{base / name} cannot be read: {error.strerror}") from error


def render(connection: Connection, *, name: str = "skerry", user: str = "admin", namespace: str = "") -> bytes:
    """The text of a kubeconfig with one context."""

    def packed(data: bytes | None) -> str:
        return base64.b64encode(data or b"").decode()

    cluster = {"server": connection.server, "certificate-authority-data": packed(connection.ca)}
    credentials: dict[str, str] = {"token": connection.token} if connection.token else {}
    if connection.certificate:
        credentials["client-certificate-data"] = packed(connection.certificate)
        credentials["client-key-data"] = packed(connection.key)
    context = {"cluster": name, "user": user, **({"namespace": namespace} if namespace else {})}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    return yamls.dump(config).encode()
