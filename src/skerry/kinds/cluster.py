"""Cluster: one kind for every cluster of the fleet, however it is made.

Full name: management cluster / provisioner / name. At the Kubernetes door the management
cluster is the namespace and the rest is the name: ``-n sv-1 clusters/team-a.shop``. The
neutral fields mean the same everywhere; ``variables`` is the way out to whatever else the
cluster class offers. Node pools are objects of their own, and a cluster may have none.

With ``managementPolicy: Observe`` nothing is asked for: the spec follows what a management cluster holds
already. Who may write it then is ``access/observing.py``'s to say.

Not here: how the fields become Cluster API objects (``capi/render.py``) and which version
may follow which (``capi/upgrade.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import field

from skerry.kinds import pem
from skerry.kinds.common import GROUP, VERSION, Component, Conditions, Counts, Metadata, Shape, Variable
from skerry.kinds.managementcluster import BUILTIN, Agent, Health, Trouble
from skerry.kinds.places import proxy_causes, registry_problem, told
from skerry.kinds.rules import bad, immutable, missing, path_name, path_rule
from skerry.kinds.shape import LABEL, doc, structural
from skerry.machinery.causes import forbidden
from skerry.machinery.errors import Cause
from skerry.machinery.names import label_problems
from skerry.machinery.resource import Column, Json, Look, Reference, Resource
from skerry.machinery.schema import Schema

Policy = Literal["Manage", "Observe"]
DISCOVERED = f"{GROUP}/discovered"
"""Label, ``"true"``, of a Cluster or NodePool that was found in its management cluster."""
FORCE = f"{GROUP}/force-delete"
"""Annotation, ``"true"``: let go of a deleted cluster whose agent is away, and leave what is at the far end where it is."""

Phase = Literal["Pending", "Provisioning", "Ready", "Scaling", "Upgrading", "Degraded", "Failed", "Deleting", "Unknown"]


class ClassReference(Shape):
    """The cluster class that the cluster is made from."""

    name: Annotated[str, doc("Name of the ClusterClass in the management cluster.", min_length=1, max_length=253)]
    namespace: Annotated[str, doc("Namespace of the class there; the provisioner's own if empty.", max_length=63)] = ""


class ControlPlane(Shape):
    """The machines that run the cluster's API."""

    replicas: Annotated[int, doc("Number of control plane machines: odd, so that etcd has a majority.", ge=1, le=9)] = 1
    variables: Annotated[list[Variable], doc("Class variables for the control plane alone.", list_type="map", list_keys=("name",))] = []


class Network(Shape):
    """Address ranges inside the cluster; they cannot change once it exists."""

    pods: Annotated[list[str], doc("CIDR blocks of the pods.")] = []
    services: Annotated[list[str], doc("CIDR blocks of the services.")] = []
    service_domain: Annotated[str, doc("DNS domain of the services.", max_length=253)] = ""


class Proxy(Shape):
    """The proxy that nodes use to leave their network: a ProxyConfiguration, or what would stand in one."""

    configuration: Annotated[str, doc("ProxyConfiguration to take all of it from.", pattern=LABEL, max_length=63)] = ""
    http: Annotated[str, doc("URL for plain HTTP.", max_length=2048)] = ""
    https: Annotated[str, doc("URL for HTTPS.", max_length=2048)] = ""
    no_proxy: Annotated[list[str], doc("Hosts, domains and CIDR blocks that are reached directly.")] = []


class TrustedCA(Shape):
    """A certificate authority that nodes trust beside the public ones."""

    name: Annotated[str, doc("Name of this entry.", pattern=LABEL, max_length=63)]
    pem: Annotated[str, doc("The certificates, PEM encoded.", min_length=1, max_length=1048576)]


class Storage(Shape):
    """Storage classes inside the cluster."""

    default_class: Annotated[str, doc("The class that volumes without one get.", max_length=253)] = ""
    classes: Annotated[list[str], doc("The classes that the cluster offers; all of the provisioner's if empty.", list_type="set")] = []


class ImageRegistry(Shape):
    """Where nodes pull the platform's images from: an ImageRegistry, or its host."""

    name: Annotated[str, doc("ImageRegistry to take it from.", pattern=LABEL, max_length=63)] = ""
    host: Annotated[str, doc("Host, optional port and path of the registry.", max_length=253)] = ""


