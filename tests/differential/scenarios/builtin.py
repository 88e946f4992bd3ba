"""The kinds of Kubernetes itself that Skerry serves too, reviews, discovery, and namespaces."""

from __future__ import annotations

from tests.differential.scenario import (
    STRATEGIC,
    TABLE,
    Json,
    Scenario,
    Step,
    apply,
    core,
    delete,
    edit,
    get,
    patch,
    post,
    quiet,
    scenario,
    until,
    widget,
)

CM = "/api/v1/namespaces/${ns}/configmaps"
SECRETS = "/api/v1/namespaces/${ns}/secrets"
EVENTS = "/api/v1/namespaces/${ns}/events"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/${ns}/leases"
NS = "/api/v1/namespaces"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def configmap(**more: object) -> Json:
    """A ConfigMap with one entry."""
    return core("ConfigMap", "a", **{"data": {"k": "v"}, **more})


def secret(**more: object) -> Json:
    """An empty Secret and what it is given."""
    return core("Secret", "a", **more)


def lease(**spec: object) -> Json:
    """A Lease."""
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}, "spec": spec}


def event(**more: object) -> Json:
    """An Event about a widget."""
    about = {"apiVersion": "diff.skerry.dev/v1", "kind": "Widget", "name": "w", "namespace": "${ns}"}
    return core("Event", "a", **{"involvedObject": about, "reason": "Made", "message": "It is made.", "type": "Normal", **more})


def may(name: str, attributes: Json, *, outsider: bool = False, kind: str = "resourceAttributes") -> Scenario:
    """Somebody asks whether he may."""
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {kind: attributes}}
    return scenario(f"review/{name}", post(body, REVIEW, outsider=outsider))


