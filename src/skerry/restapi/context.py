"""What every handler works with: one request for one kind, and the server's parts behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, TypeVarTuple

from skerry.kit.clock import Clock
from skerry.kit.turns import Turns
from skerry.machinery.identity import Sight, User
from skerry.machinery.resource import Json, Resource
from skerry.restapi.aside import LARGE, Aside
from skerry.restapi.cache import ResourceCache
from skerry.restapi.contract import Admission
from skerry.restapi.feeds import Feeds
from skerry.restapi.negotiate import Form
from skerry.restapi.registry import Registry
from skerry.restapi.request import Options, Request
from skerry.store.contract import Key, Store

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


@dataclass(slots=True)
class Parts:
    """The server's parts."""

    store: Store
    feeds: Feeds
    registry: Registry
    clock: Clock
    organization: str
    admission: Admission | None = None
    aside: Aside = field(default_factory=Aside)
    turns: Turns = field(default_factory=Turns)


@dataclass(slots=True)
class Call:
    """One request for one kind. ``warnings`` become Warning headers."""

    parts: Parts
    request: Request
    resource: Resource
    verb: str
    namespace: str
    name: str
    subresource: str
    options: Options
    form: Form
    user: User
    warnings: list[str] = field(default_factory=list)
    sight: Sight | None = None
    """On which objects the caller may do this; None: on all."""
    revealed: Json | None = None
    """What the answer shows beside what is stored."""
    weight: int = 0
    """Bytes of the largest document that the call has to do with so far."""

    @property
    def cache(self) -> ResourceCache:
        """The cache of the kind."""
        return self.parts.feeds.caches[self.resource.key]

    async def body(self) -> bytes:
        """The body of the request."""
        data = await self.request.body()
        self.weight = max(self.weight, len(data))
        return data

    async def work(self, do: Callable[[*Arguments], T], *args: *Arguments) -> T:
        """Do what takes a time that grows with the documents: beside the event loop, if they are large."""
        return do(*args) if self.weight < LARGE else await self.parts.aside.run(do, *args)

    def key(self, name: str = "") -> Key:
        """Where the object lives in the store."""
        return Key(self.parts.organization, self.resource.key, self.namespace if self.resource.namespaced else "", name or self.name)
