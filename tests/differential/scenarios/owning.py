"""Owners and namespaces: what goes with what, what waits for whom, and what is told of it."""

from __future__ import annotations

from tests.differential.scenario import Json, Step, core, delete, get, patch, planet, post, quiet, scenario, until, widget

CONFIGMAPS = "/api/v1/namespaces/${ns}/configmaps"
NAMESPACE = "/api/v1/namespaces/${ns}"
LET_GO = {"metadata": {"finalizers": None}}
NOBODY = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


def top(name: str) -> Step:
    """A widget that may own things; its uid is saved under its name."""
    return quiet(post(widget(name), save={name: "metadata.uid"}))


def owner(name: str, **more: object) -> Json:
    """A reference to such a widget."""
    return {"apiVersion": "diff.skerry.dev/v1", "kind": "Widget", "name": name, "uid": f"${{{name}}}", **more}


def child(*owners: Json, **metadata: object) -> Step:
    """A ConfigMap with these owners."""
    return quiet(post(core("ConfigMap", "child", metadata={"ownerReferences": list(owners), **metadata}), CONFIGMAPS))


def gone(path: str = f"{CONFIGMAPS}/child") -> Step:
    """Wait until something is not there."""
    return until(404, path)


SCENARIOS = [
    scenario("owner/that never was", child(owner("a") | {"uid": NOBODY}), gone()),
    scenario("owner/made anew is another", top("a"), child(owner("a")), quiet(delete()), quiet(post()), gone(), get()),
    scenario(
        "owner/one of two is left",
        top("a"),
        top("b"),
        child(owner("a"), owner("b")),
        quiet(delete()),
        quiet(until(200, f"{CONFIGMAPS}/child", '"ownerReferences":[{"apiVersion":"diff.skerry.dev/v1","kind":"Widget","name":"b"')),
        quiet(delete("${W}/b")),
        gone(),
    ),
    scenario(
        "owner/goes first although another is left",
        top("a"),
        top("b"),
        child(owner("a", blockOwnerDeletion=True), owner("b")),
        delete("${W}/a?propagationPolicy=Foreground"),
        gone("${W}/a"),
        quiet(delete("${W}/b?propagationPolicy=Orphan")),
        gone("${W}/b"),
        quiet(get(f"{CONFIGMAPS}/child")),
    ),
    scenario(
        "owner/waits for one that is held",
        top("a"),
        child(owner("a", blockOwnerDeletion=True), finalizers=["example.com/wait"]),
        quiet(delete("${W}/a?propagationPolicy=Foreground")),
        quiet(until(200, f"{CONFIGMAPS}/child", "deletionTimestamp")),
        get(),
        delete(),
        quiet(patch(LET_GO, f"{CONFIGMAPS}/child")),
        gone(),
        gone("${W}/a"),
    ),
    scenario("owner/orphans by the old option", top("a"), child(owner("a")), delete("${W}/a", {"orphanDependents": True}), gone("${W}/a")),
    scenario(
        "owner/in the background by the old option", top("a"), child(owner("a")), delete("${W}/a", {"orphanDependents": False}), gone()
    ),
    scenario(
        "owner/of a collection",
        top("a"),
        child(owner("a")),
        quiet(delete("${W}?propagationPolicy=Foreground&labelSelector=!nope")),
        gone(),
        gone("${W}/a"),
    ),
    scenario(
        "owner/in another namespace is none",
        quiet(post(core("ConfigMap", "${ns}"), "/api/v1/namespaces/default/configmaps", save={"far": "metadata.uid"})),
        child({"apiVersion": "v1", "kind": "ConfigMap", "name": "${ns}", "uid": "${far}"}),
        gone(),
        quiet(delete("/api/v1/namespaces/default/configmaps/${ns}")),
    ),
    scenario(
        "owner/outside of namespaces",
        quiet(post(planet(), "${P}", save={"planet": "metadata.uid"})),
        child({"apiVersion": "diff.skerry.dev/v1", "kind": "Planet", "name": "${ns}", "uid": "${planet}"}),
        quiet(delete("${P}/${ns}")),
        gone(),
    ),
    scenario(
        "owner/orphaned before it goes is held by nobody",
        top("a"),
        quiet(patch({"metadata": {"finalizers": ["orphan"]}})),
        delete(),
        gone("${W}/a"),
    ),
    scenario("owner/foreground replaces orphan", top("a"), quiet(patch({"metadata": {"finalizers": ["example.com/x", "orphan"]}})), get()),
    scenario(
        "namespace/tells what it waits for",
        quiet(post(widget(metadata={"finalizers": ["example.com/wait"]}))),
        quiet(post(widget("b", metadata={"finalizers": ["example.com/wait", "example.com/more"]}))),
        quiet(post(core("ConfigMap", "quick"), CONFIGMAPS)),
        delete(NAMESPACE),
        until(200, NAMESPACE, "SomeFinalizersRemain"),
        quiet(patch(LET_GO)),
        quiet(patch(LET_GO, "${W}/b")),
        gone(NAMESPACE),
    ),
    scenario(
        "namespace/finalize by hand",
        quiet(post(widget(metadata={"finalizers": ["example.com/wait"]}))),
        delete(NAMESPACE),
        Step("PUT", f"{NAMESPACE}/finalize", core("Namespace", "${ns}", spec={"finalizers": ["kubernetes", "example.com/more"]})),
        Step("PUT", f"{NAMESPACE}/finalize", core("Namespace", "other", spec={"finalizers": []})),
        Step("GET", f"{NAMESPACE}/finalize"),
        Step("PUT", f"{NAMESPACE}/finalize", core("Namespace", "${ns}", spec={"finalizers": []})),
        gone(NAMESPACE),
        quiet(patch(LET_GO)),
    ),
    scenario("namespace/status by hand", patch({"status": {"phase": "Terminating"}}, f"{NAMESPACE}/status"), get(NAMESPACE)),
    scenario("namespace/dry run", delete(f"{NAMESPACE}?dryRun=All"), get(NAMESPACE)),
    scenario("namespace/wrong uid", delete(NAMESPACE, {"preconditions": {"uid": NOBODY}})),
    scenario("namespace/twice", quiet(post(widget(metadata={"finalizers": ["a.io/b"]}))), quiet(delete(NAMESPACE)), delete(NAMESPACE)),
    scenario("namespace/unknown", get("/api/v1/namespaces/d-nowhere"), delete("/api/v1/namespaces/d-nowhere")),
    scenario("namespace/create with a status", post(core("Namespace", "${ns}-x", status={"phase": "Terminating"}), "/api/v1/namespaces")),
    scenario("namespace/create with finalizers", post(core("Namespace", "${ns}-x", spec={"finalizers": ["a.io/b"]}), "/api/v1/namespaces")),
]
