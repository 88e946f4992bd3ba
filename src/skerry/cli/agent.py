"""``skerry agent`` and ``skerry token``: run an agent beside a cluster's API, and let one register."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from skerry.cli.common import KUBECONFIG, Form, Kubeconfig, Level, LogLevel, Output, ask, fail, on_stop, show

if TYPE_CHECKING:
    from skerry.client.connection import Connection

FILE = "identity.json"

Target = Annotated[Path | None, typer.Option("--kubeconfig", help="Kubeconfig of the cluster that the agent serves.", exists=True)]
Inside = Annotated[
    bool,
    typer.Option("--in-cluster", help="Serve the cluster in which the agent runs, as its service account; the identity is kept there."),
]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of the agent's key and certificate.", show_default=".skerry-agent")]
KeepInside = Annotated[
    bool, typer.Option("--keep-in-cluster", help="Keep key and certificate in a Secret of the cluster that is served, not in a folder.")
]


def agent(  # noqa: PLR0913, PLR0917 every argument is an option
    kubeconfig: Target = None,
    in_cluster: Inside = False,
    data: Data = None,
    keep_in_cluster: KeepInside = False,
    server: Annotated[str, typer.Option("--server", help="Address of Skerry's front door; needed to register.")] = "",
    server_ca: Annotated[
        Path | None, typer.Option("--server-ca", help="File with the root that signs the front door.", exists=True)
    ] = None,
    token: Annotated[str, typer.Option("--token", envvar="SKERRY_REGISTRATION_TOKEN", help="One-time registration token.")] = "",
    proxy: Annotated[
        str, typer.Option("--proxy", envvar="SKERRY_PROXY", help="HTTP proxy (http://USER:PASSWORD@HOST:PORT) through which it dials.")
    ] = "",
    trust_proxy_ca: Annotated[
        Path | None,
        typer.Option(
            "--trust-proxy-ca",
            help="File with the root of a proxy in between that inspects TLS: trust it, and prove who this is by signed tokens.",
            exists=True,
        ),
    ] = None,
    metrics_address: Annotated[
        str,
        typer.Option("--metrics-address", help="HOST:PORT at which /metrics and /healthz are served, without TLS; nowhere if left out."),
    ] = "",
    log_level: LogLevel = Level.INFO,
) -> None:
    """Run the agent of a cluster: it dials out to Skerry and serves until it is stopped, or its cluster is detached."""
    from skerry.agent.main import AgentSettings, run
    from skerry.client.connection import BadConnection
    from skerry.kit import log
    from skerry.machinery.errors import ApiError

    log.configure(level=log_level)
    if (kubeconfig is None) != in_cluster:
        raise typer.BadParameter("say which cluster the agent serves: --kubeconfig FILE, or --in-cluster")
    if data is not None and (in_cluster or keep_in_cluster):
        raise typer.BadParameter("the identity is kept in the cluster: leave --data out")
    folder = None if in_cluster or keep_in_cluster else data or Path(".skerry-agent")
    if folder is not None and not (folder / FILE).exists() and not (server and token and server_ca):
        raise typer.BadParameter("this agent has not registered yet: give --server, --server-ca and --token (see `skerry token`)")
    if proxy and not proxy.startswith("http://"):
        raise typer.BadParameter("must be http://HOST:PORT: the link speaks to proxies in no other way", param_hint="--proxy")
    if metrics_address and not metrics_address.rpartition(":")[2].isdecimal():
        raise typer.BadParameter("must be HOST:PORT", param_hint="--metrics-address")
    try:
        ca = server_ca.read_bytes() if server_ca else b""
        proxy_ca = trust_proxy_ca.read_bytes() if trust_proxy_ca else b""
        settings = AgentSettings(_target(kubeconfig), folder, server, ca, token, proxy, metrics_address, proxy_ca)
        asyncio.run(_until_stopped(run(settings)))
    except (BadConnection, ApiError, OSError) as error:
        fail(error)


def _target(kubeconfig: Path | None) -> Connection:
    """The API of the cluster that is served; raises BadConnection."""
    from skerry.client.connection import in_cluster
    from skerry.client.kubeconfig import read
    from skerry.compose.settings import service_around

    if kubeconfig is not None:
        return read(kubeconfig)
    return in_cluster(*service_around())


async def _until_stopped(work: Coroutine[None, None, None]) -> None:
    task = asyncio.current_task()
    on_stop(lambda: task.cancel() if task else None)
    try:
        await work
    except asyncio.CancelledError:
        return


def token(
    name: Annotated[
        str,
        typer.Argument(
            help="Attached cluster, management cluster, or cluster as MANAGEMENT-CLUSTER/PROVISIONER/NAME, that the agent will speak for."
        ),
    ],
    kubeconfig: Kubeconfig = KUBECONFIG,
    output: Form = Output.TABLE,
) -> None:
    """Make a one-time token with which an agent can register within an hour, and print it."""
    from skerry.client.contract import Client
    from skerry.compose.attachment import known_name

    async def make(client: Client) -> dict[str, str]:
        full = str(await known_name(client, name) or name.replace("/", "."))
        return await client.raw("POST", f"/attach/{quote(full, safe='')}", {"purpose": "agent"})

    made = ask(kubeconfig, make)
    show([made["token"]], made, output)
