"""How the API of the cluster answers: whether at all, what it says of itself, and how long its certificate lasts."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from cryptography import x509

from skerry.client.http import HttpClient
from skerry.kit.clock import Clock
from skerry.kit.log import get
from skerry.machinery.errors import ApiError

EVERY_SECONDS = 10.0
SECONDS = 10.0
CERTIFICATE_EVERY = timedelta(hours=6)

log = get("agent.probe")


class Probe:
    """What was seen last; nothing before the first look."""

    def __init__(self, client: HttpClient, clock: Clock) -> None:
        """``client`` reaches the cluster's API."""
        self._client = client
        self._clock = clock
        self._looked_at: datetime | None = None
        self.problem = ""
        """Why it does not answer; empty: it does."""
        self.failed: tuple[str, ...] = ()
        """The checks that it says it does not pass."""
        self.certificate_ends: datetime | None = None

    async def look(self) -> None:
        """Look once."""
        before, self.problem = self.problem, await self._answers()
        if self.problem and not before:
            log.warning("the cluster's API is away", problem=self.problem)
        elif before and not self.problem:
            log.info("the cluster's API is back")
        if self.problem:
            return
        with contextlib.suppress(ApiError):
            async with self._client.open("GET", "/readyz?verbose", seconds=SECONDS) as answer:
                self.failed = _failed(await answer.text()) if answer.status == 500 else ()
        now = self._clock.now()
        if self._looked_at is None or now - self._looked_at >= CERTIFICATE_EVERY:
            self._looked_at = now
            with contextlib.suppress(OSError, TimeoutError, ValueError):
                self.certificate_ends = await self._end_of_certificate()

    async def _answers(self) -> str:
        """Why the API does not answer, in a few seconds; empty if it does."""
        try:
            async with asyncio.timeout(SECONDS):
                await self._client.raw("GET", "/version")
        except ApiError as error:
            return error.message
        except TimeoutError:
            return f"{self._client.connection.server} did not answer in {SECONDS:.0f} s"
        return ""

    async def _end_of_certificate(self) -> datetime | None:
        """When the certificate ends that is shown at a handshake; None where there is none to be seen."""
        connection, parts = self._client.connection, urlsplit(self._client.connection.server)
        if parts.scheme != "https" or connection.proxy or not parts.hostname:
            return None
        async with asyncio.timeout(SECONDS):
            _, writer = await asyncio.open_connection(
                parts.hostname, parts.port or 443, ssl=connection.tls(), server_hostname=connection.server_name or parts.hostname
            )
        try:
            shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        finally:
            writer.transport.abort()
        return x509.load_der_x509_certificate(shown).not_valid_after_utc if shown else None


def _failed(text: str) -> tuple[str, ...]:
    """The checks that failed, out of what ``/readyz?verbose`` says: ``[-]etcd failed: reason withheld``."""
    return tuple(line.removeprefix("[-]").split(" ", 1)[0] for line in text.splitlines() if line.startswith("[-]"))
