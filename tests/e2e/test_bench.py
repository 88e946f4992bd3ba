"""The benchmarks of the fleet work: a few agents, a few clusters, a few hours. What is measured is no matter here, but that it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import agents, clusters, idle
from peers.processes import Processes


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "QUIET_SECONDS", 0.3)
    monkeypatch.setattr(agents, "QUIET_CPU", 0.9)


async def test_twenty_agents_connect_beat_are_told_something_and_five_more_register() -> None:
    async with agents.server() as at, agents.swarms(at, 2) as load:
        names = agents.full_names("c", 20)
        found = await agents.connected(at, load, names, objects=3, seconds=11)
        assert (found.lost, found.beats > 1.0) == (0, True)
        for generation in (1, 2):
            reached = await agents.desired(at, load, names, generation)
            assert 0 < reached.p50 <= reached.p99 <= reached.reported
        registered = await agents.registration(at, load, agents.full_names("r", 5), rate=20)
        assert 0 < registered.p50 <= registered.p99
        known = await at.client.list(agents.CLUSTERS, agents.NAMESPACE)
        assert {each["status"]["phase"] for each in known["items"]} == {"Ready"}
        assert len(known["items"]) == 25


async def test_clusters_are_made_at_a_site_apart(tmp_path: Path) -> None:
    async with agents.server() as at:
        with clusters.simulated(at) as site, Processes(tmp_path) as processes:
            agent = await clusters.join(at, site, processes)
            assert await clusters.measure(at, site, agent, number=0, count=2, patience=120)


async def test_an_agent_in_a_process_of_its_own_is_weighed() -> None:
    own = await idle.alone(rest=0.3)
    assert own.anonymous > 20
    assert own.files > 20


async def test_an_agent_grows_by_nothing_in_hours_in_which_little_happens() -> None:
    async with agents.server() as at:
        with clusters.simulated(at) as site:
            hours = await idle.live(at, site.kubeconfig, 4)
    assert hours[-1].heartbeats > 4 * 350
    assert hours[-1].held - hours[1].held < 400, hours  # a connection that is opened holds a buffer of 256 KB
