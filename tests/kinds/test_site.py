"""The kinds that describe a site, as the door validates, keeps and prints them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from skerry.kinds import catalogue, trustbundle
from skerry.machinery.resource import Look
from tests.kinds.authorities import certificate, private_key
from tests.restapi.door import Answer, Caller, door

API = "/apis/fleet.skerry.dev/v1alpha1"
ROOT = Path(__file__).resolve().parents[2]
KINDS = {resource.plural: resource for resource in catalogue.FLEET}
AZURE = {f"{name}ID": "01234567-89ab-cdef-0123-456789abcdef" for name in ("tenant", "client", "subscription")}
BY_SECRET = {"secretRef": {"name": "s"}}
CLUSTER = {"version": "v1.34.2", "class": {"name": "c"}}


@pytest.fixture
async def call() -> AsyncIterator[Caller]:
    async with door() as caller:
        yield caller


def path(plural: str) -> str:
    return f"{API}/namespaces/ns/{plural}" if KINDS[plural].namespaced else f"{API}/{plural}"


async def made(call: Caller, plural: str, spec: dict[str, Any], name: str = "x") -> Answer:
    body = {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": KINDS[plural].kind, "metadata": {"name": name}, "spec": spec}
    return await call("POST", path(plural), body)


async def cells(call: Caller, plural: str) -> list[Any]:
    table = await call("GET", path(plural), headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    found: list[Any] = table.json["rows"][0]["cells"]
    return found


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "spec.http: Required value: say where the proxy is"),
        ({"http": "proxy.example.org:3128"}, "must be a URL that begins with http://"),
        ({"http": "socks5://proxy:1080"}, "must be a URL that begins with http://"),
        ({"https": "http://proxy:0"}, "port from 1 to 65535"),
        ({"https": "http://proxy:99999"}, "port from 1 to 65535"),
        ({"http": "http://proxy:3128/path"}, "has no path, query or fragment"),
        ({"http": "http://"}, "must be a DNS name or an IP address"),
        ({"http": "http://10.0.0.256:1"}, "looks like an IPv4 address and is none"),
        ({"http": "http://p", "noProxy": ["a", "*"]}, "spec.noProxy[1]: Invalid value"),
        ({"http": "http://p", "noProxy": ["*.example.org"]}, "write .example.org, which means the same"),
        ({"http": "http://p", "noProxy": ["10.1.2.3/8"]}, "did you mean 10.0.0.0/8?"),
        ({"http": "http://p", "noProxy": ["10.0.0.0/33"]}, "must be a CIDR block"),
        ({"http": "http://p", "noProxy": ["https://a.example.org"]}, "leave out the scheme"),
        ({"http": "http://p", "noProxy": ["a b"]}, "must be host or host:port and nothing else"),
        ({"http": "http://p", "noProxy": [""]}, "must be a DNS name or an IP address"),
        ({"http": "http://p", "trustBundle": "No"}, "spec.trustBundle"),
    ],
)
async def test_a_proxy_that_nobody_could_use_is_refused_with_what_to_write_instead(call: Caller, spec: dict[str, Any], said: str) -> None:
    answer = await made(call, "proxyconfigurations", spec)
    assert (answer.code, said in answer.json["message"]) == (422, True), answer.json


async def test_a_password_in_the_url_of_a_proxy_is_refused_and_not_repeated(call: Caller) -> None:
    for url in ("http://u:hunter2@proxy:3128", "u:hunter2@proxy", "http://proxy/x@hunter2"):
        answer = await made(call, "proxyconfigurations", {"http": url})
        assert (answer.code, b"hunter2" in answer.body) == (422, False), answer.body
    assert "Credential of type BasicAuth" in (await made(call, "proxyconfigurations", {"http": "http://u:p@h:1"})).json["message"]


async def test_every_form_of_what_is_reached_directly_is_taken(call: Caller) -> None:
    direct = ["localhost", ".example.org", "a.example.org:8443", "10.0.0.0/8", "192.0.2.1", "192.0.2.1:80", "fd00::/8", "::1", "[::1]:80"]
    answer = await made(call, "proxyconfigurations", {"http": "http://[fd00::1]:3128/", "noProxy": direct})
    assert answer.code == 201, answer.json
    assert (await cells(call, "proxyconfigurations"))[:4] == ["x", "http://[fd00::1]:3128/", None, len(direct)]


@pytest.mark.parametrize(
    "host", ["https://r.example.org", "r.example.org/", "r/A", "r/a:v1", "r/a@sha256:0", "r:0/a", "r:/a", "-r/a", "r/a//b"]
)
async def test_a_registry_that_begins_no_name_of_an_image_is_refused(call: Caller, host: str) -> None:
    answer = await made(call, "imageregistries", {"host": host})
    assert (answer.code, "spec.host" in answer.json["message"]) == (422, True), answer.json
    answer = await made(call, "clusters", {**CLUSTER, "imageRegistry": {"host": host}}, "p.c")
    assert (answer.code, "spec.imageRegistry.host" in answer.json["message"]) == (422, True), answer.json


@pytest.mark.parametrize("host", ["r", "r.example.org:5000", "10.0.0.1:5000/a/b-c/d__e", "[fd00::1]:5000/a"])
async def test_a_registry_may_have_a_port_and_a_path(call: Caller, host: str) -> None:
    assert (await made(call, "imageregistries", {"host": host})).code == 201


@pytest.mark.parametrize(
    ("pem", "said"),
    [
        ("PEM", "must be certificates in PEM"),
        (certificate()[:-60] + "\n-----END CERTIFICATE-----\n", "must be certificates in PEM"),
        (certificate() + private_key(), "holds a private key"),
        (certificate("old", days=-1), "certificate 1 (CN=old) expired on"),
        (certificate() + certificate("web", ca=False), "certificate 2 (CN=web) is no certificate authority"),
        (certificate("bare", ca=None), "certificate 1 (CN=bare) is no certificate authority"),
        (certificate("mute", signs=False), "certificate 1 (CN=mute) may not sign certificates"),
    ],
)
async def test_what_nobody_should_trust_is_refused_with_the_certificate_that_is_wrong(call: Caller, pem: str, said: str) -> None:
    answer = await made(call, "trustbundles", {"pem": pem})
    assert (answer.code, said in answer.json["message"]) == (422, True), answer.json
    assert b"PRIVATE" not in answer.body
    answer = await made(call, "clusters", {**CLUSTER, "trustedCAs": [{"name": "a", "pem": pem}]}, "p.c")
    assert (answer.code, "spec.trustedCAs[0].pem" in answer.json["message"]) == (422, True), answer.json


async def test_authorities_that_end_soon_or_that_strict_verifiers_refuse_are_warned_of(call: Caller) -> None:
    good, soon, lax = certificate("good"), certificate("soon", days=9), certificate("lax\u00e9\n", signs=None, critical=False)
    answer = await made(call, "trustbundles", {"pem": good + soon + lax})
    assert answer.code == 201, answer.json
    first, second = answer.warnings
    assert "certificate 2 (CN=soon) expires on" in first
    assert "refused by strict verifiers: its basicConstraints are not critical and it has no keyUsage" in second
    assert (await cells(call, "trustbundles"))[1] == 3


def test_an_authority_that_expired_while_it_was_stored_stays_until_it_is_taken_out() -> None:
    old, new = certificate("old", days=10), certificate("new")
    then = datetime.now(UTC) + timedelta(days=20)
    look = Look({"spec": {"pem": old + new}}, {"spec": {"pem": old}}, now=then)
    assert [cause for rule in trustbundle.RESOURCE.rules[1:] for cause in rule(look)] == []
    assert "expired on" in trustbundle.RESOURCE.advice[0](look)[0]
    again = Look({"spec": {"pem": old + new}}, {"spec": {"pem": new}}, now=then)
    assert len(trustbundle.RESOURCE.rules[1](again)) == 1


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "spec.secretRef: Required value: name the Secret in skerry-system"),
        ({"type": "SSH"}, "with the keys ssh-privatekey"),
        ({"type": "Generic", "aws": {"accountID": "012345678901"}, **BY_SECRET}, "spec.aws: Forbidden: is only for type AWS"),
        ({"type": "Azure", **BY_SECRET}, "spec.azure: Required value"),
        ({"type": "Azure", "azure": {**AZURE, "tenantID": "me"}, **BY_SECRET}, "spec.azure.tenantID"),
        ({"type": "Azure", "azure": {**AZURE, "managedSubscriptions": ["dev"]}, **BY_SECRET}, "spec.azure.managedSubscriptions[0]"),
        ({"type": "AWS", "aws": {"accountID": "12"}, **BY_SECRET}, "spec.aws.accountID"),
        ({"type": "AWS", "aws": {"roleARN": "arn:aws:iam::1:role/x"}}, "spec.aws.roleARN"),
        ({"type": "AWS", "aws": {"externalID": "me"}, **BY_SECRET}, "spec.aws.roleARN: Required value"),
        ({"type": "AWS", "aws": {"roleARN": "arn:aws:iam::012345678901:role/x", "accountID": "9" * 12}}, "is not the account of the role"),
        ({"type": "VSphere", "vsphere": {"server": "https://vc"}, **BY_SECRET}, "spec.vsphere.server"),
        ({"type": "SSH", "ssh": {"knownHosts": ["github.com"]}, **BY_SECRET}, "spec.ssh.knownHosts[0]"),
        ({"type": "SSH", "capability": "DataProtection", **BY_SECRET}, "needs a credential of type AWS or Azure or ObjectStore, not SSH"),
        ({"type": "Password", **BY_SECRET}, "spec.type: Unsupported value"),
    ],
)
async def test_a_credential_that_could_open_nothing_is_refused(call: Caller, spec: dict[str, Any], said: str) -> None:
    answer = await made(call, "credentials", spec)
    assert (answer.code, said in answer.json["message"]) == (422, True), answer.json


@pytest.mark.parametrize(
    "spec",
    [
        BY_SECRET,
        {"type": "VSphere", "vsphere": {"server": "vc.example.org:443", "trustBundle": "site"}, **BY_SECRET},
        {"type": "AWS", "capability": "ManagedKubernetes", "aws": {"roleARN": "arn:aws:iam::012345678901:role/path/x", "externalID": "me"}},
        {
            "type": "Azure",
            "capability": "DataProtection",
            "azure": {**AZURE, "managedSubscriptions": [AZURE["subscriptionID"]]},
            **BY_SECRET,
        },
        {"type": "ObjectStore", "capability": "DataProtection", **BY_SECRET},
        {"type": "SSH", "ssh": {"knownHosts": ["[git.example.org]:2222 ssh-ed25519 AAAA"]}, **BY_SECRET},
        {"type": "Token", "capability": "SourceControl", **BY_SECRET},
    ],
)
async def test_every_type_of_credential_is_kept_with_its_block(call: Caller, spec: dict[str, Any]) -> None:
    answer = await made(call, "credentials", spec)
    assert answer.code == 201, answer.json
    assert answer.json["spec"].items() >= {key: value for key, value in spec.items() if key != "azure"}.items()
    assert (await cells(call, "credentials"))[1] == spec.get("type", "Generic")
    changed = await call.patch(f"{API}/credentials/x", {"spec": {"type": "BasicAuth"}})
    assert (changed.code, "field is immutable" in changed.json["message"]) == (422, True)


async def test_a_managed_namespace_is_placed_by_its_name_and_may_only_change_its_workspace(call: Caller) -> None:
    answer = await made(call, "managednamespaces", {}, "team-a.shop.web")
    assert answer.json["spec"].items() >= {"provisioner": "team-a", "cluster": "shop", "workspace": "default"}.items()
    at = f"{path('managednamespaces')}/team-a.shop.web"
    assert (await made(call, "workspaces", {}, "other")).code == 201
    assert (await call.patch(at, {"spec": {"workspace": "other"}})).code == 200
    assert (await call.patch(at, {"spec": {"cluster": "bank"}})).code == 422
    assert (await cells(call, "managednamespaces"))[:3] == ["team-a.shop.web", "shop", "other"]
    selected = await call("GET", path("managednamespaces"), fieldSelector="spec.workspace=other")
    assert len(selected.json["items"]) == 1


@pytest.mark.parametrize(
    ("name", "spec", "said"),
    [
        ("web", {}, "must have the form <provisioner>.<cluster>.<name>"),
        ("p.c.kube-system", {}, "names a namespace of the platform itself"),
        ("p.c.web", {"cluster": "d"}, 'must be "c", as metadata.name says'),
        ("p.c.web", {"labels": {"a b": "c"}}, "spec.labels"),
        ("p.c.web", {"labels": {"a": "b c"}}, "spec.labels[a]"),
        ("p.c.web", {"annotations": {"/": "c"}}, "spec.annotations"),
    ],
)
async def test_a_managed_namespace_that_no_cluster_would_take_is_refused(call: Caller, name: str, spec: dict[str, Any], said: str) -> None:
    answer = await made(call, "managednamespaces", spec, name)
    assert (answer.code, said in answer.json["message"]) == (422, True), answer.json


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"proxy": {"configuration": "site", "http": "http://p"}}, "already says http"),
        ({"proxy": {"http": "p"}}, "spec.proxy.http"),
        ({"imageRegistry": {}}, "must have either the name of an ImageRegistry or a host"),
        ({"imageRegistry": {"name": "site", "host": "r"}}, "must have either the name of an ImageRegistry or a host"),
        ({"trustBundles": ["A"]}, "spec.trustBundles[0]"),
        ({"trustBundles": ["a", "a"]}, "spec.trustBundles[1]: Duplicate value"),
    ],
)
async def test_a_cluster_names_what_describes_its_site_or_says_it_itself(call: Caller, spec: dict[str, Any], said: str) -> None:
    answer = await made(call, "clusters", {**CLUSTER, **spec}, "p.c")
    assert (answer.code, said in answer.json["message"]) == (422, True), answer.json
    named = {"proxy": {"configuration": "site"}, "imageRegistry": {"name": "site"}, "trustBundles": ["site"]}
    assert (await made(call, "clusters", {**CLUSTER, **named}, "p.c")).code == 201


async def test_the_example_of_a_site_is_taken_without_a_warning(call: Caller) -> None:
    for namespace in ("skerry-system", "demo"):
        await call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for each in yaml.safe_load_all((ROOT / "examples" / "site.yaml").read_text()):
        resource = next(one for one in catalogue.ALL if (one.api_version, one.kind) == (each["apiVersion"], each["kind"]))
        base = f"/apis/{resource.api_version}" if resource.group else "/api/v1"
        where = f"{base}/namespaces/{each['metadata']['namespace']}" if resource.namespaced else base
        answer = await call("POST", f"{where}/{resource.plural}", each, fieldValidation="Strict")
        assert (answer.code, answer.warnings) == (201, []), answer.json


def test_names_that_people_type_are_nobody_elses() -> None:
    typed = [name for each in catalogue.ALL for name in (each.plural, each.singular_name, *each.short_names)]
    core = {"events", "event", "ev"}  # served in two groups, as by Kubernetes
    assert sorted(name for name in set(typed) if typed.count(name) > 1 and name not in core) == []
    inner = {"enforcedobjects", "manifestsets", "observedobjects"}
    assert {each.plural for each in catalogue.FLEET if not {"fleet", "access", "inventory"} & set(each.categories)} == inner
