"""The routes of ``/openapi``: an index of hashed v3 documents, and one v2 document; made once per registry generation."""

from __future__ import annotations

import hashlib

from skerry.machinery.document import dumps
from skerry.machinery.openapi import document_v2, document_v3
from skerry.restapi.registry import Registry
from skerry.restapi.response import Response


class OpenApi:
    """OpenAPI documents of a registry."""

    def __init__(self, registry: Registry, version: str) -> None:
        """Read the registry whenever it changes."""
        self._registry = registry
        self._version = version
        self._generation = -1
        self._kept: dict[str, bytes] = {}

    def _document(self, path: str) -> bytes | None:
        if self._generation != self._registry.generation:
            self._kept.clear()
            self._generation = self._registry.generation
        found = self._kept.get(path)
        if found is None:
            found = self._make(path)
            if found is not None:
                self._kept[path] = found
        return found

    def _make(self, path: str) -> bytes | None:
        groups = self._registry.groups()
        match path.strip("/").split("/"):
            case ["openapi", "v2"]:
                return dumps(document_v2(self._registry.all(), "Kubernetes", self._version))
            case ["openapi", "v3"]:
                found = {}
                for group, versions in groups.items():
                    for version in versions:
                        name = f"apis/{group}/{version}" if group else f"api/{version}"
                        digest = hashlib.sha256(self._document(f"/openapi/v3/{name}") or b"").hexdigest().upper()
                        found[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest}"}
                return dumps({"paths": found})
            case ["openapi", "v3", "api", version] if version in groups.get("", ()):
                return dumps(document_v3(self._registry.of("", version), "Kubernetes", self._version))
            case ["openapi", "v3", "apis", group, version] if version in groups.get(group, ()):
                return dumps(document_v3(self._registry.of(group, version), "Kubernetes", self._version))
        return None

    def respond(self, path: str) -> Response | None:
        """The answer at a path; None if there is nothing."""
        body = self._document(path)
        if body is None:
            return None
        etag = f'"{hashlib.sha256(body).hexdigest().upper()}"'
        return Response(body, headers=[(b"etag", etag.encode())])
