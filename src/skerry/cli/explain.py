"""``skerry explain cluster`` and ``skerry tree cluster``: what kubectl cannot show: the plan, and how things hang together.

The plan is computed by the very code that the controller runs, on what the Kubernetes door shows now.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skerry.cli.common import KUBECONFIG, Form, Kubeconfig, Output, ask, show

if TYPE_CHECKING:
    from skerry.client.contract import Client

Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Management cluster.")]
Name = Annotated[str, typer.Argument(help="Cluster, as PROVISIONER.NAME.")]

explain_app = typer.Typer(help="Print the plan that a controller follows.", no_args_is_help=True)
tree_app = typer.Typer(help="Print an object and what belongs to it.", no_args_is_help=True)


@explain_app.command("cluster")
def explain_cluster(name: Name, namespace: Namespace, kubeconfig: Kubeconfig = KUBECONFIG, output: Form = Output.TABLE) -> None:
    """Print what the cluster controller would do now, and why."""
    from skerry.controllers.cluster.gather import gather
    from skerry.controllers.cluster.plan import as_json, explain, plan
    from skerry.controllers.cluster.refs import CLUSTERS
    from skerry.kinds.common import SYSTEM_NAMESPACE
    from skerry.kit.clock import rfc3339
    from skerry.machinery.errors import BadRequest
    from skerry.runtime.leases import LEASES
    from skerry.runtime.shares import lease_name

    async def question(client: Client) -> Any:
        if name.count(".") != 1:
            raise BadRequest(f"{name} is no cluster's name: it has the form PROVISIONER.NAME")
        await client.get(CLUSTERS, name, namespace)
        lease = await client.get(LEASES, lease_name(namespace), SYSTEM_NAMESPACE)
        look = await gather(client, f"{namespace}/{name}", int(lease["metadata"]["resourceVersion"]))
        return plan(look.world, rfc3339(datetime.now(UTC)))

    made = ask(kubeconfig, question)
    show(explain(made), as_json(made), output)


@tree_app.command("cluster")
def tree_cluster(name: Name, namespace: Namespace, kubeconfig: Kubeconfig = KUBECONFIG, output: Form = Output.TABLE) -> None:
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

    value = ask(kubeconfig, question)
    show(list(_drawn(value, namespace)), value, output)


def _drawn(value: dict[str, Any], namespace: str) -> Iterator[str]:
    cluster, pools, objects = value["cluster"], value["nodePools"], value["objects"]
    yield f"Cluster {cluster['name']} ({cluster['phase']})"
    yield from (f"├─ NodePool {each['name']} ({each['phase']})" for each in pools)
    yield f"└─ {namespace}: {len(objects)} objects"
    for place, each in enumerate(objects, 1):
        yield f"   {'└─' if place == len(objects) else '├─'} {each['kind']} {each['name']} ({each['phase']})"


def _phase(obj: dict[str, Any]) -> str:
    return str((obj.get("status") or {}).get("phase") or "-")
