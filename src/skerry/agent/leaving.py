"""The end of an attachment: the agent takes away what its manifest put there, itself included.

What stands in no namespace is made the namespace's own, so that the cluster's garbage collector
removes it with the namespace: an agent that took its own rights away first could not finish.
"""

from __future__ import annotations

import contextlib

from skerry.agent.memory import MANAGER, NAMESPACES
from skerry.client.contract import Client, PatchKind, Ref
from skerry.machinery.errors import ApiError, NotFound
from skerry.machinery.resource import Json
from skerry.tunnel.places import BINDINGS, NAMESPACE, ROLES

RBAC = ("rbac.authorization.k8s.io", "v1")
CLUSTER_ROLES, CLUSTER_BINDINGS = Ref(*RBAC, "clusterroles", namespaced=False), Ref(*RBAC, "clusterrolebindings", namespaced=False)
WIDE = (*((CLUSTER_ROLES, name) for name in ROLES), *((CLUSTER_BINDINGS, name) for name in BINDINGS))


async def leave(client: Client) -> str:
    """Remove it all; returns what kept it from that, empty if nothing did. May be done again."""
    try:
        found = await client.get(NAMESPACES, NAMESPACE)
    except NotFound:
        return ""
    except ApiError as error:
        return error.message
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": NAMESPACE, "uid": found["metadata"]["uid"]}
    body: Json = {"metadata": {"ownerReferences": [owner]}}
    try:
        for ref, name in WIDE:
            with contextlib.suppress(NotFound):
                await client.patch(ref, name, "", PatchKind.MERGE, body, manager=MANAGER)
        with contextlib.suppress(NotFound):
            await client.delete(NAMESPACES, NAMESPACE, uid=found["metadata"]["uid"])
    except ApiError as error:
        return error.message
    return ""
