"""What an agent speaks for, in one text: a management cluster (``sv-1``), or any cluster by its full name (``sv-1.team-a.shop``). Pure.

The text stands where one word is needed: in certificates, tokens, claims and paths. A
component is a DNS label, so the dots never mislead. An attached cluster is ``attached.attached.shop``.
"""

from __future__ import annotations

from typing import NamedTuple

from skerry.machinery.names import label_problem


class FullName(NamedTuple):
    """A management cluster or, where ``cluster`` is set, one of its clusters."""

    management_cluster: str
    cluster: str = ""
    """``provisioner.name``, as at the Kubernetes door; empty: the management cluster itself."""

    def __str__(self) -> str:
        """The one text."""
        return f"{self.management_cluster}.{self.cluster}" if self.cluster else self.management_cluster

    @property
    def key(self) -> str:
        """The key of its object: ``sv-1`` of a ManagementCluster, ``sv-1/team-a.shop`` of a Cluster."""
        return f"{self.management_cluster}/{self.cluster}" if self.cluster else self.management_cluster

    @property
    def words(self) -> str:
        """What it is, for people."""
        return f"cluster {self.key}" if self.cluster else f"management cluster {self.management_cluster}"


def parsed(text: str) -> FullName | None:
    """Read the one text; None if it is none."""
    parts = text.split(".")
    if len(parts) not in {1, 3} or any(label_problem(part) for part in parts):
        return None
    return FullName(parts[0], ".".join(parts[1:]))


def words(text: str) -> str:
    """What a full name names, for people."""
    found = parsed(text)
    return found.words if found else text


def of_key(key: str) -> FullName:
    """The name of the object of a key, as :attr:`FullName.key` gives it."""
    management_cluster, _, cluster = key.partition("/")
    return FullName(management_cluster, cluster)
