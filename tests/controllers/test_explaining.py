"""``skerry explain`` and ``skerry tree`` say what the controller would do, and what it has made."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from skerry.apiserver.seed import seed
from skerry.client.kubeconfig import render
from skerry.controllers.cluster.reconcile import ClusterController
from skerry.kinds.common import SYSTEM_NAMESPACE
from skerry.runtime.leases import LEASES
from skerry.runtime.shares import Holding, lease_name, share_of
from tests.controllers.conftest import Site
from tests.controllers.test_cluster_lifecycle import KEY, NAME, SET, far_end, turn
from tests.controllers.test_observing import WORKERS, policy, stranger, topology
from tests.e2e.server import SKERRY

Ask = Callable[..., Awaitable[str]]


@pytest.fixture
async def ask(site: Site, tmp_path: Path) -> Ask:
    """Asks the command line about the cluster, while somebody works on its share."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_bytes(render(site.connection))
    await seed(site.client)
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": lease_name("sv-1"), "namespace": SYSTEM_NAMESPACE},
    }
    await site.client.create(LEASES, {**lease, "spec": {"holderIdentity": "one", "leaseTransitions": 7}}, SYSTEM_NAMESPACE)

    async def asked(verb: str, *options: str) -> str:
        process = await asyncio.create_subprocess_exec(
            str(SKERRY),
            verb,
            "cluster",
            NAME,
            "-n",
            "sv-1",
            *options,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(kubeconfig), "COLUMNS": "200"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate()
        assert process.returncode == 0, error.decode()
        return out.decode()

    return asked


async def order(site: Site) -> None:
    """Ask for a cluster with one pool of two nodes."""
    await site.create("clusters", "Cluster", NAME, {"version": "v1.33.1", "class": {"name": "std"}})
    await site.create("nodepools", "NodePool", f"{NAME}.md-0", {"class": "node-pool", "replicas": 2})


async def holding(site: Site) -> Holding:
    lease = await site.client.get(LEASES, lease_name("sv-1"), SYSTEM_NAMESPACE)
    return Holding({share_of("sv-1"): int(lease["metadata"]["resourceVersion"])})


async def test_the_plan_is_printed_before_anybody_follows_it_and_nothing_is_written(site: Site, ask: Ask) -> None:
    await order(site)
    before = await site.get("clusters", NAME)
    said = (await ask("explain")).splitlines()
    assert said[:2] == [f"EnsureFinalizer clusters/{NAME}", f"EnsureFinalizer nodepools/{NAME}.md-0"]
    assert f"ApplyManifestSet {SET}: Cluster shop" in said
    assert "phase Provisioning" in said
    assert any(line.startswith(f"node pool {NAME}.md-0: ") for line in said)
    assert await site.get("clusters", NAME) == before


async def test_what_is_explained_is_what_the_controller_then_does(site: Site, ask: Ask) -> None:
    await order(site)
    made: Any = json.loads(await ask("explain", "-o", "json"))
    [apply] = [each for each in made["actions"] if each["do"] == "ApplyManifestSet"]
    await ClusterController(site.client, holding=await holding(site)).reconcile(KEY)
    done = (await site.get("manifestsets", SET))["spec"]
    assert (apply["manifests"], apply["owner_epoch"]) == (done["manifests"], done["ownerEpoch"])
    assert (await site.get("clusters", NAME))["status"]["phase"] == made["status"]["phase"]


async def test_a_cluster_that_is_as_asked_needs_nothing(site: Site, ask: Ask) -> None:
    await order(site)
    for _ in range(3):
        await ClusterController(site.client, holding=await holding(site)).reconcile(KEY)
    await far_end(site)
    for _ in range(2):
        await ClusterController(site.client, holding=await holding(site)).reconcile(KEY)
    said = (await ask("explain")).splitlines()
    assert said[:2] == ["nothing to do", "phase Ready"]


async def test_of_an_observed_cluster_it_is_said_that_nothing_is_sent(site: Site, ask: Ask) -> None:
    await stranger(site, topology(WORKERS))
    for _ in range(3):
        await ClusterController(site.client, holding=await holding(site)).reconcile(KEY)
    said = (await ask("explain")).splitlines()
    assert said[:3] == ["the cluster is only observed: nothing is sent to its management cluster", "nothing to do", "phase Ready"]
    assert any(line.startswith("Manageable=True") for line in said)
    await stranger(site, topology(WORKERS, version="v1.34.2"))
    assert f"FollowCluster {NAME}" in await ask("explain")
    await ClusterController(site.client, holding=await holding(site)).reconcile(KEY)
    await policy(site, "Manage")
    assert f"ApplyManifestSet {SET}: Cluster shop; the Cluster that stands there is adopted" in await ask("explain")


async def test_the_tree_shows_pools_and_every_object_of_the_cluster_and_of_no_other(site: Site, ask: Ask) -> None:
    await order(site)
    await turn(site)
    assert (await ask("tree")).splitlines() == [
        f"Cluster {NAME} (Provisioning)",
        f"├─ NodePool {NAME}.md-0 (Provisioning)",
        "└─ sv-1: 0 objects",
    ]
    await far_end(site)
    await turn(site)
    other = {"apiVersion": "cluster.x-k8s.io/v1beta2", "metadata": {"name": "other"}}
    await site.observe(other, "Cluster", "other")
    lines = (await ask("tree")).splitlines()
    assert lines[:3] == [f"Cluster {NAME} (Ready)", f"├─ NodePool {NAME}.md-0 (Ready)", "└─ sv-1: 4 objects"]
    assert [line.startswith("   └─ ") for line in lines[3:]] == [False, False, False, True]
    tree = json.loads(await ask("tree", "-o", "json"))
    assert {(each["kind"], each["name"]) for each in tree["objects"]} == {
        ("Cluster", "shop"),
        ("Machine", "shop-cp"),
        ("MachineDeployment", "shop-md-0"),
        ("Machine", "shop-md-0-1"),
    }
