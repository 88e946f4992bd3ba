"""What every handler works with: one request for one kind, and the server's parts behind it."""

from __future__ import annotations

from dataclasses import dataclass, field

from skerry.kit.clock import Clock
from skerry.machinery.identity import Sight, User
from skerry.machinery.resource import Json, Resource
from skerry.restapi.cache import ResourceCache
from skerry.restapi.contract import Admission
from skerry.restapi.feeds import Feeds
from skerry.restapi.negotiate import Form
from skerry.restapi.registry import Registry
from skerry.restapi.request import Options, Request
from skerry.store.contract import Key, Store


@dataclass(slots=True)
class Parts:
    """The server's parts."""

    store: Store
    feeds: Feeds
    registry: Registry
    clock: Clock
    organization: str
    admission: Admission | None = None


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

    @property
    def cache(self) -> ResourceCache:
        """The cache of the kind."""
        return self.parts.feeds.caches[self.resource.key]

    def key(self, name: str = "") -> Key:
        """Where the object lives in the store."""
        return Key(self.parts.organization, self.resource.key, self.namespace if self.resource.namespaced else "", name or self.name)
