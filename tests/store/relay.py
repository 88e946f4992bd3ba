"""A relay between a store and PostgreSQL, which can cut connections, lose answers, and lead elsewhere."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from skerry.kit.aio import TaskOwner
from skerry.store.postgres.server import Address

SOCKET = ".s.PGSQL.5432"


class Relay:
    """Connections through here go to the server whose socket is in ``target``."""

    def __init__(self, owner: TaskOwner, target: Path) -> None:
        self.target = target
        self.lost = 0
        self._owner = owner
        self._writers: set[asyncio.StreamWriter] = set()
        self._to_lose = 0

    def lose_answers(self, count: int) -> None:
        """Of the next ``count`` connections that are answered, let the question through, swallow the answer, and cut."""
        self._to_lose = count

    def fall_silent(self) -> None:
        """Carry nothing more over the connections that are there, and do not end them either; new ones work."""
        for writer in self._writers:
            writer.transport.pause_reading()  # type: ignore[attr-defined] # a socket is read and written

    def cut(self) -> None:
        """Break every connection at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(str(self.target / SOCKET))
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        self._owner.spawn(self._copy(reader, far_writer, answers=False), "there")
        self._owner.spawn(self._copy(far_reader, writer, answers=True), "back")

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        try:
            while data := await reader.read(65536):
                if answers and self._to_lose and _ends_a_batch(data):
                    self._to_lose -= 1
                    self.lost += 1
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # cut
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


def _ends_a_batch(data: bytes) -> bool:
    """Whether a server's bytes are the answer to a batch: one row of seven columns (message D, its length, 7)."""
    at = data.find(b"D")
    while at >= 0:
        if data[at + 5 : at + 7] == b"\0\7":
            return True
        at = data.find(b"D", at + 1)
    return False


@asynccontextmanager
async def relay(target: Path) -> AsyncIterator[tuple[Relay, Path]]:
    """Listen in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="skrl-", dir="/tmp") as folder:
        async with TaskOwner("relay") as owner:
            made = Relay(owner, target)
            server = await asyncio.start_unix_server(made.accept, str(Path(folder) / SOCKET))
            try:
                yield made, Path(folder)
            finally:
                server.close()
                made.cut()


def through(folder: Path, address: Address) -> Address:
    """The same database by way of a relay's folder."""
    return Address(address.url.partition("?")[0] + f"?host={folder}")
