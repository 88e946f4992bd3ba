"""Changing: replace, merge patch, JSON patch, and the status subresource."""

from __future__ import annotations

from collections.abc import Callable

from tests.differential.scenario import JSON_PATCH, STRATEGIC, Json, Scenario, edit, get, patch, planet, post, put, quiet, scenario, widget

MADE = quiet(post(widget(spec={"color": "blue", "tags": ["a", "b"], "labels": {"x": "1"}, "ports": [{"name": "a", "port": 1}]})))


def changed(name: str, change: Callable[[Json], object], **more: str) -> Scenario:
    """A widget is read, changed and sent back."""
    return scenario(f"update/{name}", MADE, edit(change, **more), get())


def merge(name: str, body: object, query: str = "") -> Scenario:
    """A merge patch is sent."""
    return scenario(f"patch/merge {name}", MADE, patch(body, f"${{W}}/a{query}"), get())


def json_patch(name: str, *operations: Json) -> Scenario:
    """A JSON patch is sent."""
    return scenario(f"patch/json {name}", MADE, patch(list(operations), media=JSON_PATCH), get())


def set_spec(**fields: object) -> Callable[[Json], object]:
    """Change fields of the spec."""
    return lambda obj: obj["spec"].update(fields)


def set_meta(**fields: object) -> Callable[[Json], object]:
    """Change fields of the metadata."""
    return lambda obj: obj["metadata"].update(fields)


UPDATES = [
    changed("spec", set_spec(color="green", size=7)),
    changed("nothing", lambda obj: obj),
    changed("labels only", set_meta(labels={"a": "b"})),
    changed("annotations only", set_meta(annotations={"a": "b"})),
    changed("status at the main resource is ignored", lambda obj: obj.update(status={"phase": "Ready"})),
    changed("unknown field", set_spec(colour="x")),
    changed("unknown field strict", set_spec(colour="x"), to="${W}/a?fieldValidation=Strict"),
    changed("invalid", set_spec(size=99)),
    changed("remove a field with a default", lambda obj: obj["spec"].pop("size")),
    changed("remove a list", lambda obj: obj["spec"].pop("tags")),
    changed("name", set_meta(name="b")),
    changed("namespace", set_meta(namespace="elsewhere")),
    changed("uid", set_meta(uid="6ba7b810-9dad-11d1-80b4-00c04fd430c8")),
    changed("creationTimestamp", set_meta(creationTimestamp="2020-01-01T00:00:00Z")),
    changed("generation", set_meta(generation=77)),
    changed("deletionTimestamp", set_meta(deletionTimestamp="2020-01-01T00:00:00Z")),
    changed("managedFields emptied", set_meta(managedFields=[{}])),
    changed("managedFields left out", lambda obj: obj["metadata"].pop("managedFields")),
    changed("managedFields broken", set_meta(managedFields=[{"manager": "x", "operation": "Eat"}])),
    changed("kind", lambda obj: obj.update(kind="Gadget")),
    changed("no resourceVersion", lambda obj: obj["metadata"].pop("resourceVersion")),
    changed("stale resourceVersion", set_meta(resourceVersion="1")),
    changed("resourceVersion is no number", set_meta(resourceVersion="abc")),
    changed("dry run", set_spec(size=8), to="${W}/a?dryRun=All"),
    changed("field manager", set_spec(size=8), to="${W}/a?fieldManager=other"),
    changed("finalizer added", set_meta(finalizers=["example.com/wait"])),
    scenario("update/twice by the same manager", MADE, edit(set_spec(size=5)), edit(set_spec(size=6)), get()),
    scenario(
        "update/by two managers",
        MADE,
        edit(set_spec(size=5), to="${W}/a?fieldManager=x"),
        edit(set_spec(size=6), to="${W}/a?fieldManager=y"),
    ),
    scenario("update/missing", put(widget(metadata={"resourceVersion": "5"}))),
    scenario("update/missing without a revision", put(widget())),
    scenario("update/name differs from the path", MADE, put(widget("b"))),
    scenario("update/a collection", put(widget(), "${W}")),
    scenario("update/malformed", MADE, put(b"{")),
    scenario("update/forbidden", MADE, put(widget(), outsider=True)),
    scenario(
        "update/cluster scoped", quiet(post(planet(spec={"mass": 1}), "${P}")), edit(lambda obj: obj.update(spec={"mass": 2}), "${P}/${ns}")
    ),
    scenario(
        "update/generation counts status without the subresource",
        quiet(post(planet(), "${P}")),
        edit(lambda obj: obj.update(status={"orbit": "x"}), "${P}/${ns}"),
    ),
]

