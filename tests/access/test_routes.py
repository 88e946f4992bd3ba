"""Every route and verb that the server has is opened by exactly the right to use it, and by nothing else.

What is tried comes from the server itself: a new kind, verb or subresource is tried as soon as it is served.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from skerry.access import builtin
from skerry.client.connection import Connection
from skerry.client.contract import Ref
from skerry.client.http import HttpClient
from skerry.compose.embedded import embedded
from skerry.compose.settings import ServerSettings
from skerry.gateway import registration
from skerry.kinds import catalogue
from skerry.kinds.managementcluster import PROXY_PREFIX
from skerry.machinery.errors import ApiError
from skerry.machinery.resource import Resource
from skerry.restapi.discovery import subresources
from skerry.restapi.reviews import REVIEWS
from tests.access.people import ADMIN, People, obj, path, people, watching

METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
NAMED = {"get", "update", "patch", "delete"}
OF_OWN = {"create", "delete", "deletecollection", "get", "list", "watch"}
"""What everybody may do with tokens of his own."""
UNCOVERED = Path(__file__).with_name("uncovered.txt")


class Route(NamedTuple):
    resource: Resource
    subresource: str
    verb: str

    @property
    def name(self) -> str:
        about = f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural
        return f"{self.verb} {about}" + (f".{self.resource.group}" if self.resource.group else "")


def routes() -> Iterator[Route]:
    for resource in (*catalogue.ALL, *REVIEWS):
        yield from (Route(resource, "", verb) for verb in resource.verbs)
        yield from (Route(resource, name, verb) for name, verbs in subresources(resource).items() for verb in verbs)


def uncovered() -> set[str]:
    lines = [line.partition("#") for line in UNCOVERED.read_text().splitlines() if not line.startswith("#")]
    assert all(reason.strip() for _, _, reason in lines), "every exception has its reason"
    return {name.strip() for name, _, _ in lines}


async def code(server: People, who: str, route: Route) -> int:
    """What a request is answered with."""
    resource = route.resource
    namespace = "sv-1" if resource.namespaced else ""
    at = path(resource, namespace, "x" if route.verb in NAMED else "") + (f"/{route.subresource}" if route.subresource else "")
    if route.verb == "watch":
        async with watching(server, who, at) as seen:
            return seen.code
    media = "application/merge-patch+json" if route.verb == "patch" else "application/json"
    body = {"metadata": {}} if route.verb == "patch" else obj(resource, "x", None, namespace)
    deletes = METHODS[route.verb] == "DELETE"
    return (await server(who, METHODS[route.verb], at, None if deletes else body, media=media)).code


async def granted(server: People, who: str, role: str, rules: list[dict[str, list[str]]]) -> None:
    assert (await server.make(obj("roles", role, {"rules": rules}))).code == 201
    assert (await server.grant(role, who)).code == 201


@pytest.mark.parametrize("route", [route for route in routes() if route.name not in uncovered()], ids=lambda route: route.name)
async def test_a_route_is_opened_by_the_right_to_use_it_and_by_nothing_else(route: Route) -> None:
    resource = route.resource
    what = f"{resource.plural}/{route.subresource}" if route.subresource else resource.plural
    known = resource.create_only or (resource.plural == "apitokens" and route.verb in OF_OWN)
    mirrored = resource.key in catalogue.MIRRORED and route.verb not in {"get", "list", "watch"}
    others = [verb for verb in (*METHODS, "bind", "escalate") if verb != route.verb]
    beside = sorted(
        {each.plural for each in catalogue.ALL if each.plural != resource.plural} | {f"{each.plural}/status" for each in catalogue.ALL}
    )
    async with people() as server:
        right = {"apiGroups": [resource.group], "resources": [what], "verbs": [route.verb]}
        await granted(server, "right", "right", [right])
        wrong = [
            {**right, "verbs": others},
            {**right, "apiGroups": ["somebody.else"]},
            {"apiGroups": ["*"], "resources": [each for each in beside if each != what], "verbs": ["*"]},
        ]
        await granted(server, "wrong", "wrong", wrong)
        for who in ("nobody", "wrong"):
            assert (await code(server, who, route) == 403) != known, who
        assert (await code(server, "right", route) == 403) == mirrored
        assert (await code(server, ADMIN, route) == 403) == mirrored
        anonymous = await server.app_call(METHODS[route.verb], path(resource))
        assert anonymous.code == 403


async def test_other_paths_are_for_those_who_are_known_but_health_and_version(server: People) -> None:
    paths = (await server(ADMIN, "GET", "/")).json["paths"]
    assert len(paths) >= 8
    for each in ("/", *paths):
        public = each in {"/healthz", "/livez", "/readyz", "/version"}
        assert (await server.app_call("GET", each)).code == (200 if public else 403), each
        assert (await server("ann", "GET", each)).code == 200, each
        assert (await server("ann", "POST", each)).code == 403, each


async def test_the_paths_that_belong_to_the_installation_open_to_whoever_may_do_everything(tmp_path: Path) -> None:
    """Of a whole server: what its parts offer beside the API, and the way into managed clusters."""
    kinds = {resource.plural: Ref(resource.group, resource.version, resource.plural, namespaced=False) for resource in catalogue.FLEET}
    async with embedded(ServerSettings(tmp_path / "data", port=0, gateway_port=0)) as running, HttpClient(running.admin) as admin:
        at = Connection(running.admin.server, ca=running.admin.ca)
        await admin.create(kinds["users"], obj("users", "ann", {}))
        for role in builtin.ROLES:
            if not role.startswith(("organization.", "managementcluster.")):
                await admin.create(kinds["rolebindings"], bound(role, "ann"))
        tokens = [await admin.create(kinds["apitokens"], obj("apitokens", owner, {"owner": owner})) for owner in ("ann", "admin")]
        ann, mighty = (replace(at, token=made["status"]["token"]) for made in tokens)
        there = [
            *running.api.offered,
            *(("GET", page) for page in running.api.pages),
            *((method, f"{PROXY_PREFIX}sv-1/api") for method in set(METHODS.values())),
        ]
        assert len(there) >= 9
        assert ("GET", "/metrics") in there
        for method, place in there:
            assert await refusal(at, method, place) in {"Forbidden", "Unauthorized"}, place
            assert await refusal(running.client.connection, method, place) == "Forbidden", place
            assert await refusal(ann, method, place) == "Forbidden", place
            for who in (running.admin, mighty):
                assert await refusal(who, method, place) not in {"Forbidden", "Unauthorized"}, place
        await admin.create(kinds["rolebindings"], bound("organization.admin", "ann"))
        for method, place in there:
            assert await refusal(ann, method, place) not in {"Forbidden", "Unauthorized"}, place
        for who in (at, ann, mighty):
            assert await refusal(who, "POST", registration.PATH, {"token": who.token, "csr": "x"}) in {
                "Unauthorized",
                "BadRequest",
            }


async def refusal(at: Connection, method: str, place: str, body: object = None) -> str:
    """Why a request is refused; empty if it is not."""
    async with HttpClient(at) as client:
        try:
            await client.raw(method, place, body)
        except ApiError as error:
            return error.reason
    return ""


def bound(role: str, user: str) -> dict[str, Any]:
    """A binding of a role on the organization."""
    spec = {"roleRef": {"name": role}, "scope": {"kind": "Organization"}, "subjects": [{"kind": "User", "name": user}]}
    return obj("rolebindings", f"{role}.{user}", spec)


def test_the_list_of_exceptions_excuses_nothing_that_is_gone_or_covered() -> None:
    there = {route.name for route in routes()} | {f"POST {registration.PATH}", f"* {PROXY_PREFIX}"}
    assert uncovered() <= there
