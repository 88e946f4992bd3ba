"""What was asked and what became of it: one line of JSON per decision, only ever appended.

Every write and every refusal is recorded, and every read of people and robots. What our own
processes read without being refused is not: they read everything, all the time. Nor is the
looking around that tells nothing of anybody's objects (discovery, health, metrics). Bodies and
credentials never get here.

The server hands over a record and goes on; encoding is done there and then (a few microseconds,
so the line says what was true), writing on a thread of its own, in batches. While the disk
refuses, lines wait in memory, up to a bound; what is lost beyond it is counted, logged, and
written down as a line of its own as soon as there is room again. A half-written last line (the
machine died) is closed before the first new one.

Lines are chained by hashes (``chain.py``), in the order in which they were handed over. The
newest one's place is kept in a file beside the log, so that a log that lost its end is noticed,
and the chain goes on where the log was moved away: a new one is begun with the next record.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from skerry.access import chain
from skerry.access.chain import Head
from skerry.kit.clock import Clock, rfc3339_micro
from skerry.kit.log import get
from skerry.machinery.identity import Attributes
from skerry.pki.policy import COMPONENTS

MOST_WAITING = 20_000
"""Lines that may wait for the disk; reads leave half of the room to what changed or was refused."""

GATHER_SECONDS = 0.005
"""How long the first line waits for more: to wake the writing thread for each costs as much as a read."""

RETRY_SECONDS = 1.0

READS = frozenset(("get", "list", "watch", "head"))
AROUND = ("/api", "/healthz", "/livez", "/metrics", "/openapi", "/readyz", "/version")
"""How the paths begin that tell nothing of anybody's objects."""

LONGEST_LINE = 256 * 1024
"""How far back the last whole line of a log is looked for, in bytes."""

Waiting = tuple[bytes, Head]
"""A line, or what is left of it to be written, and its place in the chain."""

log = get("access.audit")


def head_path(path: Path) -> Path:
    """The file beside a log that tells its newest line."""
    return path.with_name(f"{path.name}.head")


def head_beside(path: Path) -> Head | None:
    """What the file beside a log tells; None if it is not there or tells nothing."""
    try:
        number, _, digest = head_path(path).read_text().strip().partition(" ")
        return Head(int(number), digest)
    except (OSError, ValueError):
        return None


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


class Record(Protocol):
    """What the server hands over."""

    @property
    def attributes(self) -> Attributes:
        """Who asked for what."""
        ...

    @property
    def code(self) -> int:
        """HTTP status."""
        ...

    @property
    def reason(self) -> str:
        """Why it failed; empty if it did not."""
        ...

    @property
    def address(self) -> str:
        """Where the caller was."""
        ...

    @property
    def request_id(self) -> str:
        """What the answer's ``audit-id`` header says."""
        ...


def worth_recording(record: Record) -> bool:
    """Whether a decision is written down."""
    asked = record.attributes
    if record.code >= 400 or asked.verb not in READS:
        return True
    if asked.path:
        return asked.path != "/" and not asked.path.startswith(AROUND)
    return COMPONENTS not in asked.user.groups


class Line(msgspec.Struct, omit_defaults=True, rename="camel"):
    """A line of the log."""

    time: str
    id: str
    user: str
    verb: str
    code: int
    groups: tuple[str, ...] = ()
    resource: str = ""
    api_group: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    impersonated_by: str = ""
    reason: str = ""
    address: str = ""


def line(record: Record, time: str) -> Line:
    """What is written of a record."""
    asked = record.attributes
    return Line(
        time=time,
        id=record.request_id,
        user=asked.user.name,
        verb=asked.verb,
        code=record.code,
        groups=asked.user.groups,
        resource=asked.resource,
        api_group=asked.group,
        subresource=asked.subresource,
        namespace=asked.namespace,
        name=asked.name,
        path=asked.path,
        impersonated_by=asked.user.by,
        reason=record.reason,
        address=record.address,
    )


class NoAudit:
    """For APIs that nobody answers for: simulated clusters."""

    def record(self, record: Record) -> None:
        """Forget it."""


class MemoryAudit:
    """Keeps the last lines in memory."""

    def __init__(self, clock: Clock, most: int = 10_000) -> None:
        """``most`` lines are kept."""
        self._clock = clock
        self.lines: deque[Line] = deque(maxlen=most)

    def record(self, record: Record) -> None:
        """Keep a record."""
        if worth_recording(record):
            self.lines.append(line(record, rfc3339_micro(self._clock.now())))


