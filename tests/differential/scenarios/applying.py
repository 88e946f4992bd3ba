"""Server-side apply: ownership, conflicts, force, removal, transfer, and its mixture with other writes."""

from __future__ import annotations

from tests.differential.scenario import Json, apply, delete, edit, get, patch, planet, post, quiet, scenario, widget

RED: Json = {"color": "red", "size": 4}
PORT: Json = {"name": "a", "port": 1}


def ports(*entries: Json) -> Json:
    """A widget with these ports."""
    return widget(spec={"ports": list(entries)})


SCENARIOS = [
    scenario("apply/creates", apply(widget(spec=RED)), get()),
    scenario("apply/again is no change", apply(widget(spec=RED)), apply(widget(spec=RED)), get()),
    scenario("apply/changes own field", apply(widget(spec=RED)), apply(widget(spec={"color": "green"})), get()),
    scenario("apply/nothing where there were keys", apply(widget(spec={"labels": {"x": "1"}})), apply(widget(spec={"labels": {}})), get()),
    scenario("apply/removes what is no longer listed", apply(widget(spec={"code": "ab-12", "labels": {"x": "1"}})), apply(widget()), get()),
    scenario("apply/second manager with other fields", apply(widget(spec={"color": "red"})), apply(widget(spec={"code": "ab-12"}), "two")),
    scenario("apply/shared ownership", apply(widget(spec=RED)), apply(widget(spec=RED), "two"), apply(widget(), "one"), get()),
    scenario("apply/conflict", apply(widget(spec=RED)), apply(widget(spec={"color": "blue"}), "two"), get()),
    scenario("apply/conflict on several fields", apply(widget(spec=RED)), apply(widget(spec={"color": "blue", "size": 5}), "two")),
    scenario(
        "apply/conflict with two managers",
        apply(widget(spec=RED)),
        apply(widget(spec={"color": "red"}), "two"),
        apply(widget(spec={"color": "blue", "size": 9}), "three"),
    ),
    scenario("apply/force", apply(widget(spec=RED)), apply(widget(spec={"color": "blue"}), "two", query="&force=true"), get()),
    scenario("apply/conflict with an update", quiet(post(widget(spec=RED))), apply(widget(spec={"color": "blue"}))),
    scenario(
        "apply/takes over from an update by force",
        quiet(post(widget(spec=RED))),
        apply(widget(spec={"color": "blue"}), query="&force=true"),
    ),
    scenario("apply/same value as an update", quiet(post(widget(spec=RED))), apply(widget(spec=RED))),
    scenario(
        "apply/then an update changes the field", apply(widget(spec=RED)), patch({"spec": {"color": "blue"}}), apply(widget(spec=RED))
    ),
    scenario("apply/then an update removes the field", apply(widget(spec={"code": "ab-12"})), patch({"spec": {"code": None}}), get()),
    scenario(
        "apply/map entries", apply(widget(spec={"labels": {"a": "1"}})), apply(widget(spec={"labels": {"b": "2"}}), "two"), apply(widget())
    ),
    scenario("apply/atomic map", apply(widget(spec={"frozen": {"a": "1"}})), apply(widget(spec={"frozen": {"b": "2"}}), "two")),
    scenario(
        "apply/atomic list", apply(widget(spec={"numbers": [1, 2]})), apply(widget(spec={"numbers": [3]}), "two", query="&force=true")
    ),
    scenario(
        "apply/set",
        apply(widget(spec={"tags": ["a", "b"]})),
        apply(widget(spec={"tags": ["c", "a"]}), "two"),
        apply(widget(spec={"tags": ["b"]})),
    ),
    scenario("apply/list map", apply(ports(PORT)), apply(ports({"name": "b", "port": 2}), "two"), apply(ports()), get()),
    scenario("apply/list map order", apply(ports(PORT, {"name": "b", "port": 2})), apply(ports({"name": "b", "port": 2}, PORT))),
    scenario("apply/list map conflict", apply(ports(PORT)), apply(ports({"name": "a", "port": 2}), "two")),
    scenario(
        "apply/list map defaulted key",
        apply(ports(PORT)),
        apply(ports({**PORT, "protocol": "TCP"}), "two"),
        apply(ports({**PORT, "protocol": "UDP"}), "two"),
    ),
    scenario("apply/list map duplicate", apply(ports(PORT, PORT))),
    scenario("apply/list map without its key", apply(ports({"port": 1}))),
    scenario(
        "apply/entry of another manager within a list map",
        apply(ports(PORT)),
        apply(ports({"name": "a", "port": 1, "annotations": {"k": "v"}}), "two"),
        apply(widget()),
    ),
    scenario("apply/set duplicate", apply(widget(spec={"tags": ["a", "a"]}))),
    scenario(
        "apply/untyped",
        apply(widget(spec={"free": {"a": {"b": 1}, "l": [1]}})),
        apply(widget(spec={"free": {"a": {"c": 2}}}), "two"),
        apply(widget()),
    ),
    scenario(
        "apply/embedded object",
        apply(widget(spec={"template": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "n"}, "data": {"a": "b"}}})),
    ),
    scenario("apply/null", apply(widget(spec={"note": None})), apply(widget(spec={"color": None}))),
    scenario("apply/empty map and list", apply(widget(spec={"labels": {}, "tags": [], "owner": {"name": "x"}})), apply(widget())),
    scenario("apply/defaults are owned by nobody", apply(widget()), apply(widget(spec={"color": "blue"}), "two")),
    scenario(
        "apply/metadata",
        apply(widget(metadata={"labels": {"a": "1"}, "annotations": {"b": "2"}, "finalizers": ["example.com/x"]})),
        apply(widget()),
    ),
    scenario(
        "apply/owner references", apply(widget(metadata={"ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u1"}]}))
    ),
    scenario("apply/status at the main resource", apply(widget(status={"phase": "Ready"}))),
    scenario(
        "apply/status",
        apply(widget()),
        apply({k: v for k, v in widget(status={"phase": "Ready"}).items() if k != "spec"}, path="${W}/a/status"),
        get(),
    ),
    scenario("apply/status to a missing object", apply(widget(status={"phase": "Ready"}), path="${W}/a/status")),
    scenario(
        "apply/conditions of two managers",
        quiet(post()),
        apply(widget(status={"conditions": [{"type": "A", "status": "True"}]}), path="${W}/a/status"),
        apply(widget(status={"conditions": [{"type": "B", "status": "True"}]}), "two", path="${W}/a/status"),
    ),
    scenario("apply/without a manager", patch(widget(), media="application/apply-patch+yaml")),
    scenario("apply/empty manager", apply(widget(), "")),
    scenario("apply/bad force", apply(widget(), query="&force=perhaps")),
    scenario("apply/dry run", apply(widget(spec=RED), query="&dryRun=All"), get()),
    scenario("apply/dry run of a change", apply(widget(spec=RED)), apply(widget(spec={"color": "blue"}), query="&dryRun=All"), get()),
    scenario("apply/managedFields given", apply(widget(metadata={"managedFields": [{"manager": "x"}]}))),
    scenario("apply/empty managedFields given", apply(widget(metadata={"managedFields": []}))),
    scenario("apply/name differs from the path", apply(widget("b"))),
    scenario("apply/no name", apply(widget(metadata={"name": None}))),
    scenario("apply/no kind", apply({"apiVersion": "diff.skerry.dev/v1", "metadata": {"name": "a"}})),
    scenario("apply/no apiVersion", apply({"kind": "Widget", "metadata": {"name": "a"}})),
    scenario("apply/other apiVersion", apply({"apiVersion": "diff.skerry.dev/v9", "kind": "Widget", "metadata": {"name": "a"}})),
    scenario("apply/other kind", apply(widget() | {"kind": "Gadget"})),
    scenario("apply/with a resourceVersion that must exist", apply(widget(metadata={"resourceVersion": "5"}))),
    scenario("apply/with a stale resourceVersion", quiet(post()), apply(widget(spec=RED, metadata={"resourceVersion": "5"}))),
    scenario("apply/with a uid that must exist", apply(widget(metadata={"uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}))),
    scenario("apply/unknown field", apply(widget(spec={"colour": "red"}))),
    scenario("apply/unknown field strict", apply(widget(spec={"colour": "red"}), query="&fieldValidation=Strict")),
    scenario("apply/invalid", apply(widget(spec={"size": 99}))),
    scenario("apply/wrong type", apply(widget(spec={"labels": "x"}))),
    scenario("apply/list given as a map", apply(widget(spec={"ports": {"a": 1}}))),
    scenario("apply/yaml", apply(b"apiVersion: diff.skerry.dev/v1\nkind: Widget\nmetadata:\n  name: a\nspec:\n  size: 4 # comment\n")),
    scenario("apply/malformed yaml", apply(b"a: [")),
    scenario("apply/yaml that is a list", apply(b"- a\n- b\n")),
    scenario(
        "apply/two yaml documents", apply(b"apiVersion: diff.skerry.dev/v1\nkind: Widget\nmetadata: {name: a}\nspec: {}\n---\na: b\n")
    ),
    scenario(
        "apply/duplicate yaml keys", apply(b"apiVersion: diff.skerry.dev/v1\nkind: Widget\nmetadata: {name: a}\nspec: {size: 1, size: 2}\n")
    ),
    scenario(
        "apply/json under the yaml type", apply(b'{"apiVersion":"diff.skerry.dev/v1","kind":"Widget","metadata":{"name":"a"},"spec":{}}')
    ),
    scenario("apply/forbidden", apply(widget(), outsider=True)),
    scenario("apply/missing namespace", apply(widget(), path="/apis/diff.skerry.dev/v1/namespaces/d-nowhere/widgets/a")),
    scenario(
        "apply/cluster scoped",
        apply(planet(spec={"mass": 1}), path="${P}/${ns}"),
        apply(planet(spec={"mass": 2}), "two", path="${P}/${ns}"),
    ),
    scenario(
        "apply/ownership is given up by emptying managedFields",
        apply(widget(spec=RED)),
        edit(lambda obj: obj["metadata"].update(managedFields=[{}])),
        apply(widget()),
    ),
    scenario(
        "apply/to an object that is going",
        apply(widget(metadata={"finalizers": ["example.com/x"]})),
        quiet(delete()),
        apply(widget(spec=RED, metadata={"finalizers": ["example.com/x"]})),
    ),
    scenario(
        "apply/update managers are capped",
        quiet(post()),
        *(
            quiet(patch({"spec": {"size": 1 + n % 9}, "metadata": {"labels": {f"l{n}": "x"}}}, f"${{W}}/a?fieldManager=m{n:02}"))
            for n in range(13)
        ),
        get(),
    ),
    scenario(
        "apply/after client-side apply",
        post(
            widget(spec=RED, metadata={"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}),
            "${W}?fieldManager=kubectl-client-side-apply",
        ),
        apply(widget(spec={"color": "red"}), "kubectl", query="&force=true"),
    ),
]
