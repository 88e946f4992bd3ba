"""Dry runs of every verb, field validation on every way of writing, bytes that are no text, and names that collide."""

from __future__ import annotations

from tests.differential.scenario import (
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    Scenario,
    Step,
    apply,
    core,
    delete,
    edit,
    get,
    patch,
    planet,
    post,
    put,
    quiet,
    scenario,
    widget,
)

MADE = quiet(post(widget(spec={"color": "blue", "labels": {"x": "1"}}), save={"rv": "metadata.resourceVersion", "uid": "metadata.uid"}))
CONFIGMAPS = "/api/v1/namespaces/${ns}/configmaps"
CONFIGMAP = quiet(post(core("ConfigMap", "a", data={"k": "v"}), CONFIGMAPS))
POLICIES = ("Strict", "Warn", "Ignore")
UNKNOWN = {"colour": "x"}
TWICE = b'{"apiVersion":"diff.skerry.dev/v1","kind":"Widget","metadata":{"name":"a"},"spec":{"size":1,"size":2,"foo":1}}'


def dry(name: str, step: Step) -> Scenario:
    """A dry run, and what is there afterwards."""
    return scenario(f"dry/{name}", MADE, step, get(), get("${W}"))


def validated(name: str, step: Step, *before: Step) -> list[Scenario]:
    """A write under every policy of field validation; the step's path ends in a query."""
    return [
        scenario(f"validation/{name} {policy}", *before, Step(step.method, f"{step.path}{policy}", step.body, step.headers, edit=step.edit))
        for policy in POLICIES
    ]


def bytes_sent(name: str, method: str, path: str, media: str, *before: Step) -> Scenario:
    """A body that is no UTF-8 is sent, in one of the ways of writing."""
    body = b'{"apiVersion":"diff.skerry.dev/v1","kind":"Widget","metadata":{"name":"a"},"spec":{"note":"a\xff\xfeb"}}'
    return scenario(f"bytes/{name} invalid UTF-8", *before, Step(method, path, body, {"content-type": media}), get())


DRY = [
    dry("create", post(widget("b"), "${W}?dryRun=All")),
    dry("create with generateName", post(widget(metadata={"name": None, "generateName": "gen-"}), "${W}?dryRun=All")),
    dry("create of what is there", post(widget(), "${W}?dryRun=All")),
    dry("create in a missing namespace", post(widget(), "/apis/diff.skerry.dev/v1/namespaces/d-nowhere/widgets?dryRun=All")),
    dry("update", edit(lambda o: o["spec"].update(size=7), to="${W}/a?dryRun=All")),
    dry("update of something stale", edit(lambda o: o["metadata"].update(resourceVersion="1"), to="${W}/a?dryRun=All")),
    dry("update without a change", edit(lambda o: o, to="${W}/a?dryRun=All")),
    dry("update of something missing", put(widget("b", metadata={"resourceVersion": "5"}), "${W}/b?dryRun=All")),
    dry("update of the status", edit(lambda o: o.update(status={"count": 1}), to="${W}/a/status?dryRun=All")),
    dry("merge patch", patch({"spec": {"size": 7}}, "${W}/a?dryRun=All")),
    dry("json patch", patch([{"op": "replace", "path": "/spec/color", "value": "green"}], "${W}/a?dryRun=All", JSON_PATCH)),
    dry("patch of the status", patch({"status": {"count": 1}}, "${W}/a/status?dryRun=All")),
    dry("invalid patch", patch({"spec": {"size": 99}}, "${W}/a?dryRun=All")),
    dry("apply of something new", apply(widget("b"), path="${W}/b", query="&dryRun=All")),
    dry("apply over an update", apply(widget(spec={"color": "blue"}), query="&dryRun=All")),
    dry("apply with a conflict", apply(widget(spec={"color": "red"}), query="&dryRun=All")),
    dry("apply by force", apply(widget(spec={"color": "red"}), query="&dryRun=All&force=true")),
    dry("delete", delete("${W}/a?dryRun=All")),
    dry("delete with preconditions", delete("${W}/a?dryRun=All", {"preconditions": {"uid": "${uid}", "resourceVersion": "${rv}"}})),
    dry("delete with wrong preconditions", delete("${W}/a?dryRun=All", {"preconditions": {"resourceVersion": "3"}})),
    dry("delete in the foreground", delete("${W}/a?dryRun=All&propagationPolicy=Foreground")),
    dry("delete of something missing", delete("${W}/b?dryRun=All")),
    dry("delete of a collection", delete("${W}", {"dryRun": ["All"]})),
    dry("delete of a collection in the foreground", delete("${W}?propagationPolicy=Foreground", {"dryRun": ["All"]})),
    dry("given twice", post(widget("b"), "${W}?dryRun=All&dryRun=All")),
    dry("empty", post(widget("b"), "${W}?dryRun=")),
    dry("in lower case", post(widget("b"), "${W}?dryRun=all")),
    scenario(
        "dry/strategic patch", CONFIGMAP, patch({"data": {"l": "w"}}, f"{CONFIGMAPS}/a?dryRun=All", STRATEGIC), get(f"{CONFIGMAPS}/a")
    ),
    scenario(
        "dry/finalizer falls",
        quiet(post(widget(metadata={"finalizers": ["a.io/b"]}))),
        quiet(delete()),
        patch({"metadata": {"finalizers": None}}, "${W}/a?dryRun=All"),
        get(),
        quiet(patch({"metadata": {"finalizers": None}})),
    ),
    scenario("dry/cluster scoped", post(planet(), "${P}?dryRun=All"), get("${P}/${ns}")),
    scenario(
        "dry/review",
        post(
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"nonResourceAttributes": {"path": "/x", "verb": "get"}},
            },
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews?dryRun=Some",
        ),
    ),
]

