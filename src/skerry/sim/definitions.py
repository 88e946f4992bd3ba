"""The CRDs of a simulated management cluster, built from a short table and structural schemas.

They are installed through the API like any others. ``workers: {}`` and an empty list of machine
deployments are refused, as Cluster API's own definitions do: who wants no workers leaves them out.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

from skerry.kit import yamls

Json = dict[str, Any]

OPEN: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
VARIABLES: Json = {
    "type": "array",
    "minItems": 1,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": {
        "type": "object",
        "required": ["name", "value"],
        "properties": {"name": {"type": "string", "minLength": 1}, "value": {"x-kubernetes-preserve-unknown-fields": True}},
    },
}
OVERRIDES: Json = {"type": "object", "minProperties": 1, "properties": {"overrides": VARIABLES}}
METADATA: Json = {
    "type": "object",
    "minProperties": 1,
    "properties": {name: {"type": "object", "additionalProperties": {"type": "string"}} for name in ("labels", "annotations")},
}
REPLICAS: Json = {"type": "integer", "format": "int32", "minimum": 0}
DEPLOYMENT: Json = {
    "type": "object",
    "required": ["class", "name"],
    "properties": {
        "class": {"type": "string", "minLength": 1},
        "name": {"type": "string", "minLength": 1, "maxLength": 63},
        "replicas": REPLICAS,
        "failureDomain": {"type": "string", "minLength": 1},
        "metadata": METADATA,
        "variables": OVERRIDES,
    },
    "x-kubernetes-preserve-unknown-fields": True,
}
RANGES: Json = {
    "type": "object",
    "required": ["cidrBlocks"],
    "properties": {"cidrBlocks": {"type": "array", "minItems": 1, "x-kubernetes-list-type": "atomic", "items": {"type": "string"}}},
}
CLUSTER: Json = {
    "type": "object",
    "minProperties": 1,
    "properties": {
        "paused": {"type": "boolean"},
        "clusterNetwork": {
            "type": "object",
            "minProperties": 1,
            "properties": {"pods": RANGES, "services": RANGES, "serviceDomain": {"type": "string", "minLength": 1}},
        },
        "controlPlaneEndpoint": {
            "type": "object",
            "properties": {"host": {"type": "string"}, "port": {"type": "integer", "format": "int32"}},
        },
        "controlPlaneRef": OPEN,
        "infrastructureRef": OPEN,
        "topology": {
            "type": "object",
            "required": ["classRef", "version"],
            "properties": {
                "classRef": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string", "minLength": 1}, "namespace": {"type": "string", "minLength": 1}},
                },
                "version": {"type": "string", "minLength": 1, "maxLength": 256},
                "controlPlane": {
                    "type": "object",
                    "minProperties": 1,
                    "properties": {"replicas": REPLICAS, "metadata": METADATA, "variables": OVERRIDES},
                    "x-kubernetes-preserve-unknown-fields": True,
                },
                "workers": {
                    "type": "object",
                    "minProperties": 1,
                    "properties": {
                        "machineDeployments": {
                            "type": "array",
                            "minItems": 1,
                            "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["name"],
                            "items": DEPLOYMENT,
                        }
                    },
                },
                "variables": VARIABLES,
            },
        },
    },
}
SHAPES = {"cluster": CLUSTER, "open": OPEN}


def definitions() -> list[Json]:
    """The CustomResourceDefinitions, ready to be created."""
    table = yamls.load(resources.files("skerry.sim").joinpath("crds.yaml").read_text())
    return [_definition(row) for row in table]


def _definition(row: Json) -> Json:
    schema = {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": SHAPES[row["spec"]],
            "status": OPEN,
        },
    }
    phase = {"name": "Phase", "type": "string", "jsonPath": ".status.phase"}
    age = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{row['plural']}.{row['group']}"},
        "spec": {
            "group": row["group"],
            "scope": "Namespaced",
            "names": {
                "kind": row["kind"],
                "listKind": f"{row['kind']}List",
                "plural": row["plural"],
                "singular": row["kind"].lower(),
                "shortNames": row["shortNames"],
                "categories": ["cluster-api"],
            },
            "versions": [
                {
                    "name": "v1beta2",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [phase, age],
                }
            ],
        },
    }
