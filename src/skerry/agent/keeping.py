"""Where an agent keeps its identity: a file on this machine, or a Secret in the cluster that it serves.

In a cluster the Secret outlives the pod, so that one that is scheduled anew needs no new token;
only the agent's own namespace is written in. A key is readable for the agent alone: mode 0600,
or the access rules of that namespace.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Protocol

from skerry.agent.identity import Identity, decoded, encoded
from skerry.agent.memory import MANAGER
from skerry.client.contract import Client, Ref
from skerry.machinery.errors import NotFound
from skerry.machinery.resource import Json
from skerry.pki.files import write_secret
from skerry.tunnel.places import IDENTITY, NAMESPACE

FILE = "identity.json"
SECRETS = Ref("", "v1", "secrets")


class Keeper(Protocol):
    """Keeps one identity."""

    async def load(self) -> Identity | None:
        """The identity that is kept; None if there is none yet. Raises OSError or ApiError."""
        ...

    async def store(self, identity: Identity) -> None:
        """Keep an identity in the place of the one before; returns once it is safe. Raises OSError or ApiError."""
        ...

    async def forget(self) -> None:
        """The cluster has left the fleet. Raises OSError or ApiError."""
        ...


class Folder:
    """A file in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        """The folder is made when something is stored."""
        self._path = folder / FILE

    async def load(self) -> Identity | None:
        """See :class:`Keeper`."""
        return decoded(self._path.read_bytes()) if self._path.exists() else None

    async def store(self, identity: Identity) -> None:
        """See :class:`Keeper`."""
        write_secret(self._path, encoded(identity))

    async def forget(self) -> None:
        """See :class:`Keeper`."""
        self._path.unlink(missing_ok=True)


class ClusterSecret:
    """A Secret in the agent's namespace, which is there: what made the agent's account made it."""

    def __init__(self, client: Client) -> None:
        """``client`` reaches the cluster's API."""
        self._client = client

    async def load(self) -> Identity | None:
        """See :class:`Keeper`."""
        try:
            found = await self._client.get(SECRETS, IDENTITY, NAMESPACE)
        except NotFound:
            return None
        kept = (found.get("data") or {}).get(FILE)
        return decoded(base64.b64decode(kept)) if kept else None

    async def store(self, identity: Identity) -> None:
        """See :class:`Keeper`."""
        body: Json = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": IDENTITY, "namespace": NAMESPACE},
            "type": "fleet.skerry.dev/agent-identity",
            "data": {FILE: base64.b64encode(encoded(identity)).decode()},
        }
        await self._client.apply(SECRETS, body, manager=MANAGER, force=True)

    async def forget(self) -> None:
        """See :class:`Keeper`: it goes with the namespace."""
