"""The catalogue: every kind that Skerry serves at its Kubernetes door, in one list.

A new kind is a file beside this one and a line here.
"""

from __future__ import annotations

from skerry.kinds import (
    apitoken,
    cluster,
    clusterclass,
    clustergroup,
    configmap,
    credential,
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
)
"""Kinds of the fleet."""

MIRRORED = frozenset(resource.key for resource in (clusterclass.RESOURCE, kubernetesrelease.RESOURCE, observedobject.RESOURCE))
"""Kinds that tell what a management cluster holds: only Skerry's own components write them."""

ALL: tuple[Resource, ...] = (*CORE, service.RESOURCE, *FLEET)
