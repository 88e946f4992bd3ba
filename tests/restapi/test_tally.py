"""What is counted of requests: every one, told apart by what is served and by nothing that a caller makes up."""

from __future__ import annotations

from skerry.restapi.tally import OTHER, Series
from tests.access.people import ADMIN, People, obj, path, people, watching


def counted(server: People) -> dict[Series, dict[int, int]]:
    return {series: served.codes for series, served in server.app.tally.series.items()}


async def test_requests_are_told_apart_as_kube_apiserver_does() -> None:
    async with people() as server:
        server.app.tally.series.clear()
        server.app.tally._found.clear()
        await server.make(obj("clustergroups", "green", {}))
        at = path("clustergroups", "", "green")
        group = ("fleet.skerry.dev", "v1alpha1", "clustergroups")
        await server(ADMIN, "GET", at)
        await server(ADMIN, "GET", path("clustergroups", "", "yellow"))
        await server(ADMIN, "GET", path("clustergroups"))
        await server(ADMIN, "GET", path("clusters", "sv-1"))
        await server(ADMIN, "PATCH", at, {"metadata": {"labels": {"a": "b"}}}, media="application/merge-patch+json")
        applied = obj("clustergroups", "green", {})
        await server(ADMIN, "PATCH", at, applied, media="application/apply-patch+yaml", fieldManager="x")
        await server("nobody", "DELETE", at)
        found = counted(server)
        assert found[Series("POST", *group, "", "resource")] == {201: 1}
        assert found[Series("GET", *group, "", "resource")] == {200: 1, 404: 1}
        assert found[Series("LIST", *group, "", "cluster")] == {200: 1}
        assert found[Series("LIST", group[0], group[1], "clusters", "", "namespace")] == {200: 1}
        assert found[Series("PATCH", *group, "", "resource")] == {200: 1}
        assert found[Series("APPLY", *group, "", "resource")] == {200: 1}
        assert found[Series("DELETE", *group, "", "resource")] == {403: 1}
        served = server.app.tally.series[Series("GET", *group, "", "resource")]
        assert sum(served.seconds.counts) == 2
        assert 0 < served.seconds.total < 60


async def test_what_a_caller_makes_up_makes_no_series() -> None:
    async with people() as server:
        await server(ADMIN, "GET", "/healthz")
        before = set(counted(server))
        for number in range(50):
            for method in ("GET", "BREW"):
                await server(ADMIN, method, f"/apis/fleet.skerry.dev/v1alpha1/things{number}/x")
                await server(ADMIN, method, f"/apis/fleet.skerry.dev/v1alpha1/clustergroups/x/sub{number}")
                await server(ADMIN, method, f"/nowhere/{number}")
                await server.app_call(method, f"/apis/g{number}/v1/things")
        new = set(counted(server)) - before
        assert new == {
            Series("GET", resource=OTHER),
            Series("LIST", resource=OTHER),
            Series(OTHER, resource=OTHER),
            Series("GET"),
            Series(OTHER),
        }
        assert len(server.app.tally._found) < 50


async def test_a_watch_is_under_way_apart_and_is_counted_when_it_ends() -> None:
    series = Series("WATCH", "fleet.skerry.dev", "v1alpha1", "clustergroups", "", "cluster")
    async with people() as server:
        assert series not in counted(server)
        async with watching(server, ADMIN, path("clustergroups")) as seen:
            await server.make(obj("clustergroups", "green", {}))
            await seen.until(lambda: ("ADDED", "green") in seen.told())
            assert server.app.tally.here == {True: 0, False: 0}
            cache = server.app.parts.feeds.caches["clustergroups.fleet.skerry.dev"]
            assert cache.statistics()["watchers"] == 1
            assert cache.statistics()["sent"] >= 1
        assert counted(server)[series] == {200: 1}
    assert server.app.tally.here == {True: 0, False: 0}
