"""The set of served kinds. It may change while the server runs: a simulated cluster installs CRDs."""

from __future__ import annotations

from collections.abc import Iterable

from skerry.machinery.resource import Resource


class Registry:
    """Resources by group, version and plural; ``generation`` counts changes, for caches of discovery and OpenAPI."""

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        """Begin with some kinds."""
        self.generation = 0
        self._resources: dict[tuple[str, str, str], Resource] = {}
        self.add(*resources)

    def add(self, *resources: Resource) -> None:
        """Serve more kinds, or newer definitions of them."""
        for resource in resources:
            self._resources[(resource.group, resource.version, resource.plural)] = resource
        self.generation += 1

    def remove(self, group: str, plural: str) -> None:
        """Stop serving a kind in all its versions."""
        for key in [key for key in self._resources if key[0] == group and key[2] == plural]:
            del self._resources[key]
        self.generation += 1

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The kind behind a path."""
        return self._resources.get((group, version, plural))

    def all(self) -> list[Resource]:
        """Every served kind and version."""
        return list(self._resources.values())

    def keys(self) -> dict[str, Resource]:
        """What is stored: one resource per storage key."""
        return {resource.key: resource for resource in reversed(self._resources.values())}

    def groups(self) -> dict[str, list[str]]:
        """Group → versions, in the order they were added; the core group is empty."""
        found: dict[str, list[str]] = {}
        for group, version, _ in self._resources:
            versions = found.setdefault(group, [])
            if version not in versions:
                versions.append(version)
        return found

    def of(self, group: str, version: str) -> list[Resource]:
        """The kinds of one group and version."""
        return [resource for (g, v, _), resource in self._resources.items() if (g, v) == (group, version)]