VALIDATION = [
    *validated("create", post(widget(spec=UNKNOWN), "${W}?fieldValidation=")),
    *validated("create twice", post(TWICE, "${W}?fieldValidation=")),
    *validated("update", edit(lambda o: o["spec"].update(UNKNOWN), to="${W}/a?fieldValidation="), MADE),
    *validated("merge patch", patch({"spec": UNKNOWN}, "${W}/a?fieldValidation="), MADE),
    *validated("json patch", patch([{"op": "add", "path": "/spec/colour", "value": "x"}], "${W}/a?fieldValidation=", JSON_PATCH), MADE),
    *validated("apply", apply(widget(spec=UNKNOWN), query="&fieldValidation=")),
    *validated("status", patch({"status": UNKNOWN}, "${W}/a/status?fieldValidation="), MADE),
    *validated("metadata", post(widget(metadata={"nick": "x"}), "${W}?fieldValidation=")),
    *validated("built-in create", post(core("ConfigMap", "b", dater={"k": "v"}), f"{CONFIGMAPS}?fieldValidation=")),
    *validated("built-in strategic patch", patch({"dater": {"k": "v"}}, f"{CONFIGMAPS}/a?fieldValidation=", STRATEGIC), CONFIGMAP),
    *validated("built-in merge patch", patch({"dater": {"k": "v"}}, f"{CONFIGMAPS}/a?fieldValidation=", MERGE), CONFIGMAP),
    scenario("validation/bad policy of an update", MADE, edit(lambda o: o, to="${W}/a?fieldValidation=strict")),
    scenario("validation/bad policy of a patch", MADE, patch({}, "${W}/a?fieldValidation=strict")),
    scenario("validation/bad policy of a delete", MADE, delete("${W}/a?fieldValidation=strict")),
    scenario("validation/empty policy", post(widget(spec=UNKNOWN), "${W}?fieldValidation=")),
    scenario("validation/many unknown fields", post(widget(spec={f"f{n:02}": n for n in range(20)}))),
    scenario("validation/long unknown field", post(widget(spec={"x" * 300: 1}))),
    scenario("validation/unknown field in a list", post(widget(spec={"ports": [{"name": "a", "port": 1, "prt": 2}]}))),
    scenario("validation/unknown field that is no ASCII", post(widget(spec={"größe": 1}))),
]

BYTES = [
    bytes_sent("create", "POST", "${W}", "application/json"),
    bytes_sent("create as yaml", "POST", "${W}", "application/yaml"),
    bytes_sent("update", "PUT", "${W}/a", "application/json", MADE),
    bytes_sent("merge patch", "PATCH", "${W}/a", MERGE, MADE),
    bytes_sent("apply", "PATCH", "${W}/a?fieldManager=one", "application/apply-patch+yaml"),
    scenario(
        "bytes/escaped surrogate",
        post(b'{"apiVersion":"diff.skerry.dev/v1","kind":"Widget","metadata":{"name":"a"},"spec":{"note":"\\ud83d\\ude00"}}'),
    ),
    scenario(
        "bytes/NUL in a string",
        post(b'{"apiVersion":"diff.skerry.dev/v1","kind":"Widget","metadata":{"name":"a"},"spec":{"note":"a\\u0000b"}}'),
    ),
    scenario("bytes/other alphabets", post(widget(spec={"note": "日本語 ñ é \u2028 😀"})), get()),
    scenario("bytes/query invalid UTF-8", get("${W}?labelSelector=%ff%fe")),
    scenario("bytes/name invalid UTF-8", get("${W}/%ff%fe")),
    scenario(
        "bytes/malformed by a byte order mark",
        post(b'\xef\xbb\xbf{"apiVersion":"diff.skerry.dev/v1","kind":"Widget","metadata":{"name":"a"},"spec":{}}'),
    ),
]

