"""Which kinds an API serves, asked of its discovery; for those who work on every kind there is."""

from __future__ import annotations

from typing import NamedTuple

from skerry.client.contract import Client, Ref


class Served(NamedTuple):
    """A kind that can be listed, watched and deleted."""

    ref: Ref
    kind: str
    verbs: frozenset[str]

    @property
    def api_version(self) -> str:
        """As objects carry it."""
        return f"{self.ref.group}/{self.ref.version}" if self.ref.group else self.ref.version


async def served_kinds(client: Client) -> list[Served]:
    """Every kind in its group's preferred version."""
    groups = (await client.raw("GET", "/apis"))["groups"]
    versions = [("", version) for version in (await client.raw("GET", "/api")).get("versions") or ()]
    versions += [(group["name"], group["preferredVersion"]["version"]) for group in groups]
    found = []
    for group, version in versions:
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        for entry in (await client.raw("GET", path))["resources"]:
            if "/" not in entry["name"]:
                ref = Ref(group, version, entry["name"], entry["namespaced"])
                found.append(Served(ref, entry["kind"], frozenset(entry["verbs"])))
    return found
