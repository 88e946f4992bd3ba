"""What agents speak for: ManagementClusters and Clusters, found by the full name that their agents have in certificates and routes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from skerry.client.contract import Ref
from skerry.kinds.common import GROUP, VERSION
from skerry.kinds.fullname import of_key, parsed
from skerry.machinery.resource import Json
from skerry.runtime.informer import Informer

MANAGEMENT_CLUSTERS = Ref(GROUP, VERSION, "managementclusters", namespaced=False)
CLUSTERS = Ref(GROUP, VERSION, "clusters")

_METADATA = ("name", "namespace", "uid", "resourceVersion", "generation", "deletionTimestamp", "finalizers", "annotations")


def kept(obj: Json) -> Json:
    """What is held of a Cluster: what its agent's state is written by, and nothing of what it is asked to be."""
    metadata = {name: value for name, value in obj["metadata"].items() if name in _METADATA}
    spec = {"provisioner": (obj.get("spec") or {}).get("provisioner", "")}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, "spec": spec, "status": obj.get("status") or {}}


class Subjects:
    """Both kinds, each followed by an informer of its own."""

    def __init__(self, managements: Informer, clusters: Informer) -> None:
        """``managements`` and ``clusters`` (see :func:`kept`) are run by whoever owns them."""
        self.managements = managements
        self.clusters = clusters
        self.holders: Counter[str] = Counter()
        """How many agents each gateway holds, by its identity, as the statuses tell it."""
        self._held: dict[str, str] = {}
        self.listen(self._count)

    async def synced(self) -> None:
        """Wait until both kinds are known."""
        await self.managements.synced.wait()
        await self.clusters.synced.wait()

    @property
    def known(self) -> bool:
        """Whether both kinds are known: what is not found is not there."""
        return self.managements.synced.is_set() and self.clusters.synced.is_set()

    def get(self, name: str) -> Json | None:
        """The object of a full name, as last seen; None if there is none."""
        found = parsed(name)
        if found is None:
            return None
        return (self.clusters if found.cluster else self.managements).get(found.key)

    def names(self) -> Iterable[str]:
        """Every full name."""
        return [*self.managements.known(), *(str(of_key(key)) for key in self.clusters.known())]

    def listen(self, listener: Callable[[str], None]) -> None:
        """Tell ``listener`` the full name of everything that changes from now on."""
        self.managements.listen(listener)
        self.clusters.listen(lambda key: listener(str(of_key(key))))

    def _count(self, name: str) -> None:
        status = (self.get(name) or {}).get("status") or {}
        before = self._held.pop(name, None)
        if before is not None:
            self.holders[before] -= 1
            if not self.holders[before]:
                del self.holders[before]
        if connected(status):
            gateway = self._held[name] = str((status.get("agent") or {}).get("gateway", ""))
            self.holders[gateway] += 1

    def holder(self, name: str) -> str:
        """The gateway that wrote last that it holds an agent; empty if none did, or the agent is away."""
        status = (self.get(name) or {}).get("status") or {}
        return str((status.get("agent") or {}).get("gateway", "")) if connected(status) else ""


def connected(status: Json) -> bool:
    """Whether a status says that the agent is here."""
    return any(each["type"] == "Connected" and each["status"] == "True" for each in status.get("conditions") or ())


def address(name: str) -> tuple[Ref, str, str]:
    """Where the object of a full name is at our door: its kind, its name and its namespace. Raises LookupError for no full name."""
    found = parsed(name)
    if found is None:
        raise LookupError(f"{name!r} is no full name")
    if found.cluster:
        return CLUSTERS, found.cluster, found.management_cluster
    return MANAGEMENT_CLUSTERS, found.management_cluster, ""
