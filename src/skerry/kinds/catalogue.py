"""The catalogue: every kind that Skerry serves at its Kubernetes door, in one list.

A new kind is a file beside this one and a line here.
"""

from __future__ import annotations

from skerry.kinds import (
    apitoken,
    cluster,
    clusterclass,
    clustergroup,
    clusternamespace,
    clusternode,
    clusterstorageclass,
    clusterworkload,
    configmap,
    credential,
    enforcedobject,
    event,
    imageregistry,
    kubernetesrelease,
    lease,
    managednamespace,
    managementcluster,
    manifestset,
    namespace,
    nodepool,
    observedobject,
    organization,
    provisioner,
    proxyconfiguration,
    role,
    rolebinding,
    secret,
    service,
    trustbundle,
    user,
    workspace,
)
from skerry.machinery.resource import Resource

CORE: tuple[Resource, ...] = (namespace.RESOURCE, secret.RESOURCE, configmap.RESOURCE, event.RESOURCE, event.NEWER, lease.RESOURCE)
"""Kinds of Kubernetes itself; a simulated cluster serves them too."""

INVENTORY: tuple[Resource, ...] = (
    clusternode.RESOURCE,
    clusternamespace.RESOURCE,
    clusterworkload.RESOURCE,
    clusterstorageclass.RESOURCE,
)
"""Kinds that tell what is in clusters."""

FLEET: tuple[Resource, ...] = (
    organization.RESOURCE,
    clustergroup.RESOURCE,
    managementcluster.RESOURCE,
    provisioner.RESOURCE,
    cluster.RESOURCE,
    nodepool.RESOURCE,
    clusterclass.RESOURCE,
    kubernetesrelease.RESOURCE,
    credential.RESOURCE,
    proxyconfiguration.RESOURCE,
    imageregistry.RESOURCE,
    trustbundle.RESOURCE,
    workspace.RESOURCE,
    managednamespace.RESOURCE,
    user.RESOURCE,
    apitoken.RESOURCE,
    role.RESOURCE,
    rolebinding.RESOURCE,
    manifestset.RESOURCE,
    observedobject.RESOURCE,
    enforcedobject.RESOURCE,
    *INVENTORY,
)
"""Kinds of the fleet."""

MIRRORED = frozenset(
    each.key for each in (clusterclass.RESOURCE, kubernetesrelease.RESOURCE, observedobject.RESOURCE, enforcedobject.RESOURCE, *INVENTORY)
)
"""Kinds that tell what a cluster holds: only Skerry's own components write them."""

ALL: tuple[Resource, ...] = (*CORE, service.RESOURCE, *FLEET)
