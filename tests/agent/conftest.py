from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from peers.kubernetes import NAMESPACED, Kubernetes
from tests.agent.targets import Target, ours, real
from tests.gateway.fleet import Fleet
from tests.gateway.fleet import fleet as run_fleet


@pytest.fixture(scope="module")
def peer() -> Iterator[Kubernetes]:
    """A kube-apiserver of this module's own: its CRDs are not those of the real Cluster API."""
    with Kubernetes(controllers=NAMESPACED) as made:
        yield made


@pytest.fixture(params=["ours", pytest.param("real", marks=pytest.mark.peer("kubernetes"))])
async def target(request: pytest.FixtureRequest) -> AsyncIterator[Target]:
    """Each of the clusters in turn."""
    if request.param == "ours":
        async with ours() as made:
            yield made
    else:
        async with real(request.getfixturevalue("peer")) as made:
            yield made


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """An installation with one management cluster, ``sv-1``, whose agent is yet to come."""
    async with run_fleet(tmp_path) as made:
        await made.management_cluster()
        yield made
