"""``skerry explain cluster`` and ``skerry tree cluster``: what kubectl cannot show: the plan, and how things hang together.

The plan is computed by the very code that the controller runs, on what the Kubernetes door shows now.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from skerry.client.contract import Client

Kubeconfig = Annotated[Path, typer.Option("--kubeconfig", envvar="KUBECONFIG", help="Kubeconfig of Skerry's Kubernetes door.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Management cluster.")]
Name = Annotated[str, typer.Argument(help="Cluster, as PROVISIONER.NAME.")]
DEFAULT = Path(".skerry/admin.kubeconfig")

explain_app = typer.Typer(help="Print the plan that a controller follows.", no_args_is_help=True)
tree_app = typer.Typer(help="Print an object and what belongs to it.", no_args_is_help=True)


class Output(StrEnum):
    """Forms of output."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Form = Annotated[Output, typer.Option("--output", "-o", help="table, json or yaml.")]


def _ask(kubeconfig: Path, question: Callable[[Client], Awaitable[Any]]) -> Any:
    from skerry.client.connection import BadConnection
    from skerry.client.http import HttpClient
    from skerry.client.kubeconfig import KubeconfigError, read
    from skerry.machinery.errors import ApiError

    async def run() -> Any:
        async with HttpClient(read(kubeconfig), user_agent="skerry-cli") as client:
            return await question(client)

    try:
        return asyncio.run(run())
    except (KubeconfigError, BadConnection, ApiError) as error:
        typer.echo(f"skerry: {getattr(error, 'message', error)}", err=True)
        raise typer.Exit(1) from error


def _show(lines: list[str], value: Any, output: Output) -> None:
    from skerry.kit import yamls

    match output:
        case Output.JSON:
            typer.echo(json.dumps(value, indent=2))
        case Output.YAML:
            typer.echo(yamls.dump(value), nl=False)
        case Output.TABLE:
            typer.echo("\n".join(lines))


@explain_app.command("cluster")
def explain_cluster(name: Name, namespace: Namespace, kubeconfig: Kubeconfig = DEFAULT, output: Form = Output.TABLE) -> None:
    """Print what the cluster controller would do now, and why."""
    from skerry.controllers.cluster.gather import gather
    from skerry.controllers.cluster.plan import as_json, explain, plan
    from skerry.controllers.cluster.refs import CLUSTERS
    from skerry.kinds.common import SYSTEM_NAMESPACE
    from skerry.kit.clock import rfc3339
    from skerry.machinery.errors import BadRequest
    from skerry.runtime.leases import LEASES

    async def question(client: Client) -> Any:
        if name.count(".") != 1:
            raise BadRequest(f"{name} is no cluster's name: it has the form PROVISIONER.NAME")
        await client.get(CLUSTERS, name, namespace)
        lease = await client.get(LEASES, "controllers", SYSTEM_NAMESPACE)
        look = await gather(client, f"{namespace}/{name}", int(lease["spec"]["leaseTransitions"]))
        return plan(look.world, rfc3339(datetime.now(UTC)))

    made = _ask(kubeconfig, question)
    _show(explain(made), as_json(made), output)


@tree_app.command("cluster")
def tree_cluster(name: Name, namespace: Namespace, kubeconfig: Kubeconfig = DEFAULT, output: Form = Output.TABLE) -> None:
    """Print a cluster, its node pools, and the objects of its management cluster that it is made of."""
    from skerry.controllers.cluster import refs
    from skerry.kinds.observedobject import CLUSTER_LABEL

    async def question(client: Client) -> Any:
        cluster = await client.get(refs.CLUSTERS, name, namespace)
        provisioner, _, short = name.partition(".")
        pools = await client.list(refs.POOLS, namespace, fields=f"spec.provisioner={provisioner},spec.cluster={short}")
        place = f"source.namespace={provisioner}"
        own = await client.list(refs.OBSERVED, namespace, fields=f"source.kind=Cluster,{place},source.name={short}")
        parts = await client.list(refs.OBSERVED, namespace, labels=f"{CLUSTER_LABEL}={short}", fields=place)
        found = {each["metadata"]["name"]: each for each in (*own["items"], *parts["items"])}
        return {
            "cluster": {"name": name, "phase": _phase(cluster)},
            "nodePools": [{"name": each["metadata"]["name"], "phase": _phase(each)} for each in pools["items"]],
            "objects": [
                {"kind": each["source"]["kind"], "name": each["source"]["name"], "phase": _phase(each["object"])} for each in found.values()
            ],
        }

    value = _ask(kubeconfig, question)
    lines = [f"Cluster {name} ({value['cluster']['phase']})"]
    lines += [f"├─ NodePool {each['name']} ({each['phase']})" for each in value["nodePools"]]
    lines += [f"└─ {namespace}: {len(value['objects'])} objects"]
    lines += [f"   ├─ {each['kind']} {each['name']} ({each['phase']})" for each in value["objects"]]
    _show(lines, value, output)


def _phase(obj: dict[str, Any]) -> str:
    return str((obj.get("status") or {}).get("phase") or "-")
