"""Which kinds agents report: what every cluster has, and of a management cluster what makes others. Pure.

The access rights that an agent is given in its cluster (``manifest.py``) are read from here.
"""

from __future__ import annotations

from collections.abc import Mapping

from skerry.tunnel import link_pb2 as pb

EVERYWHERE: Mapping[str, tuple[str, ...]] = {
    "": ("namespaces", "nodes"),
    "apps": ("daemonsets", "deployments", "statefulsets"),
    "storage.k8s.io": ("storageclasses",),
}
"""Kinds by group that every cluster reports."""

COUNTED: Mapping[str, tuple[str, ...]] = {"": ("pods",)}
"""Kinds that are read to be counted, and not reported one by one."""

MANAGEMENT: Mapping[str, tuple[str, ...]] = {
    "cluster.x-k8s.io": ("clusters", "clusterclasses", "machinedeployments", "machines"),
    "controlplane.cluster.x-k8s.io": ("kubeadmcontrolplanes",),
    "run.tanzu.vmware.com": ("tanzukubernetesreleases",),
    "kubernetes.vmware.com": ("kubernetesreleases",),
    "vmoperator.vmware.com": ("virtualmachineclasses",),
}
"""What a management cluster reports besides: the objects of Cluster API, releases, and classes of machines where there are any."""


def subscription(name: str) -> pb.Subscribe:
    """What the agent of a full name is asked to report: a cluster that belongs to a management cluster makes no others."""
    kinds = EVERYWHERE if "." in name else {**EVERYWHERE, **MANAGEMENT}
    return pb.Subscribe(kinds=[pb.ResourceKind(group=group, plural=plural) for group, plurals in kinds.items() for plural in plurals])
