"""Random requests through the whole server: whatever they are, the answer is a Status or an object, and never an error of its own.

The same requests each time, so that a run says something of the code and not of luck.
``SKERRY_FUZZ=20000`` sends as many of each sort, others each time: what it finds becomes a named case.
"""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.hostile.caller import Answer, Hostile, Json

MANY = int(os.environ.get("SKERRY_FUZZ", "0"))
CODES = {200, 201, 202, 304, 400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 429, 431}


def often(count: int) -> settings:
    return settings(
        max_examples=MANY or count,
        derandomize=not MANY,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def sound(answer: Answer) -> None:
    """An answer that a client can make something of. 504 tells of a revision that is not there yet."""
    assert answer.code in CODES or (answer.code == 504 and "resource version" in answer.message), (answer.code, answer.body[:500])
    if answer.code >= 400:
        assert answer.json["kind"] == "Status"
        assert answer.message


FLEET = "/apis/fleet.skerry.dev/v1alpha1"
METADATA: Json = {
    "name": "fuzzed",
    "labels": {"a": "b"},
    "annotations": {"a": "b"},
    "finalizers": ["a.b/c"],
    "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u", "controller": True}],
    "managedFields": [{"manager": "m", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {}}}],
}


def built_in(kind: str, group_version: str = "v1", **rest: Any) -> Json:
    return {"apiVersion": group_version, "kind": kind, "metadata": METADATA, **rest}


def ours(kind: str, **spec: Any) -> Json:
    return built_in(kind, "fleet.skerry.dev/v1alpha1", spec=spec, status={"conditions": [{"type": "A", "status": "True"}]})