OBJECTS = [
    scenario("configmap/create", post(configmap(), CM), get(f"{CM}/a")),
    scenario("configmap/binary data", post(configmap(binaryData={"b": "AAEC"}), CM)),
    scenario("configmap/bad binary data", post(configmap(binaryData={"b": "***"}), CM)),
    scenario("configmap/same key twice", post(configmap(binaryData={"k": "AAEC"}), CM)),
    scenario("configmap/bad key", post(configmap(data={"a b": "c"}), CM)),
    scenario("configmap/number as a value", post(configmap(data={"a": 1}), CM)),
    scenario("configmap/unknown field", post(configmap(foo=1), CM), post(configmap(foo=1), f"{CM}?fieldValidation=Strict")),
    scenario(
        "configmap/immutable",
        quiet(post(configmap(immutable=True), CM)),
        patch({"data": {"k": "w"}}, f"{CM}/a"),
        patch({"immutable": None}, f"{CM}/a"),
    ),
    scenario("configmap/too large", post(configmap(data={"k": "x" * 1048577}), CM)),
    scenario("configmap/update without a revision", quiet(post(configmap(), CM)), Step("PUT", f"{CM}/a", configmap(data={"k": "w"}))),
    scenario("configmap/update creates nothing", Step("PUT", f"{CM}/a", configmap())),
    scenario("configmap/strategic patch", quiet(post(configmap(), CM)), patch({"data": {"l": "w", "k": None}}, f"{CM}/a", STRATEGIC)),
    scenario(
        "configmap/strategic replace", quiet(post(configmap(), CM)), patch({"data": {"$patch": "replace", "x": "y"}}, f"{CM}/a", STRATEGIC)
    ),
    scenario(
        "configmap/strategic finalizers",
        quiet(post(configmap(metadata={"finalizers": ["a.io/b"]}), CM)),
        patch({"metadata": {"finalizers": ["c.io/d"]}}, f"{CM}/a", STRATEGIC),
    ),
    scenario(
        "configmap/apply nothing where we had keys",
        apply(configmap(), path=f"{CM}/a"),
        apply(configmap(data={}), path=f"{CM}/a"),
        get(f"{CM}/a"),
        apply(configmap(data={"l": "w"}), path=f"{CM}/a"),
        apply(configmap(data=None), path=f"{CM}/a"),
        apply(configmap(data={}), path=f"{CM}/a"),
        get(f"{CM}/a"),
    ),
    scenario(
        "secret/apply nothing where we had keys",
        apply(secret(data={"p": "Z2VoZWlt"}), path=f"{SECRETS}/a"),
        apply(secret(data={}), path=f"{SECRETS}/a"),
        get(f"{SECRETS}/a"),
    ),
    scenario(
        "configmap/nothing",
        post(configmap(data={}, binaryData={}), CM),
        patch({"data": {"k": "v"}}, f"{CM}/a"),
        patch({"data": {"k": None}}, f"{CM}/a"),
    ),
    scenario(
        "secret/nothing",
        post(secret(data={}), SECRETS),
        patch({"data": {"k": "dg=="}}, f"{SECRETS}/a"),
        patch({"data": {"k": None}}, f"{SECRETS}/a"),
    ),
    scenario("configmap/apply null", apply(configmap(data=None), path=f"{CM}/a"), get(f"{CM}/a")),
    scenario("configmap/apply nothing", apply(configmap(data={}), path=f"{CM}/a"), get(f"{CM}/a")),
    scenario("configmap/apply", apply(configmap(), path=f"{CM}/a"), apply(configmap(data={"k": "w"}), "two", path=f"{CM}/a")),
    scenario("configmap/table", quiet(post(configmap(), CM)), get(CM, headers={"accept": TABLE})),
    scenario("configmap/delete", quiet(post(configmap(), CM)), delete(f"{CM}/a")),
    scenario("configmap/deletecollection", quiet(post(configmap(), CM)), delete(CM)),
    scenario("configmap/status", quiet(post(configmap(), CM)), get(f"{CM}/a/status")),
    scenario(
        "configmap/field selector",
        quiet(post(configmap(), CM)),
        get(f"{CM}?fieldSelector=metadata.name=a"),
        get(f"{CM}?fieldSelector=data.k=v"),
    ),
    scenario("secret/string data", post(secret(stringData={"p": "geheim"}), SECRETS), get(f"{SECRETS}/a")),
    scenario("secret/data", post(secret(data={"p": "Z2VoZWlt"}), SECRETS)),
    scenario("secret/bad data", post(secret(data={"p": "***"}), SECRETS)),
    scenario("secret/bad key", post(secret(data={"a b": "Z2VoZWlt"}), SECRETS)),
    scenario("secret/type", post(secret(type="kubernetes.io/tls", data={"tls.crt": "YQ==", "tls.key": "YQ=="}), SECRETS)),
    scenario("secret/tls without a key", post(secret(type="kubernetes.io/tls", data={"tls.crt": "YQ=="}), SECRETS)),
    scenario("secret/basic auth without anything", post(secret(type="kubernetes.io/basic-auth"), SECRETS)),
    scenario("secret/docker config", post(secret(type="kubernetes.io/dockerconfigjson", data={"x": "YQ=="}), SECRETS)),
    scenario("secret/type cannot change", quiet(post(secret(type="Opaque"), SECRETS)), patch({"type": "other"}, f"{SECRETS}/a")),
    scenario("secret/by type", quiet(post(secret(type="x/y"), SECRETS)), get(f"{SECRETS}?fieldSelector=type=x/y")),
    scenario(
        "secret/immutable", quiet(post(secret(immutable=True, data={"a": "YQ=="}), SECRETS)), patch({"data": {"a": "Yg=="}}, f"{SECRETS}/a")
    ),
    scenario("secret/table", quiet(post(secret(data={"a": "YQ=="}), SECRETS)), get(SECRETS, headers={"accept": TABLE})),
    scenario("lease/create", post(lease(holderIdentity="me", leaseDurationSeconds=15), LEASES)),
    scenario(
        "lease/renew",
        quiet(post(lease(holderIdentity="me"), LEASES)),
        edit(lambda o: o["spec"].update(renewTime="2026-01-01T00:00:00.000000Z"), f"{LEASES}/a"),
    ),
    scenario("lease/bad duration", post(lease(leaseDurationSeconds=0), LEASES)),
    scenario("lease/bad time", post(lease(renewTime="soon"), LEASES)),
    scenario("lease/table", quiet(post(lease(holderIdentity="me"), LEASES)), get(LEASES, headers={"accept": TABLE})),
    scenario("event/create", post(event(), EVENTS)),
    scenario("event/other namespace", post(event(involvedObject={"namespace": "elsewhere", "name": "x", "kind": "Widget"}), EVENTS)),
    scenario("event/count up", quiet(post(event(count=1), EVENTS)), patch({"count": 2}, f"{EVENTS}/a")),
    scenario(
        "event/by object",
        quiet(post(event(), EVENTS)),
        get(f"{EVENTS}?fieldSelector=involvedObject.name=w,reason=Made"),
        get(f"{EVENTS}?fieldSelector=involvedObject.name=z"),
    ),
    scenario("event/unsupported selector", get(f"{EVENTS}?fieldSelector=message=x")),
]

