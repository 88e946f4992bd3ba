"""From neutral fields to the variables of a cluster class, whose names and shapes are known at run time only.

The class says which variables it has and their schemas; a neutral field is written to the
first variable whose name *and* shape match one of the known dialects:

* flat: ``proxy{httpProxy, httpsProxy, noProxy}``, ``trust{additionalTrustedCAs[{name}]}``,
  ``defaultStorageClass``, ``storageClasses``, ``nodePoolLabels``, ``nodePoolTaints`` (Tanzu's
  older classes; TKGm's ``trust`` carries ``data`` as well);
* grouped: ``osConfiguration{systemProxy, trust}``, ``vsphereOptions{persistentVolumes}``, ``node``.

A raw variable always wins over a neutral field; two that share one grouped variable are merged.
A neutral field without a matching variable is refused: it would be configured and not enforced.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from skerry.capi.upgrade import Verdict
from skerry.kinds.cluster import ClusterSpec
from skerry.kinds.clusterclass import ClusterClassSpec
from skerry.kinds.common import Variable
from skerry.kinds.nodepool import NodePoolSpec
from skerry.machinery.resource import Json

TRUST_SECRET = "user-trusted-ca-secret"  # noqa: S105 the end of an object's name


@dataclass
class Rendered:
    """Variables by name, the neutral fields that found no variable, and authorities that go into a Secret (name to PEM)."""

    values: dict[str, Any] = field(default_factory=dict)
    homeless: list[str] = field(default_factory=list)
    trust: dict[str, str] = field(default_factory=dict)

    def listed(self) -> list[Json]:
        """As Cluster API wants them, in the order of their names."""
        return [{"name": name, "value": value} for name, value in sorted(self.values.items())]


class _Intent(NamedTuple):
    """A neutral field: where it stands, and the places a class may have for it, each with the value in that dialect."""

    field: str
    places: tuple[tuple[str, Any], ...]


def of_cluster(spec: ClusterSpec, offered: ClusterClassSpec) -> Rendered:
    """Render a cluster's variables. A path such as ``osConfiguration.systemProxy`` names a part of a grouped variable."""
    rendered = Rendered()
    _place(rendered, _cluster_intents(spec), offered)
    if spec.trusted_cas:
        _trust(rendered, spec, offered)
    _raw(rendered, spec.variables)
    return rendered


def of_pool(spec: NodePoolSpec, offered: ClusterClassSpec, cluster: dict[str, Any] | None = None) -> Rendered:
    """Render a pool's overrides. An override replaces the whole value, so a grouped one starts from the cluster's own."""
    rendered = Rendered()
    taints = [{"key": each.key, "value": each.value, "effect": each.effect} for each in spec.taints]
    intents = []
    if spec.labels:
        pairs = [{"key": key, "value": value} for key, value in sorted(spec.labels.items())]
        intents.append(_Intent("spec.labels", (("nodePoolLabels", pairs), ("node.labels", dict(spec.labels)))))
    if taints:
        intents.append(_Intent("spec.taints", (("nodePoolTaints", taints), ("node.taints", taints))))
    _place(rendered, intents, offered, cluster or {})
    _raw(rendered, spec.variables)
    return rendered


def unknown(variables: Iterable[Variable], offered: ClusterClassSpec, where: str) -> Verdict | None:
    """Refuse raw variables that the class does not have."""
    names = {each.name for each in offered.variables}
    strangers = sorted(each.name for each in variables if each.name not in names)
    if not strangers:
        return None
    offer = ", ".join(sorted(names)) or "none"
    return Verdict("VariableUnknown", f"{where}: the class has no variable {', '.join(strangers)}; it offers: {offer}")


def absent(given: Rendered, offered: ClusterClassSpec) -> list[str]:
    """Variables that the class requires, that have no default, and that nobody set."""
    return sorted(
        each.name for each in offered.variables if each.required and "default" not in each.schema and each.name not in given.values
    )


