"""Event (core/v1): what happened to an object, for people who run `kubectl describe`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Annotated

from skerry.kinds.common import Metadata, Shape
from skerry.kinds.rules import bad
from skerry.kinds.shape import doc, structural
from skerry.machinery.errors import Cause
from skerry.machinery.resource import Column, Json, Look, Resource
from skerry.machinery.schema import Schema


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
    last_observed_time: Annotated[str, doc("When it was last seen.", format="date-time")] = ""


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


def whole(obj: Json) -> None:
    """Fill in what typed clients expect to find."""
    for name, value in ZERO.items():
        obj.setdefault(name, copy.copy(value))


def beside(look: Look) -> Sequence[Cause]:
    """An event lives beside what it is about; what lives in no namespace has its events in ``default``."""
    about, own = look.new["involvedObject"].get("namespace", ""), look.new["metadata"].get("namespace", "")
    if about == own or (not about and own == "default"):
        return ()
    return (bad("involvedObject.namespace", about, "does not match event.namespace"),)


RESOURCE = Resource(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    short_names=("ev",),
    schema=Schema(structural(Event)),
    generation=False,
    strategic=True,
    prepare=whole,
    zero=ZERO,
    rules=(beside,),
    selectable=(
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    columns=(
        Column("Last seen", ".lastTimestamp", "date"),
        Column("Type", ".type"),
        Column("Reason", ".reason"),
        Column("Object", ".involvedObject.name"),
        Column("Message", ".message"),
    ),
)