NAMESPACES = [
    scenario("namespace/get", get(f"{NS}/${{ns}}")),
    scenario("namespace/create twice", post(core("Namespace", "${ns}"), NS)),
    scenario("namespace/bad name", post(core("Namespace", "a.b"), NS)),
    scenario("namespace/labels", patch({"metadata": {"labels": {"a": "b"}}}, f"{NS}/${{ns}}")),
    scenario("namespace/table", get(f"{NS}/${{ns}}", headers={"accept": TABLE})),
    scenario("namespace/by phase", get(f"{NS}?fieldSelector=status.phase=Active,metadata.name=${{ns}}")),
    scenario("namespace/deletes its objects", quiet(post()), delete(f"{NS}/${{ns}}"), until(404, f"{NS}/${{ns}}"), get()),
    scenario(
        "namespace/nothing new while terminating",
        quiet(post(widget(metadata={"finalizers": ["example.com/wait"]}))),
        quiet(delete(f"{NS}/${{ns}}")),
        post(widget("late")),
        post(core("ConfigMap", "late"), CM),
        quiet(patch({"metadata": {"finalizers": None}})),
        until(404, f"{NS}/${{ns}}"),
    ),
    scenario("namespace/default stays", delete(f"{NS}/default"), delete(f"{NS}/kube-system?dryRun=All")),
    scenario("namespace/spec finalizer", patch({"spec": {"finalizers": []}}, f"{NS}/${{ns}}")),
    scenario("namespace/deletecollection", delete(NS)),
]

REVIEWS = [
    may("admin may", {"verb": "create", "group": "diff.skerry.dev", "resource": "widgets", "namespace": "${ns}"}),
    may("outsider may not", {"verb": "create", "group": "diff.skerry.dev", "resource": "widgets", "namespace": "${ns}"}, outsider=True),
    may("path", {"verb": "get", "path": "/version"}, outsider=True, kind="nonResourceAttributes"),
    may("forbidden path", {"verb": "get", "path": "/secret"}, outsider=True, kind="nonResourceAttributes"),
    scenario("review/neither", post({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}}, REVIEW)),
    scenario("review/list", get(REVIEW)),
    scenario(
        "review/self of the outsider",
        post(
            {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            outsider=True,
        ),
    ),
    scenario("review/bad token", get(headers={"authorization": "Bearer nonsense"})),
    scenario("review/basic", get(headers={"authorization": "Basic YTpi"})),
    scenario("review/anonymous", get(headers={"authorization": ""})),
]

PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
OPENAPI_TYPES = {
    "json": "application/json",
    "anything": "*/*",
    "protobuf": PROTOBUF,
    "protobuf by its older name": PROTOBUF.replace("v2.v1", "v2@v1"),
    "protobuf or json": f"{PROTOBUF},application/json",
    "json rather than protobuf": f"{PROTOBUF};q=0.5,application/json",
    "text": "text/html",
    "text or json": "text/html, application/json;q=0.5",
}

DISCOVERY = [
    scenario("discovery/group version", get("/apis/diff.skerry.dev/v1")),
    scenario("discovery/group", get("/apis/diff.skerry.dev")),
    scenario("discovery/leases", get("/apis/coordination.k8s.io")),
    scenario("discovery/core versions", get("/api", headers={"accept": "application/json"})),
    scenario("discovery/missing", get("/apis/nowhere.example.com"), get("/apis/nowhere.example.com/v1")),
    scenario("discovery/health", get("/healthz"), get("/livez"), get("/readyz"), get("/healthz", headers={"authorization": ""})),
    scenario("discovery/outsider", get("/apis/diff.skerry.dev/v1", outsider=True), get("/metrics", outsider=True)),
    *(
        scenario(f"discovery/openapi v2 as {name}", Step("HEAD", "/openapi/v2", headers={"accept": accept}))
        for name, accept in OPENAPI_TYPES.items()
    ),
    scenario("discovery/openapi v3 as json", Step("HEAD", "/openapi/v3/apis/diff.skerry.dev/v1", headers={"accept": "application/json"})),
    scenario("discovery/openapi v3 as text", Step("HEAD", "/openapi/v3/apis/diff.skerry.dev/v1", headers={"accept": "text/html"})),
    scenario("discovery/openapi v3 of nothing", Step("HEAD", "/openapi/v3/apis/nowhere.example.com/v1")),
    scenario("discovery/post", Step("POST", "/version", {}), Step("POST", "/apis", {})),
]

SCENARIOS = OBJECTS + NAMESPACES + REVIEWS + DISCOVERY
