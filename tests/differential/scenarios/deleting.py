"""Deleting: finalizers, preconditions, propagation, collections, and what owners leave behind."""

from __future__ import annotations

from tests.differential.scenario import Json, Scenario, Step, core, delete, edit, get, patch, planet, post, quiet, scenario, until, widget

MADE = quiet(post(save={"rv": "metadata.resourceVersion", "uid": "metadata.uid"}))
HELD = quiet(post(widget(metadata={"finalizers": ["example.com/wait"]}), save={"rv": "metadata.resourceVersion"}))
CONFIGMAPS = "/api/v1/namespaces/${ns}/configmaps"


def options(name: str, body: object, *more: Step, query: str = "") -> Scenario:
    """A widget is deleted with DeleteOptions."""
    if isinstance(body, dict):
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **body}
    return scenario(f"delete/{name}", MADE, delete(f"${{W}}/a{query}", body), *(more or (get(),)))


def several(name: str, query: str, body: Json | None = None) -> Scenario:
    """Three widgets, some of which are deleted as a collection."""
    made = (quiet(post(widget(each, metadata={"labels": {"app": each}}))) for each in "abc")
    return scenario(f"deletecollection/{name}", *made, delete(f"${{W}}{query}", body), get("${W}"))


def owned(by: str = "a", **more: object) -> Step:
    """A ConfigMap that belongs to a widget."""
    owner = {"apiVersion": "diff.skerry.dev/v1", "kind": "Widget", "name": by, "uid": "${uid}", **more}
    return quiet(post(core("ConfigMap", "child", metadata={"ownerReferences": [owner]}), CONFIGMAPS))


SCENARIOS = [
    scenario("delete/plain", MADE, delete(), get()),
    scenario("delete/missing", delete()),
    scenario("delete/twice", MADE, delete(), delete()),
    scenario("delete/forbidden", MADE, delete(outsider=True)),
    scenario("delete/cluster scoped", quiet(post(planet(), "${P}")), delete("${P}/${ns}")),
    scenario("delete/recreated has another uid", MADE, quiet(delete()), post(), get()),
    options("empty options", {}),
    options("right uid", {"preconditions": {"uid": "${uid}"}}),
    options("wrong uid", {"preconditions": {"uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}}),
    options("right revision", {"preconditions": {"resourceVersion": "${rv}"}}),
    options("wrong revision", {"preconditions": {"resourceVersion": "12"}}),
    options("background", {"propagationPolicy": "Background"}),
    options("background by query", None, query="?propagationPolicy=Background"),
    options("bad propagation", {"propagationPolicy": "Sideways"}),
    options("both orphan and propagation", {"propagationPolicy": "Background", "orphanDependents": True}),
    options("grace period", {"gracePeriodSeconds": 30}),
    options("no grace period", {"gracePeriodSeconds": 0}),
    options("negative grace period", {"gracePeriodSeconds": -5}),
    options("dry run", {"dryRun": ["All"]}),
    options("dry run by query", None, query="?dryRun=All"),
    options("bad dry run", {"dryRun": ["Some"]}),
    options("unknown option", {"foo": 1}),
    options("wrong kind of options", {"kind": "Widget"}),
    options("wrong type of option", {"gracePeriodSeconds": "soon"}),
    options("malformed options", b"{"),
    options("options without a kind", b'{"propagationPolicy":"Background"}'),
    scenario("delete/finalizer holds it", HELD, delete(), get(), delete(), get()),
    scenario("delete/finalizer falls", HELD, quiet(delete()), patch({"metadata": {"finalizers": None}}), get()),
    scenario("delete/finalizer falls by update", HELD, quiet(delete()), edit(lambda o: o["metadata"].update(finalizers=[])), get()),
    scenario(
        "delete/no new finalizer while going",
        HELD,
        quiet(delete()),
        patch({"metadata": {"finalizers": ["example.com/wait", "example.com/more"]}}),
    ),
    scenario(
        "delete/other changes while going",
        HELD,
        quiet(delete()),
        patch({"spec": {"size": 9}}),
        patch({"status": {"count": 1}}, "${W}/a/status"),
    ),
    scenario("delete/deletionTimestamp stays", HELD, quiet(delete()), patch({"metadata": {"deletionTimestamp": None}}), get()),
    scenario("delete/dry run with a finalizer", HELD, delete("${W}/a?dryRun=All"), get()),
    scenario("delete/finalizer and wrong revision", HELD, delete("${W}/a", {"preconditions": {"resourceVersion": "12"}})),
    scenario("delete/again with foreground while held", HELD, quiet(delete()), delete("${W}/a?propagationPolicy=Orphan")),
    scenario("delete/foreground without dependents", MADE, delete("${W}/a?propagationPolicy=Foreground"), until(404, "${W}/a")),
    scenario("delete/orphan without dependents", MADE, delete("${W}/a?propagationPolicy=Orphan"), until(404, "${W}/a")),
    scenario("delete/dependents go in the background", MADE, owned(), quiet(delete()), until(404, f"{CONFIGMAPS}/child")),
    scenario(
        "delete/dependents go first",
        MADE,
        owned(blockOwnerDeletion=True),
        quiet(delete("${W}/a?propagationPolicy=Foreground")),
        until(404, "${W}/a"),
        get(f"{CONFIGMAPS}/child"),
    ),
    scenario(
        "delete/dependents are orphaned",
        MADE,
        owned(),
        quiet(delete("${W}/a?propagationPolicy=Orphan")),
        until(404, "${W}/a"),
        get(f"{CONFIGMAPS}/child"),
    ),
    several("all", ""),
    several("by label", "?labelSelector=app%20in%20(a,c)"),
    several("by field", "?fieldSelector=metadata.name=b"),
    several("nothing matches", "?labelSelector=app=z"),
    several("dry run", "?dryRun=All"),
    several("bad selector", "?labelSelector=a b"),
    several("propagation", "", {"propagationPolicy": "Background"}),
    scenario("deletecollection/with finalizers", HELD, delete("${W}"), get("${W}")),
    scenario("deletecollection/forbidden", delete("${W}", outsider=True)),
    scenario("deletecollection/across namespaces", delete("/apis/diff.skerry.dev/v1/widgets")),
]
