"""How everything but the API server speaks to a Kubernetes-style API: ours, a simulated one, or a real one.

Bodies and answers are plain JSON objects; typed kinds are one ``msgspec.convert`` away.
Errors are the ApiErrors of ``machinery.errors``, whichever server sent them.
``http.py`` is the implementation over the network, ``inside.py`` the one for an API in the same process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import NamedTuple, Protocol

from skerry.machinery.resource import Json


class Ref(NamedTuple):
    """Which kind: group (empty: core), version, plural, and whether its objects live in namespaces."""

    group: str
    version: str
    plural: str
    namespaced: bool = True


class PatchKind(StrEnum):
    """Media types of patches."""

    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"


class Event(NamedTuple):
    """A watch event: ADDED, MODIFIED, DELETED or BOOKMARK. An ERROR event is raised instead (Expired for 410)."""

    type: str
    object: Json


class Client(Protocol):
    """One API, as one caller sees it. ``namespace`` empty with a namespaced kind in list and watch: all of them."""

    async def get(self, ref: Ref, name: str, namespace: str = "", *, resource_version: str = "") -> Json:
        """Return the object; raises NotFound."""
        ...

    async def list(
        self, ref: Ref, namespace: str = "", *, labels: str = "", fields: str = "", resource_version: str = "", page: int = 500
    ) -> Json:
        """Return the whole List object, following ``continue`` page by page (``page`` objects at a time; 0: unpaged)."""
        ...

    def pages(self, ref: Ref, namespace: str = "", *, labels: str = "", fields: str = "", page: int = 500) -> AsyncIterator[Json]:
        """Yield a list page by page, each a List object of the same revision; raises Expired where that is forgotten half-way."""
        ...

    async def create(self, ref: Ref, body: Json, namespace: str = "", *, manager: str = "") -> Json:
        """Create and return the object as stored."""
        ...

    async def replace(self, ref: Ref, body: Json, *, subresource: str = "", manager: str = "") -> Json:
        """Update; name, namespace and (if any) resourceVersion are read from ``body``."""
        ...

    async def apply(self, ref: Ref, body: Json, *, manager: str, force: bool = False, subresource: str = "", dry_run: bool = False) -> Json:
        """Server-side apply ``body`` (which names its apiVersion and kind) as ``manager``."""
        ...

    async def patch(
        self, ref: Ref, name: str, namespace: str, kind: PatchKind, body: object, *, subresource: str = "", manager: str = ""
    ) -> Json:
        """Patch in one of the three classic ways."""
        ...

    async def delete(
        self, ref: Ref, name: str, namespace: str = "", *, propagation: str = "", uid: str = "", resource_version: str = ""
    ) -> Json:
        """Delete, optionally only if uid or revision still match."""
        ...

    def watch(
        self, ref: Ref, namespace: str = "", *, labels: str = "", fields: str = "", resource_version: str = "", bookmarks: bool = True
    ) -> AsyncIterator[Event]:
        """Yield events after ``resource_version`` until the server ends the stream; raises Expired when it is compacted."""
        ...

    async def raw(self, method: str, path: str, body: object = None) -> Json:
        """Any other request that answers JSON (discovery, /version)."""
        ...
