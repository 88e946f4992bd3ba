"""``skerry agent`` and ``skerry token``: run an agent beside a cluster's API, and let one register."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from skerry.cli.common import KUBECONFIG, Form, Kubeconfig, Level, LogLevel, Output, ask, fail, on_stop, show
from skerry.kit.clock import rfc3339

Target = Annotated[Path, typer.Option("--kubeconfig", help="Kubeconfig of the cluster that the agent serves.", exists=True)]
Data = Annotated[Path, typer.Option("--data", help="Folder of the agent's key and certificate.")]


def agent(
    kubeconfig: Target,
    data: Data = Path(".skerry-agent"),
    server: Annotated[str, typer.Option("--server", help="Address of Skerry's front door; needed to register.")] = "",
    server_ca: Annotated[Path | None, typer.Option("--server-ca", help="File with the root that signs the front door.")] = None,
    token: Annotated[str, typer.Option("--token", envvar="SKERRY_REGISTRATION_TOKEN", help="One-time registration token.")] = "",
    metrics_address: Annotated[
        str,
        typer.Option("--metrics-address", help="HOST:PORT at which /metrics and /healthz are served, without TLS; nowhere if left out."),
    ] = "",
    log_level: LogLevel = Level.INFO,
) -> None:
    """Run the agent of a cluster: it dials out to Skerry and serves until it is stopped."""
    from skerry.agent.identity import load
    from skerry.agent.main import AgentSettings, run
    from skerry.client.connection import BadConnection
    from skerry.client.kubeconfig import read
    from skerry.kit import log
    from skerry.machinery.errors import ApiError

    log.configure(level=log_level)
    if load(data) is None and not (server and token and server_ca):
        raise typer.BadParameter("this agent has not registered yet: give --server, --server-ca and --token (see `skerry token`)")
    if metrics_address and not metrics_address.rpartition(":")[2].isdecimal():
        raise typer.BadParameter("must be HOST:PORT", param_hint="--metrics-address")
    try:
        settings = AgentSettings(read(kubeconfig), data, server, server_ca.read_bytes() if server_ca else b"", token, metrics_address)
        asyncio.run(_until_stopped(run(settings)))
    except (BadConnection, ApiError, OSError) as error:
        fail(error)


async def _until_stopped(work: Coroutine[None, None, None]) -> None:
    task = asyncio.current_task()
    on_stop(lambda: task.cancel() if task else None)
    try:
        await work
    except asyncio.CancelledError:
        return


def token(
    management_cluster: Annotated[str, typer.Argument(help="Management cluster that the agent will speak for.")],
    kubeconfig: Kubeconfig = KUBECONFIG,
    output: Form = Output.TABLE,
) -> None:
    """Make a one-time token with which an agent can register within an hour, and print it."""
    from skerry.client.contract import Client
    from skerry.controllers.cluster.refs import MANAGEMENT
    from skerry.gateway.registration import TOKEN_LIFETIME, new_token

    now = datetime.now(UTC)

    async def make(client: Client) -> str:
        await client.get(MANAGEMENT, management_cluster)
        return await new_token(client, management_cluster, now)

    made = ask(kubeconfig, make)
    value = {"managementCluster": management_cluster, "token": made, "expires": rfc3339(now + TOKEN_LIFETIME)}
    show([made], value, output)
