"""The scale subresource of a kind that declares one: what it shows, what it takes, and who owns the field then."""

from __future__ import annotations

from tests.differential.scenario import JSON_PATCH, Json, Scenario, Step, apply, edit, get, patch, post, put, quiet, scenario, widget

MADE = quiet(post(widget(spec={"size": 2}), save={"rv": "metadata.resourceVersion", "uid": "metadata.uid"}))
SCALE = "${W}/a/scale"


def body(replicas: object = 4, **metadata: object) -> Json:
    """A Scale."""
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a", **metadata}, "spec": {"replicas": replicas}}


def scaled(name: str, *steps: Step) -> Scenario:
    """A widget of size 2 is scaled; the widget is looked at afterwards."""
    return scenario(f"scale/{name}", MADE, *steps, get())


SCENARIOS = [
    scaled("shown", get(SCALE), patch({"status": {"count": 2, "phase": "Ready"}}, "${W}/a/status"), get(SCALE)),
    scaled("missing", get("${W}/b/scale"), put(body(), "${W}/b/scale"), patch({"spec": {"replicas": 1}}, "${W}/b/scale")),
    scaled("no such subresource", get("${P}/a/scale"), get("${W}/a/scales")),
    scaled("by update", put(body(), SCALE)),
    scaled("by update of what was read", edit(lambda found: found["spec"].update(replicas=5), SCALE)),
    scaled("to what it is", put(body(2), SCALE)),
    scaled("by update at a stale revision", put(body(resourceVersion="12"), SCALE)),
    scaled("by update at the right revision", put(body(resourceVersion="${rv}"), SCALE)),
    scaled("by update of another uid", put(body(uid="6ba7b810-9dad-11d1-80b4-00c04fd430c8"), SCALE)),
    scaled("by update of another name", put(body(name="b"), SCALE)),
    scaled("below zero", put(body(-1), SCALE), patch({"spec": {"replicas": -1}}, SCALE)),
    scaled("beyond what the kind allows", put(body(11), SCALE), patch({"spec": {"replicas": 0}}, SCALE)),
    scaled("by merge patch", patch({"spec": {"replicas": 7}}, SCALE), get(SCALE)),
    scaled("by merge patch at a stale revision", patch({"metadata": {"resourceVersion": "12"}, "spec": {"replicas": 7}}, SCALE)),
    scaled("by JSON patch", patch([{"op": "replace", "path": "/spec/replicas", "value": 6}], SCALE, JSON_PATCH)),
    scaled("by JSON patch that does not fit", patch([{"op": "test", "path": "/spec/replicas", "value": 6}], SCALE, JSON_PATCH)),
    scaled("dry run", put(body(), f"{SCALE}?dryRun=All"), patch({"spec": {"replicas": 7}}, f"{SCALE}?dryRun=All")),
    scaled("as a manager", put(body(), f"{SCALE}?fieldManager=hand"), put(body(6), f"{SCALE}?fieldManager=other")),
    scaled(
        "what somebody applied",
        apply({"apiVersion": "diff.skerry.dev/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"size": 2}}),
        patch({"spec": {"replicas": 7}}, SCALE),
        apply({"apiVersion": "diff.skerry.dev/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"size": 2}}),
    ),
    scaled("not by apply", apply(body(7), path=SCALE)),
    scaled("not by delete", Step("DELETE", SCALE), Step("POST", SCALE, body())),
    scaled("forbidden", get(SCALE, outsider=True), put(body(), SCALE, outsider=True)),
]
