"""``skerry kubeconfig`` and ``skerry version``: the ways to the doors, and a number."""

from __future__ import annotations

from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skerry.cli.common import KUBECONFIG, Form, Kubeconfig, Output, ask, door, fail, show

if TYPE_CHECKING:
    from skerry.client.contract import Client

kubeconfig_app = typer.Typer(
    help="Print kubeconfigs: the administrator's, or one for a cluster through Skerry.", invoke_without_command=True
)


@kubeconfig_app.callback()
def kubeconfig(
    context: typer.Context,
    data: Annotated[Path, typer.Option("--data", help="Data folder of the server.")] = Path(".skerry"),
    output: Form = Output.YAML,
) -> None:
    """Print the administrator's kubeconfig of a server that runs with the same --data; `get` makes one for a cluster."""
    from skerry.kit import yamls

    if context.invoked_subcommand:
        return
    path = data / "admin.kubeconfig"
    try:
        text = path.read_text()
    except OSError as error:
        fail(f"{path} cannot be read ({error.strerror}); start the server with --data {data} first")
    value = yamls.load(text)
    show([f"{each['name']}\t{each['cluster']['server']}" for each in value["clusters"]], value, output)


@kubeconfig_app.command("get")
def get(
    name: Annotated[str, typer.Argument(help="NAME of an attached or a management cluster, or MANAGEMENT-CLUSTER/PROVISIONER/NAME.")],
    kubeconfig: Kubeconfig = KUBECONFIG,
    into: Annotated[Path | None, typer.Option("--into", help="Kubeconfig to put the context into, instead of printing one.")] = None,
    use: Annotated[bool, typer.Option("--use", help="With --into: make it the current context.")] = False,
) -> None:
    """Print a kubeconfig for a cluster's own API, reached through Skerry as whom --kubeconfig says you are."""
    from dataclasses import replace

    from skerry.client.kubeconfig import KubeconfigError, merge, render
    from skerry.compose.attachment import found_name
    from skerry.kinds.fullname import FullName
    from skerry.kinds.managementcluster import PROXY_PREFIX

    if use and into is None:
        raise typer.BadParameter("goes with --into", param_hint="--use")

    async def find(client: Client) -> FullName:
        return await found_name(client, name)

    full: FullName = ask(kubeconfig, find)
    at = door(kubeconfig)
    connection = replace(at, server=f"{at.server}{PROXY_PREFIX}{full}", namespace="default")
    context = f"skerry/{full}"
    if into is None:
        typer.echo(render(connection, name=context, user=context), nl=False)
        return
    try:
        merge(into, connection, name=context, user=context, use=use)
    except (KubeconfigError, OSError) as error:
        fail(error)
    typer.echo(f"context {context} is in {into}", err=True)


def version(output: Form = Output.TABLE) -> None:
    """Print the version."""
    found = installed("skerry")
    show([found], {"version": found}, output)
