"""Which objects a read is about: namespace, name, labels, fields."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from skerry.machinery.identity import Sight
from skerry.machinery.resource import Resource
from skerry.machinery.selectors import EVERYTHING, Selector, parse_fields, parse_labels
from skerry.restapi.cache import Event, Item
from skerry.restapi.request import Options
from skerry.store.contract import Verb

AT_A_TIME = 4000
"""Conditions that are asked at a time: a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A compiled choice of objects of one kind."""

    resource: Resource
    namespace: str = ""
    labels: Selector = EVERYTHING
    fields: Selector = EVERYTHING
    sight: Sight | None = None

    @property
    def all(self) -> bool:
        """Whether nothing but the namespace chooses."""
        return not self.labels and not self.fields and self.sight is None

    def has(self, item: Item) -> bool:
        """Tell whether an object belongs to the choice."""
        if self.namespace and item.place[0] != self.namespace:
            return False
        if self.labels and not self.labels.matches(item.labels):
            return False
        if self.fields and not self.fields.matches(item.fields(self.resource)):
            return False
        return self.sight is None or self.sight.allows(item)

    async def among(self, items: Sequence[Item]) -> list[Item]:
        """Those of some objects that belong to the choice; others get their turn in between."""
        conditions = 1 + len(self.labels.requirements) + len(self.fields.requirements) + (3 if self.sight else 0)
        found: list[Item] = []
        step = max(1, AT_A_TIME // conditions)
        for begin in range(0, len(items), step):
            found += [item for item in items[begin : begin + step] if self.has(item)]
            await asyncio.sleep(0)
        return found

    def see(self, event: Event) -> tuple[str, Item] | None:
        """What a watcher of this choice sees of an event: type and object, or nothing."""
        before = event.previous is not None and self.has(event.previous)
        if event.verb is Verb.DELETE:
            return ("DELETED", event.item) if before else None
        if self.has(event.item):
            return ("MODIFIED" if before else "ADDED"), event.item
        return ("DELETED", left(event)) if before else None


def left(event: Event) -> Item:
    """What a watcher is shown of an object that leaves his choice: the version that he knew, at the revision of the change."""
    old = event.previous or event.item
    name = b'"resourceVersion":"'
    value = old.value.replace(name + b'%d"' % old.revision, name + b'%d"' % event.revision, 1)
    return Item(old.place, event.revision, value)


def select(resource: Resource, namespace: str, options: Options, sight: Sight | None = None) -> Selection:
    """Compile the selectors of a request; raises BadRequest. Nothing is chosen that is out of ``sight`` (None: all is in it)."""
    if sight is not None and sight.whole:
        sight = None
    if not options.labels and not options.fields:
        return Selection(resource, namespace, sight=sight)
    supported = {"metadata.name", *(("metadata.namespace",) if resource.namespaced else ()), *resource.selectable}
    fields = parse_fields(options.fields, supported.__contains__) if options.fields else EVERYTHING
    return Selection(resource, namespace, parse_labels(options.labels), fields, sight)
