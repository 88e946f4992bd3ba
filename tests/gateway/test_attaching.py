"""How a cluster joins: a one-time token or link for whoever may attach it, and the manifest behind the link."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import yaml

from peers.kubectl import Kubectl
from peers.kubernetes import Kubernetes
from skerry.client.connection import Connection
from skerry.client.contract import PatchKind
from skerry.client.http import HttpClient
from skerry.gateway.attaching import MANIFESTS, Attaching
from skerry.gateway.leaving import FINALIZER
from skerry.gateway.manifest import Installation, documents
from skerry.gateway.registration import TOKEN_LIFETIME, OneTimeTokens
from skerry.gateway.subjects import CLUSTERS
from skerry.machinery.errors import ApiError, BadRequest, MethodNotAllowed, NotFound, Unauthorized
from skerry.pki.authority import make_csr, new_key
from skerry.testing.clock import VirtualClock
from skerry.tunnel.places import BINDINGS, FEATURES, NAMESPACE, REGISTRATION, ROLES, SPEAKS_FOR, Feature, role_of
from tests.gateway.fleet import MANAGEMENT, SECRETS, Fleet
from tests.gateway.test_clusters import SHOP, attached
from tests.gateway.test_registration import REFUSED

Json = dict[str, Any]
BUILT_IN = {"v1", "apps/v1", "rbac.authorization.k8s.io/v1", "apiextensions.k8s.io/v1"}
PROXY = "http://porter:secret-of-the-proxy@proxy.example:3128"


@pytest.fixture
async def shop(fleet: Fleet) -> Fleet:
    """An installation with a cluster that is to be attached."""
    await attached(fleet, "shop")
    return fleet


async def asked(fleet: Fleet, name: str = SHOP, **wanted: Any) -> Json:
    async with HttpClient(Connection(fleet.front)) as client:
        answer: Json = await client.raw("POST", f"/attach/{name}", wanted)
    return answer


async def link(fleet: Fleet, name: str = SHOP, **wanted: Any) -> str:
    made = await asked(fleet, name, purpose="manifest", **wanted)
    assert set(made) == {"name", "link", "expires"}
    return str(made["link"])


async def fetched(url: str, method: str = "GET") -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.request(method, url) as answer:
        return answer.status, await answer.text()


async def manifest(fleet: Fleet, name: str = SHOP, **wanted: Any) -> list[Json]:
    path = (await link(fleet, name, **wanted)).partition(MANIFESTS)[2]
    code, text = await fetched(f"{fleet.front}{MANIFESTS}{path}")
    assert code == 200, text
    return list(yaml.safe_load_all(text))


def one(found: list[Json], kind: str, name: str = NAMESPACE) -> Json:
    [only] = [each for each in found if each["kind"] == kind and each["metadata"]["name"] == name]
    return only


def registration(found: list[Json]) -> dict[str, bytes]:
    data = one(found, "Secret", REGISTRATION)["data"]
    return {name: base64.b64decode(value) for name, value in data.items()}


async def test_a_link_gives_a_manifest_whose_token_registers_the_agent_of_that_cluster(shop: Fleet) -> None:
    token = registration(await manifest(shop))["token"].decode()
    assert token.startswith(f"{SHOP}.")
    async with HttpClient(Connection(shop.front)) as client:
        answer = await client.raw("POST", "/register/v1/agents", {"token": token, "csr": make_csr(new_key()).decode()})
    assert answer["name"] == SHOP


async def test_a_link_is_good_once_and_refused_in_the_same_words_as_any_other_that_is_not(shop: Fleet) -> None:
    url = await link(shop)
    assert (await fetched(url))[0] == 200
    wrong = (url, url + "x", f"{shop.front}{MANIFESTS}", f"{shop.front}{MANIFESTS}{SHOP}.x", f"{shop.front}{MANIFESTS}..%2f..%2fx")
    for each in wrong:
        code, text = await fetched(each)
        assert (code, json.loads(text)["message"]) == (401, REFUSED), each


async def test_of_many_who_follow_a_link_at_once_one_is_served(shop: Fleet) -> None:
    url = await link(shop)
    codes = [code for code, _ in await asyncio.gather(*(fetched(url) for _ in range(8)))]
    assert sorted(codes) == [200, *[401] * 7]


async def test_a_look_that_is_no_download_does_not_use_a_link_up(shop: Fleet) -> None:
    url = await link(shop)
    for method in ("HEAD", "POST", "OPTIONS"):
        assert (await fetched(url, method))[0] == 405
    assert (await fetched(url))[0] == 200


async def test_a_newer_link_ends_the_one_before_and_no_registration_token(shop: Fleet) -> None:
    token = (await asked(shop))["token"]
    first, second = await link(shop), await link(shop)
    assert (await fetched(first))[0] == 401
    await OneTimeTokens(shop.client, shop.clock).find(token, "agent")
    assert (await fetched(second))[0] == 200
    with pytest.raises(Unauthorized):
        await OneTimeTokens(shop.client, shop.clock).find(token, "agent")


async def test_a_link_ends_after_its_hour_and_so_does_what_it_brought(shop: Fleet) -> None:
    clock = VirtualClock(datetime.now(UTC))
    tokens = OneTimeTokens(shop.client, clock)
    desk = Attaching(shop.client, tokens, b"root", "skerry:test")
    first = await desk.offer(SHOP, b'{"purpose": "manifest"}', "https://here")
    assert datetime.fromisoformat(first["expires"]) - clock.now() <= TOKEN_LIFETIME
    await clock.advance((TOKEN_LIFETIME - timedelta(seconds=1)).total_seconds())
    _, text = await desk.manifest(first["link"].rpartition("/")[2])
    token = registration(list(yaml.safe_load_all(text)))["token"].decode()
    late = await desk.offer(SHOP, b'{"purpose": "manifest"}', "https://here")
    await clock.advance(TOKEN_LIFETIME.total_seconds())
    for attempt in (desk.manifest(late["link"].rpartition("/")[2]), tokens.find(token, "agent")):
        with pytest.raises(Unauthorized, match=REFUSED):
            await attempt


async def test_a_token_of_one_purpose_is_none_of_the_other(shop: Fleet) -> None:
    token, url = (await asked(shop))["token"], await link(shop)
    assert (await fetched(f"{shop.front}{MANIFESTS}{token}"))[0] == 401
    with pytest.raises(Unauthorized):
        await OneTimeTokens(shop.client, shop.clock).find(url.rpartition("/")[2], "agent")


async def test_neither_token_nor_link_nor_the_proxys_password_is_kept_or_told_anywhere_else(
    shop: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    token, url = (await asked(shop))["token"], await link(shop, proxy=PROXY)
    secret = url.rpartition(".")[2]
    kept = json.dumps(await shop.client.list(SECRETS, "skerry-system"))
    code, text = await fetched(url)
    found = list(yaml.safe_load_all(text))
    await fetched(url)  # refused
    fresh = registration(found)["token"].decode()
    outside = json.dumps([each for each in found if each["kind"] != "Secret"])
    said = "".join(capsys.readouterr()) + "\n".join(repr(each) for each in shop.records)
    assert code == 200
    for word in (token.rpartition(".")[2], secret, fresh.rpartition(".")[2]):
        assert word not in said
        assert word not in kept
        assert word not in outside
    assert "secret-of-the-proxy" not in said + outside
    assert registration(found)["proxy"].decode() == PROXY
    assert "secret-of-the-proxy" not in repr(Installation(SHOP, "s", b"", "t", "i", proxy=PROXY))


async def test_every_step_is_in_the_audit_log_under_the_clusters_name(shop: Fleet) -> None:
    url = await link(shop)
    await fetched(url)
    await fetched(url)
    said = [(each.attributes.path, each.attributes.name, each.code) for each in shop.records if "attach" in each.attributes.path]
    assert said == [(f"/attach/{SHOP}", "", 201)]
    said = [(each.attributes.path, each.attributes.name, each.code) for each in shop.records if MANIFESTS in each.attributes.path]
    assert said == [(MANIFESTS, SHOP, 200), (MANIFESTS, "", 401)]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b'{"purpose": "other"}',
        b'{"purpose": 1}',
        b'{"feature": ["proxy"]}',
        b'{"features": ["everything"]}',
        b'{"features": "proxy"}',
        b'{"proxy": "proxy.example:3128"}',
        b'{"server": "skerry.example"}',
        b'{"server": "https://here\\nargs: x"}',
        b'{"image": "' + b"x" * 600 + b'"}',
        b"\xff\xfe",
    ],
)
async def test_what_cannot_be_understood_is_a_clear_400_and_ends_no_token(shop: Fleet, body: bytes) -> None:
    token = (await asked(shop))["token"]
    async with aiohttp.ClientSession() as session, session.post(f"{shop.front}/attach/{SHOP}", data=body) as answer:
        assert answer.status == 400
        said = (await answer.json())["message"]
        assert len(said) > 10, said
    await OneTimeTokens(shop.client, shop.clock).find(token, "agent")


@pytest.mark.parametrize(
    "name", ["", "x.y", "attached", "eks", "sv-2", "attached.attached.bank", "attached.attached.Shop", "a.b.c.d", ".."]
)
async def test_what_is_not_there_or_has_no_agent_is_404(shop: Fleet, name: str) -> None:
    for purpose in ("agent", "manifest"):
        with pytest.raises(NotFound) as caught:
            await asked(shop, name, purpose=purpose)
        assert len(caught.value.message) > 10


async def test_a_cluster_that_is_being_deleted_is_not_attached_also_not_by_a_link_from_before(shop: Fleet) -> None:
    url = await link(shop)
    held = {"metadata": {"finalizers": ["tests.skerry.dev/held"]}}
    await shop.client.patch(CLUSTERS, "attached.shop", "attached", PatchKind.MERGE, held)
    await shop.client.delete(CLUSTERS, "attached.shop", "attached")
    with pytest.raises(BadRequest, match="is being deleted"):
        await asked(shop)
    assert (await fetched(url))[0] in {400, 401}


async def test_clusters_are_attached_by_post_alone(shop: Fleet) -> None:
    async with HttpClient(Connection(shop.front)) as client:
        for method in ("GET", "PUT", "DELETE"):
            with pytest.raises(MethodNotAllowed):
                await client.raw(method, f"/attach/{SHOP}")


async def test_a_management_cluster_gets_its_manifest_the_same_way_and_waits_for_its_agent_from_then_on(fleet: Fleet) -> None:
    url = await link(fleet, "sv-1")
    assert FINALIZER not in ((await fleet.client.get(MANAGEMENT, "sv-1"))["metadata"].get("finalizers") or [])
    code, text = await fetched(url)
    assert code == 200
    found = list(yaml.safe_load_all(text))
    groups = {group for rule in one(found, "ClusterRole", role_of("inventory"))["rules"] for group in rule["apiGroups"]}
    assert "cluster.x-k8s.io" in groups
    assert FINALIZER in (await fleet.client.get(MANAGEMENT, "sv-1"))["metadata"]["finalizers"]


# the manifest


def installed(*features: Feature, name: str = SHOP, **more: Any) -> list[Json]:
    return documents(Installation(name, "https://skerry.example:8443", b"root", "token", "skerry:1", features, **more))


async def test_what_is_asked_for_stands_in_the_manifest(shop: Fleet) -> None:
    found = await manifest(shop, server="https://far.example:8443/", image="registry.example/skerry:9", proxy=PROXY)
    container = one(found, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.example/skerry:9"
    assert "--server=https://far.example:8443/" in container["args"]
    assert registration(found)["server-ca.crt"] == b"the front door's root"
    plain = await manifest(shop)
    container = one(plain, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "skerry:test"
    assert f"--server={shop.front}" in container["args"]
    assert "proxy" not in registration(plain)
    assert one(plain, "Namespace")["metadata"]["annotations"] == {SPEAKS_FOR: SHOP}


async def test_the_manifest_is_yaml_of_kinds_that_every_cluster_has_with_the_namespace_first(shop: Fleet) -> None:
    _, text = await fetched(await link(shop))
    assert text.count("\n---\n") == len(list(yaml.safe_load_all(text))) - 1
    found = list(yaml.safe_load_all(text))
    assert found[0]["kind"] == "Namespace"
    assert {each["apiVersion"] for each in found} <= BUILT_IN
    assert all(each["metadata"].get("namespace", NAMESPACE) == NAMESPACE for each in found)


@pytest.mark.parametrize("name", ["sv-1", SHOP])
def test_everything_outside_the_namespace_is_known_to_whoever_removes_it(name: str) -> None:
    found = installed(*FEATURES, name=name)
    wide = {kind: {each["metadata"]["name"] for each in found if each["kind"] == kind} for kind in ("ClusterRole", "ClusterRoleBinding")}
    assert wide == {"ClusterRole": set(ROLES), "ClusterRoleBinding": set(BINDINGS)}
    others = [each for each in found if each["kind"] not in {"ClusterRole", "ClusterRoleBinding", "Namespace"}]
    assert all(each["metadata"]["namespace"] == NAMESPACE for each in others)


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_changes_its_own_rights_and_nothing_else(feature: Feature) -> None:
    without, alone, everything = installed(), installed(feature), installed(*FEATURES)
    assert [each for each in without if each not in alone] == []
    added = [each for each in alone if each not in without]
    assert added
    assert all(each["metadata"]["name"] == role_of(feature) and each in everything for each in added)
    assert (
        [each["kind"] for each in added] == ["ClusterRoleBinding"] if feature == "administrators" else ["ClusterRole", "ClusterRoleBinding"]
    )


def test_who_only_reports_may_write_nothing_outside_his_own_namespace_and_read_no_secrets() -> None:
    found = installed("inventory")
    rules = [rule for each in found if each["kind"] == "ClusterRole" for rule in each["rules"]]
    wide = [rule for rule in rules if not rule.get("resourceNames")]
    assert {verb for rule in wide for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert not any("secrets" in rule["resources"] or "*" in rule["resources"] for rule in wide)


def test_no_object_stands_there_twice() -> None:
    kinds = [(each["kind"], each["metadata"]["name"]) for each in installed(*FEATURES)]
    assert len(kinds) == len(set(kinds))


async def test_features_come_once_each_whatever_is_asked(shop: Fleet) -> None:
    found = await manifest(shop, features=["proxy", "inventory", "proxy"])
    names = [each["metadata"]["name"] for each in found if each["kind"] == "ClusterRole"]
    assert names == [role_of("inventory"), role_of("proxy"), "skerry-agent-detach"]


def test_a_pod_that_runs_already_is_started_anew_by_another_manifest_and_by_the_same_one_not() -> None:
    def stamp(**more: Any) -> str:
        made = Installation(**{"name": SHOP, "server": "s", "server_ca": b"r", "token": "t", "image": "i", **more})
        return str(one(documents(made), "Deployment")["spec"]["template"]["metadata"]["annotations"])

    assert stamp() == stamp()
    assert len({stamp(), stamp(token="u"), stamp(proxy="http://p"), stamp(server_ca=b"q")}) == 4


@pytest.mark.peer("kubernetes")
@pytest.mark.parametrize("name", ["sv-1", SHOP])
async def test_a_real_api_server_takes_every_field_of_it_and_applying_it_again_changes_nothing(
    shop: Fleet, kubernetes: Kubernetes, tmp_path: Any, name: str
) -> None:
    _, text = await fetched(await link(shop, name, proxy=PROXY))
    kubectl = Kubectl(kubernetes.kubeconfig, tmp_path)
    try:
        first = kubectl("apply", "--validate=strict", "-f", "-", stdin=text)
        assert first.code == 0, first.err
        assert "warning" not in first.err.lower()
        again = kubectl("apply", "--validate=strict", "-f", "-", stdin=text)
        assert all(line.endswith("unchanged") for line in again.out.splitlines()), again.out
        assert len(again.out.splitlines()) == len(list(yaml.safe_load_all(text)))
    finally:
        kubectl("delete", "-f", "-", "--ignore-not-found", stdin=text)


async def test_a_refusal_of_the_store_does_not_use_a_link_up(shop: Fleet) -> None:
    url = await link(shop)
    async with HttpClient(Connection("http://127.0.0.1:1")) as nobody:
        away = Attaching(nobody, OneTimeTokens(nobody, shop.clock), b"", "")
        with pytest.raises(ApiError):
            await away.manifest(url.rpartition("/")[2])
    assert (await fetched(url))[0] == 200
