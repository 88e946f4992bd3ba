"""A CustomResourceDefinition as Resources: one per served version, with everything read from the definition.

Objects are stored as the storage version and served in any other by changing their
apiVersion (conversion strategy None). Rules in CEL are not evaluated.
"""

from __future__ import annotations

from typing import Any

from skerry.machinery.resource import Column, Resource
from skerry.machinery.scale import Scale
from skerry.machinery.schema import Schema

Json = dict[str, Any]

OPEN: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def resources(definition: Json) -> list[Resource]:
    """The Resources that a definition asks for, the storage version first."""
    spec, names = definition["spec"], definition["spec"]["names"]
    versions = sorted((each for each in spec["versions"] if each.get("served")), key=lambda each: not each.get("storage"))
    storage = next(each["name"] for each in spec["versions"] if each.get("storage"))
    return [
        Resource(
            group=spec["group"],
            version=version["name"],
            kind=names["kind"],
            plural=names["plural"],
            singular=names.get("singular", ""),
            short_names=tuple(names.get("shortNames", ())),
            categories=tuple(names.get("categories", ())),
            namespaced=spec["scope"] == "Namespaced",
            schema=Schema((version.get("schema") or {}).get("openAPIV3Schema") or OPEN),
            status="status" in (version.get("subresources") or {}),
            scale=_scale((version.get("subresources") or {}).get("scale")),
            selectable=tuple(each["jsonPath"].removeprefix(".") for each in version.get("selectableFields", ())),
            columns=tuple(_column(each) for each in version.get("additionalPrinterColumns", ())),
            hub=storage,
        )
        for version in versions
    ]


def _scale(paths: Json | None) -> Scale | None:
    if paths is None:
        return None
    return Scale(paths["specReplicasPath"], paths["statusReplicasPath"], paths.get("labelSelectorPath", ""))


def _column(definition: Json) -> Column:
    return Column(
        definition["name"],
        definition["jsonPath"],
        definition.get("type", "string"),
        definition.get("format", ""),
        definition.get("description", ""),
        definition.get("priority", 0),
    )