class ClusterSpec(Shape):
    """What is asked for."""

    provisioner: Annotated[
        str, doc("Provisioner the cluster belongs to; taken from the name if left out.", pattern=LABEL, max_length=63)
    ] = ""
    cluster_group: Annotated[str, doc("ClusterGroup that policy and access come from.", pattern=LABEL, max_length=63)] = "default"
    management_policy: Annotated[
        Policy,
        doc(
            "Manage: what stands here is enforced, and a deletion deletes the cluster. Observe: the spec follows what the management "
            "cluster holds, nothing is sent to it, and a deletion forgets the object alone."
        ),
    ] = "Manage"
    version: Annotated[
        str, doc("Kubernetes version, such as v1.34.2.", pattern=r"^v\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]*)?$", max_length=128)
    ] = ""
    class_: Annotated[ClassReference | None, doc("Cluster class to make the cluster from.")] = field(default=None, name="class")
    control_plane: Annotated[ControlPlane | None, doc("The control plane.")] = None
    network: Annotated[Network | None, doc("Address ranges inside the cluster.")] = None
    proxy: Annotated[Proxy | None, doc("Proxy for the nodes.")] = None
    trusted_cas: Annotated[list[TrustedCA], doc("Certificate authorities that nodes trust.", list_type="map", list_keys=("name",))] = field(
        default_factory=list, name="trustedCAs"
    )
    trust_bundles: Annotated[list[str], doc("TrustBundles whose authorities nodes trust.", list_type="set")] = []
    storage: Annotated[Storage | None, doc("Storage classes inside the cluster.")] = None
    image_registry: Annotated[ImageRegistry | None, doc("Registry for the platform's images.")] = None
    variables: Annotated[list[Variable], doc("Class variables, passed on as they are.", list_type="map", list_keys=("name",))] = []


class Endpoint(Shape):
    """Where the cluster's API answers."""

    host: Annotated[str, doc("Host name or address.")] = ""
    port: Annotated[int, doc("TCP port.")] = 0


class ClusterStatus(Shape):
    """What was seen."""

    observed_generation: Annotated[int, doc("The generation that the status speaks of.")] = 0
    phase: Annotated[Phase, doc("Where the cluster is, in one word.")] = "Pending"
    uid: Annotated[str, doc("uid of the Cluster at the far end as it was last seen: the one that may be adopted.")] = ""
    version: Annotated[str, doc("Kubernetes version that every machine of the cluster runs; the oldest while it is being upgraded.")] = ""
    endpoint: Annotated[Endpoint | None, doc("Where the cluster's API answers.")] = None
    health: Annotated[Health | None, doc("How its agent finds it, in one word; the condition Healthy says why.")] = None
    agent: Annotated[Agent | None, doc("Its agent, if it has one of its own.")] = None
    trouble: Annotated[Trouble | None, doc("What keeps its agent away, where that is known.")] = None
    control_plane: Annotated[Counts | None, doc("Control plane machines.")] = None
    workers: Annotated[Counts | None, doc("Worker machines of all node pools.")] = None
    last_enforced_time: Annotated[str, doc("When what is asked for was last enforced at the far end.", format="date-time")] = ""
    conditions: Conditions = []


class Cluster(Shape):
    """A Kubernetes cluster of the fleet."""

    metadata: Metadata
    spec: ClusterSpec = field(default_factory=ClusterSpec)
    status: ClusterStatus = field(default_factory=ClusterStatus)


def complete(look: Look) -> Sequence[Cause]:
    """A cluster that is to be made names its class and its version, and an odd number of control plane machines."""
    spec = look.new.get("spec", {})
    if look.status or spec.get("provisioner") in BUILTIN or observed(look.new):
        return ()
    causes = []
    if "class" not in spec and look.old is not None and observed(look.old):
        causes.append(
            forbidden("spec.managementPolicy", "the cluster was not made from a ClusterClass: it can be observed, and not managed")
        )
    elif "class" not in spec:
        causes.append(
            missing("spec.class", "a cluster of this provisioner is made from a ClusterClass; see `kubectl get clusterclasses -A`")
        )
    if not spec.get("version"):
        causes.append(missing("spec.version", "say which Kubernetes version; see `kubectl get kubernetesreleases -A`"))
    replicas = spec.get("controlPlane", {}).get("replicas", 1)
    if replicas % 2 == 0:
        causes.append(
            Cause("FieldValueInvalid", f"Invalid value: {replicas}: must be odd, so that etcd has a majority", "spec.controlPlane.replicas")
        )
    return causes


def observed(obj: Json) -> bool:
    """Whether a Cluster is only observed."""
    return bool((obj.get("spec") or {}).get("managementPolicy") == "Observe")


def policy(look: Look) -> Sequence[Cause]:
    """What no management cluster makes cannot be observed in one; what stands in the way of managing is known before it is tried."""
    if look.status:
        return ()
    field = "spec.managementPolicy"
    if observed(look.new):
        built_in = look.new["spec"].get("provisioner") in BUILTIN
        return [forbidden(field, "no management cluster makes this cluster: there is nothing to observe")] if built_in else ()
    if look.old is None or not observed(look.old) or "class" not in look.new.get("spec", {}):
        return ()
    known = (look.old.get("status") or {}).get("conditions") or ()
    return [forbidden(field, each["message"]) for each in known if each["type"] == "Manageable" and each["status"] == "False"]


