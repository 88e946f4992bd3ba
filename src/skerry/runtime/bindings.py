"""What was granted on a cluster goes with it: left behind, it would hold again for a new one of its name."""

from __future__ import annotations

import contextlib

from skerry.client.contract import Client, Ref
from skerry.kinds.common import GROUP, VERSION
from skerry.machinery.errors import NotFound

BINDINGS = Ref(GROUP, VERSION, "rolebindings", namespaced=False)


async def end_bindings(client: Client, namespace: str, name: str) -> None:
    """Delete every RoleBinding on the Cluster of a namespace and a name; raises ApiError."""
    bound = await client.list(BINDINGS, fields=f"spec.scope.kind=Cluster,spec.scope.name={name}")
    for each in bound["items"]:
        if each["spec"]["scope"].get("namespace") == namespace:
            with contextlib.suppress(NotFound):
                await client.delete(BINDINGS, each["metadata"]["name"])
