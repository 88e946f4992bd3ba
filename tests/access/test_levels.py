"""Every built-in role, bound on an object of its kind: what its level allows there, and nothing beside it."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from skerry.access import builtin
from tests.access.people import ADMIN, People, cluster, obj, path

MERGE = {"media": "application/merge-patch+json"}


class Place(NamedTuple):
    """A scope, an object that stands in it, and one that does not."""

    scope: tuple[str, str, str]
    inside: tuple[str, str, str]
    outside: tuple[str, str, str] | None


PLACES = {
    "organization": Place(("Organization", "", ""), ("credentials", "", "one"), None),
    "clustergroup": Place(("ClusterGroup", "red", ""), ("clustergroups", "", "red"), ("clustergroups", "", "blue")),
    "cluster": Place(("Cluster", "p.a", "sv-1"), ("clusters", "sv-1", "p.a"), ("clusters", "sv-1", "p.b")),
    "workspace": Place(("Workspace", "one", ""), ("workspaces", "", "one"), ("workspaces", "", "two")),
    "managementcluster": Place(("ManagementCluster", "sv-1", ""), ("managementclusters", "", "sv-1"), ("managementclusters", "", "sv-2")),
    "credential": Place(("Credential", "one", ""), ("credentials", "", "one"), ("credentials", "", "two")),
}


async def furnished(server: People) -> None:
    named: list[tuple[str, str, dict[str, Any]]] = [
        *(("workspaces", name, {}) for name in ("one", "two")),
        *(("credentials", name, {"secretRef": {"name": "s"}}) for name in ("one", "two")),
        *(("managementclusters", name, {}) for name in ("sv-1", "sv-2")),
    ]
    for made in (*(obj(*each) for each in named), cluster("p.a", "red"), cluster("p.b", "red")):
        assert (await server.make(made)).code == 201


@pytest.mark.parametrize("level", builtin.LEVELS)
@pytest.mark.parametrize("place", builtin.PLACES)
async def test_a_level_is_good_for_what_it_says(server: People, place: str, level: str) -> None:
    await furnished(server)
    scope, inside, outside = PLACES[place]
    assert (await server.grant(f"{place}.{level}", "ann", *scope)).code == 201
    label = {"metadata": {"labels": {"seen": "by-ann"}}}
    assert (await server("ann", "GET", path(*inside))).code == 200
    assert (await server("ann", "PATCH", path(*inside), label, **MERGE)).code == (403 if level == "view" else 200)
    binds = level == "admin"
    assert (await server.grant(f"{place}.view", "bob", *scope, by="ann")).code == (201 if binds else 403)
    assert (await server("bob", "GET", path(*inside))).code == (200 if binds else 403)
    if outside is not None:
        assert (await server("ann", "GET", path(*outside))).code == 404
        assert (await server("ann", "PATCH", path(*outside), label, **MERGE)).code == (403 if level == "view" else 404)
        assert (await server.grant(f"{place}.{level}", "ann", by="ann")).code == 403, "not on the whole organization"
    assert (await server(ADMIN, "GET", path(*inside))).json["metadata"].get("labels") == (None if level == "view" else {"seen": "by-ann"})


@pytest.mark.parametrize("place", builtin.PLACES)
async def test_only_those_who_have_a_whole_place_read_secrets(server: People, place: str) -> None:
    await furnished(server)
    await server.make(obj("secrets", "s", None, "sv-1"))
    for level in builtin.LEVELS:
        await server.grant(f"{place}.{level}", level, *PLACES[place].scope)
        may = level == "admin" and place in {"organization", "managementcluster"}
        assert (await server(level, "GET", path("secrets", "sv-1", "s"))).code == (200 if may else 403)
