"""How management clusters and provisioners come and go."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from skerry.controllers.places import plan
from skerry.kinds.manifestset import ManifestSet
from skerry.kinds.provisioner import Provisioner


def provisioner(*, deleting: bool = False, mirrored: bool = False, namespace: str = "sv-1") -> Provisioner:
    metadata: dict[str, Any] = {"name": "team-a", "namespace": namespace}
    metadata |= {"deletionTimestamp": "2026-11-23T12:00:00Z"} if deleting else {}
    metadata |= {"labels": {plan.MARK: "true"}} if mirrored else {}
    return msgspec.convert({"metadata": metadata}, Provisioner)


SENT = msgspec.convert({"metadata": {"name": "provisioner.team-a", "generation": 1}, "status": {"observedGeneration": 1}}, ManifestSet)


@pytest.mark.parametrize(
    ("spec", "finalizers", "kept"),
    [
        ({}, [], True),
        ({"managementPolicy": "Manage"}, [], True),
        ({"managementPolicy": "Observe"}, ["fleet.skerry.dev/lifecycle"], True),  # what was sent for it is not left yet
        ({"managementPolicy": "Observe"}, [], False),
    ],
)
def test_a_cluster_that_is_only_observed_keeps_no_management_cluster(spec: dict[str, Any], finalizers: list[str], kept: bool) -> None:
    assert plan.keeps({"metadata": {"finalizers": finalizers}, "spec": spec}) == kept


@pytest.mark.parametrize(
    ("deleting", "clusters", "namespace_there", "do", "reason"),
    [
        (False, [], False, "hold", "NamespaceReady"),
        (True, ["team-a.shop"], True, "nothing", "ClustersLeft"),
        (True, [], True, "withdraw", "Deleting"),
        (True, [], False, "let go", "Deleting"),
    ],
)
def test_a_management_cluster_is_never_forgotten_while_it_has_clusters(
    deleting: bool, clusters: list[str], namespace_there: bool, do: str, reason: str
) -> None:
    decision = plan.management_cluster(deleting=deleting, clusters=clusters, namespace_there=namespace_there)
    assert (decision.do, decision.reason) == (do, reason)


@pytest.mark.parametrize(
    ("found", "sent", "clusters", "seen", "do", "reason"),
    [
        (provisioner(), None, [], 0, "send", "Applying"),
        (provisioner(), SENT, [], 0, "send", "Enforced"),
        (provisioner(mirrored=True), None, [], 3, "nothing", "Discovered"),
        (provisioner(namespace="attached"), None, [], 0, "nothing", "BuiltIn"),
        (provisioner(deleting=True), SENT, ["team-a.shop"], 0, "nothing", "ClustersLeft"),
        (provisioner(deleting=True), SENT, [], 3, "nothing", "NamespaceInUse"),
        (provisioner(deleting=True), SENT, [], 0, "withdraw", "Deleting"),
        (provisioner(deleting=True), None, [], 3, "let go", "Deleting"),
    ],
)
def test_a_provisioner_takes_no_namespace_away_that_is_in_use_or_was_there_before(
    found: Provisioner, sent: ManifestSet | None, clusters: list[str], seen: int, do: str, reason: str
) -> None:
    decision = plan.provisioner(found, sent, clusters=clusters, seen=seen)
    assert (decision.do, decision.reason) == (do, reason)