MACHINES = {"class": "workers", "replicas": 1, "variables": {"size": 1}, "taints": [{"key": "a", "effect": "NoSchedule"}]}
HOLDER = {"holderIdentity": "x", "leaseDurationSeconds": 1, "renewTime": "2020-01-01T00:00:00Z"}
MANIFEST = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": {"a": [1]}}
SUBJECTS = [{"kind": "User", "name": "fuzzed"}]
RULES = [{"verbs": ["get"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["a"]}]
OBJECTS: list[tuple[str, Json]] = [
    ("/api/v1/namespaces/default/configmaps", built_in("ConfigMap", data={"a": "b"}, binaryData={"c": "eA=="}, immutable=False)),
    ("/api/v1/namespaces/default/secrets", built_in("Secret", data={"a": "eA=="}, stringData={"b": "c"}, type="Opaque")),
    ("/api/v1/namespaces", built_in("Namespace", spec={"finalizers": ["kubernetes"]})),
    (
        "/api/v1/namespaces/default/events",
        built_in("Event", involvedObject={"kind": "X"}, reason="R", message="m", type="Normal", eventTime="2020-01-01T00:00:00.000000Z"),
    ),
    ("/apis/coordination.k8s.io/v1/namespaces/default/leases", built_in("Lease", "coordination.k8s.io/v1", spec=HOLDER)),
    (
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        built_in("SelfSubjectAccessReview", "authorization.k8s.io/v1", spec={"resourceAttributes": {"verb": "get", "resource": "pods"}}),
    ),
    (
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        built_in("SelfSubjectRulesReview", "authorization.k8s.io/v1", spec={"namespace": "default"}),
    ),
    (
        f"{FLEET}/namespaces/default/clusters",
        ours("Cluster", clusterClassName="c", kubernetesVersion="v1.33.1", group="default", controlPlane=MACHINES, variables={"a": 1}),
    ),
    (f"{FLEET}/namespaces/default/nodepools", ours("NodePool", clusterName="c", **MACHINES)),
    (f"{FLEET}/namespaces/default/manifestsets", ours("ManifestSet", managementCluster="m", manifests=[MANIFEST])),
    (f"{FLEET}/roles", ours("Role", rules=RULES, scopes=["cluster"])),
    (f"{FLEET}/rolebindings", ours("RoleBinding", role="view", subjects=SUBJECTS, scope={"kind": "ClusterGroup", "name": "default"})),
    (f"{FLEET}/users", ours("User", displayName="d", groups=["g"], disabled=False)),
    (f"{FLEET}/apitokens", ours("APIToken", user="fuzzed", expires="2030-01-01T00:00:00Z", scopes=RULES)),
    (f"{FLEET}/credentials", ours("Credential", type="kubeconfig", secretName="s", secretRef={"name": "s"})),
    (f"{FLEET}/clusterclasses", ours("ClusterClass", variables=[{"name": "a", "schema": {"type": "string"}}], workers=[MACHINES])),
    (f"{FLEET}/kubernetesreleases", ours("KubernetesRelease", version="v1.33.1")),
    (f"{FLEET}/clustergroups", ours("ClusterGroup", description="d")),
    (f"{FLEET}/managementclusters", ours("ManagementCluster", description="d")),
]

NASTY_TEXT = st.sampled_from(
    ["", "\0", "a" * 300, "\u00e9", "\u202e", "a/b", "a.b/c/d", "..", "%", "{}", "null", "fuzzed", "kubernetes", "-", "\x7f", "$patch"]
)
NASTY_NUMBERS = st.sampled_from([0, -1, 2**31, 2**63, -(2**63) - 1, 1e308, 1.5, -0.0, 10**30])
TEXT = st.one_of(NASTY_TEXT, st.text(max_size=12))
SCALARS = st.one_of(st.none(), st.booleans(), NASTY_NUMBERS, TEXT)
DIRECTIVES = st.sampled_from(
    ["$patch", "$retainKeys", "$setElementOrder/finalizers", "$deleteFromPrimitiveList/finalizers", "name", "metadata", "uid"]
)
VALUES: SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.one_of(TEXT, DIRECTIVES), inner, max_size=3), max_leaves=6
)


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a value, as the keys that lead there."""
    found = [here]
    if isinstance(value, dict):
        found += [place for name, each in value.items() for place in places(each, (*here, name))]
    elif isinstance(value, list):
        found += [place for index, each in enumerate(value) for place in places(each, (*here, index))]
    return found


@st.composite
def spoiled(draw: DrawFn, value: Any) -> Any:
    """A value with a few places of it changed, removed, or added to."""
    found = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places(found)))
        if not place:
            if draw(st.integers(0, 20)) == 0:
                return draw(VALUES)
            continue
        parent = found
        for key in place[:-1]:
            parent = parent[key]
        action = draw(st.sampled_from(["change", "change", "remove", "add"]))
        if action == "remove":
            del parent[place[-1]]
        elif action == "change":
            parent[place[-1]] = draw(VALUES)
        elif isinstance(parent, dict):
            parent[draw(TEXT)] = draw(VALUES)
        else:
            parent.append(draw(VALUES))
    return found


@st.composite
def writes(draw: DrawFn) -> tuple[str, str, str, bytes]:
    """A method, a path with a query, a media type and a body that nearly makes sense."""
    path, obj = draw(st.sampled_from(OBJECTS))
    body = json.dumps(draw(spoiled(obj))).encode()
    query = draw(st.sampled_from(["dryRun=All", "dryRun=All&fieldValidation=Strict", "", "fieldValidation=Ignore"]))
    kind = draw(st.sampled_from(["create", "create", "update", "merge", "strategic-merge", "apply"]))
    sub = draw(st.sampled_from(["", "", "", "/status", "/finalize"]))
    if kind == "create":
        return "POST", f"{path}?{query}", "application/json", body
    if kind == "update":
        return "PUT", f"{path}/fuzzed{sub}?{query}", "application/json", body
    media = "application/apply-patch+yaml" if kind == "apply" else f"application/{kind}-patch+json"
    more = "&fieldManager=fuzz&force=true" if kind == "apply" else ""
    return "PATCH", f"{path}/fuzzed{sub}?{query}{more}", media, body


@often(500)
@given(writes())
def test_objects_with_places_of_nonsense(hostile: Hostile, write: tuple[str, str, str, bytes]) -> None:
    method, path, media, body = write
    sound(hostile.ask(method, path, body, media=media))


WORDS = ["metadata", "data", "labels", "finalizers", "ownerReferences", "a", "0", "-", "1", "~0", "~1", "~2", "", "spec", "-1", "00"]
POINTERS = st.lists(st.sampled_from(WORDS), max_size=4).map(lambda parts: "".join(f"/{part}" for part in parts))
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "none"])},
    optional={"path": st.one_of(POINTERS, POINTERS, TEXT), "from": st.one_of(POINTERS, SCALARS), "value": VALUES},
)


@often(300)
@given(st.sampled_from(OBJECTS), st.one_of(st.lists(OPERATIONS, max_size=6), VALUES))
def test_json_patches_of_nonsense(hostile: Hostile, target: tuple[str, Json], patch: Any) -> None:
    path, obj = target
    hostile.ask("POST", path, {**obj, "metadata": {"name": "fuzzed"}})
    sound(hostile.patch(f"{path}/fuzzed", patch, "json"))


MEDIA = ["application/json", "application/yaml", "application/apply-patch+yaml", "application/vnd.kubernetes.protobuf", "text/plain", ""]
YAML_TEXT = st.text(st.sampled_from("ab:-[]{},&*!|>'\"%@`#?~ \n\t0"), max_size=60).map(lambda text: text.encode())
PROTOBUF = st.binary(max_size=40).map(lambda data: b"k8s\0" + data)
RAW = st.one_of(st.binary(max_size=60), YAML_TEXT, PROTOBUF, st.text(max_size=40).map(str.encode))


@often(300)
@given(st.sampled_from(OBJECTS), st.sampled_from(MEDIA), RAW)
def test_bodies_of_any_bytes(hostile: Hostile, target: tuple[str, Json], media: str, body: bytes) -> None:
    method, path = ("PATCH", f"{target[0]}/fuzzed?fieldManager=x") if "patch" in media else ("POST", target[0])
    sound(hostile.ask(method, path, body, media=media))
    sound(hostile.ask("DELETE", f"{target[0]}/nobody", body, media=media))


NAMES = ["labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "resourceVersionMatch", "dryRun", "fieldManager"]
MORE_NAMES = ["force", "propagationPolicy", "orphanDependents", "gracePeriodSeconds", "fieldValidation", "includeObject", "pretty"]
SELECTOR_TEXT = st.text(st.sampled_from("ab=!(),<>in not./-\\ 0é"), max_size=20)
QUERIES = st.dictionaries(st.sampled_from(NAMES + MORE_NAMES), st.one_of(SELECTOR_TEXT, TEXT, st.integers().map(str)), max_size=4)
FORMS = ["", "application/json;as=Table;g=meta.k8s.io;v=v1", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", "*/*;q=x"]


@often(300)
@given(st.sampled_from(OBJECTS), st.sampled_from(["GET", "GET", "DELETE"]), QUERIES, st.sampled_from(FORMS))
def test_queries_of_nonsense(hostile: Hostile, target: tuple[str, Json], method: str, query: dict[str, str], accept: str) -> None:
    plural = target[0] if method == "GET" else f"{target[0]}/nobody"
    encodable: dict[str, Any] = {name: value for name, value in query.items() if not any("\ud800" <= char < "\ue000" for char in value)}
    sound(hostile.ask(method, plural, headers=[("Accept", accept)] if accept else [], **encodable))


PARTS = ["api", "apis", "v1", "namespaces", "default", "configmaps", "status", "openapi", "v3", "v2", "proxy", "fleet.skerry.dev"]
MORE_PARTS = ["..", ".", "", "%2f", "%00", "%ff", "%", "skerry", "v1alpha1", "clusters", "statistics", "register", "demo", "healthz"]
SEGMENTS = st.one_of(st.sampled_from(PARTS), st.sampled_from(MORE_PARTS), st.text(st.sampled_from("abz019-._~!$&'()*+,;=:@%"), max_size=8))
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@often(300)
@given(st.sampled_from(METHODS), st.lists(SEGMENTS, max_size=8))
def test_paths_of_nonsense(hostile: Hostile, method: str, segments: list[str]) -> None:
    answer = hostile.ask(method, "/" + "/".join(segments), b"{}" if method in {"POST", "PUT", "PATCH"} else b"")
    if method == "HEAD":
        assert answer.code in CODES
    elif answer.header("content-type").startswith("application/json"):
        sound(answer)


GOOD = b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


PIECES = [b"\r\n", b"\n", b" ", b"\0", b":", b"chunked", b"99999999999"]


@st.composite
def damaged(draw: DrawFn) -> bytes:
    """A request with a few of its bytes changed, doubled or left out, and one behind it."""
    data = bytearray(GOOD * draw(st.integers(1, 2)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        end = place + draw(st.integers(0, 8))
        data[place:end] = draw(st.one_of(st.binary(max_size=6), st.sampled_from(PIECES)))
    return bytes(data)


@often(80)
@given(damaged())
def test_damaged_requests_are_answered_or_end_the_connection(hostile: Hostile, data: bytes) -> None:
    with hostile.line() as line:
        line.send(data + b"\r\n\r\n\0\0\0\r\n\r\n" * 2)  # ends whatever is still open
        answer = line.hear()
    assert answer is None or answer.code in CODES, (answer.code, answer.body[:300])
