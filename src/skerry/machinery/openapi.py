"""OpenAPI documents, v2 and v3, made from the schemas of the kinds.

kubectl reads them to explain fields, to validate before it sends, and to know the types of
what it patches. Every operation carries the kind it is about and the action it takes, as the
documents of Kubernetes do.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from skerry.machinery import scale
from skerry.machinery.resource import Resource

Json = dict[str, Any]

META = "io.k8s.apimachinery.pkg.apis.meta.v1."

_TIME = {"type": "string", "format": "date-time"}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_STRINGS = {"type": "array", "items": {"type": "string"}}

OWNER: Json = {
    "type": "object",
    "description": "An owner of the object.",
    "required": ["apiVersion", "kind", "name", "uid"],
    "properties": {
        "apiVersion": {"type": "string"},
        "blockOwnerDeletion": {"type": "boolean"},
        "controller": {"type": "boolean"},
        "kind": {"type": "string"},
        "name": {"type": "string"},
        "uid": {"type": "string"},
    },
}
MANAGED: Json = {
    "type": "object",
    "description": "The fields that one manager owns, by one kind of write.",
    "properties": {
        "apiVersion": {"type": "string"},
        "fieldsType": {"type": "string"},
        "fieldsV1": {"type": "object"},
        "manager": {"type": "string"},
        "operation": {"type": "string"},
        "subresource": {"type": "string"},
        "time": _TIME,
    },
}
OBJECT_META: Json = {
    "type": "object",
    "description": "What every object carries: its names, labels, owners and history.",
    "properties": {
        "annotations": {**_TEXTS, "description": "Unstructured values that tools keep with the object."},
        "creationTimestamp": {**_TIME, "description": "When the object was created. Read-only."},
        "deletionGracePeriodSeconds": {"type": "integer", "format": "int64"},
        "deletionTimestamp": {**_TIME, "description": "When deletion was asked for. Read-only."},
        "finalizers": {
            **_STRINGS,
            "description": "Who must be done before the object is gone.",
            "x-kubernetes-list-type": "set",
            "x-kubernetes-patch-strategy": "merge",
        },
        "generateName": {"type": "string", "description": "Prefix of a name that the server completes."},
        "generation": {"type": "integer", "format": "int64", "description": "Counts the changes of what is asked for. Read-only."},
        "labels": {**_TEXTS, "description": "Keys and values to select the object by."},
        "managedFields": {"type": "array", "items": MANAGED, "description": "Who owns which field. Kept by the server."},
        "name": {"type": "string", "description": "Name of the object, unique in its namespace."},
        "namespace": {"type": "string", "description": "Namespace of the object."},
        "ownerReferences": {
            "type": "array",
            "items": OWNER,
            "description": "Objects that this one goes with.",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["uid"],
            "x-kubernetes-patch-merge-key": "uid",
            "x-kubernetes-patch-strategy": "merge",
        },
        "resourceVersion": {"type": "string", "description": "Revision of the object. Read-only."},
        "selfLink": {"type": "string"},
        "uid": {"type": "string", "description": "Identity of the object for all time. Read-only."},
    },
}
LIST_META: Json = {
    "type": "object",
    "properties": {
        "continue": {"type": "string"},
        "remainingItemCount": {"type": "integer", "format": "int64"},
        "resourceVersion": {"type": "string"},
        "selfLink": {"type": "string"},
    },
}
STATUS: Json = {
    "type": "object",
    "properties": {
        "apiVersion": {"type": "string"},
        "code": {"type": "integer", "format": "int32"},
        "details": {"type": "object"},
        "kind": {"type": "string"},
        "message": {"type": "string"},
        "metadata": {"type": "object"},
        "reason": {"type": "string"},
        "status": {"type": "string"},
    },
}
SHARED = {
    f"{META}ObjectMeta": OBJECT_META,
    f"{META}ListMeta": LIST_META,
    f"{META}Status": STATUS,
    f"{META}DeleteOptions": {"type": "object"},
    f"{META}Patch": {"type": "object"},
}

QUERY = (
    "dryRun",
    "fieldManager",
    "fieldValidation",
    "force",
    "labelSelector",
    "fieldSelector",
    "limit",
    "continue",
    "resourceVersion",
    "resourceVersionMatch",
    "watch",
    "allowWatchBookmarks",
    "sendInitialEvents",
    "timeoutSeconds",
    "pretty",
    "propagationPolicy",
)


def definition_name(resource: Resource, kind: str = "") -> str:
    """The name of a kind's schema: ``dev.skerry.fleet.v1alpha1.Cluster``."""
    group = ".".join(reversed(resource.group.split("."))) if resource.group else "io.k8s.api.core"
    return f"{group}.{resource.version}.{kind or resource.kind}"


