"""Which ManifestSets are for which agent, kept as they come and go: an agent that connects asks for its own among ten thousand."""

from __future__ import annotations

from skerry.kinds.fullname import FullName
from skerry.machinery.resource import Json
from skerry.runtime.informer import Informer


def agent_of(obj: Json) -> str:
    """The full name of the agent that a set is for."""
    return str(FullName(obj["metadata"]["namespace"], (obj.get("spec") or {}).get("cluster", "")))


class Assigned:
    """The sets of every agent, by its full name."""

    def __init__(self, informer: Informer) -> None:
        """``informer`` follows all ManifestSets, and begins later."""
        self._informer = informer
        self._agents: dict[str, str] = {}
        self._keys: dict[str, set[str]] = {}
        informer.listen(self._changed)

    def keys(self, name: str) -> list[str]:
        """The keys of the sets of an agent."""
        return sorted(self._keys.get(name, ()))

    def sets(self, name: str) -> list[Json]:
        """The sets of an agent. They are shared: do not change them."""
        return [obj for key in self.keys(name) if (obj := self._informer.get(key)) is not None]

    def _changed(self, key: str) -> None:
        obj = self._informer.get(key)
        name, before = agent_of(obj) if obj is not None else "", self._agents.pop(key, "")
        if before and before != name:
            left = self._keys[before]
            left.discard(key)
            if not left:
                del self._keys[before]
        if name:
            self._agents[key] = name
            self._keys.setdefault(name, set()).add(key)