def _cluster_intents(spec: ClusterSpec) -> list[_Intent]:
    intents = []
    if spec.proxy is not None:
        http, https, direct = spec.proxy.http, spec.proxy.https or spec.proxy.http, list(spec.proxy.no_proxy)
        flat = {"httpProxy": http, "httpsProxy": https, "noProxy": direct}
        grouped = {"http": http, "https": https, "noProxy": direct}
        intents.append(_Intent("spec.proxy", (("proxy", flat), ("osConfiguration.systemProxy", grouped))))
    if spec.storage is not None:
        volumes = "vsphereOptions.persistentVolumes"
        if spec.storage.default_class:
            places = (("defaultStorageClass", spec.storage.default_class), (f"{volumes}.defaultStorageClass", spec.storage.default_class))
            intents.append(_Intent("spec.storage.defaultClass", places))
        if spec.storage.classes:
            classes = list(spec.storage.classes)
            intents.append(_Intent("spec.storage.classes", (("storageClasses", classes), (f"{volumes}.availableStorageClasses", classes))))
    if spec.image_registry is not None:
        intents.append(
            _Intent(
                "spec.imageRegistry", (("imageRepository.host", spec.image_registry.host), ("imageRepository", spec.image_registry.host))
            )
        )
    return intents


def _trust(rendered: Rendered, spec: ClusterSpec, offered: ClusterClassSpec) -> None:
    entry = _schema(offered, "trust.additionalTrustedCAs")
    if entry is not None and "data" in (entry.get("items", {}).get("properties") or {}):
        inline = [{"name": each.name, "data": _b64(each.pem)} for each in spec.trusted_cas]
        _set(rendered.values, "trust.additionalTrustedCAs", inline)
    elif entry is not None:
        _set(rendered.values, "trust.additionalTrustedCAs", [{"name": each.name} for each in spec.trusted_cas])
        rendered.trust = {each.name: each.pem for each in spec.trusted_cas}
    elif _schema(offered, "osConfiguration.trust.additionalTrustedCAs") is not None:
        contents = [{"caCert": {"content": each.pem}} for each in spec.trusted_cas]
        _set(rendered.values, "osConfiguration.trust.additionalTrustedCAs", contents)
    else:
        rendered.homeless.append("spec.trustedCAs")


def trust_secret(cluster: str, namespace: str, trust: dict[str, str]) -> Json:
    """The Secret that flat classes read authorities from. Its values are encoded twice: that is what the nodes expect."""
    data = {name: _b64(_b64(pem)) for name, pem in sorted(trust.items())}
    metadata = {"name": f"{cluster}-{TRUST_SECRET}", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _place(rendered: Rendered, intents: Iterable[_Intent], offered: ClusterClassSpec, base: dict[str, Any] | None = None) -> None:
    for intent in intents:
        for path, value in intent.places:
            schema = _schema(offered, path)
            if schema is not None and _fits(schema, value):
                root = path.split(".")[0]
                if "." in path and root not in rendered.values and root in (base or {}):
                    rendered.values[root] = copy.deepcopy((base or {})[root])
                _set(rendered.values, path, value)
                break
        else:
            rendered.homeless.append(intent.field)


def _raw(rendered: Rendered, variables: Iterable[Variable]) -> None:
    for each in variables:
        rendered.values[each.name] = _merged(rendered.values.get(each.name), each.value)


def _merged(neutral: Any, raw: Any) -> Any:
    """Raw over neutral, object by object; anything else is the raw value."""
    if not isinstance(neutral, dict) or not isinstance(raw, dict):
        return raw
    return {**neutral, **{key: _merged(neutral.get(key), value) for key, value in raw.items()}}


def _schema(offered: ClusterClassSpec, path: str) -> Json | None:
    root, *parts = path.split(".")
    found: Any = next((each.schema for each in offered.variables if each.name == root), None)
    for part in parts:
        found = (found.get("properties") or {}).get(part) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
}


def _fits(schema: Json, value: Any) -> bool:
    """Whether a value has the schema's type and, for objects, only properties that it names."""
    kind = schema.get("type", "")
    if kind in _TYPES and not _TYPES[kind](value):
        return False
    properties = schema.get("properties")
    return not isinstance(value, dict) or not properties or set(value) <= set(properties)


def _set(values: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[last] = value
