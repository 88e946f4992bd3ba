"""One look at the world: everything that the plan for one cluster may know, and nothing else.

The record is made by ``gather`` and read by ``checks``, ``stages`` and ``plan``, which are pure.
What was not seen is None; an absent fact is never replaced by a likely one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skerry.capi.read import ClusterFacts, Machines
from skerry.capi.readback import Reading, newest
from skerry.capi.upgrade import older, parse, satisfies
from skerry.kinds.cluster import FORCE, Cluster
from skerry.kinds.clusterclass import ClusterClassSpec
from skerry.kinds.common import GROUP, Condition
from skerry.kinds.managementcluster import ManagementCluster
from skerry.kinds.manifestset import ManifestSet
from skerry.kinds.nodepool import NodePool

FINALIZER = f"{GROUP}/lifecycle"
UPGRADE_REASONS = frozenset(
    ("ClusterUpgrading", "ControlPlaneUpgradePending", "MachineDeploymentsUpgradePending", "MachineDeploymentsUpgradeDeferred")
)


@dataclass(frozen=True, slots=True)
class World:
    """What was seen when ``namespace``/``name`` was looked at. ``epoch`` is that of whoever looks."""

    namespace: str
    name: str
    cluster: Cluster | None = None
    pools: tuple[NodePool, ...] = ()
    management: ManagementCluster | None = None
    provisioner: bool = False
    offered: ClusterClassSpec | None = None
    manifest_set: ManifestSet | None = None
    facts: ClusterFacts | None = None
    seen: Reading | None = None
    """What the far end's cluster would be asked for in our words."""
    control_plane: Machines | None = None
    workers: Mapping[str, Machines] = field(default_factory=dict)
    """Machines of the pools that exist at the far end, by the pool's last name component."""
    epoch: int = 0

    @property
    def set_name(self) -> str:
        """Name of the cluster's ManifestSet; the prefix keeps it apart from other controllers' sets."""
        return f"cluster.{self.name}"

    @property
    def own(self) -> ClusterFacts | None:
        """The cluster at the far end, if it is what the object here speaks of."""
        return self.facts if self.facts is not None and (self.held or self.observed or self.adopting) else None

    @property
    def held(self) -> bool:
        """Whether the far end holds something that was sent from here, as far as is known."""
        return self.manifest_set is not None or (self.facts is not None and self.facts.managed)

    @property
    def observed(self) -> bool:
        """Whether the cluster here only follows the far end."""
        return self.cluster is not None and self.cluster.spec.management_policy == "Observe"

    @property
    def adopting(self) -> bool:
        """Whether the far end's cluster is the very one that was observed here, and is to be managed from now on."""
        return (
            self.cluster is not None
            and not self.observed
            and self.manifest_set is None
            and self.facts is not None
            and bool(self.facts.uid)
            and self.facts.uid == self.cluster.status.uid
        )

    @property
    def live_pools(self) -> tuple[NodePool, ...]:
        """Pools that shall exist."""
        return tuple(pool for pool in self.pools if not pool.metadata.deletion_timestamp)

    def away(self) -> Condition | None:
        """The condition that says that the agent is not connected; None while it is."""
        if self.management is None:
            return None
        found = next((each for each in self.management.status.conditions if each.type == "Connected"), None)
        if found is None:
            return Condition("Connected", "False", "NeverConnected", f"no agent of {self.namespace} has connected yet")
        return None if found.status == "True" else found

    def forced(self) -> bool:
        """Whether the deletion shall not wait for an agent that is away."""
        return self.cluster is not None and self.cluster.metadata.annotations.get(FORCE) == "true" and self.away() is not None

    def enforced(self) -> bool:
        """Whether the far end was last reported to be as the present ManifestSet asks."""
        found = self.manifest_set
        return (
            found is not None
            and found.status.observed_generation >= found.metadata.generation
            and not (found.status.failed or found.status.pending)
        )

    def asked_version(self) -> str:
        """The version that the far end was last asked for: by what is seen there, or by what was applied but is not seen yet."""
        seen = self.own.version if self.own else ""
        sent = self._sent_version()
        try:
            return sent if not seen or (sent and older(parse(seen), parse(sent))) else seen
        except ValueError:
            return seen

    def _sent_version(self) -> str:
        if self.manifest_set is None or not self.manifest_set.status.applied or self.manifest_set.status.failed:
            return ""
        found = [each for each in self.manifest_set.spec.manifests if each.get("kind") == "Cluster"]
        return str(found[0]["spec"]["topology"]["version"]) if found else ""

    def upgrading(self) -> bool:
        """Whether some machine does not run yet what the far end was last asked for."""
        facts = self.own
        if facts is None:
            return False
        asked = self.asked_version()
        workers = self.workers.values() if facts.topology else ()  # by hand, each pool has a version of its own
        running = [*(self.control_plane.versions if self.control_plane else ()), *(v for each in workers for v in each.versions)]
        topology = facts.condition("TopologyReconciled")
        pending = topology is not None and topology.status != "True" and topology.reason in UPGRADE_REASONS
        return pending or not satisfies(facts.version, asked) or any(not satisfies(each, asked) for each in running)

    def pool_version(self, machines: Machines) -> str:
        """The version that a pool's machines are brought to."""
        return self.asked_version() if self.own is None or self.own.topology else newest(machines.versions)