def _gvk(resource: Resource, kind: str = "") -> Json:
    return {"group": resource.group, "version": resource.version, "kind": kind or resource.kind}


def _schemas(resource: Resource, prefix: str) -> dict[str, Json]:
    document = copy.deepcopy(resource.schema.document)
    properties = document.setdefault("properties", {})
    properties["apiVersion"] = {"type": "string", "description": "Group and version of the kind."}
    properties["kind"] = {"type": "string", "description": "The kind."}
    properties["metadata"] = _reference(f"{META}ObjectMeta", prefix)
    document["x-kubernetes-group-version-kind"] = [_gvk(resource)]
    name = definition_name(resource)
    shared = {SCALE: _scale(prefix)} if resource.scale is not None else {}
    listed = {
        "type": "object",
        "description": f"A list of {resource.kind}.",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "items": {"type": "array", "items": _reference(name, prefix)},
            "kind": {"type": "string"},
            "metadata": _reference(f"{META}ListMeta", prefix),
        },
        "x-kubernetes-group-version-kind": [_gvk(resource, resource.list_kind)],
    }
    return {**shared, name: document, definition_name(resource, resource.list_kind): listed}


SCALE = "io.k8s.api.autoscaling.v1.Scale"
SCALE_GVK = {"group": scale.GROUP, "version": scale.VERSION, "kind": scale.KIND}


def _scale(prefix: str) -> Json:
    """The schema of a Scale."""
    properties = {**scale.SCHEMA["properties"], "metadata": _reference(f"{META}ObjectMeta", prefix)}
    return {**scale.SCHEMA, "properties": properties, "x-kubernetes-group-version-kind": [SCALE_GVK]}


def _reference(name: str, prefix: str) -> Json:
    return {"$ref": prefix + name} if prefix == "#/definitions/" else {"allOf": [{"$ref": prefix + name}], "default": {}}


def paths_of(resource: Resource) -> Iterable[tuple[str, dict[str, tuple[str, bool]]]]:
    """The paths of a kind: method → (action, answers with a list)."""
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    collection: dict[str, tuple[str, bool]] = {}
    single: dict[str, tuple[str, bool]] = {}
    table = {
        "list": ("get", "list", True, collection),
        "create": ("post", "post", False, collection),
        "deletecollection": ("delete", "deletecollection", True, collection),
        "get": ("get", "get", False, single),
        "update": ("put", "put", False, single),
        "patch": ("patch", "patch", False, single),
        "delete": ("delete", "delete", False, single),
    }
    for verb in resource.verbs:
        if verb in table:
            method, action, is_list, where = table[verb]
            where[method] = (action, is_list)
    root = f"{base}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else f"{base}/{resource.plural}"
    yield root, collection
    if single:
        yield f"{root}/{{name}}", single
    if resource.status:
        yield f"{root}/{{name}}/status", {method: each for method, each in single.items() if method in {"get", "put", "patch"}}
    if resource.scale is not None:
        yield f"{root}/{{name}}/scale", {method: each for method, each in single.items() if method in {"get", "put", "patch"}}
    if resource.namespaced and "list" in resource.verbs:
        yield f"{base}/{resource.plural}", {"get": ("list", True)}