STATUSES = [
    scenario("status/update", MADE, edit(lambda obj: obj.update(status={"phase": "Ready", "count": 1}), to="${W}/a/status"), get()),
    scenario(
        "status/spec is ignored", MADE, edit(lambda obj: obj.update(spec={"size": 9}, status={"count": 1}), to="${W}/a/status"), get()
    ),
    scenario("status/metadata is ignored", MADE, edit(lambda obj: obj["metadata"].update(labels={"z": "z"}), to="${W}/a/status"), get()),
    scenario("status/nothing changes", MADE, edit(lambda obj: obj, to="${W}/a/status")),
    scenario("status/invalid", MADE, edit(lambda obj: obj.update(status={"phase": "Lost"}), to="${W}/a/status")),
    scenario("status/unknown field", MADE, edit(lambda obj: obj.update(status={"fase": "Lost"}), to="${W}/a/status")),
    scenario("status/merge patch", MADE, patch({"status": {"phase": "Pending"}, "spec": {"size": 9}}, "${W}/a/status"), get()),
    scenario("status/json patch", MADE, patch([{"op": "add", "path": "/status", "value": {"count": 4}}], "${W}/a/status", JSON_PATCH)),
    scenario("status/get", MADE, get("${W}/a/status")),
    scenario("status/missing", MADE, get("${W}/b/status"), patch({"status": {}}, "${W}/b/status")),
    scenario("status/unknown subresource", MADE, get("${W}/a/scale")),
    scenario("status/of a kind that has none", quiet(post(planet(), "${P}")), get("${P}/${ns}/status")),
    scenario("status/create", MADE, post(widget(), "${W}/a/status")),
    scenario(
        "status/conditions by two managers",
        MADE,
        patch({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, "${W}/a/status?fieldManager=x"),
        patch({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "No"}]}}, "${W}/a/status?fieldManager=y"),
    ),
    scenario(
        "status/duplicate conditions",
        MADE,
        patch({"status": {"conditions": [{"type": "A", "status": "T"}, {"type": "A", "status": "F"}]}}, "${W}/a/status"),
    ),
]

PATCHES = [
    merge("a field", {"spec": {"color": "green"}}),
    merge("remove a field", {"spec": {"labels": None}}),
    merge("remove a field with a default", {"spec": {"color": None}}),
    merge("replace a list", {"spec": {"tags": ["c"]}}),
    merge("into a map", {"spec": {"labels": {"y": "2", "x": None}}}),
    merge("nothing", {}),
    merge("the same", {"spec": {"color": "blue"}}),
    merge("a null that is not there", {"spec": {"code": None}}),
    merge("null into a nullable field", {"spec": {"note": None}}),
    merge("unknown field", {"spec": {"colour": "x"}}),
    merge("unknown field strict", {"spec": {"colour": "x"}}, "?fieldValidation=Strict"),
    merge("invalid", {"spec": {"size": 99}}),
    merge("wrong type", {"spec": {"size": "many"}}),
    merge("spec becomes null", {"spec": None}),
    merge("stale revision", {"metadata": {"resourceVersion": "1"}, "spec": {"size": 4}}),
    merge("name", {"metadata": {"name": "b"}}),
    merge("kind", {"kind": "Gadget"}),
    merge("uid", {"metadata": {"uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}}),
    merge("metadata becomes null", {"metadata": None}),
    merge("dry run", {"spec": {"size": 4}}, "?dryRun=All"),
    merge("field manager", {"spec": {"size": 4}}, "?fieldManager=me"),
    merge("force is refused", {"spec": {"size": 4}}, "?force=true"),
    merge("malformed", b'{"spec":'),
    merge("a list", []),
    merge("invalid UTF-8", b'{"spec":{"note":"\xff"}}'),
    merge("empty body", b""),
    merge("duplicate keys", b'{"spec":{"size":4,"size":5}}'),
    merge("labels", {"metadata": {"labels": {"a": "b"}}}),
    merge("managedFields", {"metadata": {"managedFields": []}}),
    scenario("patch/merge missing", patch({"spec": {}})),
    scenario("patch/merge a collection", patch({"spec": {}}, "${W}")),
    scenario("patch/merge forbidden", MADE, patch({"spec": {}}, outsider=True)),
    scenario("patch/strategic is refused", MADE, patch({"spec": {"size": 4}}, media=STRATEGIC)),
    scenario("patch/unsupported content type", MADE, patch({"spec": {"size": 4}}, media="application/json")),
    scenario("patch/no content type", MADE, patch({"spec": {"size": 4}}, media="")),
    json_patch("replace", {"op": "replace", "path": "/spec/color", "value": "green"}),
    json_patch("add to a list", {"op": "add", "path": "/spec/tags/-", "value": "z"}),
    json_patch("insert into a list", {"op": "add", "path": "/spec/tags/0", "value": "z"}),
    json_patch("remove", {"op": "remove", "path": "/spec/labels/x"}),
    json_patch(
        "move and copy",
        {"op": "move", "from": "/spec/labels/x", "path": "/spec/code"},
        {"op": "copy", "from": "/spec/color", "path": "/spec/note"},
    ),
    json_patch("test passes", {"op": "test", "path": "/spec/color", "value": "blue"}, {"op": "replace", "path": "/spec/size", "value": 8}),
    json_patch("test fails", {"op": "test", "path": "/spec/color", "value": "red"}),
    json_patch("remove what is not there", {"op": "remove", "path": "/spec/nope"}),
    json_patch("replace what is not there", {"op": "replace", "path": "/spec/nope", "value": 1}),
    json_patch("bad index", {"op": "add", "path": "/spec/tags/9", "value": "z"}),
    json_patch("missing parent", {"op": "add", "path": "/spec/owner/name", "value": "z"}),
    json_patch("unknown operation", {"op": "eat", "path": "/spec/color"}),
    json_patch("no operation", {"path": "/spec/color"}),
    json_patch("invalid result", {"op": "replace", "path": "/spec/size", "value": 99}),
    json_patch("empty"),
    json_patch(
        "escaped pointer",
        {"op": "add", "path": "/metadata/annotations", "value": {"a/b": "c"}},
        {"op": "remove", "path": "/metadata/annotations/a~1b"},
    ),
    scenario("patch/json is an object", MADE, patch({"op": "remove"}, media=JSON_PATCH)),
    scenario("patch/json malformed", MADE, patch(b"[{", media=JSON_PATCH)),
    scenario("patch/json too many operations", MADE, patch([{"op": "test", "path": "/kind", "value": "Widget"}] * 10001, media=JSON_PATCH)),
]

SCENARIOS = UPDATES + STATUSES + PATCHES
