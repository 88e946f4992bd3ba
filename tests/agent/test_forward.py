"""An agent whose cluster is reached through a forward proxy, as its kubeconfig says: everything goes that way."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from skerry.client import kubeconfig
from skerry.client.connection import Connection
from tests.agent.forward import ForwardProxy
from tests.agent.targets import Target
from tests.gateway.fleet import MAPS, Fleet, config_map


@pytest.fixture
async def proxy(target: Target) -> AsyncIterator[ForwardProxy]:
    made = ForwardProxy(urlsplit(target.connection.server).port or 0)
    async with made.open():
        yield made


@pytest.fixture
def hidden(target: Target, proxy: ForwardProxy, tmp_path: Path) -> Connection:
    """The same cluster under a name that only the proxy can find, as a kubeconfig says it."""
    parts = urlsplit(target.connection.server)
    path = tmp_path / "hidden.kubeconfig"
    away = dataclasses.replace(
        target.connection,
        server=f"{parts.scheme}://cluster.invalid:6443",
        server_name="127.0.0.1" if parts.scheme == "https" else "",
        proxy=f"http://robot:secret@127.0.0.1:{proxy.port}",
    )
    kubeconfig.write(path, away)
    return kubeconfig.read(path)


async def test_sets_inventory_and_proxied_calls_go_through_it(
    fleet: Fleet, target: Target, proxy: ForwardProxy, hidden: Connection
) -> None:
    space = await target.namespace()
    async with fleet.agent(hidden), aiohttp.ClientSession() as session:
        await fleet.ask(f"shop-{space}", [config_map("a", space, v="1")])
        await fleet.settled(f"shop-{space}", applied=1)
        assert (await target.client.get(MAPS, "a", space))["data"] == {"v": "1"}
        before = len(proxy.heads)
        headers = {"Authorization": "Bearer admin"}
        async with session.get(f"{fleet.front}/k8s/sv-1/api/v1/namespaces/{space}", headers=headers) as response:
            assert response.status in {200, 403}  # whatever the cluster thinks of its caller: it was asked
        assert len(proxy.heads) == before + 1, "the proxied call has a connection of its own"
    method = "CONNECT" if urlsplit(hidden.server).scheme == "https" else "GET"
    assert {head.split()[0] for head in proxy.heads} <= {method, "PATCH", "POST", "GET"}
    assert all("cluster.invalid:6443" in head.splitlines()[0] for head in proxy.heads)
    assert all("Proxy-Authorization: Basic " in head for head in proxy.heads)
