"""A simulated management cluster in a process of its own.

`python -m bench.site KUBECONFIG` writes there how it is reached, and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from skerry.apiserver.http import Door
from skerry.client.connection import Connection
from skerry.client.kubeconfig import render
from skerry.kit import log
from skerry.kit.clock import SystemClock
from skerry.pki import policy
from skerry.pki.authority import Authority, make_root
from skerry.pki.files import write_secret
from skerry.pki.tls import server_context
from skerry.sim.site import Site

PROVISIONER = "team-a"


async def serve(kubeconfig: Path) -> None:
    """Serve until cancelled."""
    log.configure(level="warning")
    clock, now = SystemClock(), datetime.now(UTC)
    site, authority = Site(clock), Authority(make_root("site", now))
    pair = authority.issue(policy.SERVER, "site", now, hosts=("localhost", "127.0.0.1"))
    door = Door(site, host="127.0.0.1", port=0, tls=server_context(pair.pem, authority.bundle), clock=clock, on_stop=site.api.end_watches)
    async with site.api.running(), door.open():
        target = Connection(f"https://127.0.0.1:{door.port}", ca=authority.bundle, token=site.token)
        async with site.running(target, (PROVISIONER,)):
            write_secret(kubeconfig, render(target))
            await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