PARAMETERS = [
    scenario("parameters/unknown of a create", post(widget(), "${W}?foo=bar&limit=x&watch=1&labelSelector=a b")),
    scenario("parameters/unknown of an update", MADE, edit(lambda o: o, to="${W}/a?foo=bar&limit=x&continue=zz")),
    scenario("parameters/unknown of a patch", MADE, patch({}, "${W}/a?foo=bar&limit=x")),
    scenario("parameters/unknown of a delete", MADE, delete("${W}/a?foo=bar&limit=x&labelSelector=a b")),
    scenario("parameters/unknown of a deleted collection", MADE, delete("${W}?foo=bar&fieldManager=x&fieldValidation=odd")),
    scenario("parameters/limit of a deleted collection", MADE, quiet(post(widget("b"))), delete("${W}?limit=1"), get("${W}")),
    scenario("parameters/force that is neither", apply(widget(), query="&force=")),
    scenario("parameters/manager of a deletion", MADE, delete("${W}/a?fieldManager=" + "m" * 129)),
    scenario("parameters/bad propagation", MADE, delete("${W}/a?propagationPolicy=Sideways")),
    scenario(
        "parameters/propagation in query and body", MADE, delete("${W}/a?propagationPolicy=Foreground", {"propagationPolicy": "Background"})
    ),
    scenario("parameters/dry run in the query only", MADE, delete("${W}/a?dryRun=All", {"propagationPolicy": "Background"}), get()),
    scenario("parameters/bad number", MADE, delete("${W}/a?gracePeriodSeconds=soon")),
]

NAMES = [
    scenario(
        "names/generated beside a name",
        post(widget("a", metadata={"generateName": "gen-"})),
        post(widget("a", metadata={"generateName": "gen-"})),
    ),
    scenario(
        "names/generated from a long prefix",
        post(widget(metadata={"name": None, "generateName": "x" * 60 + "-"}), "${W}?dryRun=All", quiet=True),
    ),
    scenario("names/generated is too long", post(widget(metadata={"name": None, "generateName": "x" * 249 + "-"}), quiet=True)),
    scenario("names/generated with an empty prefix", post(widget(metadata={"name": None, "generateName": ""}))),
    scenario("names/generated by apply", apply(widget(metadata={"name": None, "generateName": "gen-"}))),
    scenario("names/deleted and made again", MADE, quiet(delete()), post()),
    scenario("names/while the old one is going", quiet(post(widget(metadata={"finalizers": ["a.io/b"]}))), quiet(delete()), post()),
    scenario("names/dots and digits", post(widget("1.a-b.2")), get("${W}/1.a-b.2")),
    scenario("names/percent in the path", MADE, get("${W}/%61")),
    scenario("names/trailing slash", MADE, get("${W}/a/"), get("${W}/")),
    scenario("names/doubled slash", MADE, get("/apis/diff.skerry.dev/v1//namespaces/${ns}/widgets/a")),
]

PRECONDITIONS = [
    scenario(
        "precondition/uid and revision", MADE, delete("${W}/a", {"preconditions": {"uid": "${uid}", "resourceVersion": "${rv}"}}), get()
    ),
    scenario(
        "precondition/revision of before",
        MADE,
        quiet(patch({"spec": {"size": 5}})),
        delete("${W}/a", {"preconditions": {"resourceVersion": "${rv}"}}),
    ),
    scenario("precondition/empty", MADE, delete("${W}/a", {"preconditions": {}})),
    scenario(
        "precondition/of a collection", MADE, quiet(post(widget("b"))), delete("${W}", {"preconditions": {"uid": "${uid}"}}), get("${W}")
    ),
    scenario("precondition/uid in a patch", MADE, patch({"metadata": {"uid": "${uid}"}, "spec": {"size": 4}})),
    scenario("precondition/revision in a patch", MADE, patch({"metadata": {"resourceVersion": "${rv}"}, "spec": {"size": 4}})),
    scenario("precondition/uid in an apply", MADE, apply(widget(metadata={"uid": "${uid}"}))),
    scenario("precondition/revision in an apply", MADE, apply(widget(metadata={"resourceVersion": "${rv}"}))),
    scenario(
        "precondition/json test of the revision",
        MADE,
        patch([{"op": "test", "path": "/metadata/resourceVersion", "value": "${rv}"}], media=JSON_PATCH),
    ),
]

SCENARIOS = DRY + VALIDATION + BYTES + PARAMETERS + NAMES + PRECONDITIONS
