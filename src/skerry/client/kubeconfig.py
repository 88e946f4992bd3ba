"""Kubeconfig files: read into connection settings, and written for people.

A kubeconfig names clusters, users, and contexts that pair them. Reading takes one context and
gives a :class:`Connection`. Inline data wins over files, a relative path is relative to the
file, and several files may be named together, as in ``KUBECONFIG``: all of it as with kubectl. Some
ways to log in start a program (exec plugins) or need a library of one vendor (auth providers):
they are refused by name, because a controller must not run what a file tells it to. Whoever may
says how an exec plugin is run.

What is written is for kubectl: one cluster, one user, one context, mode 0600, replaced as a whole.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from skerry.client.connection import BadConnection, Connection
from skerry.kit import yamls
from skerry.pki.files import write_secret

REFUSED_USER = {
    "exec": "an exec plugin, which would start a program; use a token or a client certificate",
    "auth-provider": "an auth provider, which Kubernetes has removed; use a token or a client certificate",
    "username": "a user name and password, which API servers no longer take; use a token or a client certificate",
    "as": "impersonation, which is not supported here; use credentials of their own",
    "as-uid": "impersonation, which is not supported here; use credentials of their own",
    "as-groups": "impersonation, which is not supported here; use credentials of their own",
    "as-user-extra": "impersonation, which is not supported here; use credentials of their own",
}


SECTIONS = {"clusters": "cluster", "users": "user", "contexts": "context"}
FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


class KubeconfigError(BadConnection):
    """A kubeconfig cannot be used; the message says why and what to do."""


def contexts(path: Path) -> tuple[Sequence[str], str]:
    """The names of a file's contexts, and the current one (may be empty); raises KubeconfigError."""
    config = _document(path)
    return [str(each.get("name", "")) for each in _entries(config, "contexts")], str(config.get("current-context") or "")


Login = Callable[[Mapping[str, Any], Mapping[str, Any], Path], Mapping[str, str]]
"""Runs an exec plugin for a cluster, as a kubeconfig of this path describes both; gives ``token``, or ``certificate`` and ``key``, PEM."""


def read(path: Path, context: str = "", *, login: Login | None = None) -> Connection:
    """Read one context (empty: the current one) into connection settings; raises KubeconfigError.

    With ``login`` a user may log in by an exec plugin.
    """
    config = _document(path)
    name = context or str(config.get("current-context") or "")
    if not name:
        raise KubeconfigError(f"{path} has no current context; name one")
    chosen = _named(config, "contexts", "context", name, path)
    cluster = _named(config, "clusters", "cluster", str(chosen.get("cluster") or ""), path)
    user_name = str(chosen.get("user") or "")
    user = _named(config, "users", "user", user_name, path) if user_name else {}
    plugin = user.get("exec") if login else None
    for key, why in REFUSED_USER.items():
        if user.get(key) and not (key == "exec" and isinstance(plugin, dict)):
            raise KubeconfigError(f"the user {user_name!r} of {path} logs in by {why}")
    token_file = str(user.get("tokenFile") or "")
    try:
        logged = login(plugin, cluster, path) if login and isinstance(plugin, dict) else {}
        return Connection(
            server=str(cluster.get("server") or "").rstrip("/"),
            ca=_data(cluster, "certificate-authority", path),
            certificate=logged["certificate"].encode() if "certificate" in logged else _data(user, "client-certificate", path),
            key=logged["key"].encode() if "key" in logged else _data(user, "client-key", path),
            token=logged.get("token") or str(user.get("token") or ""),
            token_file=path.parent / token_file if token_file and not user.get("token") else None,
            insecure=cluster.get("insecure-skip-tls-verify") is True,
            server_name=str(cluster.get("tls-server-name") or ""),
            proxy=str(cluster.get("proxy-url") or ""),
            namespace=str(chosen.get("namespace") or "default"),
        )
    except KubeconfigError:
        raise
    except BadConnection as error:
        raise KubeconfigError(f"{path}: {error}") from error


def render(connection: Connection, *, name: str = "skerry", user: str = "admin", namespace: str = "") -> bytes:
    """The text of a kubeconfig with the context ``name``."""
    return yamls.dump(
        {"apiVersion": "v1", "kind": "Config", **_sections(connection, name, user, namespace), "current-context": name}
    ).encode()


