"""The clients of a server that is killed: writers that know what they were told, watchers that go on where they were cut.

The objects are Credentials: they have a status of their own, and no controller of ours writes
to them. Each write puts its token into the spec or the status, and what else is there follows
from the token, so that half a write would show.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
from collections.abc import Awaitable, Callable
from itertools import count
from random import Random
from typing import Any

import msgspec

from skerry.client.contract import Event, Ref
from skerry.client.http import HttpClient
from skerry.kit.aio import Pulse
from skerry.machinery.errors import ApiError, Expired
from tests.e2e.history import GONE, Round, Seen, Write
from tests.e2e.server import Server

Json = dict[str, Any]
THINGS = Ref("fleet.skerry.dev", "v1alpha1", "credentials", namespaced=False)
EVEN, RARE = "even", "rare"


def labels_of(token: str) -> dict[str, str]:
    return {EVEN: str(int(token) % 2 == 0).lower(), RARE: str(int(token) % 50 == 0).lower()}


def text_of(token: str) -> str:
    return f"{token} {token[-1] * 500}"


def thing(name: str, token: str) -> Json:
    metadata = {"name": name, "labels": labels_of(token)}
    spec = {"secretRef": {"name": "secret"}, "description": text_of(token)}
    return {"apiVersion": "fleet.skerry.dev/v1alpha1", "kind": "Credential", "metadata": metadata, "spec": spec}


def status(token: str) -> Json:
    return {"conditions": [{"type": "Asked", "status": "True", "reason": "Asked", "message": text_of(token)}]}


def seen(kind: str, obj: Json) -> Seen:
    """Read an object as ``history`` knows it."""
    metadata = obj["metadata"]
    token = obj["spec"]["description"].split()[0]
    whole = thing(metadata["name"], token)
    as_asked = obj["spec"]["description"] == text_of(token) and metadata["labels"] == whole["metadata"]["labels"]
    if conditions := (obj.get("status") or {}).get("conditions"):
        message = conditions[0]["message"]
        as_asked &= message == text_of(message.split()[0])
        token = max(token, message.split()[0], key=int)  # an object's writes follow each other, and tokens count up
    body = hashlib.sha256(msgspec.json.encode({**obj, "kind": "", "apiVersion": ""}, order="deterministic")).hexdigest()
    chosen = frozenset(key for key, value in metadata["labels"].items() if value == "true")
    return Seen(int(metadata["resourceVersion"]), kind, metadata["name"], token if as_asked else f"torn {token}", body, chosen)


class Watcher:
    """A client that watches, and goes on from its last revision when it is cut, be it an event's or a bookmark's."""

    def __init__(self, client: HttpClient, up: asyncio.Event, since: str, label: str = "") -> None:
        self.events: list[Seen] = []
        self.resumed = self.bookmarks = 0
        self.since = since
        self.label = label
        self._client, self._up = client, up
        self._selector = f"{label}=true" if label else ""
        self._pulse = Pulse()

    async def run(self) -> None:
        while True:
            await self._up.wait()
            try:
                async for event in self._client.watch(THINGS, labels=self._selector, resource_version=self.since):
                    self._take(event)
            except Expired:
                raise
            except ApiError:
                pass  # cut off
            self.resumed += 1
            await asyncio.sleep(0.01)  # a real client backs off too

    def _take(self, event: Event) -> None:
        self.since = event.object["metadata"]["resourceVersion"]
        if event.type == "BOOKMARK":
            self.bookmarks += 1
        else:
            self.events.append(seen(event.type, event.object))
        self._pulse.beat()

    async def reached(self, revision: int) -> None:
        """Return once it knows of everything up to a revision that is in its sight."""
        while int(self.since) < revision:
            await self._pulse.after(self._pulse.count)

    async def bookmarked(self) -> None:
        """Return once it was sent a bookmark."""
        while not self.bookmarks:
            await self._pulse.after(self._pulse.count)


class Crash:
    """The server, everybody who uses it, and what they know."""

    def __init__(self, server: Server, client: HttpClient, start: str) -> None:
        self.server, self.client = server, client
        self.up = asyncio.Event()
        self.up.set()
        self.rounds = [Round(int(start))]
        self.log: list[Seen] = []
        """Every event so far, each read once, by a watch that began after the server had been started again."""
        self._tokens = count(1)
        self._position = start
        self._acknowledged = Pulse()

    async def writer(self, number: int, random: Random) -> None:
        """Create, update, apply, delete, one object after the other; an object in doubt is never touched again."""
        for turn in count():
            name = f"w{number}-{turn}"
            await self.up.wait()
            made = await self.create(name)
            for _ in range(random.randint(1, 4)):
                if made is not None:
                    made = await random.choice((self._update, self._update_status, self._apply))(name, made)
            if made is not None and random.random() < 0.5:
                await self._delete(name)

    async def create(self, name: str) -> Json | None:
        return await self._write("ADDED", name, lambda token: self.client.create(THINGS, thing(name, token)))

    async def _update(self, name: str, now: Json) -> Json | None:
        def send(token: str) -> Awaitable[Json]:
            asked = thing(name, token)
            return self.client.replace(THINGS, {**now, "metadata": {**now["metadata"], **asked["metadata"]}, "spec": asked["spec"]})

        return await self._write("MODIFIED", name, send)

    async def _update_status(self, name: str, now: Json) -> Json | None:
        send: Callable[[str], Awaitable[Json]] = lambda token: self.client.replace(  # noqa: E731 one of three alike
            THINGS, {**now, "status": status(token)}, subresource="status"
        )
        return await self._write("MODIFIED", name, send)

    async def _apply(self, name: str, _: Json) -> Json | None:
        return await self._write("MODIFIED", name, lambda token: self.client.apply(THINGS, thing(name, token), manager="crash", force=True))

    async def _write(self, kind: str, name: str, send: Callable[[str], Awaitable[Json]]) -> Json | None:
        token, now = str(next(self._tokens)), self.rounds[-1]
        now.doubtful.add((name, token))  # until it is acknowledged
        try:
            answer = await send(token)
        except ApiError:
            return None
        told = seen(kind, answer)
        self._told(Write(kind, name, token, told.revision, told.body), now)
        return answer

    async def _delete(self, name: str) -> None:
        now = self.rounds[-1]
        now.doubtful.add((name, GONE))
        try:
            await self.client.delete(THINGS, name)
        except ApiError:
            return
        self._told(Write("DELETED", name, GONE), now)

    def _told(self, write: Write, now: Round) -> None:
        now.doubtful.discard((write.name, write.token))
        now.acknowledged.append(write)
        self._acknowledged.beat()

    async def stop_after(self, writes: int, number: signal.Signals) -> None:
        """Signal the server at once when so many writes of this round are acknowledged, and start it again when it is gone."""
        while len(self.rounds[-1].acknowledged) < writes:
            await self._acknowledged.after(self._acknowledged.count)
        self.up.clear()
        self.server.signal(number)
        await asyncio.to_thread(self.server.gone)
        await asyncio.to_thread(self.server.start)

    async def read_log(self) -> int:
        """Read the log from where the last reading ended, up to a mark that is made for it; returns the mark's revision."""
        made = await self.create(f"mark-{len(self.log)}")
        assert made is not None
        mark = int(made["metadata"]["resourceVersion"])
        async for event in self.client.watch(THINGS, resource_version=self._position):
            if event.type != "BOOKMARK":
                self.log.append(seen(event.type, event.object))
                self._position = event.object["metadata"]["resourceVersion"]
            if int(self._position) >= mark:
                break
        return mark