def _paths(resource: Resource, *, v3: bool) -> Json:
    found: Json = {}
    prefix = "#/components/schemas/" if v3 else "#/definitions/"
    for path, methods in paths_of(resource):
        entry: Json = {"parameters": [_parameter(name, "path", v3=v3) for name in ("namespace", "name") if f"{{{name}}}" in path]}
        for method, (action, is_list) in methods.items():
            target = definition_name(resource, resource.list_kind if is_list else "")
            entry[method] = _operation(resource, method, action, prefix + (SCALE if path.endswith("/scale") else target), v3=v3)
            if path.endswith("/scale"):
                entry[method] |= {"operationId": f"{entry[method]['operationId']}Scale", "x-kubernetes-group-version-kind": SCALE_GVK}
        found[path] = entry
    return found


def _parameter(name: str, where: str, *, v3: bool) -> Json:
    kind: Json = {"schema": {"type": "string", "uniqueItems": True}} if v3 else {"type": "string", "uniqueItems": True}
    return {"name": name, "in": where, **({"required": True} if where == "path" else {}), **kind}


def _operation(resource: Resource, method: str, action: str, target: str, *, v3: bool) -> Json:
    operation: Json = {
        "operationId": f"{action}{resource.version.title()}{resource.kind}",
        "parameters": [_parameter(name, "query", v3=v3) for name in QUERY],
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(resource),
    }
    reference = {"$ref": target}
    if v3:
        operation["responses"] = {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}}
        if method in {"post", "put"}:
            operation["requestBody"] = {"content": {"*/*": {"schema": reference}}}
        elif method == "patch":
            media = ["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"]
            media += ["application/strategic-merge-patch+json"] if resource.strategic else []
            patch = {"$ref": f"#/components/schemas/{META}Patch"}
            operation["requestBody"] = {"content": {each: {"schema": patch} for each in media}}
    else:
        operation["responses"] = {"200": {"description": "OK", "schema": reference}}
        operation["produces"] = ["application/json"]
        operation["consumes"] = ["application/json", "application/yaml"]
        if method in {"post", "put", "patch"}:
            operation["parameters"].append({"name": "body", "in": "body", "required": True, "schema": reference})
    return operation


def document_v3(resources: Iterable[Resource], title: str, version: str) -> Json:
    """The document of one group and version."""
    schemas: Json = dict(SHARED)
    paths: Json = {}
    for resource in resources:
        schemas.update(_schemas(resource, "#/components/schemas/"))
        paths.update(_paths(resource, v3=True))
    return {"openapi": "3.0.0", "info": {"title": title, "version": version}, "paths": paths, "components": {"schemas": schemas}}


def document_v2(resources: Iterable[Resource], title: str, version: str) -> Json:
    """The document of everything."""
    definitions: Json = dict(SHARED)
    paths: Json = {}
    for resource in resources:
        definitions.update(_plain(_schemas(resource, "#/definitions/")))
        paths.update(_paths(resource, v3=False))
    return {"swagger": "2.0", "info": {"title": title, "version": version}, "paths": paths, "definitions": definitions}


V3_ONLY = frozenset(("nullable", "oneOf", "anyOf", "allOf", "not"))
OF_A_TYPE = ("type", "items", "properties", "additionalProperties")
UNTYPED = ("nullable", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string")


def _plain(schema: Any) -> Any:
    """Drop what OpenAPI v2 cannot say; properties that are called like a keyword stay.

    A value that may be null, or of several types, has no type there, as in the document of a
    kube-apiserver: clients that check types before they send would refuse good values.
    """
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result: Json = {}
    for name, value in schema.items():
        if name == "properties" and isinstance(value, dict):
            result[name] = {prop: _plain(each) for prop, each in value.items()}
        elif name not in V3_ONLY:
            result[name] = _plain(value)
    if any(schema.get(name) is True for name in UNTYPED):
        for name in OF_A_TYPE:
            result.pop(name, None)
    return result
