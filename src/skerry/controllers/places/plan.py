"""Where clusters are made: the rules by which management clusters and provisioners come and go. Pure.

* A ManagementCluster has a namespace of its name at our door. It cannot go while clusters are
  in it: forgetting a management cluster must never remove workload clusters. Clusters that are
  only observed are forgotten with it.
* A Provisioner that was made here is a namespace at the far end, sent as a ManifestSet. One
  that was discovered is left as it is. It cannot go while clusters here name it, and its
  namespace is not taken away at the far end while something is seen in it.
* The built-in places (attached, eks, aks) have no far end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from skerry.kinds.common import API_VERSION, GROUP, Condition
from skerry.kinds.managementcluster import BUILTIN
from skerry.kinds.manifestset import PRUNE, ManifestSet
from skerry.kinds.provisioner import Provisioner
from skerry.machinery.resource import Json

FINALIZER = f"{GROUP}/places"
MARK = f"{GROUP}/mirrored"
Status = Literal["True", "False", "Unknown"]
Do = Literal["nothing", "hold", "send", "withdraw", "let go"]


class Decision(NamedTuple):
    """What to do, and the condition Ready that says why."""

    do: Do
    status: Status
    reason: str
    message: str

    def condition(self, generation: int) -> Condition:
        """As a status shows it."""
        return Condition("Ready", self.status, self.reason, self.message, observed_generation=generation)


def builtin() -> list[tuple[str, Json]]:
    """The built-in places, by plural, in the order to create them (the namespace of one comes between its two)."""
    made: list[tuple[str, Json]] = []
    for name in BUILTIN:
        made.append(("managementclusters", {"apiVersion": API_VERSION, "kind": "ManagementCluster", "metadata": {"name": name}}))
        made.append(("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        provisioner = {"apiVersion": API_VERSION, "kind": "Provisioner", "metadata": {"name": name, "namespace": name}}
        made.append(("provisioners", provisioner))
    return made


def keeps(cluster: Json) -> bool:
    """Whether a Cluster keeps its management cluster: one that is managed, or is held until its agent has let go of it."""
    observed = (cluster.get("spec") or {}).get("managementPolicy") == "Observe"
    return not observed or bool(cluster["metadata"].get("finalizers"))


def management_cluster(*, deleting: bool, clusters: Sequence[str], namespace_there: bool) -> Decision:
    """Decide about a ManagementCluster: ``hold`` keeps it, ``withdraw`` deletes its namespace, ``let go`` ends it."""
    if not deleting:
        return Decision("hold", "True", "NamespaceReady", "its namespace is there")
    if clusters:
        names = ", ".join(sorted(clusters)[:5]) + (" and others" if len(clusters) > 5 else "")
        return Decision("nothing", "False", "ClustersLeft", f"the deletion waits until these clusters are deleted or moved: {names}")
    if namespace_there:
        return Decision("withdraw", "False", "Deleting", "its namespace is being emptied")
    return Decision("let go", "False", "Deleting", "nothing is left")


def provisioner(found: Provisioner, sent: ManifestSet | None, *, clusters: Sequence[str], seen: int) -> Decision:
    """Decide about a Provisioner. ``clusters`` name it here; ``seen`` counts observed objects in its namespace at the far end."""
    deleting = bool(found.metadata.deletion_timestamp)
    ours = found.metadata.namespace not in BUILTIN and found.metadata.labels.get(MARK) != "true"
    if deleting and clusters:
        return Decision("nothing", "False", "ClustersLeft", f"the deletion waits for clusters: {', '.join(sorted(clusters)[:5])}")
    if deleting and sent is None:
        return Decision("let go", "False", "Deleting", "nothing is left")
    if deleting and sent is not None and seen and not sent.metadata.deletion_timestamp:
        return Decision(
            "nothing", "False", "NamespaceInUse", f"the deletion waits: {seen} objects are seen in the namespace at the far end"
        )
    if deleting:
        return Decision("withdraw", "False", "Deleting", "the namespace is being removed at the far end")
    if not ours:
        return Decision("nothing", "True", "Discovered" if found.metadata.namespace not in BUILTIN else "BuiltIn", "it is there already")
    return Decision("send", *_enforced(sent))


def _enforced(sent: ManifestSet | None) -> tuple[Status, str, str]:
    if sent is None or sent.status.observed_generation < sent.metadata.generation:
        return "False", "Applying", "the agent has not reported the namespace yet"
    if sent.status.failed:
        first = next(iter(sent.status.failures), None)
        return "False", "ApplyFailed", first.message if first else "the namespace could not be applied"
    return "True", "Enforced", "the namespace is there at the far end"


def set_name(name: str) -> str:
    """Name of a provisioner's ManifestSet; the prefix keeps it apart from clusters'."""
    return f"provisioner.{name}"


def namespace_set(found: Provisioner, epoch: int) -> Json:
    """The ManifestSet that makes a provisioner's namespace."""
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": found.metadata.name}}
    metadata = {"name": set_name(found.metadata.name), "namespace": found.metadata.namespace, "finalizers": [PRUNE]}
    spec = {"ownerEpoch": epoch, "manifests": [manifest]}
    return {"apiVersion": API_VERSION, "kind": "ManifestSet", "metadata": metadata, "spec": spec}
