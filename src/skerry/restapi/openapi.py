"""The routes of ``/openapi``: an index of hashed v3 documents, and one v2 document; made once per registry generation.

The v2 document is JSON or, for client-go, protobuf; encoding that takes a while and is done beside the loop.
"""

from __future__ import annotations

import asyncio
import hashlib

from skerry.machinery.document import dumps
from skerry.machinery.errors import NotAcceptable
from skerry.machinery.openapi import document_v2, document_v3
from skerry.machinery.openapi_protobuf import encode
from skerry.restapi.negotiate import accepted
from skerry.restapi.registry import Registry
from skerry.restapi.request import Request
from skerry.restapi.response import Response

JSON = "application/json"
PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
OFFERED = {JSON: JSON, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf": PROTOBUF, PROTOBUF: PROTOBUF}
"""What may be asked for, and as what it is answered: the second is no media type, but what older clients ask for."""


class OpenApi:
    """OpenAPI documents of a registry."""

    def __init__(self, registry: Registry, version: str) -> None:
        """Read the registry whenever it changes."""
        self._registry = registry
        self._version = version
        self._generation = -1
        self._kept: dict[tuple[str, str], bytes] = {}

    async def _document(self, path: str, media: str = JSON) -> bytes | None:
        if self._generation != self._registry.generation:
            self._kept.clear()
            self._generation = self._registry.generation
        found, generation = self._kept.get((path, media)), self._generation
        if found is None:
            found = await self._make(path, media)
            if found is not None and generation == self._registry.generation:
                self._kept[(path, media)] = found
        return found

    async def _make(self, path: str, media: str) -> bytes | None:
        groups = self._registry.groups()
        match path.strip("/").split("/"):
            case ["openapi", "v2"]:
                document = document_v2(self._registry.all(), "Kubernetes", self._version)
                return dumps(document) if media == JSON else await asyncio.to_thread(encode, document)
            case ["openapi", "v3"]:
                found = {}
                for group, versions in groups.items():
                    for version in versions:
                        name = f"apis/{group}/{version}" if group else f"api/{version}"
                        digest = hashlib.sha256(await self._document(f"/openapi/v3/{name}") or b"").hexdigest().upper()
                        found[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest}"}
                return dumps({"paths": found})
            case ["openapi", "v3", "api", version] if version in groups.get("", ()):
                return dumps(document_v3(self._registry.of("", version), "Kubernetes", self._version))
            case ["openapi", "v3", "apis", group, version] if version in groups.get(group, ()):
                return dumps(document_v3(self._registry.of(group, version), "Kubernetes", self._version))
        return None

    async def respond(self, request: Request, path: str) -> Response | None:
        """The answer at a path; None if there is nothing."""
        offered = OFFERED if path == "/openapi/v2" else {JSON: JSON}
        media = JSON if path == "/openapi/v3" else accepted(request.header(b"accept"), offered)
        body = await self._document(path, OFFERED[media or JSON])
        if body is None:
            return None
        if media is None:
            raise NotAcceptable(f"only the following media types are accepted: {', '.join(offered)}")
        etag = f'"{hashlib.sha256(body).hexdigest().upper()}"'
        headers = [(b"etag", etag.encode()), (b"vary", b"Accept")]
        fresh = request.header(b"if-none-match") == etag
        return Response(b"" if fresh else body, code=304 if fresh else 200, media=OFFERED[media].encode(), headers=headers)
