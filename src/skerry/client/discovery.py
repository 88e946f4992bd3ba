"""Which kinds an API serves: what is needed to apply a manifest of any kind.

A manifest names its ``apiVersion`` and ``kind``; a request needs the plural and whether the kind
lives in namespaces. Only the server knows. It is asked in the old way, one document per group
and version, which every server since 1.0 answers.

A group whose own server is away (an aggregated API) is left out, as kubectl does: the rest of
the cluster is still there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TypeAlias

from skerry.client.contract import Client, Ref
from skerry.machinery.errors import ApiError, NotFound, ServiceUnavailable
from skerry.machinery.resource import Json

Served: TypeAlias = Mapping[tuple[str, str], Ref]
"""(apiVersion, kind) → where its objects are."""

AT_ONCE = 8


async def discover(client: Client) -> Served:
    """Ask for every kind in every version; raises ApiError if the API cannot be asked."""
    core, groups = await client.raw("GET", "/api"), await client.raw("GET", "/apis")
    versions = [("", str(version)) for version in core.get("versions", ())]
    versions += [(group["name"], each["version"]) for group in groups.get("groups", ()) for each in group.get("versions", ())]
    served: dict[tuple[str, str], Ref] = {}
    failures: list[ApiError] = []
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(group: str, version: str) -> None:
        async with gate:
            try:
                found = await client.raw("GET", f"/apis/{group}/{version}" if group else f"/api/{version}")
            except (NotFound, ServiceUnavailable):
                return  # the group's own server is away
            except ApiError as error:
                failures.append(error)
                return
        served.update(_refs(group, version, found))

    async with asyncio.TaskGroup() as tasks:
        for each in versions:
            tasks.create_task(ask(*each))
    if failures:
        raise failures[0]
    return served


def ref_of(served: Served, manifest: Json) -> Ref:
    """Where an object of the manifest's kind lives; raises NotFound, in kubectl's words, for a kind that is not served."""
    api_version, kind = str(manifest.get("apiVersion") or ""), str(manifest.get("kind") or "")
    try:
        return served[api_version, kind]
    except KeyError:
        raise NotFound(f'no matches for kind "{kind}" in version "{api_version}"') from None


def _refs(group: str, version: str, found: Json) -> dict[tuple[str, str], Ref]:
    api_version = f"{group}/{version}" if group else version
    return {
        (api_version, each["kind"]): Ref(group, version, each["name"], bool(each.get("namespaced")))
        for each in found.get("resources", ())
        if "/" not in each["name"]
    }
