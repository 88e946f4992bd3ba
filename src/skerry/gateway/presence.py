"""Several gateways over one store: each gives a sign of life, and knows whose is recent.

The sign is a Lease that its gateway renews; it also says where the others reach it. Whether another gateway lives is judged by when its
Lease was last *seen* to change, by this gateway's own clock: clocks of machines are never compared.
"""

from __future__ import annotations

from skerry.client.contract import Client
from skerry.kinds.common import GROUP, SYSTEM_NAMESPACE
from skerry.kit.aio import TaskOwner
from skerry.kit.clock import Clock, rfc3339_micro
from skerry.kit.log import get
from skerry.machinery.errors import ApiError
from skerry.runtime.informer import Informer
from skerry.runtime.leases import LEASES

EVERY_SECONDS = 10.0
PATIENCE_SECONDS = 35.0
ADDRESS = f"{GROUP}/gateway-address"
"""Annotation of a gateway's Lease: host and port that other gateways dial."""

log = get("gateway.presence")


class Presence:
    """This gateway among others. ``identity`` is its own, the same after a restart."""

    def __init__(self, client: Client, identity: str, clock: Clock) -> None:
        """Nothing is told or seen before ``run``."""
        self.identity = identity
        self.address = ""
        """Host and port of this gateway, to be set before ``run``."""
        self._client = client
        self._leases = Informer(client, LEASES, namespace=SYSTEM_NAMESPACE)
        self._clock = clock
        self._seen: dict[str, tuple[str, float]] = {}
        self._leases.listen(self._look)

    async def run(self) -> None:
        """Give signs of life and look at those of others, until cancelled."""
        async with TaskOwner("presence") as owner:
            owner.spawn(self._leases.run(), "leases")
            await self._tell()

    async def _tell(self) -> None:
        while True:
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {
                    "name": f"gateway-{self.identity}",
                    "namespace": SYSTEM_NAMESPACE,
                    "annotations": {ADDRESS: self.address},
                },
                "spec": {
                    "holderIdentity": self.identity,
                    "leaseDurationSeconds": round(PATIENCE_SECONDS),
                    "renewTime": rfc3339_micro(self._clock.now()),
                },
            }
            try:
                await self._client.apply(LEASES, body, manager="skerry-gateway", force=True)
            except ApiError as error:
                log.info("cannot give a sign of life; will try again", error=error.message)
            await self._clock.sleep(EVERY_SECONDS)

    def elsewhere(self, gateway: str) -> bool:
        """Tell whether a gateway is another one than this, and lives."""
        if gateway in {"", self.identity}:
            return False
        key = f"{SYSTEM_NAMESPACE}/gateway-{gateway}"
        self._look(key)
        seen = self._seen.get(key)
        return seen is not None and self._clock.monotonic() - seen[1] < PATIENCE_SECONDS

    def address_of(self, gateway: str) -> str:
        """Where another gateway that lives is reached; empty if it is not."""
        lease = self._leases.get(f"{SYSTEM_NAMESPACE}/gateway-{gateway}") if self.elsewhere(gateway) else None
        return str(((lease or {}).get("metadata", {}).get("annotations") or {}).get(ADDRESS, ""))

    def _look(self, key: str) -> None:
        lease = self._leases.get(key)
        revision = lease["metadata"]["resourceVersion"] if lease else ""
        if revision and self._seen.get(key, ("",))[0] != revision:
            self._seen[key] = (revision, self._clock.monotonic())
