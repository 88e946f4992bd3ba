"""ProxyConfiguration: how a site's network is left, described once and named by whoever leaves it.

User name and password of the proxy are a Credential's; a URL that holds them is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import field

from skerry.kinds.common import GROUP, VERSION, Metadata, Shape
from skerry.kinds.places import proxy_causes
from skerry.kinds.rules import label_rule, missing
from skerry.kinds.shape import LABEL, doc, structural
from skerry.machinery.errors import Cause
from skerry.machinery.resource import Column, Json, Look, Reference, Resource
from skerry.machinery.schema import Schema


class ProxyConfigurationSpec(Shape):
    """The proxy, and what is reached without it."""

    http: Annotated[str, doc("URL of the proxy for plain HTTP, such as http://proxy.example.org:3128.", max_length=2048)] = ""
    https: Annotated[str, doc("URL of the proxy for HTTPS; the one for plain HTTP if empty.", max_length=2048)] = ""
    no_proxy: Annotated[list[str], doc("What is reached directly: hosts, .domains, IP addresses and CIDR blocks.")] = []
    credential: Annotated[
        str, doc("Credential of type BasicAuth with the proxy's user name and password.", pattern=LABEL, max_length=63)
    ] = ""
    trust_bundle: Annotated[
        str, doc("TrustBundle with the authority of a proxy that looks into TLS connections.", pattern=LABEL, max_length=63)
    ] = ""
    description: Annotated[str, doc("What it is for, for people.", max_length=1024)] = ""


class ProxyConfiguration(Shape):
    """A proxy that nodes and agents use to leave their network."""

    metadata: Metadata
    spec: ProxyConfigurationSpec = field(default_factory=ProxyConfigurationSpec)


def sound(look: Look) -> Sequence[Cause]:
    """There is a proxy, and every place is written as one."""
    spec = look.new.get("spec") or {}
    found = proxy_causes(spec, "spec")
    return (
        found if spec.get("http") or spec.get("https") else [*found, missing("spec.http", "say where the proxy is, here or in spec.https")]
    )


def _direct(obj: Json) -> int:
    return len((obj.get("spec") or {}).get("noProxy") or ())


RESOURCE = Resource(
    group=GROUP,
    version=VERSION,
    kind="ProxyConfiguration",
    plural="proxyconfigurations",
    short_names=("proxy",),
    categories=("fleet",),
    namespaced=False,
    schema=Schema(structural(ProxyConfiguration)),
    selectable=("spec.credential", "spec.trustBundle"),
    columns=(
        Column("HTTP", ".spec.http"),
        Column("HTTPS", ".spec.https"),
        Column("Direct", ".spec.noProxy", "integer", description="How many entries are reached directly", value=_direct),
        Column("Credential", ".spec.credential"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Trust", ".spec.trustBundle", priority=1),
        Column("Description", ".spec.description", priority=1),
    ),
    references=(Reference("spec.credential", f"credentials.{GROUP}"), Reference("spec.trustBundle", f"trustbundles.{GROUP}")),
    rules=(label_rule, sound),
)
