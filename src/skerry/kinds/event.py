"""Event (core/v1 and events.k8s.io/v1): what happened to an object, for people who run `kubectl describe`.

Both groups show the same stored objects. The newer one asks more of an event that it creates, and
lets nothing but the series of one change, as in Kubernetes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Annotated

from skerry.kinds.common import Metadata, Shape
from skerry.kinds.rules import bad, missing
from skerry.kinds.shape import doc, structural
from skerry.machinery.errors import Cause
from skerry.machinery.names import qualified_name_problems
from skerry.machinery.resource import Column, Json, Look, Resource, Rule
from skerry.machinery.schema import Schema
from skerry.machinery.twin import Twin


class ObjectReference(Shape):
    """Points at an object."""

    api_version: Annotated[str, doc("API version of the object.")] = ""
    kind: Annotated[str, doc("Kind of the object.")] = ""
    namespace: Annotated[str, doc("Namespace of the object.")] = ""
    name: Annotated[str, doc("Name of the object.")] = ""
    uid: Annotated[str, doc("Uid of the object.")] = ""
    resource_version: Annotated[str, doc("Revision of the object.")] = ""
    field_path: Annotated[str, doc("Part of the object.")] = ""


class EventSource(Shape):
    """Who reported the event."""

    component: Annotated[str, doc("Component that reported it.")] = ""
    host: Annotated[str, doc("Host that it ran on.")] = ""


class EventSeries(Shape):
    """How often an ongoing event was seen."""

    count: Annotated[int, doc("Number of occurrences.")] = 0
    last_observed_time: Annotated[str | None, doc("When it was last seen.", format="date-time", nullable=True)] = None


class Event(Shape):
    """What happened to an object."""

    metadata: Metadata
    involved_object: Annotated[ObjectReference, doc("What the event is about.", **{"x-kubernetes-map-type": "atomic"})]
    reason: Annotated[str, doc("Why, in one CamelCase word.")] = ""
    message: Annotated[str, doc("What happened, in a sentence.")] = ""
    source: Annotated[EventSource | None, doc("Who reported it.")] = None
    type: Annotated[str, doc("Normal or Warning.")] = ""
    count: Annotated[int, doc("Number of occurrences.")] = 0
    first_timestamp: Annotated[str | None, doc("When it was first seen.", format="date-time", nullable=True)] = None
    last_timestamp: Annotated[str | None, doc("When it was last seen.", format="date-time", nullable=True)] = None
    event_time: Annotated[str | None, doc("When it was first seen, in microseconds.", format="date-time", nullable=True)] = None
    series: Annotated[EventSeries | None, doc("How often it was seen, if it goes on.", nullable=True)] = None
    action: Annotated[str, doc("What was done or failed.")] = ""
    related: Annotated[ObjectReference | None, doc("A second object that it is about.")] = None
    reporting_component: Annotated[str, doc("Controller that reported it.")] = ""
    reporting_instance: Annotated[str, doc("Instance of that controller.")] = ""


class NewerEvent(Shape):
    """What happened to an object, as controllers of today report it."""

    metadata: Metadata
    event_time: Annotated[str | None, doc("When it was first seen, in microseconds.", format="date-time", nullable=True)] = None
    series: Annotated[EventSeries | None, doc("How often it was seen, if it goes on.", nullable=True)] = None
    reporting_controller: Annotated[str, doc("Controller that reported it.")] = ""
    reporting_instance: Annotated[str, doc("Instance of that controller.")] = ""
    action: Annotated[str, doc("What was done or failed.")] = ""
    reason: Annotated[str, doc("Why, in one CamelCase word.")] = ""
    regarding: Annotated[ObjectReference | None, doc("What the event is about.", **{"x-kubernetes-map-type": "atomic"})] = None
    related: Annotated[ObjectReference | None, doc("A second object that it is about.", **{"x-kubernetes-map-type": "atomic"})] = None
    note: Annotated[str, doc("What happened, in a sentence.")] = ""
    type: Annotated[str, doc("Normal or Warning.")] = ""
    deprecated_source: Annotated[EventSource | None, doc("Who reported it, in the older form.")] = None
    deprecated_first_timestamp: Annotated[
        str | None, doc("When it was first seen, in the older form.", format="date-time", nullable=True)
    ] = None
    deprecated_last_timestamp: Annotated[
        str | None, doc("When it was last seen, in the older form.", format="date-time", nullable=True)
    ] = None
    deprecated_count: Annotated[int, doc("Number of occurrences, in the older form.")] = 0


ZERO: Json = {
    "involvedObject": {},
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
    "eventTime": None,
    "reportingComponent": "",
    "reportingInstance": "",
}
"""What typed clients expect to find in every event."""

TWIN = Twin(
    key="events",
    api_version="v1",
    names={
        "reportingController": "reportingComponent",
        "regarding": "involvedObject",
        "note": "message",
        "deprecatedSource": "source",
        "deprecatedFirstTimestamp": "firstTimestamp",
        "deprecatedLastTimestamp": "lastTimestamp",
        "deprecatedCount": "count",
    },
    zero=ZERO,
)
NEWER_ZERO: Json = {name: value for name, value in TWIN.shown(ZERO, "").items() if name != "apiVersion"}


def whole(zero: Json) -> Callable[[Json], None]:
    """Fill in what typed clients expect to find, and leave out what is empty."""

    def prepare(obj: Json) -> None:
        for name in [name for name, value in obj.items() if value in ("", 0)]:
            del obj[name]
        for name, value in zero.items():
            obj.setdefault(name, copy.copy(value))
        if isinstance(obj.get("series"), dict):
            obj["series"].setdefault("lastObservedTime", None)

    return prepare


MOST_LETTERS = 128


def sound(controller: str) -> Rule:
    """What holds for events of both groups; ``controller`` is how the group calls the reporting controller.

    An event lives beside what it is about; what lives in no namespace has its events in ``default``. One with
    an ``eventTime`` says who reported what.
    """

    def rule(look: Look) -> Sequence[Cause]:
        event = TWIN.stored(look.new)
        about, own = event["involvedObject"].get("namespace", ""), event["metadata"].get("namespace", "")
        newer = bool(event["eventTime"])
        found = []
        if not (about == own or (newer and about) or (not about and own in {"default", "kube-system" if newer else ""})):
            found.append(bad("involvedObject.namespace", about, "does not match event.namespace"))
        if newer:
            found += _reported(event, controller)
        return found

    return rule


def _reported(event: Json, controller: str) -> list[Cause]:
    found = []
    reporter = event["reportingComponent"]
    if not reporter:
        found.append(missing(controller))
    found += [bad(controller, reporter, problem) for problem in qualified_name_problems(reporter)]
    for name in ("reportingInstance", "action", "reason"):
        if not event.get(name):
            found.append(missing(name))
        elif len(event[name]) > MOST_LETTERS:
            found.append(bad(name, "", f"can have at most {MOST_LETTERS} characters"))
    if len(event.get("message") or "") > MOST_NOTE:
        found.append(bad("message", "", f"can have at most {MOST_NOTE} characters"))
    return found


MOST_NOTE = 1024


def strict(look: Look) -> Sequence[Cause]:
    """What the newer group asks beyond that: nothing of the older form on create, nothing but the series on update."""
    event, found = TWIN.stored(look.new), []
    series = event.get("series")
    if series is not None:
        if series.get("count", 0) < 2:
            found.append(bad("series.count", "", "should be at least 2"))
        if not series.get("lastObservedTime"):
            found.append(missing("series.lastObservedTime"))
    if look.old is not None:
        old = TWIN.stored(look.old)
        return [*found, *(bad(name, event.get(name), "field is immutable") for name in FIXED if event.get(name) != old.get(name))]
    if not event["eventTime"]:
        found.append(missing("eventTime"))
    if event.get("type") not in {"Normal", "Warning"}:
        found.append(bad("type", "", f"has invalid value: {event.get('type', '')}"))
    return [
        *found,
        *(bad(name, "", "needs to be unset") for name in ("firstTimestamp", "lastTimestamp", "count", "source") if event.get(name)),
    ]


FIXED = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
)


def _first_seen(obj: Json) -> str | None:
    found: str | None = obj.get("firstTimestamp") or obj.get("eventTime")
    return found


def _last_seen(obj: Json) -> str | None:
    found: str | None = obj["series"].get("lastObservedTime") if obj.get("series") else obj.get("lastTimestamp") or _first_seen(obj)
    return found


def _about(obj: Json) -> str:
    about = obj.get("involvedObject") or {}
    return "/".join(filter(None, (about.get("kind", "").lower(), about.get("name"))))


def _source(obj: Json) -> str:
    source = obj.get("source") or {}
    names = (source.get("component") or obj.get("reportingComponent"), source.get("host") or obj.get("reportingInstance"))
    return ", ".join(filter(None, names))


COLUMNS = (
    Column("Last Seen", "", "date", description="When it was last seen", value=_last_seen),
    Column("Type", ".type", description="Normal or Warning", value=lambda obj: obj.get("type") or ""),
    Column("Reason", ".reason", description="Why, in one word", value=lambda obj: obj.get("reason") or ""),
    Column("Object", "", description="What it is about", value=_about),
    Column(
        "Subobject", "", description="Part of it", priority=1, value=lambda obj: (obj.get("involvedObject") or {}).get("fieldPath") or ""
    ),
    Column("Source", "", description="Who reported it", priority=1, value=_source),
    Column("Message", ".message", description="What happened", value=lambda obj: (obj.get("message") or "").strip()),
    Column("First Seen", "", "date", description="When it was first seen", priority=1, value=_first_seen),
    Column(
        "Count",
        "",
        "integer",
        description="How often it was seen",
        priority=1,
        value=lambda obj: (obj.get("series") or obj).get("count") or 1,
    ),
    Column("Name", ".metadata.name", description="Name of the event", format="name", priority=1),
)
REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
REPORTER = ("source.component", "reportingComponent")

RESOURCE = Resource(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    short_names=("ev",),
    schema=Schema(structural(Event)),
    generation=False,
    strategic=True,
    prepare=whole(ZERO),
    zero=ZERO,
    rules=(sound("reportingComponent"),),
    selectable=(*(f"involvedObject.{name}" for name in REFERENCE), "reason", "reportingComponent", "source", "type"),
    field_paths={"source": REPORTER},
    columns=COLUMNS,
    name_first=False,
)
NEWER = Resource(
    group="events.k8s.io",
    version="v1",
    kind="Event",
    plural="events",
    short_names=("ev",),
    schema=Schema(structural(NewerEvent)),
    generation=False,
    strategic=True,
    prepare=whole(NEWER_ZERO),
    zero=NEWER_ZERO,
    rules=(sound("reportingController"), strict),
    selectable=(*(f"regarding.{name}" for name in REFERENCE), "reason", "reportingController", "type"),
    field_paths={
        **{f"regarding.{name}": (f"involvedObject.{name}",) for name in REFERENCE},
        "reportingController": ("reportingComponent",),
    },
    columns=COLUMNS,
    name_first=False,
    twin=TWIN,
)
