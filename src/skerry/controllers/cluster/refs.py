"""The kinds that the controllers of the cluster room read and write, as the client wants them named."""

from __future__ import annotations

from skerry.client.contract import Ref
from skerry.kinds.common import GROUP, VERSION

CLUSTERS = Ref(GROUP, VERSION, "clusters")
POOLS = Ref(GROUP, VERSION, "nodepools")
MANAGEMENT = Ref(GROUP, VERSION, "managementclusters", namespaced=False)
PROVISIONERS = Ref(GROUP, VERSION, "provisioners")
CLASSES = Ref(GROUP, VERSION, "clusterclasses")
SETS = Ref(GROUP, VERSION, "manifestsets")
OBSERVED = Ref(GROUP, VERSION, "observedobjects")
