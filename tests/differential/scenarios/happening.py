"""Events, which two groups show in two forms: created in one and read in the other, strict in the newer one, as rows."""

from __future__ import annotations

from tests.differential.scenario import (
    STRATEGIC,
    TABLE,
    Json,
    Scenario,
    apply,
    core,
    delete,
    edit,
    get,
    patch,
    post,
    quiet,
    scenario,
    watch,
)

OLDER = "/api/v1/namespaces/${ns}/events"
NEWER = "/apis/events.k8s.io/v1/namespaces/${ns}/events"
ABOUT: Json = {"apiVersion": "diff.skerry.dev/v1", "kind": "Widget", "name": "w", "namespace": "${ns}"}
SEEN = "2026-01-02T03:04:05.000006Z"


def older(**more: object) -> Json:
    """An Event of the core group."""
    return core("Event", "a", **{"involvedObject": ABOUT, "reason": "Made", "message": "It is made.", "type": "Normal", **more})


def newer(**more: object) -> Json:
    """An Event of events.k8s.io."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "a"},
        "eventTime": SEEN,
        "reportingController": "example.com/maker",
        "reportingInstance": "maker-1",
        "action": "Making",
        "reason": "Made",
        "regarding": ABOUT,
        "note": "It is made.",
        "type": "Normal",
        **more,
    }


COUNTED = older(
    count=3,
    source={"component": "maker", "host": "here"},
    firstTimestamp="2026-01-02T03:04:05Z",
    lastTimestamp="2026-01-02T03:05:05Z",
)
MADE, MADE_OLD = quiet(post(newer(), NEWER)), quiet(post(COUNTED, OLDER))


def refused(name: str, **more: object) -> Scenario:
    """An event that the newer group does not take; the older one is asked as well."""
    both = {"regarding": "involvedObject", "note": "message", "reportingController": "reportingComponent"}
    plain = {both.get(key, key): value for key, value in newer(**more).items() if not key.startswith("deprecated")}
    return scenario(f"event/refused: {name}", post(newer(**more), NEWER), post(plain | {"apiVersion": "v1"}, OLDER))


SCENARIOS = [
    scenario("event/newer group", post(newer(), NEWER), get(f"{NEWER}/a")),
    scenario("event/newer read as older", MADE, get(f"{OLDER}/a"), get(OLDER)),
    scenario("event/older read as newer", MADE_OLD, get(f"{NEWER}/a"), get(NEWER)),
    scenario("event/bare older read as newer", quiet(post(older(), OLDER)), get(f"{NEWER}/a")),
    scenario("event/counts up", MADE_OLD, patch({"count": 4}, f"{OLDER}/a", STRATEGIC), get(f"{NEWER}/a")),
    scenario(
        "event/series in the newer group",
        MADE,
        patch({"series": {"count": 2, "lastObservedTime": SEEN}}, f"{NEWER}/a", STRATEGIC),
        get(f"{OLDER}/a"),
        patch({"series": {"count": 1}}, f"{NEWER}/a"),
    ),
    scenario(
        "event/nothing else changes in the newer group", MADE, patch({"note": "x", "type": "Warning"}, f"{NEWER}/a"), get(f"{NEWER}/a")
    ),
    scenario("event/newer updated without a change", MADE, edit(lambda o: o, f"{NEWER}/a")),
    scenario("event/everything changes in the older group", MADE_OLD, patch({"message": "x", "type": "Odd", "reason": ""}, f"{OLDER}/a")),
    scenario("event/apply in the newer group", apply(newer(), path=f"{NEWER}/a"), apply(newer(), path=f"{NEWER}/a"), get(f"{NEWER}/a")),
    scenario("event/taken in the other group", MADE, post(older(), OLDER)),
    scenario("event/older body to the newer group", post(older(), NEWER)),
    scenario("event/unknown field of the other form", post(newer(message="x"), f"{NEWER}?fieldValidation=Strict")),
    scenario("event/deleted in the newer group", MADE_OLD, delete(f"{NEWER}/a"), get(f"{OLDER}/a")),
    scenario("event/collection of the newer group", MADE_OLD, delete(NEWER), get(OLDER)),
    scenario(
        "event/selected in the newer group",
        MADE,
        get(f"{NEWER}?fieldSelector=regarding.name=w,reportingController=example.com/maker"),
        get(f"{NEWER}?fieldSelector=regarding.name=z"),
        get(f"{NEWER}?fieldSelector=involvedObject.name=w"),
        get(f"{OLDER}?fieldSelector=involvedObject.name=w,reportingComponent=example.com/maker"),
    ),
    scenario("event/by source", MADE_OLD, get(f"{OLDER}?fieldSelector=source=maker"), get(f"{OLDER}?fieldSelector=source=here")),
    scenario("event/by source of the newer group", MADE, get(f"{OLDER}?fieldSelector=source=example.com/maker")),
    scenario(
        "event/watched in the newer group",
        quiet(get(NEWER, save={"head": "metadata.resourceVersion"})),
        MADE_OLD,
        quiet(patch({"count": 4}, f"{OLDER}/a", STRATEGIC)),
        quiet(delete(f"{OLDER}/a")),
        watch("&resourceVersion=${head}", NEWER),
    ),
    scenario("event/table", MADE_OLD, get(OLDER, headers={"accept": TABLE})),
    scenario(
        "event/table of one with a series",
        quiet(post(newer(series={"count": 7, "lastObservedTime": SEEN}), NEWER)),
        get(NEWER, headers={"accept": TABLE}),
    ),
    scenario("event/table of a bare one", quiet(post(older(), OLDER)), get(OLDER, headers={"accept": TABLE})),
    scenario("event/table with whole objects", MADE, get(f"{NEWER}?includeObject=Object", headers={"accept": TABLE})),
    refused("no time", eventTime=None),
    refused("no reporter", reportingController="", reportingInstance=""),
    refused("odd reporter", reportingController="a b"),
    refused("no action and no reason", action="", reason=""),
    refused("long texts", action="x" * 129, reason="x" * 129, reportingInstance="x" * 129, note="x" * 1025),
    refused("odd type", type="Odd"),
    refused("about another namespace", regarding={"kind": "Widget", "name": "w", "namespace": "elsewhere"}),
    refused("about no namespace", regarding={"kind": "Planet", "name": "w"}),
    refused("series of one", series={"count": 1}),
    refused("bad time", eventTime="soon"),
    scenario(
        "event/refused: older fields",
        post(newer(deprecatedCount=3, deprecatedSource={"component": "x"}, deprecatedFirstTimestamp="2026-01-02T03:04:05Z"), NEWER),
    ),
    scenario("discovery/events", get("/apis/events.k8s.io/v1"), get("/apis/events.k8s.io")),
]