def merge(path: Path, connection: Connection, *, name: str, user: str, use: bool = False) -> None:
    """Put a context into a kubeconfig that may be there, in the place of an older one of its name; everything else in it stays.

    With ``use`` it becomes the current one; it does where there is none. Raises KubeconfigError, and leaves the file alone.
    """
    config: dict[str, Any] = _document(path) if path.exists() else {"apiVersion": "v1", "kind": "Config"}
    for section, entries in _sections(connection, name, user, "").items():
        new = {each["name"] for each in entries}
        config[section] = [*(each for each in _entries(config, section) if each.get("name") not in new), *entries]
    if use or not config.get("current-context"):
        config["current-context"] = name
    write_secret(path, yamls.dump(config).encode())


def _sections(connection: Connection, name: str, user: str, namespace: str) -> dict[str, list[dict[str, Any]]]:
    """The cluster, the user and the context of a connection."""
    cluster = {
        "server": connection.server,
        "certificate-authority-data": _encoded(connection.ca),
        "insecure-skip-tls-verify": connection.insecure,
        "tls-server-name": connection.server_name,
        "proxy-url": connection.proxy,
    }
    credentials = {
        "client-certificate-data": _encoded(connection.certificate),
        "client-key-data": _encoded(connection.key),
        "token": connection.token,
        "tokenFile": str(connection.token_file.absolute()) if connection.token_file else "",
    }
    context = {"cluster": name, "user": user, "namespace": namespace}
    return {
        "clusters": [{"name": name, "cluster": _filled(cluster)}],
        "users": [{"name": user, "user": _filled(credentials)}],
        "contexts": [{"name": name, "context": _filled(context)}],
    }


def write(path: Path, connection: Connection, *, name: str = "skerry", user: str = "admin", namespace: str = "") -> None:
    """Write what :func:`render` makes, with mode 0600, as a whole."""
    write_secret(path, render(connection, name=name, user=user, namespace=namespace))


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}


def _document(path: Path) -> dict[str, Any]:
    """What a file says, or several that are named together (see :func:`_files`)."""
    files = _files(path)
    if len(files) == 1:
        return _one(files[0])
    made: dict[str, Any] = {"current-context": ""}
    for file in files:
        config = _one(file)
        made["current-context"] = made["current-context"] or config.get("current-context")
        for section, inner in SECTIONS.items():
            known = {each.get("name") for each in made.setdefault(section, [])}
            made[section] += [_placed(each, inner, file) for each in _entries(config, section) if each.get("name") not in known]
    return made


def _files(path: Path) -> list[Path]:
    """The files of a list; those that are not there do not count unless none is."""
    named = [Path(each) for each in str(path).split(os.pathsep) if each]
    if path.exists() or not named:
        return [path]
    return [each for each in named if each.exists()] or named[:1]


def _placed(entry: Mapping[str, Any], inner: str, file: Path) -> dict[str, Any]:
    """An entry whose files are named by their whole paths."""
    found = entry.get(inner)
    if not isinstance(found, dict):
        return dict(entry)
    whole = {key: str((file.parent / str(found[key])).absolute()) for key in FILES if found.get(key)}
    return {**entry, inner: {**found, **whole}}


def _one(path: Path) -> dict[str, Any]:
    try:
        config = yamls.load(path.read_bytes())
    except OSError as error:
        raise KubeconfigError(f"the kubeconfig {path} cannot be read: {error.strerror}") from error
    except yamls.YamlError as error:
        raise KubeconfigError(f"the kubeconfig {path} is not YAML: {error}") from error
    if not isinstance(config, dict) or config.get("kind", "Config") != "Config":
        raise KubeconfigError(f"{path} is not a kubeconfig")
    return config


def _entries(config: Mapping[str, Any], section: str) -> Sequence[Mapping[str, Any]]:
    entries = config.get(section) or []
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []


def _named(config: Mapping[str, Any], section: str, inner: str, name: str, path: Path) -> Mapping[str, Any]:
    for each in _entries(config, section):
        if each.get("name") == name:
            found = each.get(inner) or {}
            if isinstance(found, dict):
                return found
    known = ", ".join(str(each.get("name")) for each in _entries(config, section)) or "none"
    raise KubeconfigError(f"{path} has no {inner} {name!r} (it has: {known})")


def _data(holder: Mapping[str, Any], key: str, path: Path) -> bytes | None:
    """The PEM of ``key``, inline or in the file that it names; None if there is neither."""
    if inline := holder.get(f"{key}-data"):
        try:
            return base64.b64decode(str(inline), validate=True)
        except ValueError as error:
            raise KubeconfigError(f"{key}-data in {path} is not base64") from error
    if file := holder.get(key):
        try:
            return (path.parent / str(file)).read_bytes()
        except OSError as error:
            raise KubeconfigError(f"{file}, the {key} of {path}, cannot be read: {error.strerror}") from error
    return None


def _encoded(data: bytes | None) -> str:
    return base64.b64encode(data or b"").decode()
