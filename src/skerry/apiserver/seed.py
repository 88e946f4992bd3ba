"""What every installation has from the first start.

Its own namespaces, its organization, the default cluster group and workspace, the built-in roles.
"""

from __future__ import annotations

from skerry.access import builtin
from skerry.client.contract import Client, Ref
from skerry.kinds.common import API_VERSION, GROUP, SYSTEM_NAMESPACE, VERSION
from skerry.machinery.errors import AlreadyExists
from skerry.machinery.resource import Json

NAMESPACES = Ref("", "v1", "namespaces", namespaced=False)
GROUPS = Ref(GROUP, VERSION, "clustergroups", namespaced=False)
WORKSPACES = Ref(GROUP, VERSION, "workspaces", namespaced=False)
ORGANIZATIONS = Ref(GROUP, VERSION, "organizations", namespaced=False)
ROLES = Ref(GROUP, VERSION, "roles", namespaced=False)


def _objects() -> list[tuple[Ref, Json]]:
    group = {
        "apiVersion": API_VERSION,
        "kind": "ClusterGroup",
        "metadata": {"name": "default"},
        "spec": {"description": "Clusters that were put in no other group"},
    }
    workspace = {
        "apiVersion": API_VERSION,
        "kind": "Workspace",
        "metadata": {"name": "default"},
        "spec": {"description": "Namespaces that were put in no other workspace"},
    }
    return [
        *((NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}) for name in ("default", SYSTEM_NAMESPACE)),
        (ORGANIZATIONS, {"apiVersion": API_VERSION, "kind": "Organization", "metadata": {"name": "default"}, "spec": {}}),
        (GROUPS, group),
        (WORKSPACES, workspace),
    ]


async def seed(client: Client) -> None:
    """Create what is missing; what is there stays as it is, but for the built-in roles: those are this release's."""
    for ref, obj in _objects():
        try:
            await client.create(ref, obj, manager="skerry")
        except AlreadyExists:
            continue
    for role in builtin.objects():
        await client.apply(ROLES, role, manager="skerry", force=True)
