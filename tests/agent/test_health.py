"""How a cluster is: each check on its own, and the order in which they are told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from skerry.agent import probe
from skerry.agent.health import MOST_FINDINGS, Look, findings
from skerry.agent.probe import Probe, _failed
from skerry.client.connection import Connection
from skerry.client.http import HttpClient
from skerry.kit.clock import SystemClock
from skerry.tunnel import link_pb2 as pb

Json = dict[str, Any]
NOW = datetime(2030, 1, 1, tzinfo=UTC)
PLANE = {"node-role.kubernetes.io/control-plane": ""}


def node(name: str, ready: str = "True", labels: Json | None = None, **conditions: str) -> Json:
    listed = [{"type": kind, "status": status} for kind, status in {"Ready": ready, **conditions}.items()]
    return {"metadata": {"name": name, "labels": labels or {}}, "status": {"conditions": listed}}


def workload(name: str, namespace: str = "kube-system", desired: int = 1, ready: int = 0) -> Json:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"replicas": desired}, "status": {"readyReplicas": ready}}


def daemons(name: str, desired: int, ready: int) -> Json:
    counts = {"desiredNumberScheduled": desired, "numberReady": ready}
    return {"metadata": {"name": name, "namespace": "kube-system"}, "spec": {}, "status": counts}


def told(look: Look) -> list[tuple[str, str]]:
    return [(pb.Severity.Name(each.severity).removeprefix("SEVERITY_"), each.reason) for each in findings(look)]


WELL = node("w")


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (Look(), []),
        (Look([WELL], [workload("dns", ready=1), workload("off", desired=0), workload("shop", "shop"), daemons("net", 3, 1)]), []),
        (Look([WELL, node("a", "False"), node("b", "Unknown")]), [("WARNING", "NodesNotReady")]),
        (Look([node("a", "False")]), [("ERROR", "NoNodeReady")]),
        (Look([WELL, node("c", "False", PLANE)]), [("ERROR", "ControlPlaneNotReady"), ("WARNING", "NodesNotReady")]),
        (Look([node("c1", labels=PLANE), node("c2", labels=PLANE), node("c3", "False", PLANE)]), [("WARNING", "NodesNotReady")]),
        (Look([node("a", MemoryPressure="True", DiskPressure="False")]), [("WARNING", "MemoryPressure")]),
        (Look([node("a", NetworkUnavailable="True")]), [("WARNING", "NetworkUnavailable")]),
        (Look([WELL], [workload("dns")]), [("WARNING", "ComponentUnavailable")]),
        (Look([WELL], [daemons("net", 2, 0)]), [("WARNING", "ComponentUnavailable")]),
        (Look([], [workload("dns")]), []),
        (Look(failed_checks=["etcd"]), [("ERROR", "ComponentFailed")]),
        (Look(certificate_ends=NOW + timedelta(days=29), now=NOW), [("WARNING", "CertificateExpires")]),
        (Look(certificate_ends=NOW + timedelta(days=31), now=NOW), []),
        (Look([node("a", "False", MemoryPressure="True")], failed_checks=["etcd"]),
         [("ERROR", "ComponentFailed"), ("ERROR", "NoNodeReady"), ("WARNING", "MemoryPressure")]),
    ],
)  # fmt: skip
def test_each_check_finds_what_it_is_for_and_errors_come_first(look: Look, expected: list[tuple[str, str]]) -> None:
    assert told(look) == expected
    assert len(findings(look)) <= MOST_FINDINGS


def test_a_message_names_a_few_and_does_not_change_with_time() -> None:
    lost = [node(name, "False") for name in ("d", "b", "a", "c")]
    [found] = findings(Look([WELL, *lost]))
    assert found.message == "4 of 5 nodes are not ready: a, b, c and others"
    ends = NOW + timedelta(days=5)
    texts = {each.message for day in range(5) for each in findings(Look(certificate_ends=ends, now=NOW + timedelta(days=day)))}
    assert texts == {"the certificate of the API server ends on 2030-01-06; renew it before"}


def test_what_readyz_says_is_read() -> None:
    text = "[+]ping ok\n[-]etcd failed: reason withheld\n[+]log ok\n[-]poststarthook/x failed: reason withheld\nreadyz check failed\n"
    assert _failed(text) == ("etcd", "poststarthook/x")


async def test_an_api_that_takes_connections_and_never_answers_is_noticed_in_seconds_and_logged_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probe, "SECONDS", 0.2)
    answers = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await answers.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, HttpClient(Connection(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")) as client:
        look = Probe(client, SystemClock())
        with capture_logs() as lines:
            for _ in range(2):
                async with asyncio.timeout(5):
                    await look.look()
                assert "did not answer" in look.problem
            answers.set()
            for _ in range(2):
                await look.look()
                assert look.problem == ""
    assert [each["event"] for each in lines] == ["the cluster's API is away", "the cluster's API is back"]