def kept(look: Look) -> Sequence[Cause]:
    """Fields that are what they were made with, unless they follow the far end."""
    return () if observed(look.new) else _KEPT(look)


_KEPT = immutable("spec.network", "spec.class.namespace")


def farewell(look: Look) -> Sequence[str]:
    """What becomes of a cluster that is deleted while it is observed."""
    if not observed(look.new):
        return ()
    text = (
        "the cluster is only observed: it is forgotten here and goes on at its management cluster, and appears again, without its group, "
        "labels and role bindings, while it is seen there"
    )
    return (f"{text}; to delete it, set spec.managementPolicy to Manage first",)


def places(look: Look) -> Sequence[Cause]:
    """Proxy, registry and authorities are well-formed, and given once. What was stored before stays until it is changed."""
    spec, old = look.new.get("spec", {}), (look.old or {}).get("spec", {})
    if look.status:
        return ()
    found: list[Cause] = []
    proxy, registry = spec.get("proxy"), spec.get("imageRegistry")
    if proxy is not None and proxy != old.get("proxy"):
        given = [name for name in ("http", "https", "noProxy") if proxy.get(name)]
        if proxy.get("configuration") and given:
            found.append(forbidden("spec.proxy.configuration", f"already says {' and '.join(given)}: name it, or write them here"))
        found += proxy_causes(proxy, "spec.proxy")
    if registry is not None and registry != old.get("imageRegistry"):
        if bool(registry.get("name")) == bool(registry.get("host")):
            found.append(bad("spec.imageRegistry", registry, "must have either the name of an ImageRegistry or a host"))
        elif host := registry.get("host"):
            found += told("spec.imageRegistry.host", host, registry_problem(host))
    for index, name in enumerate(spec.get("trustBundles", ())):
        found += [bad(f"spec.trustBundles[{index}]", name, problem) for problem in label_problems(name)]
    return found


def trusted(look: Look) -> Sequence[Cause]:
    """What nodes shall trust is authorities."""
    spec, old = look.new.get("spec", {}), (look.old or {}).get("spec", {})
    before = {each["name"]: each["pem"] for each in old.get("trustedCAs", ())}
    return [
        cause
        for index, each in enumerate(() if look.status else spec.get("trustedCAs", ()))
        if before.get(each["name"]) != each["pem"]
        for cause in pem.authority_causes(each["pem"], f"spec.trustedCAs[{index}].pem", look.now, before.get(each["name"], ""))
    ]


def advice(look: Look) -> Sequence[str]:
    """Authorities that will fail some day, or somewhere."""
    listed = () if look.status else look.new.get("spec", {}).get("trustedCAs", ())
    return [
        text for index, each in enumerate(listed) for text in pem.authority_warnings(each["pem"], f"spec.trustedCAs[{index}].pem", look.now)
    ]


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="Cluster",
    plural="clusters",
    short_names=("cl",),
    categories=("all", "fleet"),
    inseparable=True,
    schema=Schema(structural(Cluster)),
    status=True,
    selectable=("spec.provisioner", "spec.clusterGroup", "spec.version", "status.phase", "status.health"),
    columns=(
        Column("Phase", ".status.phase", description="Where the cluster is, in one word"),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status', description="Whether it is as asked for"),
        Column("Version", ".status.version", description="Kubernetes version that it runs"),
        Column("Control plane", ".status.controlPlane.summary", description="Control plane machines, ready/desired"),
        Column("Workers", ".status.workers.summary", description="Worker machines, ready/desired"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Health", ".status.health", priority=1),
        Column("Agent", ".status.agent.version", priority=1),
        Column("Group", ".spec.clusterGroup", priority=1),
        Column("Class", ".spec.class.name", priority=1),
        Column("Policy", ".spec.managementPolicy", priority=1, description="Manage, or Observe for one that is left alone"),
        Column("Endpoint", ".status.endpoint.host", priority=1),
        Column("Message", '.status.conditions[?(@.type=="Ready")].message', priority=1),
    ),
    references=(
        Reference("metadata.namespace", f"managementclusters.{GROUP}", unless=("spec.managementPolicy", "Observe")),
        Reference("spec.provisioner", f"provisioners.{GROUP}", beside=True),
        Reference("spec.clusterGroup", f"clustergroups.{GROUP}", demanded=True),
        Reference("spec.proxy.configuration", f"proxyconfigurations.{GROUP}"),
        Reference("spec.imageRegistry.name", f"imageregistries.{GROUP}"),
        Reference("spec.trustBundles", f"trustbundles.{GROUP}"),
    ),
    prepare=path_name("provisioner"),
    rules=(path_rule("provisioner"), immutable("spec.provisioner"), kept, policy, complete, places, trusted),
    advice=(advice,),
    farewell=(farewell,),
)

__all__ = ["RESOURCE", "Cluster", "ClusterSpec", "ClusterStatus", "Component"]
