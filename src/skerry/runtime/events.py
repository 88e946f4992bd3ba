"""What happened to an object, told as Kubernetes Events: what `kubectl describe` and `kubectl get events` show.

* Telling is best effort: an Event is written by a task of its own, never holds up or fails what it tells of, and is
  logged where it cannot be written.
* What is told of an object again counts its Event up, as with client-go, instead of making another.
* An Event is kept for an hour after it was last seen, as by a kube-apiserver.

What is worth telling is decided by whoever tells it; :func:`changed` finds the conditions that have news.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import OrderedDict, deque
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from skerry.client.contract import Client, PatchKind, Ref
from skerry.kit.clock import Clock, parse, rfc3339
from skerry.kit.log import get
from skerry.machinery.errors import ApiError, NotFound
from skerry.machinery.resource import Json

EVENTS = Ref("", "v1", "events")
KEPT_SECONDS = 3600.0
REMEMBERED = 1024
MESSAGE_LENGTH = 1024
"""Longer messages are cut, as by client-go; a kube-apiserver refuses them."""

log = get("runtime.events")


class _News(NamedTuple):
    """What is to be told: ``about`` is an object reference, ``kind`` Normal or Warning."""

    about: Json
    kind: str
    reason: str
    message: str


class _Told(NamedTuple):
    """An Event that was written: where it is, how often it was seen."""

    namespace: str
    name: str
    seen: int


class Recorder:
    """Tells what happened, in the name of one component, while it runs."""

    def __init__(self, client: Client, component: str, clock: Clock) -> None:
        """``component`` is who reports, such as ``skerry-lifecycle``."""
        self._client, self._component, self._clock = client, component, clock
        self._news: deque[_News] = deque(maxlen=REMEMBERED)
        self._some = asyncio.Event()
        self._told: OrderedDict[tuple[str, ...], _Told] = OrderedDict()

    def tell(self, obj: Json, reason: str, message: str, *, warning: bool = False) -> None:
        """Have an Event about ``obj`` written soon; nobody waits for it, and where too many are waiting the oldest are dropped."""
        about = {name: obj["metadata"][name] for name in ("namespace", "name", "uid", "resourceVersion") if name in obj["metadata"]}
        about |= {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
        self._news.append(_News(about, "Warning" if warning else "Normal", reason, message[:MESSAGE_LENGTH]))
        self._some.set()

    async def run(self) -> None:
        """Write what is told, until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            await self.write()

    async def write(self) -> None:
        """Write everything that was told up to now."""
        while self._news:
            news = self._news.popleft()
            key = (news.about["uid"], news.kind, news.reason, news.message)
            try:
                told = await self._again(self._told.pop(key, None)) or await self._first(news)
            except ApiError as error:
                log.info("an event could not be written", about=news.about["name"], reason=news.reason, error=error.message)
                continue
            self._told[key] = told
            if len(self._told) > REMEMBERED:
                self._told.popitem(last=False)

    async def _again(self, told: _Told | None) -> _Told | None:
        """Count up what was told before; None if that is gone."""
        if told is None:
            return None
        body = {"count": told.seen + 1, "lastTimestamp": rfc3339(self._clock.now())}
        try:
            await self._client.patch(EVENTS, told.name, told.namespace, PatchKind.MERGE, body, manager=self._component)
        except NotFound:
            return None
        return told._replace(seen=told.seen + 1)

    async def _first(self, news: _News) -> _Told:
        now = rfc3339(self._clock.now())
        told = _Told(news.about.get("namespace", "default"), f"{news.about['name'][:236]}.{secrets.token_hex(8)}", 1)
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": told.name, "namespace": told.namespace},
            "involvedObject": news.about,
            "type": news.kind,
            "reason": news.reason,
            "message": news.message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        await self._client.create(EVENTS, body, told.namespace, manager=self._component)
        return told


def changed(before: Json | None, after: Json, types: Iterable[str]) -> list[Json]:
    """The conditions of some types in a status whose status or reason is not what it was in the status before."""
    old = {each["type"]: (each["status"], each["reason"]) for each in (before or {}).get("conditions") or ()}
    wanted = frozenset(types)
    new: list[Json] = [each for each in after.get("conditions") or () if each["type"] in wanted]
    return [each for each in new if old.get(each["type"]) != (each["status"], each["reason"])]


def over(event: Json, now: datetime) -> bool:
    """Whether nobody has seen an Event for so long that it is forgotten."""
    return (now - _last_seen(event)).total_seconds() >= KEPT_SECONDS


def _last_seen(event: Json) -> datetime:
    series = event.get("series") or {}
    for text in (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime")):
        with contextlib.suppress(ValueError):  # whatever a client has made of it
            if text:
                return parse(text)
    return parse(event["metadata"]["creationTimestamp"])
