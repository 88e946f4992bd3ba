"""Which path serves a kind: asked of the cluster's discovery, kept, and asked again when a kind is not known."""

from __future__ import annotations

from skerry.client.contract import Client, Ref
from skerry.machinery.errors import ApiError, NotFound
from skerry.runtime.kinds import served_kinds


class KindMap:
    """Kinds of the target cluster."""

    def __init__(self, client: Client) -> None:
        """Nothing is asked before the first look."""
        self._client = client
        self._versions: dict[str, dict[str, Ref]] = {}

    async def ref(self, api_version: str, kind: str) -> Ref:
        """The path of a kind; raises NotFound if the cluster does not serve it."""
        found = self._versions.get(api_version, {}).get(kind)
        if found is None:
            await self._read(api_version)
            found = self._versions.get(api_version, {}).get(kind)
        if found is None:
            raise NotFound(f"the cluster serves no {kind} in {api_version}; its definition may not be installed yet")
        return found

    async def _read(self, api_version: str) -> None:
        group, _, version = api_version.rpartition("/")
        path = f"/apis/{api_version}" if group else f"/api/{version}"
        try:
            answer = await self._client.raw("GET", path)
        except NotFound:
            self._versions.pop(api_version, None)
            return
        self._versions[api_version] = {
            each["kind"]: Ref(group, version, each["name"], each["namespaced"]) for each in answer["resources"] if "/" not in each["name"]
        }

    async def preferred(self, group: str, plural: str) -> Ref | None:
        """A kind in its group's preferred version; None if the cluster does not serve it."""
        try:
            for served in await served_kinds(self._client):
                if (served.ref.group, served.ref.plural) == (group, plural):
                    return served.ref
        except ApiError:
            return None
        return None
