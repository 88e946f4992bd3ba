"""``skerry support bundle``: what helps to find a fault, and nothing that must not leave the house.

What goes in is named here, field by field; nothing is taken whole and then cleaned. Texts that
people or programs wrote freely (messages of conditions, events and log lines) also pass a filter
that takes out what looks like a credential.
"""

from __future__ import annotations

import io
import json
import os
import platform
import re
import sqlite3
import ssl
import stat
import tarfile
from collections.abc import Awaitable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from skerry.client.connection import BadConnection
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.client.kubeconfig import KubeconfigError, read
from skerry.compose import encryption, statistics
from skerry.compose.doctor import diagnose
from skerry.compose.settings import ServerSettings
from skerry.kinds import catalogue, event, observedobject
from skerry.kit.clock import rfc3339
from skerry.machinery.errors import ApiError
from skerry.machinery.resource import Json, Resource
from skerry.pki.chain import chain

MOST_EVENTS = 500
LEFT_OUT = "<left out>"
_CREDENTIALS = re.compile(
    r"-----BEGIN [^-]*-----.*?(?:-----END [^-]*-----|$)"  # PEM
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"  # JSON web tokens
    r"|\bskerry_[\w-]{8,}"  # our tokens
    r"|(?i:\b(?:bearer|basic)\s+[\w.~+/=-]{8,})"
    r"|(?i:(?<=://)[^/\s:@]+:[^/\s@]+(?=@))"  # user and password in a URL
    r"|(?i:\b(?:password|passwd|secret|token)[\"']?\s*[=:]\s*[\"']?[^\s\"',;]{4,})",
    re.DOTALL,
)


async def write(settings: ServerSettings, file: Path, now: datetime) -> list[str]:
    """Write the bundle, mode 0600; returns the names of its members. Raises OSError, also for a file of the installation itself."""
    if settings.owns(file):
        raise FileExistsError(f"{file} is a file of the installation itself; choose another name for the bundle")
    members: dict[str, Any] = {
        "about.json": about(now),
        "doctor.json": [each._asdict() for each in await diagnose(settings, now)],
        "files.json": list(files(settings)),
        "certificates.json": certificates(settings.pki),
        **await from_server(settings),
    }
    part = file.with_name(file.name + ".part")
    try:
        with (
            os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw,
            tarfile.open(fileobj=raw, mode="w:gz") as tar,
        ):
            for name, value in members.items():
                data = json.dumps(filtered(value), indent=1, default=str).encode()
                entry = tarfile.TarInfo(f"skerry-support/{name}")
                entry.size, entry.mtime, entry.mode = len(data), int(now.timestamp()), 0o600
                tar.addfile(entry, io.BytesIO(data))
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return list(members)


def filtered(value: Any) -> Any:
    """The same, without what looks like a credential."""
    if isinstance(value, str):
        return _CREDENTIALS.sub(LEFT_OUT, value)
    if isinstance(value, dict):
        return {str(name): filtered(each) for name, each in value.items()}
    return [filtered(each) for each in value] if isinstance(value, (list, tuple)) else value


def about(now: datetime) -> Json:
    """Versions, of Skerry and what it stands on."""
    libraries = sorted(re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requires("skerry") or ())
    return {
        "made": rfc3339(now),
        "skerry": version("skerry"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "sqlite": sqlite3.sqlite_version,
        "openssl": ssl.OPENSSL_VERSION,
        "libraries": {name: _version(name) for name in libraries},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def files(settings: ServerSettings) -> Iterator[Json]:
    """What is in the data folder, by name, size, mode and time; never what is in a file."""
    for path in sorted(settings.data.rglob("*")):
        try:
            found = path.lstat()
        except OSError:
            continue  # it went meanwhile
        changed = rfc3339(datetime.fromtimestamp(found.st_mtime, UTC))
        name = str(path.relative_to(settings.data))
        yield {"name": name, "bytes": found.st_size, "mode": f"{stat.S_IMODE(found.st_mode):o}", "owner": found.st_uid, "changed": changed}


def certificates(folder: Path) -> Json:
    """The chains of every PEM file, with their dates."""
    found: Json = {}
    for path in sorted(folder.glob("*.pem")):
        try:
            found[path.name] = [asdict(each) for each in chain(path.read_bytes())]
        except (ValueError, OSError) as error:
            found[path.name] = f"cannot be read: {type(error).__name__}"
    return found


async def from_server(settings: ServerSettings) -> Json:
    """What the running server says; or why it says nothing."""
    try:
        async with HttpClient(read(settings.kubeconfig), user_agent="skerry-support") as client:
            return {
                "server.json": {**await client.raw("GET", "/version"), "readyz": await _readiness(client)},
                "statistics.json": await _or_why_not(client.raw("GET", statistics.PATH)),
                "keys.json": await _or_why_not(client.raw("GET", encryption.PATH)),
                "objects.json": {resource.key: await _or_why_not(_conditions(client, resource)) for resource in _told()},
                "events.json": await _or_why_not(_warnings(client)),
            }
    except (KubeconfigError, BadConnection, OSError) as error:
        return {"server.json": {"error": str(error)}}
    except ApiError as error:
        return {"server.json": {"error": error.message}}


async def _or_why_not(answer: Awaitable[Any]) -> Any:
    """One answer; where there is none (the database may be away), the others are wanted all the more."""
    try:
        return await answer
    except ApiError as error:
        return {"error": error.message}


async def _readiness(client: HttpClient) -> list[str]:
    async with client.open("GET", "/readyz?verbose", seconds=10) as answer:
        return (await answer.read()).decode(errors="replace").splitlines()


def _told() -> Iterator[Resource]:
    """Kinds whose conditions are worth telling: not what management clusters report, of which there is much."""
    return (resource for resource in catalogue.FLEET if resource is not observedobject.RESOURCE)


async def _conditions(client: HttpClient, resource: Resource) -> Any:
    """The state of all objects of a kind, without what they ask for."""
    ref = Ref(resource.group, resource.version, resource.plural, namespaced=resource.namespaced)
    return [_state(item) for item in (await client.list(ref))["items"]]


def _state(item: Json) -> Json:
    metadata, status = item["metadata"], item.get("status") or {}
    kept = {
        name: metadata.get(name) for name in ("namespace", "name", "generation", "creationTimestamp", "deletionTimestamp", "finalizers")
    }
    told = {name: status[name] for name in ("phase", "observedGeneration", "version", "applied", "failed", "pending") if name in status}
    return {**{name: value for name, value in kept.items() if value}, **told, "conditions": status.get("conditions") or []}


async def _warnings(client: HttpClient) -> Any:
    """The last events that warn."""
    ref = Ref(event.RESOURCE.group, event.RESOURCE.version, event.RESOURCE.plural)
    listed = await client.list(ref, fields="type=Warning")
    names = ("reason", "message", "count", "firstTimestamp", "lastTimestamp", "eventTime")
    told = []
    for item in listed["items"]:
        subject = {name: item["involvedObject"].get(name) for name in ("kind", "namespace", "name")}
        told.append({**{name: item.get(name) for name in names}, "about": subject})
    return sorted(told, key=lambda each: str(each["lastTimestamp"] or each["eventTime"]))[-MOST_EVENTS:]