class AuditFile:
    """Appends to a file, mode 0600, on a thread of its own."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Open the file, making it and its folder if they are not there; raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._clock = clock
        self._encoder = msgspec.json.Encoder()
        self._path = path
        self._descriptor = _opened(path)
        self._head_descriptor = os.open(head_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._head = self._last_head(path)
        self._close_torn_line()
        self._changed = threading.Condition()
        self._waiting: list[Waiting] = []
        self._closing = False
        self._ending = threading.Event()
        self._written = self._lost = self._lost_untold = 0
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def record(self, record: Record) -> None:
        """Write a record down, soon; never waits for the disk."""
        if not worth_recording(record):
            return
        encoded = self._encoder.encode(line(record, rfc3339_micro(self._clock.now())))
        room = MOST_WAITING // 2 if record.code < 400 and record.attributes.verb in READS else MOST_WAITING
        with self._changed:
            if self._closing or len(self._waiting) >= room:
                self._lost += 1
                self._lost_untold += 1
                return
            self._waiting.append(self._linked(encoded))
            if len(self._waiting) == 1:
                self._changed.notify()

    def close(self) -> None:
        """Write what waits, to the disk itself, and end; a second call does nothing."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._ending.set()
            self._changed.notify()
        self._thread.join()
        try:
            os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)
            os.close(self._head_descriptor)

    @property
    def failing(self) -> bool:
        """Whether the file could not be written when it was last tried."""
        return self._failing

    def statistics(self) -> dict[str, int]:
        """Lines written, waiting and lost."""
        return {"written": self._written, "waiting": len(self._waiting), "lost": self._lost}

    def _last_head(self, path: Path) -> Head:
        """The newest place that is known: of the log itself, or from beside it where the log was rotated."""
        size = os.fstat(self._descriptor).st_size
        tail = os.pread(self._descriptor, LONGEST_LINE, max(0, size - LONGEST_LINE)).splitlines()
        places = [place[0] for text in tail if (place := chain.read(text)) is not None]
        return max(places[-1] if places else Head(), head_beside(path) or Head())

    def _close_torn_line(self) -> None:
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            os.write(self._descriptor, b"\n")

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
            self._ending.wait(GATHER_SECONDS)
            with self._changed:
                batch, self._waiting = self._waiting, []
                lost, self._lost_untold = self._lost_untold, 0
                closing = self._closing
                if lost:
                    batch.append(self._linked(self._encoder.encode({"time": rfc3339_micro(self._clock.now()), "lost": lost})))
            left = self._append(batch)
            if left:
                self._put_back(left)
            if closing:
                return

    def _linked(self, encoded: bytes) -> Waiting:
        """A line with its place in the chain; the lock is held."""
        found, self._head = chain.linked(encoded, self._head)
        return found + b"\n", self._head

    def _append(self, batch: Sequence[Waiting]) -> Sequence[Waiting]:
        """Write whole lines as far as the disk takes them; return the rest."""
        data = memoryview(b"".join([text for text, _ in batch]))
        done = 0
        try:
            if not self._failing:  # or else the rest of a line could be waiting that belongs behind its beginning
                self._follow_path()
            while done < len(data):
                done += os.write(self._descriptor, data[done:])
        except OSError as error:
            if not self._failing:
                log.warning("the audit log cannot be written", error=str(error), waiting=len(batch))
            self._failing = True
        else:
            self._failing = False
        left = self._unwritten(batch, done)
        whole = len(batch) - len(left)
        self._written += whole
        if whole:
            os.pwrite(self._head_descriptor, b"%020d %s\n" % (batch[whole - 1][1].number, batch[whole - 1][1].hash.encode()), 0)
        return left

    def _follow_path(self) -> None:
        """Begin a new file where somebody moved the log away; raises OSError."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            there = None
        if there is None or not os.path.samestat(there, os.fstat(self._descriptor)):
            moved, self._descriptor = self._descriptor, _opened(self._path)
            os.fsync(moved)
            os.close(moved)

    def _unwritten(self, batch: Sequence[Waiting], done: int) -> Sequence[Waiting]:
        for index, (text, head) in enumerate(batch):
            if done < len(text):
                return [(text[done:], head), *batch[index + 1 :]]
            done -= len(text)
        return ()

    def _put_back(self, left: Sequence[Waiting]) -> None:
        with self._changed:
            if self._closing:
                self._lost += len(left)
                return
            self._waiting[:0] = left
            self._changed.wait(RETRY_SECONDS)
