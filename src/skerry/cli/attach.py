"""``skerry attach`` and ``skerry detach``: a cluster joins the fleet, and leaves it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skerry.cli.common import KUBECONFIG, at_door, fail, on_stop

if TYPE_CHECKING:
    from skerry.client.connection import Connection
    from skerry.client.http import HttpClient

Door = Annotated[Path, typer.Option("--skerry-kubeconfig", envvar="SKERRY_KUBECONFIG", help="Kubeconfig of Skerry's Kubernetes door.")]
Target = Annotated[Path | None, typer.Option("--kubeconfig", help="Kubeconfig of the cluster.", exists=True)]
Context = Annotated[str, typer.Option("--context", help="Context of that kubeconfig; the current one if empty.")]
Name = Annotated[str, typer.Argument(help="NAME of a cluster as it stands, or MANAGEMENT-CLUSTER/PROVISIONER/NAME of one that is known.")]
Features = Annotated[
    list[str] | None,
    typer.Option("--feature", help="What the agent may: inventory, proxy, manifests, administrators; all of them if left out."),
]
Seconds = Annotated[int, typer.Option("--timeout", help="Seconds to wait for the agent, or for it to be gone.", min=1)]


def attach(  # noqa: PLR0913, PLR0917 every argument is an option
    name: Name,
    kubeconfig: Target = None,
    context: Context = "",
    management: Annotated[bool, typer.Option("--management", help="It is a management cluster: it makes others.")] = False,
    cluster_group: Annotated[str, typer.Option("--cluster-group", help="Cluster group that it joins.")] = "",
    server: Annotated[str, typer.Option("--server", help="Address of Skerry's front door as the cluster reaches it.")] = "",
    image: Annotated[str, typer.Option("--image", help="Image that runs the agent.")] = "",
    proxy: Annotated[str, typer.Option("--proxy", envvar="SKERRY_PROXY", help="HTTP proxy through which the agent dials.")] = "",
    trust_proxy_ca: Annotated[
        Path | None,
        typer.Option("--trust-proxy-ca", help="File with the root of a proxy before the cluster that inspects TLS.", exists=True),
    ] = None,
    feature: Features = None,
    link: Annotated[bool, typer.Option("--link", help="Print a one-time link to the manifest, for `kubectl apply -f`, and end.")] = False,
    local: Annotated[
        bool, typer.Option("--local", help="Run the agent here until stopped, where the cluster can run no container.")
    ] = False,
    timeout: Seconds = 300,
    skerry_kubeconfig: Door = KUBECONFIG,
) -> None:
    """Attach a cluster: apply the agent's manifest to it, and wait until the agent is connected."""
    from skerry.compose import attachment
    from skerry.kit.aio import TaskOwner
    from skerry.kit.clock import SystemClock
    from skerry.tunnel.places import FEATURES

    if unknown := set(feature or ()) - set(FEATURES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: must be {', '.join(FEATURES)}", param_hint="--feature")
    if management and cluster_group:
        raise typer.BadParameter("management clusters are in no cluster group", param_hint="--cluster-group")
    if local and link:
        raise typer.BadParameter("--local needs the --kubeconfig of the cluster")
    if link == (kubeconfig is not None):
        raise typer.BadParameter("give the --kubeconfig of the cluster, or --link to apply the manifest yourself")
    features = [each for each in FEATURES if each in (feature or FEATURES)]
    proxy_ca = trust_proxy_ca.read_text() if trust_proxy_ca else ""
    wishes = attachment.Wishes(cluster_group, server, image, proxy, features, proxy_ca)
    clock, stays = SystemClock(), _Stop(f"stopped; attach it again to go on where this ended, or take it back with `skerry detach {name}`")

    async def work(door: Connection, client: HttpClient) -> None:
        full = attachment.attached_name(name, management=management)
        wishes.check()
        if not local and attachment.only_here(server or door.server):
            typer.echo(f"note: the agent will dial {server or door.server}, which only this machine can; --server names another", err=True)
        if kubeconfig is None:
            await attachment.declared(client, full, wishes.group, _tell)
            made = await attachment.link(client, full, wishes)
            typer.echo(f"{made['link']}")
            typer.echo(f"good for one download until {made['expires']}", err=True)
            return
        async with _cluster(kubeconfig, context) as target:
            since = await attachment.checked(target, client, full, local=local)
            await attachment.declared(client, full, wishes.group, typer.echo)
            await attachment.room(target, timeout, typer.echo, clock)
            documents = await attachment.manifest(door, client, full, wishes)
            await attachment.applied(target, documents, typer.echo, local=local)
            if not local:
                await attachment.arrived(client, full, timeout, typer.echo, clock, since=since)
                return
            again = partial(_target, kubeconfig, context)
            async with attachment.account(target, clock, again) as account, TaskOwner("local") as owner:
                agent = owner.spawn(attachment.serve(account, door, documents, wishes, clock), "agent")
                await attachment.arrived(client, full, timeout, typer.echo, clock)
                typer.echo("the agent runs here; Ctrl-C stops it, and the cluster stays attached")
                stays.done("the agent has stopped; the cluster stays attached, and waits for it")
                await agent
                typer.echo("the cluster was detached; the agent has nothing more to do")

    _run(skerry_kubeconfig, work, stays)


def detach(
    name: Name,
    kubeconfig: Target = None,
    context: Context = "",
    force: Annotated[
        bool, typer.Option("--force", help="Do not wait for an agent that is away or cannot leave: what is in the cluster stays there.")
    ] = False,
    timeout: Seconds = 300,
    skerry_kubeconfig: Door = KUBECONFIG,
) -> None:
    """Detach a cluster: its agent removes what was put there, and itself; with --kubeconfig this is done from here."""
    from skerry.compose import attachment
    from skerry.kit.clock import SystemClock

    clock, stays = SystemClock(), _Stop("stopped waiting; the deletion goes on at Skerry")

    async def work(_: Connection, client: HttpClient) -> None:
        if kubeconfig is None:
            full = await attachment.found_name(client, name)
            there = await attachment.leave(client, full, force=force)
            await attachment.left(client, full, timeout, typer.echo, clock)
            if not there:
                stays_there = "no agent was there to remove what may have been put into the cluster"
                _tell(f"note: {stays_there}; `skerry detach {name} --kubeconfig F` does, with its administrator's kubeconfig")
            return
        async with _cluster(kubeconfig, context) as target:
            known = await attachment.known_name(client, name)
            await attachment.mine(target, client, known)
            if known is None:
                typer.echo(f"there is no cluster {name} at Skerry any more")
            else:
                await attachment.leave(client, known, force=True)
                await attachment.left(client, known, timeout, typer.echo, clock)
            await attachment.cleaned(target, timeout, typer.echo, clock)

    _run(skerry_kubeconfig, work, stays)


class _Stop:
    """What is said when somebody stops the program, and whether it had done what it was called for by then."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.code = 130

    def done(self, words: str) -> None:
        """From now on to stop it is the ordinary end."""
        self.words, self.code = words, 0


def _tell(line: str) -> None:
    """Progress where the output is for programs."""
    typer.echo(line, err=True)


def _target(kubeconfig: Path, context: str) -> Connection:
    """The API of the cluster; raises KubeconfigError."""
    from skerry.cli.plugins import login
    from skerry.client.kubeconfig import read

    return read(kubeconfig, context, login=login)


def _cluster(kubeconfig: Path, context: str) -> HttpClient:
    from skerry.client.http import HttpClient

    return HttpClient(_target(kubeconfig, context), user_agent="skerry-cli")


def _run(door: Path, work: Callable[[Connection, HttpClient], Awaitable[None]], stop: _Stop) -> None:
    """Do the work, with a client of Skerry's door; a refusal or a broken connection ends the program."""
    from skerry.client.connection import BadConnection
    from skerry.machinery.errors import ApiError

    async def run() -> None:
        task = asyncio.current_task()
        on_stop(lambda: task.cancel() if task else None)
        async with at_door(door) as (connection, client):
            await work(connection, client)

    try:
        asyncio.run(run())
    except asyncio.CancelledError:
        typer.echo(f"skerry: {stop.words}", err=True)
        raise typer.Exit(stop.code) from None
    except (BadConnection, ApiError, OSError) as error:
        fail(error)
