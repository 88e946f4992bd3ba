"""Whatever somebody with rights on one cluster group sends: he is shown nothing of the others, and changes nothing there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.e2e.server import eventually
from tests.hostile.caller import Answer, Hostile, Json
from tests.hostile.test_fuzz import FLEET, FORMS, METHODS, QUERIES, often, sound

PLANTED = "planted-where-he-may-not-look"
SPACE = f"{FLEET}/namespaces/kept-apart"
NAMES = ["mine.his", "mine.hers", "mine.nobody", "his", "hers", "prod.none", "mine.his.md", "mine.hers.md", "guarded", "default", ""]
PLURALS = [
    "clusters",
    "nodepools",
    "clustergroups",
    "rolebindings",
    "roles",
    "users",
    "apitokens",
    "managementclusters",
    "events",
    "secrets",
]
SUBS = ["", "", "", "/status", "/proxy", "/scale"]
KINDS = {"clusters": "Cluster", "nodepools": "NodePool", "clustergroups": "ClusterGroup", "rolebindings": "RoleBinding", "roles": "Role"}
SPECS: list[Json] = [
    {},
    {"clusterGroup": "hers", "version": "v1.34.2", "class": {"name": "c"}},
    {"clusterGroup": "his", "version": "v1.34.2", "class": {"name": "c"}},
    {"roleRef": {"name": "organization.admin"}, "scope": {"kind": "Organization"}, "subjects": [{"kind": "User", "name": "limited"}]},
    {"roleRef": {"name": "clustergroup.view"}, "scope": {"kind": "ClusterGroup", "name": "hers"}, "subjects": []},
    {"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]},
]


def obj(kind: str, name: str, spec: Json, **metadata: str) -> Json:
    return {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


Limited = Callable[..., Answer]


@pytest.fixture(scope="module")
def limited(hostile: Hostile) -> Limited:
    """Asks as a user who administers the cluster group ``his`` and nothing else; what must not be seen is in ``hers``."""
    for kind, plural, name, spec in (
        ("ManagementCluster", "managementclusters", "kept-apart", {}),
        ("ClusterGroup", "clustergroups", "his", {}),
        ("ClusterGroup", "clustergroups", "hers", {"description": PLANTED}),
        ("User", "users", "limited", {}),
        ("APIToken", "apitokens", "limited", {"owner": "limited"}),
    ):
        made = hostile.ask("POST", f"{FLEET}/{plural}", obj(kind, name, spec))
        assert made.code == 201, made.body
    token = made.json["status"]["token"]
    eventually(lambda: hostile.ask("GET", "/api/v1/namespaces/kept-apart").code == 200, 60)
    scope, subjects = {"kind": "ClusterGroup", "name": "his"}, [{"kind": "User", "name": "limited"}]
    binding = {"roleRef": {"name": "clustergroup.admin"}, "scope": scope, "subjects": subjects}
    assert hostile.ask("POST", f"{FLEET}/rolebindings", obj("RoleBinding", "limited", binding)).code == 201
    for name in ("his", "hers"):
        secret = {"annotations": {"note": PLANTED}} if name == "hers" else {}
        body = obj("Cluster", f"mine.{name}", {"clusterGroup": name, "version": "v1.34.2", "class": {"name": "c"}})
        body["metadata"].update(secret)
        assert hostile.ask("POST", f"{SPACE}/clusters", body).code == 201
        pool = obj("NodePool", f"mine.{name}.md", {"replicas": 1})
        pool["metadata"].update(secret)
        assert hostile.ask("POST", f"{SPACE}/nodepools", pool).code == 201
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "guarded"}, "stringData": {"a": PLANTED}}
    assert hostile.ask("POST", "/api/v1/namespaces/kept-apart/secrets", body).code == 201

    def ask(method: str, path: str, body: object = None, **more: Any) -> Answer:
        headers = [*more.pop("headers", []), ("Authorization", f"Bearer {token}")]
        return hostile.ask(method, path, body, headers=headers, nobody=True, **more)

    return ask


def hers(hostile: Hostile) -> list[tuple[str, str]]:
    """What she has: each object's uid and generation; status and the like are the controllers'."""
    paths = [f"{FLEET}/clustergroups/hers", f"{SPACE}/clusters/mine.hers", f"{SPACE}/nodepools/mine.hers.md"]
    found = [hostile.ask("GET", path).json for path in paths]
    bindings = [each for each in hostile.ask("GET", f"{FLEET}/rolebindings").json["items"] if "his" not in str(each["spec"]["scope"])]
    marks = [(each["metadata"]["uid"], str(each["metadata"]["generation"]) + str(each["metadata"].get("annotations"))) for each in found]
    return [*marks, *((each["metadata"]["uid"], "") for each in bindings)]


@st.composite
def paths(draw: st.DrawFn) -> tuple[str, str]:
    """A path at which something may be, and its plural."""
    plural = draw(st.sampled_from(PLURALS))
    group = "/api/v1" if plural in {"events", "secrets"} else FLEET
    space = draw(st.sampled_from(["", "/namespaces/kept-apart", "/namespaces/kept-apart", "/namespaces/default"]))
    name = draw(st.sampled_from(NAMES))
    return f"{group}{space}/{plural}" + (f"/{name}{draw(st.sampled_from(SUBS))}" if name else ""), plural


@often(300)
@given(st.sampled_from([*METHODS, "GET", "GET"]), paths(), QUERIES, st.sampled_from(FORMS), st.sampled_from(NAMES), st.sampled_from(SPECS))
def test_he_is_shown_and_changes_nothing_that_is_not_his(
    hostile: Hostile, limited: Limited, method: str, at: tuple[str, str], query: dict[str, str], accept: str, name: str, spec: Json
) -> None:
    path, plural = at
    before = hers(hostile) if method in {"POST", "PUT", "PATCH", "DELETE"} else []
    body = None if method in {"GET", "HEAD", "OPTIONS", "DELETE"} else obj(KINDS.get(plural, "Cluster"), name, spec)
    sent: dict[str, Any] = {key: value for key, value in query.items() if not any("\ud800" <= char < "\ue000" for char in value)}
    if method == "PATCH":
        sent = {"fieldManager": "limited", "force": "true"}
    media = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
    answer = limited(method, path, body, media=media, headers=[("Accept", accept)] if accept else [], **sent)
    if method != "HEAD":
        sound(answer)
    assert PLANTED.encode() not in answer.body
    assert not before or hers(hostile) == before


def test_he_has_something_to_see_and_to_change(limited: Limited) -> None:
    listed = limited("GET", f"{SPACE}/clusters").json["items"]
    assert [each["metadata"]["name"] for each in listed] in ([], ["mine.his"]), "unless he has deleted it"
    assert limited("GET", f"{FLEET}/clustergroups/hers").code == 404
