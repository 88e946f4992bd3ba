"""Which path serves a kind: asked of the cluster's discovery, group by group, kept, and asked again when it was wrong.

A kind that is not served yet costs two small requests per look, however many others the
cluster has: whoever looks often must not read all of discovery each time.
"""

from __future__ import annotations

from skerry.client.contract import Client, Ref
from skerry.machinery.errors import ApiError, NotFound
from skerry.machinery.resource import Json


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
            self._versions[api_version] = await self._read(api_version)
            found = self._versions[api_version].get(kind)
        if found is None:
            raise NotFound(f"the cluster serves no {kind} in {api_version}; its definition may not be installed yet")
        return found

    async def any_version(self, api_version: str, kind: str) -> Ref:
        """The path of a kind in this version or, where the cluster has moved on, in the preferred one; raises NotFound."""
        try:
            return await self.ref(api_version, kind)
        except NotFound:
            group = api_version.rpartition("/")[0]
            if not group:
                raise
            return await self.ref((await self._client.raw("GET", f"/apis/{group}"))["preferredVersion"]["groupVersion"], kind)

    def forget(self, api_version: str) -> None:
        """What was known of a version was wrong: ask again next time."""
        self._versions.pop(api_version, None)

    async def preferred(self, group: str, plural: str) -> Ref | None:
        """A kind in its group's preferred version; None if the cluster does not serve it, or does not answer."""
        try:
            version = (await self._client.raw("GET", f"/apis/{group}"))["preferredVersion"]["groupVersion"] if group else "v1"
            refs = await self._read(version)
        except ApiError:
            return None
        return next((ref for ref in refs.values() if ref.plural == plural), None)

    async def _read(self, api_version: str) -> dict[str, Ref]:
        group, _, version = api_version.rpartition("/")
        try:
            answer: Json = await self._client.raw("GET", f"/apis/{api_version}" if group else f"/api/{version}")
        except NotFound:
            return {}
        return {
            each["kind"]: Ref(group, version, each["name"], each["namespaced"]) for each in answer["resources"] if "/" not in each["name"]
        }
