"""``skerry up`` and ``skerry server``: run a server in the foreground until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from skerry.cli.common import Database, Keyring, Level, LogLevel, PasswordFile, fail, on_stop
from skerry.compose.settings import ServerSettings

Data = Annotated[Path, typer.Option("--data", help="Folder of the database, keys and logs.")]
Port = Annotated[int, typer.Option("--port", help="Port of the front door.", min=0, max=65535)]
GatewayPort = Annotated[int, typer.Option("--gateway-port", help="Port that agents dial.", min=0, max=65535)]
Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]
Advertise = Annotated[
    str, typer.Option("--advertise", help="Name or address at which agents and other servers reach this one, if not at --host or --name.")
]
GatewayAddress = Annotated[
    str, typer.Option("--gateway-address", help="HOST:PORT that agents are told to dial, where something stands before several servers.")
]
TokenPort = Annotated[
    int | None,
    typer.Option(
        "--agent-token-port",
        help="Port where agents behind a TLS-inspecting proxy may prove themselves by signed tokens; they may not if left out.",
        min=0,
        max=65535,
    ),
]
TokenAddress = Annotated[
    str, typer.Option("--agent-token-address", help="HOST:PORT that those agents are told to dial, where something stands before it.")
]
Grace = Annotated[
    int,
    typer.Option("--agent-grace-days", help="Days after its end in which the certificate of an agent that was away is renewed.", min=0),
]
Names = Annotated[list[str] | None, typer.Option("--name", help="A further name of the front door, for its certificate.")]


def up(
    data: Data = Path(".skerry"),
    port: Port = 8443,
    database: Database = "",
    database_password_file: PasswordFile = None,
    sim: Annotated[bool, typer.Option("--sim", help="Run a simulated management cluster, called demo, to play with.")] = False,
    keyring: Keyring = None,
    log_level: LogLevel = Level.INFO,
) -> None:
    """Start Skerry on this machine, with an embedded database if no other is given, and say how to use it."""
    settings = ServerSettings(
        data.resolve(),
        port=port,
        gateway_port=port and port + 1,
        database_url=database,
        database_password=database_password_file,
        keyring_file=keyring and keyring.resolve(),
    )
    _serve(settings, log_level, greet=True, sim=sim)


def server(  # noqa: PLR0913, PLR0917 every argument is an option
    data: Data = Path(".skerry"),
    port: Port = 8443,
    gateway_port: GatewayPort = 8444,
    host: Host = "127.0.0.1",
    name: Names = None,
    advertise: Advertise = "",
    gateway_address: GatewayAddress = "",
    agent_token_port: TokenPort = None,
    agent_token_address: TokenAddress = "",
    agent_grace_days: Grace = 90,
    keyring: Keyring = None,
    database: Database = "",
    database_password_file: PasswordFile = None,
    log_level: LogLevel = Level.INFO,
) -> None:
    """Run the server, reachable from elsewhere if --host says so."""
    for option, address in (("--gateway-address", gateway_address), ("--agent-token-address", agent_token_address)):
        if address and not address.rpartition(":")[2].isdecimal():
            raise typer.BadParameter("must be HOST:PORT", param_hint=option)
    if agent_token_address and agent_token_port is None:
        raise typer.BadParameter("give --agent-token-port too", param_hint="--agent-token-address")
    settings = ServerSettings(
        data.resolve(),
        host,
        port,
        tuple(name or ()),
        gateway_port,
        database,
        database_password_file,
        keyring and keyring.resolve(),
        advertise,
        gateway_address,
        agent_token_port,
        agent_token_address,
        agent_grace_days,
    )
    _serve(settings, log_level, greet=False, sim=False)


def _serve(settings: ServerSettings, level: Level, *, greet: bool, sim: bool) -> None:
    import uvloop

    from skerry.compose.embedded import CANNOT_START
    from skerry.kit import log

    log.configure(level=level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_stopped(settings, greet=greet, sim=sim))
    except CANNOT_START as error:
        fail(error)
    except asyncio.CancelledError:
        pass  # told to stop before it was up


async def _until_stopped(settings: ServerSettings, *, greet: bool, sim: bool) -> None:
    from skerry.compose.demo import demonstration
    from skerry.compose.embedded import embedded

    starting, stop = asyncio.current_task(), asyncio.Event()

    def told() -> None:
        stop.set()
        if starting is not None:
            starting.cancel()

    on_stop(told)
    async with embedded(settings) as running, contextlib.AsyncExitStack() as stack:
        if sim:
            await stack.enter_async_context(demonstration(running, settings))
        running.announce()
        if greet:
            _greet(running.address, settings, WITH_SITE if sim else WITHOUT_SITE)
        starting = None
        await stop.wait()


WITH_SITE = ("kubectl get clusters -A", "kubectl apply -f examples/first-cluster.yaml", "kubectl get clusters -A -w")
WITHOUT_SITE = ("kubectl get managementclusters", "kubectl explain managementcluster.spec", "skerry doctor --data {data}")
"""What can be tried where there is a place that makes clusters, and where there is none yet."""


def _greet(address: str, settings: ServerSettings, commands: Sequence[str]) -> None:
    try:
        shown = settings.kubeconfig.relative_to(Path.cwd())
    except ValueError:
        shown = settings.kubeconfig
    sys.stdout.write(
        f"\nSkerry is up at {address}\n"
        f"The administrator's kubeconfig: {shown}\n\n"
        "Try, in another terminal:\n"
        f"  export KUBECONFIG={shlex.quote(str(shown))}\n"
        + "".join(f"  {each.format(data=shlex.quote(str(shown.parent)))}\n" for each in commands)
        + "\n"
    )
    sys.stdout.flush()
